import numpy as np
import pytest

from pipeline.radiograph import Side
from pipeline.shape_model import Landmark, load, mirrored, save
from pipeline.surface import Bone, BoneSurface
from tests.stages.shadows import femur_model, somebody


@pytest.fixture(scope="module")
def model():
    return femur_model()


def surface(model, coefficients, side=Side.RIGHT) -> BoneSurface:
    vertices = mirrored(model.instance(coefficients), side)
    return BoneSurface(
        bone=Bone.FEMUR,
        side=side,
        vertices=vertices,
        triangles=model.triangles_of(side),
        standard_deviation=np.zeros(len(vertices)),
        inferred=np.zeros(len(vertices), bool),
    )


def volume(surface: BoneSurface) -> float:
    a, b, c = np.moveaxis(surface.vertices[surface.triangles], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def test_the_mean_is_a_closed_femur_of_human_size(model):
    mean = surface(model, np.zeros(model.size))
    assert mean.watertight
    assert 430 < mean.extent[2] < 500
    assert 400_000 < volume(mean) < 700_000


@pytest.mark.parametrize("side", list(Side))
def test_either_side_faces_outwards(model, side):
    assert volume(surface(model, somebody(model, 1), side)) > 0


def test_the_head_lies_medial_to_the_trochanter_and_above_the_knee(model):
    at = {name: landmark.position(model.mean) for name, landmark in model.landmarks.items()}
    assert at["head_centre"][0] > at["greater_trochanter"][0] + 30
    assert at["head_centre"][2] > at["intercondylar_notch"][2] + 350
    assert at["posterior_medial_condyle"][1] > at["distal_medial_condyle"][1] + 10


def test_the_landmark_of_the_head_is_the_centre_of_its_sphere(model):
    vertices = model.instance(somebody(model, 2, size=1.5))
    head = vertices[model.regions["head"]]
    radii = np.linalg.norm(head - model.landmarks["head_centre"].position(vertices), axis=1)
    assert 18 < radii.mean() < 30
    assert radii.std() < 1.5


def test_regions_share_out_the_whole_surface(model):
    everything = np.concatenate(list(model.regions.values()))
    assert sorted(everything) == list(range(len(model.mean)))


def test_size_is_free_a_femur_of_53_cm_is_nothing_unheard_of(model):
    lengths = [np.ptp(model.instance(c * np.eye(model.size)[0])[:, 2]) for c in (-2, 2)]
    assert max(lengths) > 530
    assert min(lengths) < 400


def test_a_saved_model_is_the_same_when_read_back(model, tmp_path):
    save(model, tmp_path / "again.npz")
    again = load(tmp_path / "again.npz")
    who = somebody(model, 3)
    assert again.instance(who) == pytest.approx(model.instance(who), abs=0.02)
    assert again.licence == model.licence
    assert set(again.landmarks) == set(model.landmarks)


def test_other_files_are_no_shape_models(tmp_path):
    np.savez(tmp_path / "other.npz", numbers=np.zeros(3))
    with pytest.raises(ValueError, match="not a shape model"):
        load(tmp_path / "other.npz")


def test_a_landmarks_weights_must_add_up():
    with pytest.raises(ValueError, match="add up to 1"):
        Landmark(indices=np.array([0, 1]), weights=np.array([0.5, 0.6]))

"""Bones of people who never were: drawn from the shape model that ships, so that the true correspondence is known."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from models.training.bones import Bone, Kind
from models.training.correspondence import KERNELS, Template, deformation_basis, farthest_points, register, similarity
from models.training.covariance import complete, free_modes
from models.training.recipes import RECIPES
from pipeline.geometry import nearest_sphere
from tests.stages.shadows import femur_model, somebody, surface_error


@pytest.fixture(scope="module")
def model():
    return femur_model()


@pytest.fixture(scope="module")
def template(model):
    return Template(person="mean", vertices=model.mean, triangles=model.triangles.astype(np.int64))


@pytest.fixture(scope="module")
def basis(template):
    return deformation_basis(template.vertices, KERNELS, 200)


def bone(model, vertices, *, part="whole") -> Bone:
    return Bone(
        person="nobody",
        source="vsd",
        side="R",
        part=part,
        vertices=vertices,
        triangles=model.triangles.astype(np.int64),
    )


def test_a_similarity_is_recovered_from_points():
    points = np.random.default_rng(0).standard_normal((50, 3))
    turn = Rotation.from_euler("xyz", [20, -40, 10], degrees=True).as_matrix()
    scale, rotation, shift = similarity(points, 1.3 * points @ turn.T + [4, 5, 6])
    assert scale == pytest.approx(1.3)
    assert rotation == pytest.approx(turn)
    assert shift == pytest.approx([4, 5, 6])


def test_a_sphere_is_found_from_a_cap_of_it():
    directions = np.random.default_rng(0).standard_normal((200, 3))
    directions = directions[directions[:, 2] > 0]
    cap = 24 * directions / np.linalg.norm(directions, axis=1, keepdims=True) + [1, 2, 3]
    centre, radius = nearest_sphere(cap)
    assert centre == pytest.approx([1, 2, 3])
    assert radius == pytest.approx(24)


def test_farthest_points_spread_evenly():
    line = np.stack([np.arange(101.0), np.zeros(101), np.zeros(101)], axis=1)
    assert sorted(line[farthest_points(line, 3), 0]) == [0, 50, 100]


def test_the_template_is_carried_onto_another_femur(model, template, basis):
    turn = Rotation.from_euler("z", 25, degrees=True).as_matrix()
    other = np.add(model.instance(somebody(model, 4, size=-1.0)) @ turn, [100, -50, 20])
    found = register(template, basis, bone(model, other))
    slip = np.linalg.norm(found.vertices - other, axis=1)
    assert found.residual_mm < 0.5
    assert np.median(slip) < 4


def test_what_was_cut_off_is_completed_from_what_is_there(model):
    whole = model.instance(somebody(model, 9, size=0.7))
    seen = whole[:, 2] > 60
    factor = np.concatenate([model.modes[:30], free_modes(model.mean, RECIPES[Kind.FEMUR])])
    guess = complete(np.where(seen[:, None], whole, 0), seen, model.mean, factor)
    assert surface_error(guess[seen], whole[seen]) < 0.01
    assert surface_error(guess, whole) < surface_error(model.mean, whole)

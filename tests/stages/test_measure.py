import numpy as np
import pytest

from pipeline.geometry import RigidPose
from pipeline.radiograph import Radiograph, Side, View
from pipeline.shape_model import load, mirrored
from pipeline.stages.calibrate import calibrate
from pipeline.stages.fit import Fit, FittedView, ViewObservation, fit
from pipeline.stages.measure import measure, measure_together
from pipeline.stages.measure_definitions import DEFINITIONS
from pipeline.stages.measure_femur import Femur
from pipeline.stages.perceive import Perception
from pipeline.surface import Bone
from tests.stages.built_bones import LATERAL, MEDIAL
from tests.stages.shadows import MODEL, acquisition_of, apparatus, femur_model, observation, somebody, standing

TILT = "Pelvic tilt (anterior pelvic plane against the detector)"


@pytest.fixture(scope="module")
def model():
    return femur_model()


@pytest.fixture(scope="module")
def who(model):
    return somebody(model, 21, size=0.5)


def measured(model, who, views, side=Side.RIGHT, field=None, **changes):
    vertices = standing(model, who, side, yaw=15)
    top = vertices[:, 2].max()
    heights = (top - field, top + 15) if field else None
    fitted = fit(
        model,
        tuple(observation(model, vertices, view, side, heights=heights, said=changes) for view in views),
        side=side,
    )
    return {measurement.name: measurement for measurement in measure(fitted)}


@pytest.fixture(scope="module")
def from_two_views(model, who):
    return measured(model, who, (View.AP, View.LATERAL), side=Side.LEFT)


def truth(model, who) -> dict[str, float]:
    femur = Femur(landmarks=model.landmarks, regions=model.regions, vertices=model.instance(who))
    own = [definition for definition in DEFINITIONS if [part.bone for part in definition.parts] == [Bone.FEMUR]]
    return {definition.name: definition.measured(femur) for definition in own}


def test_the_mean_femur_measures_as_textbooks_say(model):
    mean = truth(model, np.zeros(model.size))
    assert 40 < mean["Femoral head diameter"] < 52
    assert 118 < mean["Neck-shaft angle"] < 138
    assert 30 < mean["Femoral offset"] < 50
    assert -5 < mean["Anteversion"] < 20
    assert 84 < mean["Mechanical lateral distal femoral angle"] < 91
    assert 75 < mean["Epicondylar width"] < 92


def test_two_views_of_a_whole_femur_support_every_measurement(from_two_views):
    assert all(measurement.value is not None for measurement in from_two_views.values())
    assert all(m.lower < m.value < m.upper for m in from_two_views.values())


def test_intervals_hold_the_truth(model, who, from_two_views):
    true = truth(model, who)
    inside = [m.lower <= true[name] <= m.upper for name, m in from_two_views.items()]
    assert sum(inside) >= len(inside) - 1


def test_an_ap_alone_leaves_anteversion_open_and_says_why(model, who):
    found = measured(model, who, (View.AP,))
    assert found["Anteversion"].value is None
    assert "lateral" in found["Anteversion"].reason
    assert found["Neck-shaft angle"].value is not None


def test_a_hip_view_does_not_measure_the_knee(model, who):
    found = measured(model, who, (View.AP,), field=160)
    assert found["Epicondylar width"].value is None
    assert "Outside the field" in found["Epicondylar width"].reason
    assert found["Femoral head diameter"].value == pytest.approx(truth(model, who)["Femoral head diameter"], abs=2.5)


def test_without_scale_there_are_angles_but_no_millimetres(model, who):
    found = measured(model, who, (View.AP,), imager_pixel_spacing=None)
    assert found["Femoral offset"].value is None
    assert "scale" in found["Femoral offset"].reason
    assert found["Neck-shaft angle"].value == pytest.approx(truth(model, who)["Neck-shaft angle"], abs=6)


@pytest.fixture(scope="module")
def hip_bones():
    return load(MODEL.with_name("hip_bone_shape.npz"))


def seen_on(film: str, vertices, view: View, side: Side) -> ViewObservation:
    """A view of which only how it was taken matters."""
    geometry = apparatus(vertices, view, side, heights=(vertices[:, 2].min(), vertices[:, 2].max()))
    radiograph = Radiograph(
        identifier=film,
        pixels=np.zeros((geometry.rows, geometry.columns), np.float32),
        acquisition=acquisition_of(geometry, view),
    )
    nothing = Perception(
        mask=np.zeros((4, 4), np.float32),
        working_to_pixel=np.eye(2, 3),
        field=np.ones((4, 4), dtype=bool),
        landmarks={},
    )
    return ViewObservation(calibration=calibrate(radiograph, view=view, side=side), perception=nothing)


def found(model, bone, side, *, film="pelvis", views=(View.AP,), doubt=0.05, unseen=(), who=None) -> Fit:
    """A fit that ended on a bone of the model, in whose place it lies, with all coefficients equally sure."""
    who = np.zeros(model.size) if who is None else who
    vertices = mirrored(model.instance(who), side)
    seen = np.ones(len(vertices), dtype=bool)
    for name in unseen:
        seen[model.landmarks[name].indices] = False
    observed = [seen_on(film, vertices, view, side) for view in views]
    return Fit(
        bone=bone,
        model=model,
        side=side,
        coefficients=who,
        covariance=doubt**2 * np.eye(model.size),
        pose=RigidPose(translation=70 * (MEDIAL if side is Side.LEFT else LATERAL)),
        vertices=vertices,
        triangles=model.triangles_of(side),
        views=tuple(
            FittedView(
                observation=each,
                geometry=each.calibration.geometry,
                residual_mm=np.zeros(1),
                unmatched=0.0,
                depth_deviation=0.0,
            )
            for each in observed
        ),
        in_field=seen,
        start_spread_mm=0.0,
        objective=0.0,
    )


def by_bone_and_name(measurements):
    return {(measurement.bone, measurement.name): measurement for measurement in measurements}


def test_both_hip_bones_give_each_acetabulum_and_the_pelvis_once(hip_bones):
    both = [found(hip_bones, Bone.HIP_BONE, side) for side in (Side.LEFT, Side.RIGHT)]
    together = by_bone_and_name(measure_together(both))
    for side in "RL":
        assert 35 < together[f"hip_bone_{side}", "Acetabular inclination (radiographic)"].value < 55
        assert 5 < together[f"hip_bone_{side}", "Acetabular anteversion (radiographic)"].value < 25
        assert 20 < together[f"hip_bone_{side}", "Lateral centre-edge angle"].value < 45
    assert 200 < together["hip_bone_R", "Distance of the anterior superior iliac spines"].value < 280
    assert ("hip_bone_L", "Pelvic width") not in together
    assert "frontal films" in together["hip_bone_R", TILT].reason


def test_a_pelvis_seen_in_the_mirror_measures_the_same(hip_bones):
    who = somebody(hip_bones, 5)
    both = [found(hip_bones, Bone.HIP_BONE, side, who=who, doubt=1e-6) for side in Side]
    together = by_bone_and_name(measure_together(both))
    for name in ("Acetabular inclination (radiographic)", "Lateral centre-edge angle"):
        assert together["hip_bone_R", name].value == pytest.approx(together["hip_bone_L", name].value)


def test_one_hip_bone_alone_has_no_pelvic_plane_and_says_what_is_missing(hip_bones):
    (alone,) = {m.reason for m in measure_together([found(hip_bones, Bone.HIP_BONE, Side.LEFT)])}
    assert alone == "Needs more bones on the same radiograph: right hip bone."


def test_bones_on_different_radiographs_are_not_measured_together(hip_bones):
    right = found(hip_bones, Bone.HIP_BONE, Side.RIGHT, film="one")
    left = found(hip_bones, Bone.HIP_BONE, Side.LEFT, film="another")
    assert all(measurement.value is None for measurement in measure_together([right, left]))


def test_a_leg_without_its_ankle_in_view_has_no_mechanical_axis_but_a_plateau(model):
    tibiae = load(MODEL.with_name("tibia_shape.npz"))
    knee = found(tibiae, Bone.TIBIA, Side.RIGHT, views=(View.AP, View.LATERAL), unseen=["ankle_centre"])
    own = {measurement.name: measurement for measurement in measure(knee)}
    assert own["Tibial length"].reason == "Outside the field of view: ankle centre."
    assert own["Medial proximal tibial angle"].value is None
    assert 65 < own["Tibial plateau width"].value < 90
    assert 0 < own["Medial tibial slope (axis of the upper shaft)"].value < 20
    (leg,) = measure_together([knee, found(model, Bone.FEMUR, Side.RIGHT)])
    assert (leg.bone, leg.name) == ("tibia_R", "Hip-knee-ankle angle")
    assert leg.reason == "Outside the field of view: ankle centre of the tibia."


def test_femur_and_tibia_on_one_film_give_the_axis_of_the_leg(model):
    tibiae = load(MODEL.with_name("tibia_shape.npz"))
    for side in Side:
        (leg,) = measure_together([found(tibiae, Bone.TIBIA, side), found(model, Bone.FEMUR, side)])
        assert 170 < leg.value < 190
        assert leg.lower < leg.value < leg.upper


def test_a_surer_fit_gives_a_narrower_interval(model):
    narrow, wide = (measure(found(model, Bone.FEMUR, Side.RIGHT, doubt=doubt)) for doubt in (0.02, 0.3))
    for sure, unsure in zip(narrow, wide, strict=True):
        assert sure.value == unsure.value
        if sure.value is not None:
            assert sure.upper - sure.lower < unsure.upper - unsure.lower


def test_the_slope_of_a_tibia_is_not_read_from_a_frontal_view_nor_a_patella_from_one():
    for bone, names in ((Bone.TIBIA, ["Medial tibial slope (axis of the upper shaft)"]), (Bone.PATELLA, None)):
        own = measure(found(load(MODEL.with_name(f"{bone}_shape.npz")), bone, Side.RIGHT))
        greyed = [measurement for measurement in own if measurement.value is None]
        assert [measurement.name for measurement in greyed] == (names or [measurement.name for measurement in own])
        assert all("lateral view" in measurement.reason for measurement in greyed)

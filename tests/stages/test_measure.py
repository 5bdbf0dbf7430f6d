import numpy as np
import pytest

from pipeline.radiograph import Side, View
from pipeline.stages.fit import fit
from pipeline.stages.measure import measure
from pipeline.stages.measure_definitions import DEFINITIONS
from pipeline.stages.measure_femur import Femur
from pipeline.surface import Bone
from tests.stages.shadows import femur_model, observation, somebody, standing


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
    found = fit(
        model,
        tuple(observation(model, vertices, view, side, heights=heights, said=changes) for view in views),
        side=side,
    )
    return {measurement.name: measurement for measurement in measure(found)}


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

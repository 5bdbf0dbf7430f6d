import dataclasses

import numpy as np
import pytest

from pipeline.errors import Refusal, RefusalCode
from pipeline.radiograph import Side, View
from pipeline.stages.assess import assess
from pipeline.stages.fit import fit
from tests.stages.shadows import femur_model, observation, somebody, standing


@pytest.fixture(scope="module")
def model():
    return femur_model()


@pytest.fixture(scope="module")
def hip(model):
    vertices = standing(model, somebody(model, 5), Side.LEFT, yaw=15)
    top = vertices[:, 2].max()
    return fit(
        model,
        (observation(model, vertices, View.AP, Side.LEFT, heights=(top - 160, top + 20)),),
        side=Side.LEFT,
    )


def test_a_good_fit_becomes_a_closed_surface_of_the_whole_bone(hip):
    judged = assess(hip)
    assert judged.surface.watertight
    assert judged.surface.side is Side.LEFT
    assert judged.contour_error_mm[0] < 0.6
    assert 0.2 < judged.expected_error_mm < 3


def test_what_is_inferred_is_less_certain_than_what_is_seen(hip):
    surface = assess(hip).surface
    assert surface.inferred.any()
    seen, inferred = surface.standard_deviation[~surface.inferred], surface.standard_deviation[surface.inferred]
    assert inferred.mean() > 2 * seen.mean()


def test_the_reader_is_told_of_a_single_view_and_of_what_is_inferred(hip):
    warnings = " ".join(assess(hip).warnings)
    assert "single view" in warnings
    assert "outside every view" in warnings


def test_a_calibrated_factor_widens_all_deviations_alike(hip):
    wider = dataclasses.replace(
        hip, model=dataclasses.replace(hip.model, interval_factor=2 * hip.model.interval_factor)
    )
    assert assess(wider).surface.standard_deviation == pytest.approx(2 * assess(hip).surface.standard_deviation)


def test_a_box_is_no_femur(model):
    vertices = standing(model, somebody(model, 6), Side.RIGHT)
    view = observation(model, vertices, View.AP, Side.RIGHT)
    mask = np.zeros_like(view.perception.mask)
    mask[80:240, 30:75] = 1
    boxed = dataclasses.replace(view, perception=dataclasses.replace(view.perception, mask=mask))
    with pytest.raises(Refusal) as refused:
        assess(fit(model, (boxed,), side=Side.RIGHT))
    assert refused.value.code in (RefusalCode.POOR_FIT, RefusalCode.UNLIKELY_SHAPE)


def test_an_empty_picture_is_refused_as_such(model):
    vertices = standing(model, somebody(model, 6), Side.RIGHT)
    view = observation(model, vertices, View.AP, Side.RIGHT)
    empty = dataclasses.replace(
        view, perception=dataclasses.replace(view.perception, mask=np.zeros_like(view.perception.mask))
    )
    with pytest.raises(Refusal) as refused:
        assess(fit(model, (empty,), side=Side.RIGHT))
    assert refused.value.code is RefusalCode.POOR_IMAGE


def test_views_of_two_people_of_different_size_contradict_each_other(model):
    tall = standing(model, somebody(model, 7, size=-1.5), Side.RIGHT, yaw=10)
    short = standing(model, somebody(model, 8, size=1.5), Side.RIGHT, yaw=10)
    views = (
        observation(model, tall, View.AP, Side.RIGHT),
        observation(model, short, View.LATERAL, Side.RIGHT),
    )
    with pytest.raises(Refusal) as refused:
        assess(fit(model, views, side=Side.RIGHT))
    assert refused.value.code is RefusalCode.VIEWS_CONTRADICT

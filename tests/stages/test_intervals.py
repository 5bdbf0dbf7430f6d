"""Intervals are calibrated by group: what is shown of which bone, and from how many sides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.radiograph import Side, View
from pipeline.stages.fit import fit
from pipeline.stages.intervals import FACTORS, interval_factor
from pipeline.surface import Bone
from tests.stages.shadows import femur_model, observation, standing


@pytest.fixture(scope="module")
def femur():
    model = femur_model()
    vertices = standing(model, np.zeros(model.size), Side.RIGHT)
    return fit(model, (observation(model, vertices, View.AP, Side.RIGHT),), side=Side.RIGHT)


def crossing(femur):
    """The femur's view as if it had been taken from the side."""
    (view,) = femur.views
    calibration = dataclasses.replace(view.observation.calibration, view=View.LATERAL)
    return dataclasses.replace(view, observation=dataclasses.replace(view.observation, calibration=calibration))


def test_a_whole_femur_from_one_view_is_least_certain(femur):
    own = femur.model.interval_factor
    assert interval_factor(femur) == pytest.approx(own * FACTORS[Bone.FEMUR, "whole, one view"])
    twice, both = (dataclasses.replace(femur, views=(*femur.views, view)) for view in (femur.views[0], crossing(femur)))
    assert interval_factor(twice) == interval_factor(femur)
    assert interval_factor(both) < interval_factor(femur)


def test_a_part_has_a_factor_of_its_own(femur):
    half = femur.in_field & (femur.vertices[:, 2] > np.median(femur.vertices[:, 2]))
    assert interval_factor(dataclasses.replace(femur, in_field=half)) == pytest.approx(
        femur.model.interval_factor * FACTORS[Bone.FEMUR, "part"]
    )


def test_what_nobody_measured_keeps_the_models_own_factor(femur):
    sacrum = dataclasses.replace(femur, bone=Bone.SACRUM, views=(*femur.views, crossing(femur)))
    assert interval_factor(sacrum) == pytest.approx(femur.model.interval_factor)

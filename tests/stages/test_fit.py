import dataclasses

import numpy as np
import pytest

from pipeline.projector import shadow
from pipeline.radiograph import Side, View
from pipeline.stages.fit import fit
from tests.stages.shadows import femur_model, observation, somebody, standing, surface_error

WHO = 11


@pytest.fixture(scope="module")
def model():
    return femur_model()


@pytest.fixture(scope="module")
def two_views(model):
    vertices = standing(model, somebody(model, WHO, size=-0.8), Side.RIGHT, yaw=18)
    views = (
        observation(model, vertices, View.AP, Side.RIGHT, tilt=(2, 0, 3)),
        observation(model, vertices, View.LATERAL, Side.RIGHT, tilt=(0, 3, -4)),
    )
    return vertices, views, fit(model, views, side=Side.RIGHT)


def test_two_views_of_a_whole_femur_give_its_shape(two_views):
    vertices, _, found = two_views
    assert surface_error(found.vertices, vertices) < 2.0
    assert np.ptp(found.vertices[:, 2]) == pytest.approx(np.ptp(vertices[:, 2]), rel=0.02)


def test_the_result_casts_the_shadows_that_were_seen(two_views):
    _, views, found = two_views
    for view, seen in zip(found.views, views, strict=True):
        mask = seen.perception.mask > 0.5
        step = seen.perception.working_to_pixel[0, 0]
        pixels = (view.geometry.project(found.vertices) + 0.5) / step - 0.5
        cast = shadow(pixels, found.triangles, mask.shape) > 0
        assert 2 * (cast & mask).sum() / (cast.sum() + mask.sum()) > 0.97
        assert np.abs(view.residual_mm).mean() < 0.5
        assert view.unmatched < 0.05


def test_the_same_input_gives_the_same_bone(model, two_views):
    _, views, found = two_views
    assert fit(model, views, side=Side.RIGHT).vertices == pytest.approx(found.vertices, abs=1e-9)


def test_a_left_femur_is_the_mirror_image_of_a_right_one(model):
    who = somebody(model, WHO)
    left, right = (standing(model, who, side, yaw=10) for side in (Side.LEFT, Side.RIGHT))
    found = fit(model, (observation(model, left, View.AP, Side.LEFT),), side=Side.LEFT)
    other = fit(model, (observation(model, right, View.AP, Side.RIGHT),), side=Side.RIGHT)
    assert surface_error(found.vertices * [-1, 1, 1], other.vertices) < 0.2
    assert surface_error(found.vertices, left) < 4


def test_what_the_field_does_not_show_is_flagged_but_there(model):
    vertices = standing(model, somebody(model, WHO), Side.RIGHT, yaw=15)
    top = vertices[:, 2].max()
    views = (observation(model, vertices, View.AP, Side.RIGHT, heights=(top - 160, top + 20)),)
    found = fit(model, views, side=Side.RIGHT)
    knee = model.landmarks["intercondylar_notch"].indices
    head = model.regions["head"]
    assert found.in_field[head].all()
    assert not found.in_field[knee].any()
    assert 350 < np.ptp(found.vertices[:, 2]) < 580
    assert surface_error(found.vertices[head], vertices[head]) < 1.5


def test_a_knee_alone_is_fitted_as_a_knee(model):
    vertices = standing(model, somebody(model, WHO), Side.RIGHT, yaw=5)
    low = vertices[:, 2].min()
    views = tuple(
        observation(model, vertices, view, Side.RIGHT, heights=(low - 20, low + 150))
        for view in (View.AP, View.LATERAL)
    )
    found = fit(model, views, side=Side.RIGHT)
    distal = model.regions["distal"]
    assert surface_error(found.vertices[distal], vertices[distal]) < 1.5


def test_a_lateral_that_does_not_say_which_way_it_faces_is_recognised(model, two_views):
    vertices, (frontal, _), known = two_views
    said = {"column_axis": None, "row_axis": None}
    silent = observation(model, vertices, View.LATERAL, Side.RIGHT, tilt=(0, 3, -4), said=said)
    mirrored = dataclasses.replace(
        silent, perception=dataclasses.replace(silent.perception, mask=silent.perception.mask[:, ::-1].copy())
    )
    found = fit(model, (frontal, mirrored), side=Side.RIGHT)
    assert surface_error(found.vertices, known.vertices) < 1.0


def test_a_wrong_magnification_changes_size_not_shape(model):
    vertices = standing(model, somebody(model, WHO), Side.RIGHT, yaw=12)
    larger = observation(model, vertices, View.AP, Side.RIGHT, said={"magnification": 1.12 / 1.03})
    found = fit(model, (larger,), side=Side.RIGHT)
    assert np.ptp(found.vertices[:, 2]) / np.ptp(vertices[:, 2]) == pytest.approx(1.03, abs=0.02)

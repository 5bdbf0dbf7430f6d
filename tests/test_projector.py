import cv2
import numpy as np
import pytest
import trimesh

from pipeline.geometry import ProjectionGeometry, RigidPose
from pipeline.projector import (
    coarse_shadow,
    contour_generator,
    depth_maps,
    edges_of,
    moved,
    on_outline,
    orbited,
    outlines,
    resampled,
    shadow,
    simulated_film,
)

RADIUS = 30.0
TO_DETECTOR, TO_BALL = 1000.0, 800.0


@pytest.fixture(scope="module")
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)


@pytest.fixture
def frontal() -> ProjectionGeometry:
    return ProjectionGeometry(
        source=[0, -TO_BALL, 0],
        detector_origin=[-50, TO_DETECTOR - TO_BALL, 50],
        column_direction=[1, 0, 0],
        row_direction=[0, 0, -1],
        pixel_spacing=(0.5, 0.5),
        rows=201,
        columns=201,
    )


def shadow_radius_mm() -> float:
    """Of a ball's shadow: the cone that touches it is wider than its equator."""
    return TO_DETECTOR * RADIUS / np.sqrt(TO_BALL**2 - RADIUS**2)


def triangles(mesh) -> np.ndarray:
    return np.asarray(mesh.faces, dtype=np.int32)


def test_a_balls_outline_is_where_rays_touch_it(ball, frontal):
    edge, share = contour_generator(
        np.array(ball.vertices), np.array(ball.vertex_normals), edges_of(triangles(ball)), frontal.source
    )
    points = ball.vertices[edge[:, 0]] * share[:, :1] + ball.vertices[edge[:, 1]] * share[:, 1:]
    radii = np.linalg.norm(frontal.project(points) - 100, axis=1) * 0.5
    assert len(points) > 100
    assert radii == pytest.approx(shadow_radius_mm(), abs=0.1)


def test_a_coarse_shadow_is_exact_to_a_pixel(ball, frontal):
    pixels = frontal.project(np.array(ball.vertices)) / 2
    exact, coarse = (make(pixels, triangles(ball), (101, 101)) for make in (shadow, coarse_shadow))
    assert exact.sum() > 2000
    differing = cv2.morphologyEx(exact ^ coarse, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    assert differing.sum() == 0


def test_a_balls_shadow_is_a_magnified_disc(ball, frontal):
    mask = shadow(frontal.project(np.array(ball.vertices)), triangles(ball), (201, 201))
    assert mask.sum() * 0.25 == pytest.approx(np.pi * shadow_radius_mm() ** 2, rel=0.03)


def test_the_shadow_of_what_runs_out_of_the_field_is_cut_there(ball, frontal):
    beside = np.add(ball.vertices, [45, 0, 0])
    mask = shadow(frontal.project(beside), triangles(ball), (201, 201))
    assert mask[:, -1].any()
    assert 0 < mask.mean() < 0.25


def test_an_outline_runs_around_the_mask():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:30, 20:50] = 1
    (polygon,) = outlines(mask)
    assert polygon.min(axis=0).tolist() == [20, 10]
    assert polygon.max(axis=0).tolist() == [49, 29]


def test_points_inside_the_shadow_are_not_on_its_outline():
    mask = np.zeros((50, 60), np.uint8)
    mask[10:30, 20:50] = 1
    assert on_outline(np.array([[20.0, 15.0], [35.0, 20.0], [49.0, 29.0]]), mask).tolist() == [True, False, True]


def test_moving_the_apparatus_with_the_bone_changes_nothing(ball, frontal):
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    pose = RigidPose(rotation=turn, translation=[5, -7, 11])
    assert moved(frontal, pose).project(pose.apply(ball.vertices)) == pytest.approx(frontal.project(ball.vertices))


def test_a_quarter_orbit_looks_from_the_side(frontal):
    aside = orbited(frontal, centre=np.zeros(3), degrees=90)
    assert aside.source == pytest.approx([TO_BALL, 0, 0], abs=1e-9)


def test_resampling_keeps_the_detector_where_it_is(frontal):
    coarse = resampled(frontal, longest=67)
    assert (coarse.rows, coarse.columns) == (67, 67)
    assert coarse.pixel_position([33, 33]) == pytest.approx(frontal.pixel_position([100, 100]))


def test_the_middle_ray_passes_a_ball_along_its_diameter(ball, frontal):
    maps = depth_maps(np.array(ball.vertices), triangles(ball), frontal)
    assert maps.front[100, 100] == pytest.approx(TO_BALL - RADIUS, abs=0.1)
    assert maps.back[100, 100] == pytest.approx(TO_BALL + RADIUS, abs=0.1)
    assert maps.thickness[100, 100] == pytest.approx(2 * RADIUS, abs=0.2)
    assert np.isnan(maps.front[0, 0])
    assert maps.thickness[0, 0] == 0


def test_two_balls_behind_each_other_add_up_their_thickness_but_not_the_gap(ball, frontal):
    vertices = np.concatenate([ball.vertices, np.add(ball.vertices, [0, 100, 0])])
    faces = np.concatenate([triangles(ball), triangles(ball) + len(ball.vertices)]).astype(np.int32)
    maps = depth_maps(vertices, faces, frontal)
    assert maps.thickness[100, 100] == pytest.approx(4 * RADIUS, abs=0.4)
    assert maps.back[100, 100] - maps.front[100, 100] == pytest.approx(100 + 2 * RADIUS, abs=0.2)


def test_thicker_bone_is_brighter_and_air_is_dark():
    film = simulated_film(np.array([[0, 10, 40]], np.float32))
    assert film[0, 0] == 0
    assert (np.diff(film[0]) > 0).all()
    assert film.max() < 1

"""The simulator's films agree with the geometry that they say they were taken in."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.anatomy import Anatomy
from models.training.photometry import sample_photometry, typical_photometry
from models.training.positioning import Field, Setup, place
from models.training.primitives import Mesh, ellipsoid, tube
from models.training.raycast import Layer, path_lengths
from models.training.scene import build_scene
from models.training.simulator import simulate_view
from models.training.write_dx import Study, write_dx
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side, View
from pipeline.stages.perceive import Landmark

SPHERE = ellipsoid(np.zeros(3), 40.0 * np.eye(3))


def facing_back(*, longest: int = 101, spacing: float = 1.5) -> ProjectionGeometry:
    half = spacing * (longest - 1) / 2
    return ProjectionGeometry(
        source=np.array([0, -1000.0, 0]),
        detector_origin=np.array([-half, 150.0, half]),
        column_direction=np.array([1.0, 0, 0]),
        row_direction=np.array([0, 0, -1.0]),
        pixel_spacing=(spacing, spacing),
        rows=longest,
        columns=longest,
    )


def pretend_femur(side: Side = Side.RIGHT) -> Anatomy:
    """A bar with a ball on it, in a right femur's proportions."""
    medial = 1.0 if side is Side.RIGHT else -1.0
    path = np.array([[0, 0, 0], [0, 0, -60.0], [0, 0, -200], [0, 0, -380], [0, 0, -420]])
    radii = np.array([22.0, 18, 14, 20, 38])[:, None] * np.ones((1, 24))
    bar, head = tube(path, radii, np.array([1.0, 0, 0])), np.array([40.0 * medial, 0, 15.0])
    ball = ellipsoid(head, 24.0 * np.eye(3))
    femur = Mesh(
        vertices=np.concatenate([bar.vertices, ball.vertices]),
        triangles=np.concatenate([bar.triangles, ball.triangles + len(bar.vertices)]),
    )
    landmarks = {Landmark.HEAD_CENTRE: head, Landmark.INTERCONDYLAR_NOTCH: np.array([0, 0, -420.0])}
    return Anatomy(person="nobody", side=side, femur=femur, whole=True, landmarks=landmarks, head_radius=24.0)


def test_a_ray_through_the_middle_of_a_sphere_passes_its_diameter():
    lengths = path_lengths({Layer.FEMUR: [SPHERE]}, facing_back())[Layer.FEMUR]
    assert lengths[50, 50] == pytest.approx(80, rel=0.01)


def test_overlapping_bodies_of_one_tissue_count_once():
    other = SPHERE.moved(SPHERE.vertices + np.array([0, 30.0, 0]))
    lengths = path_lengths({Layer.BONE: [SPHERE, other]}, facing_back())[Layer.BONE]
    assert lengths[50, 50] == pytest.approx(110, rel=0.01)


def test_the_shadow_has_the_size_that_the_magnification_says():
    lengths = path_lengths({Layer.FEMUR: [SPHERE]}, facing_back())[Layer.FEMUR]
    seen = np.sqrt((lengths > 0).sum() / np.pi) * 1.5
    tangent = 1150 * np.tan(np.arcsin(40 / 1000))
    assert seen == pytest.approx(tangent, rel=0.02)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("view", [View.AP, View.LATERAL])
def test_the_mask_is_the_projection_of_the_surface(view, side):
    anatomy = pretend_femur(side)
    geometry = place(anatomy, Setup(view=view, field=Field.WHOLE, tilt_degrees=(3, -4, 8)), longest_side=240)
    rng = np.random.default_rng(1)
    scene = build_scene(anatomy, rng)
    seen = simulate_view(scene, geometry, typical_photometry(rng), rng)
    columns, rows = geometry.project(anatomy.femur.vertices).T
    found = np.argwhere(seen.femur)
    assert found.min(axis=0) == pytest.approx([rows.min(), columns.min()], abs=1.5)
    assert found.max(axis=0) == pytest.approx([rows.max(), columns.max()], abs=1.5)
    head = np.round(seen.landmarks[Landmark.HEAD_CENTRE]).astype(int)
    assert seen.femur[head[1], head[0]]


def test_an_ap_view_shows_the_patients_right_at_the_left_of_the_picture():
    anatomy = pretend_femur(Side.RIGHT)
    geometry = place(anatomy, Setup(view=View.AP, field=Field.WHOLE), longest_side=200)
    medial, lateral = geometry.project(anatomy.head_centre), geometry.project([-20.0, 0, -20])
    assert medial[0] > lateral[0]


def test_the_same_seed_makes_the_same_film():
    anatomy = pretend_femur()
    geometry = place(anatomy, Setup(view=View.AP, field=Field.HIP), longest_side=96)

    def film(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return simulate_view(build_scene(anatomy, rng), geometry, sample_photometry(rng), rng).image

    np.testing.assert_array_equal(film(4), film(4))
    assert abs(film(4) - film(5)).max() > 0.05


@pytest.mark.parametrize("monochrome1", [False, True])
def test_the_dicom_says_how_the_film_was_taken(monochrome1):
    anatomy, rng = pretend_femur(), np.random.default_rng(2)
    setup = Setup(view=View.LATERAL, field=Field.HIP, source_to_detector_mm=1100, bone_to_detector_mm=100)
    geometry = place(anatomy, setup, longest_side=128)
    view = simulate_view(build_scene(anatomy, rng), geometry, typical_photometry(rng), rng)
    dataset = write_dx(view, setup, Side.RIGHT, Study(seed_text="test"), monochrome1=monochrome1)
    assert float(dataset.ImagerPixelSpacing[0]) == pytest.approx(geometry.pixel_spacing[0], abs=1e-5)
    assert float(dataset.EstimatedRadiographicMagnificationFactor) == pytest.approx(1.1)
    assert dataset.ViewCodeSequence[0].CodeMeaning == "medio-lateral"
    assert dataset.ImageLaterality == "R"
    stored = dataset.pixel_array / 4095
    np.testing.assert_allclose(1 - stored if monochrome1 else stored, view.image, atol=2e-4)

"""The written mesh is the bone's, in an order and on a grid that deflate well."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from pipeline.dicom_write.compact import GRID_MM, compact, morton_codes
from pipeline.surface import BoneSurface
from tests.reconstructions import PELVIS, true_surface


@pytest.fixture(scope="module")
def hip_bone() -> BoneSurface:
    bone = true_surface(PELVIS[2])
    numbers = np.arange(len(bone.vertices), dtype=float)
    return replace(bone, standard_deviation=numbers, inferred=numbers % 7 == 0)


def corners(surface: BoneSurface) -> set[tuple]:
    """Each triangle by its corners' places, from the lowest on; sorted, so that their order does not matter."""
    places = np.round(surface.vertices / GRID_MM).astype(int)[surface.triangles]
    return {min(tuple(map(tuple, np.roll(t, -k, axis=0).tolist())) for k in range(3)) for t in places}


def deflated(surface: BoneSurface) -> int:
    parts = (surface.vertices.astype("<f4"), surface.triangles.astype("<u4"))
    return sum(len(zlib.compress(part.tobytes())) for part in parts)


def test_it_is_the_same_bone_within_half_a_step_of_the_grid(hip_bone):
    small = compact(hip_bone)
    came_from = small.standard_deviation.astype(int)
    assert sorted(came_from) == list(range(len(hip_bone.vertices)))
    assert np.abs(small.vertices - hip_bone.vertices[came_from]).max() <= GRID_MM / 2
    assert (small.inferred == hip_bone.inferred[came_from]).all()
    assert corners(small) == corners(hip_bone)
    assert small.watertight


def test_it_deflates_to_three_quarters_at_the_most(hip_bone):
    assert deflated(compact(hip_bone)) < 0.75 * deflated(hip_bone)


def test_coordinates_lie_on_the_grid_and_none_is_minus_zero(hip_bone):
    steps = compact(hip_bone).vertices / GRID_MM
    assert (steps == np.round(steps)).all()
    around_zero = compact(replace(hip_bone, vertices=hip_bone.vertices * 1e-6)).vertices
    assert not np.signbit(around_zero[around_zero == 0]).any()


def test_of_two_cells_that_in_the_lower_half_of_the_last_axis_comes_first():
    ends = np.array([[0.0, 0, 0], [9, 9, 0], [0, 0, 9], [9, 0, 0]])
    assert np.argsort(morton_codes(ends)).tolist() == [0, 3, 1, 2]

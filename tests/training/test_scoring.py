"""The yardstick of the evaluation, on bodies whose distance is known."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from models.training.primitives import Mesh
from models.training.scoring import score

WHOLE = (-1000.0, 1000.0)


def ball(radius: float, *, stretched=(1.0, 1.0, 1.0)) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(vertices=np.array(sphere.vertices) * stretched, triangles=np.array(sphere.faces, dtype=np.int64))


def test_a_larger_ball_is_as_far_as_its_radius_is_larger():
    found = score(ball(51.5), ball(50.0), WHOLE, np.zeros(3))
    assert (found.asd, found.rms) == pytest.approx((1.5, 1.5), abs=0.05)
    assert found.nsd1 < 0.05


def test_where_it_lies_does_not_matter():
    truth = ball(50.0, stretched=(1.0, 0.7, 1.6))
    turn = Rotation.from_rotvec([0.1, -0.15, 0.2]).as_matrix()
    moved = Mesh(vertices=truth.vertices @ turn.T + [30.0, -20.0, 5.0], triangles=truth.triangles)
    found = score(moved, truth, WHOLE, np.array([-28.0, 18.0, -2.0]))
    assert found.asd < 0.15


def test_only_what_is_shown_counts():
    truth = ball(50.0)
    dented = truth.vertices.copy()
    dented[dented[:, 2] < -20] *= 0.8
    found = Mesh(vertices=dented, triangles=truth.triangles)
    assert score(found, truth, (0.0, 60.0), np.zeros(3)).asd < 0.1
    assert score(found, truth, WHOLE, np.zeros(3)).asd > 0.5

"""People who are not in the collection: smooth warps of space that carry a person to somebody else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.anatomy import Anatomy
from models.training.primitives import Mesh
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side

LARGEST_TORSION_DEGREES = 18.0


class Warp:
    """A smooth map of space: size, girth, torsion along the femur and gentle local bumps.

    Bones move with the space around them, so joints stay joints.

    Args:
        points: (N, 3) mm, what is to be varied.
        head: (3,) centre of the femoral head; size and torsion are counted from it.
        knee_z: Height of the knee, where the torsion is whole.
        rng: Source of the variation.
        strength: Factor on all of it.
        torsion_degrees: Standard deviation of the torsion.
        bumps: How many there are.
    """

    def __init__(
        self,
        points: FloatArray,
        head: FloatArray,
        knee_z: float,
        rng: np.random.Generator,
        *,
        strength: float = 1.0,
        torsion_degrees: float = 8.0,
        bumps: int = 24,
    ) -> None:
        self._centre = head
        self._knee_z = knee_z
        girth = 1 + strength * rng.normal(0, 0.05)
        length = girth + strength * rng.normal(0, 0.05)
        self._linear = np.diag([girth * (1 + strength * rng.normal(0, 0.02)), girth, length])
        torsion = float(np.clip(rng.normal(0, torsion_degrees), -LARGEST_TORSION_DEGREES, LARGEST_TORSION_DEGREES))
        self._torsion = strength * torsion
        low, high = points.min(axis=0) - 20, points.max(axis=0) + 20
        self._bump_centres = rng.uniform(low, high, (bumps, 3))
        self._bump_width = rng.uniform(30, 80, bumps)
        self._bumps = strength * rng.normal(0, 1.1, (bumps, 3))

    def points(self, points: FloatArray) -> FloatArray:
        """Points (N, 3), warped."""
        distance = np.linalg.norm(points[:, None] - self._bump_centres, axis=2)
        moved = points + np.exp(-0.5 * (distance / self._bump_width) ** 2) @ self._bumps
        down = np.clip((self._centre[2] - moved[:, 2]) / (self._centre[2] - self._knee_z), 0, 1)
        turn = Rotation.from_rotvec(np.radians(self._torsion) * down[:, None] * np.array([0.0, 0.0, 1.0]))
        moved = turn.apply(moved - self._centre)
        return np.asarray(self._centre + moved @ self._linear)

    def mesh(self, mesh: Mesh) -> Mesh:
        """A mesh, warped."""
        return mesh.moved(self.points(mesh.vertices))


def vary(anatomy: Anatomy, rng: np.random.Generator, *, strength: float = 1.0) -> Anatomy:
    """Somebody who is like this person, but is not."""
    warp = Warp(anatomy.femur.vertices, anatomy.head_centre, anatomy.knee[2], rng, strength=strength)
    return replace(
        anatomy,
        femur=warp.mesh(anatomy.femur),
        landmarks={name: warp.points(point[None])[0] for name, point in anatomy.landmarks.items()},
        neighbours={name: warp.mesh(mesh) for name, mesh in anatomy.neighbours.items()},
    )


def mirror(anatomy: Anatomy) -> Anatomy:
    """The same person seen in a mirror: a left femur becomes a right one."""
    flip = np.array([-1.0, 1.0, 1.0])
    other = {"L": "R", "R": "L", "C": "C"}
    return replace(
        anatomy,
        side=Side(other[anatomy.side]),
        femur=anatomy.femur.mirrored(),
        landmarks={name: point * flip for name, point in anatomy.landmarks.items()},
        neighbours={f"{name[:-1]}{other[name[-1]]}": mesh.mirrored() for name, mesh in anatomy.neighbours.items()},
    )

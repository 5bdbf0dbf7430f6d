"""Closed triangle meshes of simple bodies: ellipsoids, tubes and cups, from which soft tissue and a pelvis are made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """A closed triangle mesh.

    Attributes:
        vertices: (V, 3) mm LPS.
        triangles: (T, 3) vertex indices, counter-clockwise seen from outside.
    """

    vertices: FloatArray
    triangles: IntArray

    def moved(self, vertices: FloatArray) -> Mesh:
        """The same triangles over other vertices."""
        return Mesh(vertices=vertices, triangles=self.triangles)

    def mirrored(self, *, midline_x: float = 0.0) -> Mesh:
        """The mirror image in a sagittal plane."""
        vertices = self.vertices * [-1.0, 1.0, 1.0] + [2 * midline_x, 0.0, 0.0]
        return Mesh(vertices=vertices, triangles=np.ascontiguousarray(self.triangles[:, ::-1]))


def vertex_normals(mesh: Mesh) -> FloatArray:
    """(V, 3) outward unit normals, weighted by triangle area."""
    corners = mesh.vertices[mesh.triangles]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(normals, mesh.triangles[:, corner], face_normals)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12))


def lathe(rings: FloatArray) -> Mesh:
    """The closed surface over a stack of rings, shut by a fan at either end.

    Args:
        rings: (N, K, 3) mm; every ring runs the same way round, seen from above as the stack descends clockwise.
    """
    count, around = rings.shape[:2]
    index = np.arange(count * around).reshape(count, around)
    right = np.roll(index, -1, axis=1)
    a, b, c, d = index[:-1].ravel(), right[:-1].ravel(), index[1:].ravel(), right[1:].ravel()
    top, bottom = count * around, count * around + 1
    triangles = np.concatenate(
        [
            np.stack([a, c, b], axis=1),
            np.stack([b, c, d], axis=1),
            np.stack([np.full(around, top), index[0], right[0]], axis=1),
            np.stack([np.full(around, bottom), right[-1], index[-1]], axis=1),
        ]
    )
    vertices = np.concatenate([rings.reshape(-1, 3), [rings[0].mean(axis=0)], [rings[-1].mean(axis=0)]])
    return _outward(Mesh(vertices=vertices, triangles=triangles))


def _outward(mesh: Mesh) -> Mesh:
    """The mesh with positive volume (divergence theorem over the triangles)."""
    corners = mesh.vertices[mesh.triangles] - mesh.vertices.mean(axis=0)
    volume = np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return mesh if volume > 0 else Mesh(vertices=mesh.vertices, triangles=np.ascontiguousarray(mesh.triangles[:, ::-1]))


def tube(path: FloatArray, radii: FloatArray, across: FloatArray) -> Mesh:
    """A tube along a nearly straight path.

    Args:
        path: (N, 3) mm.
        radii: (N, K) mm, the radius at K angles counted from `across`.
        across: (3,) direction of angle zero; made square to the path.
    """
    along = path[-1] - path[0]
    along = along / np.linalg.norm(along)
    first = across - (across @ along) * along
    first = first / np.linalg.norm(first)
    second = np.cross(along, first)
    angles = np.linspace(0, 2 * np.pi, radii.shape[1], endpoint=False)
    spokes = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    return lathe(path[:, None] + radii[..., None] * spokes)


def ellipsoid(centre: FloatArray, axes: FloatArray) -> Mesh:
    """An ellipsoid.

    Args:
        centre: (3,) mm.
        axes: (3, 3), rows are the half axes in mm.
    """
    polar = np.linspace(0.06, np.pi - 0.06, 16)
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    unit = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(angles),
            np.sin(polar)[:, None] * np.sin(angles),
            np.broadcast_to(np.cos(polar)[:, None], (16, 28)),
        ],
        axis=-1,
    )
    return lathe(centre + unit @ axes)


def cup(centre: FloatArray, axis: FloatArray, *, inner_mm: float, outer_mm: float, opening_degrees: float) -> Mesh:
    """A thick spherical cup, as the acetabulum is around the femoral head.

    Args:
        centre: (3,) mm, of both spheres.
        axis: (3,) unit vector from the cup's floor out of its mouth.
        inner_mm: Radius of the inner sphere.
        outer_mm: Radius of the outer sphere.
        opening_degrees: Angle between `axis` and the rim seen from the centre; 90 is a hemisphere.
    """
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    first = np.cross(axis, helper)
    first = first / np.linalg.norm(first)
    second = np.cross(axis, first)
    outside = np.linspace(np.pi - 0.05, np.radians(opening_degrees), 14)
    polar = np.concatenate([outside, outside[::-1]])
    radius = np.concatenate([np.full(14, outer_mm), np.full(14, inner_mm)])
    angles = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    spokes = np.cos(angles)[:, None] * first + np.sin(angles)[:, None] * second
    rings = radius[:, None, None] * (np.cos(polar)[:, None, None] * axis + np.sin(polar)[:, None, None] * spokes[None])
    return lathe(centre + rings)

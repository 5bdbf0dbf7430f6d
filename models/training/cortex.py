"""Where compact bone ends: the inner surface of a bone's shell, from its outer surface."""

from __future__ import annotations

import numpy as np
import open3d as o3d

from models.training.primitives import Mesh, vertex_normals
from pipeline.geometry import FloatArray

SHAFT_MM = 6.0
END_MM = 1.2
"""Typical thickness of the femoral cortex in the middle of the shaft and over the joint ends (Treece 2010)."""

THICKEST_SHARE = 0.33
"""A shell never takes more than this share of the bone's local width, so that a core remains."""


def core_of_long_bone(outer: Mesh, *, length_mm: float, top_z: float, thickness: float = 1.0) -> Mesh:
    """The inner surface of a long bone's cortex, thick in the shaft and thin at the ends.

    Args:
        outer: The bone's outer surface, lying roughly along z.
        length_mm: Length of the whole bone, also where the surface is only its upper part.
        top_z: Height of its upper end, mm.
        thickness: Factor on all thicknesses; below 1 is thin, osteoporotic bone.
    """
    along = (top_z - outer.vertices[:, 2]) / length_mm
    shaft = np.clip((along - 0.10) / 0.15, 0, 1) * np.clip((0.90 - along) / 0.22, 0, 1)
    return _moved_inward(outer, thickness * (END_MM + (SHAFT_MM - END_MM) * shaft))


def core_of_flat_bone(outer: Mesh, *, thickness_mm: float) -> Mesh:
    """The inner surface of a shell of even thickness, as in pelvis, patella and the bones of the foot."""
    return _moved_inward(outer, np.full(len(outer.vertices), thickness_mm))


def _moved_inward(outer: Mesh, thickness: FloatArray) -> Mesh:
    normals = vertex_normals(outer)
    limited = np.minimum(thickness, THICKEST_SHARE * _local_width(outer, normals))
    return outer.moved(outer.vertices - normals * _smoothed(outer, limited)[:, None])


def _local_width(outer: Mesh, normals: FloatArray) -> FloatArray:
    """Distance from every vertex through the bone to the opposite surface, mm."""
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(outer.vertices.astype(np.float32)),
        o3d.core.Tensor.from_numpy(outer.triangles.astype(np.uint32)),
    )
    starts = outer.vertices - 0.2 * normals
    rays = o3d.core.Tensor.from_numpy(np.concatenate([starts, -normals], axis=1).astype(np.float32))
    width = scene.cast_rays(rays)["t_hit"].numpy().astype(np.float64)
    return np.where(np.isfinite(width), width, 5.0)


def _smoothed(mesh: Mesh, values: FloatArray, *, rounds: int = 6) -> FloatArray:
    """Values averaged over neighbouring vertices, never above the value itself by more than the average."""
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    count = np.bincount(edges[:, 0], minlength=len(values))
    for _ in range(rounds):
        total = np.bincount(edges[:, 0], weights=values[edges[:, 1]], minlength=len(values))
        values = (values + total) / (1 + count)
    return values

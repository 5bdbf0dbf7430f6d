"""How many millimetres of each single bone every ray passes: all bones and their cores in one ray casting.

Single bones are closed surfaces that do not cross themselves: the path through one is the sum of the distances at which
a ray leaves it, less those at which it enters. So one cast serves a pelvis with both legs.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from models.training.primitives import Mesh
from models.training.raycast import rays_of
from pipeline.geometry import ProjectionGeometry

FloatImage = npt.NDArray[np.float32]

SAME_CROSSING_MM = 0.01
"""Two crossings of one ray in one direction nearer than this are one."""


def bone_lengths(meshes: Sequence[Mesh], geometry: ProjectionGeometry, *, threads: int = 1) -> FloatImage:
    """(meshes, rows, columns) path lengths, mm.

    Args:
        meshes: Closed surfaces, each on its own.
        geometry: Source and detector.
        threads: Threads that cast rays; 0 for all cores.
    """
    scene = o3d.t.geometry.RaycastingScene(nthreads=threads)
    normals = []
    for mesh in meshes:
        vertices, triangles = mesh.vertices.astype(np.float32), mesh.triangles.astype(np.uint32)
        scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(triangles))
        corners = mesh.vertices[mesh.triangles]
        normals.append(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    rays = rays_of(geometry)
    hits = scene.list_intersections(o3d.core.Tensor.from_numpy(rays))
    which = hits["geometry_ids"].numpy().astype(np.int64)
    ray = hits["ray_ids"].numpy().astype(np.int64)
    offsets = np.cumsum([0, *(len(mesh.triangles) for mesh in meshes)])
    triangle = offsets[which] + hits["primitive_ids"].numpy()
    leaving = np.einsum("ij,ij->i", rays[ray, 3:], np.concatenate(normals)[triangle]) > 0
    size = len(meshes) * len(rays)
    place, distance, sign = _once(which * len(rays) + ray, hits["t_hit"].numpy(), np.where(leaving, 1.0, -1.0))
    shape = (len(meshes), geometry.rows, geometry.columns)
    lengths, balance = (_sums(place, values, size).reshape(shape) for values in (sign * distance, sign))
    return np.stack([_mended(one, bad != 0) for one, bad in zip(lengths, balance, strict=True)])


def _once(
    place: npt.NDArray[np.int64], distance: FloatImage, sign: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], FloatImage, npt.NDArray[np.float64]]:
    """Crossings without those that are counted twice, where a ray meets an edge and so two triangles at once."""
    order = np.lexsort((distance, place))
    place, distance, sign = place[order], distance[order], sign[order]
    same = (np.diff(place) == 0) & (np.diff(sign) == 0) & (np.diff(distance) < SAME_CROSSING_MM)
    kept = np.r_[True, ~same]
    return place[kept], distance[kept], sign[kept]


def _sums(place: npt.NDArray[np.int64], values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """(size,) sum of the values at every place."""
    return np.bincount(place, weights=values, minlength=size).astype(np.float64)


def _mended(lengths: npt.NDArray[np.float64], bad: npt.NDArray[np.bool_]) -> FloatImage:
    """Rays that slip through between two triangles take what their neighbours have."""
    clean = np.where(bad, 0.0, np.maximum(lengths, 0.0)).astype(np.float32)
    if not bad.any():
        return clean
    return np.where(bad, cv2.medianBlur(clean, 3), clean)

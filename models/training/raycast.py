"""How many millimetres of each tissue every ray passes: ray casting through closed meshes with Open3D.

Overlapping meshes of one tissue count once: along a ray the crossings are counted (+1 in, -1 out) and only stretches
with a positive count are added up, so a body may be put together from overlapping primitives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import open3d as o3d

from models.training.primitives import Mesh
from pipeline.geometry import ProjectionGeometry

FloatImage = npt.NDArray[np.float32]


class Layer(StrEnum):
    """Tissues that a ray passes. A core lies inside its bone: cortical bone is the difference."""

    FEMUR = "femur"
    FEMUR_CORE = "femur_core"
    BONE = "bone"
    BONE_CORE = "bone_core"
    SKIN = "skin"
    MUSCLE = "muscle"
    TRUNK = "trunk"


_FARTHEST_MM = 1e4
"""Beyond any detector; Open3D reports the crossings of a ray mostly, but not always, in order of distance."""


def path_lengths(
    meshes: Mapping[Layer, Sequence[Mesh]], geometry: ProjectionGeometry, *, threads: int = 0
) -> dict[Layer, FloatImage]:
    """Path length in mm per tissue and pixel.

    Args:
        meshes: The closed meshes of each tissue; a missing tissue is nowhere.
        geometry: Source and detector.
        threads: Threads that cast rays; 0 for all cores.

    Returns:
        For every layer an image (rows, columns) in mm.
    """
    rays = rays_of(geometry)
    shape = (geometry.rows, geometry.columns)
    return {layer: _layer_lengths(meshes.get(layer, ()), rays, threads).reshape(shape) for layer in Layer}


def rays_of(geometry: ProjectionGeometry) -> FloatImage:
    """(rows * columns, 6) origin and unit direction of the ray to every pixel, row by row."""
    column, row = np.meshgrid(np.arange(geometry.columns), np.arange(geometry.rows))
    directions = geometry.pixel_position(np.stack([column, row], axis=-1)).reshape(-1, 3) - geometry.source
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.broadcast_to(geometry.source, directions.shape)
    return np.concatenate([origins, directions], axis=1).astype(np.float32)


def _layer_lengths(meshes: Sequence[Mesh], rays: FloatImage, threads: int) -> FloatImage:
    if not meshes:
        return np.zeros(len(rays), dtype=np.float32)
    scene = o3d.t.geometry.RaycastingScene(nthreads=threads)
    normals = []
    for mesh in meshes:
        vertices, triangles = mesh.vertices.astype(np.float32), mesh.triangles.astype(np.uint32)
        scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(triangles))
        corners = mesh.vertices[mesh.triangles]
        normals.append(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    offsets = np.cumsum([0, *(len(mesh.triangles) for mesh in meshes)])
    hits = scene.list_intersections(o3d.core.Tensor.from_numpy(rays))
    ray, distance = hits["ray_ids"].numpy().astype(np.int64), hits["t_hit"].numpy().astype(np.float64)
    triangle = offsets[hits["geometry_ids"].numpy()] + hits["primitive_ids"].numpy()
    order = np.argsort(ray * _FARTHEST_MM + distance, kind="stable")
    ray, distance, triangle = ray[order], distance[order], triangle[order]
    leaving = np.einsum("ij,ij->i", rays[ray, 3:], np.concatenate(normals)[triangle]) > 0
    return _union_length(ray, distance, np.where(leaving, -1, 1), len(rays))


def _union_length(
    ray: npt.NDArray[np.int64], distance: npt.NDArray[np.float64], step: npt.NDArray[np.int64], count: int
) -> FloatImage:
    """Length of the stretches inside at least one body, per ray; the crossings of a ray come in order of distance."""
    if not len(ray):
        return np.zeros(count, dtype=np.float32)
    total = np.cumsum(step)
    starts = np.flatnonzero(np.r_[True, np.diff(ray) > 0])
    before = np.repeat(total[starts] - step[starts], np.diff(np.r_[starts, len(ray)]))
    inside = (total - before)[:-1] > 0
    same_ray = ray[1:] == ray[:-1]
    stretches = np.where(inside & same_ray, np.diff(distance), 0.0)
    return np.bincount(ray[:-1], weights=stretches, minlength=count).astype(np.float32)

"""Reconstructed bones drawn as a radiograph from sides that nobody radiographed: a drawing, not a measurement.

The outside is the reconstruction; the marrow cavity follows from how thick compact bone typically is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from pipeline.geometry import FloatArray
from pipeline.stages.camera import Camera, Frame, frame_around, reach
from pipeline.stages.render import Rendering, merged, ray_scene
from pipeline.surface import Bone, BoneSurface

CORTICAL_PER_MM: Final = 0.060
TRABECULAR_PER_MM: Final = 0.014
"""Absorption of a drawn radiograph, chosen to look like a film at 75 kV."""

SHAFT_CORTEX_MM: Final = 6.0
END_CORTEX_MM: Final = 1.3
"""Typical compact bone in the middle of a femur's shaft and over its ends (Treece 2010)."""

LONG_BONES: Final = (Bone.FEMUR, Bone.TIBIA, Bone.FIBULA)

THICKEST_SHARE: Final = 0.3
"""Of the bone's local width, so that a marrow cavity remains."""


def draw_radiographs(
    surfaces: Sequence[BoneSurface],
    views: Sequence[Camera],
    *,
    longest_side: int = 640,
    around: FloatArray | None = None,
) -> list[Rendering]:
    """Draw bones from several sides, with parallel rays.

    Args:
        surfaces: The bones, in one frame.
        views: Where the rays run from.
        longest_side: Of the pictures, pixels.
        around: (N, 3) what the pictures shall show; by default everything.
    """
    outside, triangles = merged(surfaces)
    cavities = np.concatenate([_cavity(surface) for surface in surfaces])
    outer, inner = (_Walls(vertices=vertices, triangles=triangles) for vertices in (outside, cavities))
    shown = outside if around is None else around
    return [_drawn(outer, inner, frame_around(shown, view, longest_side=longest_side)) for view in views]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Walls:
    """Closed surfaces, (V, 3) vertices and (T, 3) triangles, through which rays pass."""

    vertices: FloatArray
    triangles: npt.NDArray[np.int32]

    @cached_property
    def scene(self) -> o3d.t.geometry.RaycastingScene:
        return ray_scene(self.vertices, self.triangles)

    @cached_property
    def facets(self) -> FloatArray:
        """(T, 3) outward."""
        corners = self.vertices[self.triangles]
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _drawn(outside: _Walls, cavities: _Walls, frame: Frame) -> Rendering:
    near = frame.near(outside.vertices, within_mm=reach(outside.vertices, outside.triangles))
    rays = frame.rays(*np.nonzero(near))
    outer, inner = (_path_lengths(walls, rays) for walls in (outside, cavities))
    absorbed = np.zeros(near.shape, dtype=np.float32)
    absorbed[near] = CORTICAL_PER_MM * (outer - inner).clip(0) + TRABECULAR_PER_MM * inner
    grey = (1 - np.exp(-cv2.GaussianBlur(absorbed, (0, 0), 0.7))) ** 0.85
    picture = np.round(255 * (0.03 + 0.94 * grey)).astype(np.uint8)
    return Rendering(pixels=np.repeat(picture[..., None], 3, axis=2), mm_per_pixel=frame.mm_per_pixel)


def _cavity(surface: BoneSurface) -> FloatArray:
    """(V, 3) inner surface of the compact bone: vertices moved inwards, far in a long bone's shaft, else little."""
    normals, vertices = surface.normals(), surface.vertices
    centred = vertices - vertices.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    from_end = 0.5 - np.abs((along - along.min()) / np.ptp(along) - 0.5)
    shaft = np.clip((from_end - 0.10) / 0.18, 0, 1) if surface.bone in LONG_BONES else 0.0
    thickness = END_CORTEX_MM + (SHAFT_CORTEX_MM - END_CORTEX_MM) * shaft
    starts = np.concatenate([vertices - 0.2 * normals, -normals], axis=1).astype(np.float32)
    width = ray_scene(vertices, surface.triangles).cast_rays(o3d.core.Tensor.from_numpy(starts))["t_hit"].numpy()
    width = np.where(np.isfinite(width), width, 0.0).astype(np.float64)
    return np.asarray(vertices - normals * np.minimum(thickness, THICKEST_SHARE * width)[:, None])


def _path_lengths(walls: _Walls, rays: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) mm that rays (n, 6) run inside closed meshes: ways out minus ways in, added up."""
    hits = walls.scene.list_intersections(o3d.core.Tensor.from_numpy(rays))
    ray, distance = hits["ray_ids"].numpy().astype(np.int64), hits["t_hit"].numpy().astype(np.float64)
    leaving = np.sign(np.einsum("ij,ij->i", rays[ray, 3:], walls.facets[hits["primitive_ids"].numpy()]))
    lengths = np.bincount(ray, weights=leaving * distance, minlength=len(rays))
    nearest, farthest = np.full(len(rays), np.inf), np.zeros(len(rays))
    np.minimum.at(nearest, ray, distance)
    np.maximum.at(farthest, ray, distance)
    # A ray through an edge may be counted on one side of it only: no path is longer than from front to back.
    return np.asarray(np.clip(lengths, 0, np.maximum(farthest - nearest, 0)))

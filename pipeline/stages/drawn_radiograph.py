"""The reconstructed bone drawn as a radiograph from sides that nobody radiographed: a drawing, not a measurement.

The outside is the reconstruction; the marrow cavity follows from how thick compact bone typically is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from pipeline.geometry import FloatArray
from pipeline.stages.camera import Camera, frame_around
from pipeline.stages.render import Rendering, ray_scene
from pipeline.surface import BoneSurface

CORTICAL_PER_MM: Final = 0.060
TRABECULAR_PER_MM: Final = 0.014
"""Absorption of a drawn radiograph, chosen to look like a film at 75 kV."""

SHAFT_CORTEX_MM: Final = 6.0
END_CORTEX_MM: Final = 1.3
"""Typical compact bone in the middle of a femur's shaft and over its ends (Treece 2010)."""

THICKEST_SHARE: Final = 0.3
"""Of the bone's local width, so that a marrow cavity remains."""


def draw_radiographs(surface: BoneSurface, views: Sequence[Camera], *, longest_side: int = 640) -> list[Rendering]:
    """Draw the bone from several sides, with parallel rays.

    Args:
        surface: The bone.
        views: Where the rays run from.
        longest_side: Of the pictures, pixels.
    """
    cavity = _cavity(surface)
    return [_drawn(surface, cavity, view, longest_side) for view in views]


def _drawn(surface: BoneSurface, cavity: FloatArray, view: Camera, longest_side: int) -> Rendering:
    frame = frame_around(surface.vertices, view, longest_side=longest_side)
    near = frame.covered(surface.vertices, surface.triangles)
    rays = frame.rays(near)
    outer, inner = (_path_lengths(vertices, surface.triangles, rays) for vertices in (surface.vertices, cavity))
    absorbed = np.zeros(near.shape, dtype=np.float32)
    absorbed[near] = CORTICAL_PER_MM * (outer - inner).clip(0) + TRABECULAR_PER_MM * inner
    grey = (1 - np.exp(-cv2.GaussianBlur(absorbed, (0, 0), 0.7))) ** 0.85
    picture = np.round(255 * (0.03 + 0.94 * grey)).astype(np.uint8)
    return Rendering(pixels=np.repeat(picture[..., None], 3, axis=2), mm_per_pixel=frame.mm_per_pixel)


def _cavity(surface: BoneSurface) -> FloatArray:
    """(V, 3) surface of the marrow cavity: vertices moved inwards, far in the shaft, little at the ends."""
    normals, vertices = surface.normals(), surface.vertices
    centred = vertices - vertices.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    from_end = 0.5 - np.abs((along - along.min()) / np.ptp(along) - 0.5)
    thickness = END_CORTEX_MM + (SHAFT_CORTEX_MM - END_CORTEX_MM) * np.clip((from_end - 0.10) / 0.18, 0, 1)
    starts = np.concatenate([vertices - 0.2 * normals, -normals], axis=1).astype(np.float32)
    width = ray_scene(vertices, surface.triangles).cast_rays(o3d.core.Tensor.from_numpy(starts))["t_hit"].numpy()
    width = np.where(np.isfinite(width), width, 0.0).astype(np.float64)
    return np.asarray(vertices - normals * np.minimum(thickness, THICKEST_SHARE * width)[:, None])


def _path_lengths(vertices: FloatArray, triangles: npt.NDArray[np.int32], rays: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) mm that rays (n, 6) run inside a closed mesh: ways out minus ways in, added up."""
    hits = ray_scene(vertices, triangles).list_intersections(o3d.core.Tensor.from_numpy(rays))
    ray, distance = hits["ray_ids"].numpy().astype(np.int64), hits["t_hit"].numpy().astype(np.float64)
    corners = vertices[triangles]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    leaving = np.sign(np.einsum("ij,ij->i", rays[ray, 3:], outward[hits["primitive_ids"].numpy()]))
    lengths = np.bincount(ray, weights=leaving * distance, minlength=len(rays))
    nearest, farthest = np.full(len(rays), np.inf), np.zeros(len(rays))
    np.minimum.at(nearest, ray, distance)
    np.maximum.at(farthest, ray, distance)
    # A ray through an edge may be counted on one side of it only: no path is longer than from front to back.
    return np.asarray(np.clip(lengths, 0, np.maximum(farthest - nearest, 0)))

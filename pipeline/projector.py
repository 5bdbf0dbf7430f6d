"""Shadows, outlines and depths of triangle meshes under a radiograph's geometry.

Pure functions; positions are in mm LPS, pixels are (column, row).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from pipeline.geometry import FloatArray, ProjectionGeometry, RigidPose

MaskArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

SUBPIXEL_BITS: Final = 4
"""OpenCV draws with fixed-point coordinates: 1/16 of a pixel."""

SAME_HIT_MM: Final = 1e-3

RAYS_AT_ONCE: Final = 2**18
"""Bounds the memory that all hits of a picture's rays need."""

BONE_ATTENUATION_PER_MM: Final = 0.025
"""Of a femur's mean over cortex and marrow at diagnostic energies; sets the contrast of novel views only."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthMaps:
    """What every pixel's ray meets.

    Attributes:
        front: (rows, columns) float32, mm from the focal spot to the first surface; NaN where the ray misses.
        back: The same to the last surface.
        thickness: (rows, columns) float32, mm of bone along the ray; 0 where it misses.
    """

    front: npt.NDArray[np.float32]
    back: npt.NDArray[np.float32]
    thickness: npt.NDArray[np.float32]


def edges_of(triangles: npt.NDArray[np.int32]) -> IntArray:
    """(E, 2) vertex indices of the edges of a mesh, each once."""
    pairs = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64), axis=1)
    return np.unique(pairs, axis=0)


def contour_generator(
    vertices: FloatArray, normals: FloatArray, edges: IntArray, source: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Where the surface turns away from the focal spot: rays graze it there.

    Args:
        vertices: (V, 3).
        normals: (V, 3) outward; only their direction matters.
        edges: (E, 2) from `edges_of`.
        source: (3,) focal spot.

    Returns:
        The edges (N, 2) on which normal and ray are perpendicular, and the weights (N, 2) of their ends at that point.
    """
    facing = ((vertices - source) * normals).sum(axis=1)
    ends = facing[edges]
    turning = ends[:, 0] * ends[:, 1] < 0
    first, second = ends[turning].T
    share = first / (first - second)
    return edges[turning], np.stack([1 - share, share], axis=1)


def shadow(pixels: FloatArray, triangles: npt.NDArray[np.int32], shape: tuple[int, int]) -> MaskArray:
    """Mask (rows, columns), 1 where projected triangles cover a pixel.

    Args:
        pixels: (V, 2) projected vertices as (column, row).
        triangles: (T, 3).
        shape: (rows, columns).
    """
    mask = np.zeros(shape, dtype=np.uint8)
    fixed_point = np.round(np.clip(pixels, -8000, 8000) * 2**SUBPIXEL_BITS).astype(np.int32)
    corners = fixed_point[triangles]
    (ax, ay), (bx, by), (cx, cy) = np.moveaxis(corners.astype(np.int64), 0, -1)
    one_facing = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax) > 0
    for triangle in corners[one_facing]:
        cv2.fillConvexPoly(mask, triangle, 1, shift=SUBPIXEL_BITS)
    return mask


def coarse_shadow(pixels: FloatArray, triangles: npt.NDArray[np.int32], shape: tuple[int, int]) -> MaskArray:
    """As `shadow`, ten times as fast, on a grid hardly finer than the triangles: exact to a pixel, not to a fraction.

    Triangles are sprinkled with points; what they leave open inside is closed.
    """
    corners = pixels[triangles.T]
    points = (_SPRINKLED @ corners.reshape(3, -1)).reshape(-1, 2)
    column, row = np.rint(points).astype(np.int32).T
    rows, columns = shape
    held = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    mask = np.zeros(shape, dtype=np.uint8)
    mask[row[held], column[held]] = 1
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), dtype=np.uint8)), dtype=np.uint8)


_STEPS: Final = 3
_SPRINKLED: Final = (
    np.array([(i, j, _STEPS - i - j) for i in range(_STEPS + 1) for j in range(_STEPS + 1 - i)]) / _STEPS
)
"""(points, 3) barycentric weights of a lattice over a triangle."""


def outlines(mask: MaskArray) -> tuple[FloatArray, ...]:
    """Closed outer polygons (N, 2) of a mask as (column, row), largest first."""
    polygons, _ = cv2.findContours(np.ascontiguousarray(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest_first = sorted(polygons, key=len, reverse=True)
    return tuple(np.asarray(polygon[:, 0], dtype=np.float64) for polygon in largest_first)


def on_outline(pixels: FloatArray, mask: MaskArray, *, margin: int = 1) -> npt.NDArray[np.bool_]:
    """Which pixels (N, 2) lie on the mask's outline (within `margin` pixels) rather than inside it."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), dtype=np.uint8)
    inside = cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    column, row = np.round(pixels).astype(np.int64).T
    rows, columns = mask.shape
    held = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    result = np.ones(len(pixels), dtype=np.bool_)
    result[held] = inside[row[held], column[held]] == 0
    return result


def moved(geometry: ProjectionGeometry, pose: RigidPose) -> ProjectionGeometry:
    """The whole apparatus, source and detector, moved by a pose."""
    return ProjectionGeometry(
        source=pose.apply(geometry.source),
        detector_origin=pose.apply(geometry.detector_origin),
        column_direction=pose.rotation @ geometry.column_direction,
        row_direction=pose.rotation @ geometry.row_direction,
        pixel_spacing=geometry.pixel_spacing,
        rows=geometry.rows,
        columns=geometry.columns,
    )


def resampled(geometry: ProjectionGeometry, *, longest: int) -> ProjectionGeometry:
    """The same detector with larger or smaller pixels, so that its longer side has `longest` of them."""
    factor = max(geometry.rows, geometry.columns) / longest
    rows, columns = max(1, round(geometry.rows / factor)), max(1, round(geometry.columns / factor))
    # The outer edges stay; pixel centres therefore shift by half the difference of the pixel sizes.
    first_centre = ((geometry.columns / columns - 1) / 2, (geometry.rows / rows - 1) / 2)
    return ProjectionGeometry(
        source=geometry.source,
        detector_origin=geometry.pixel_position(first_centre),
        column_direction=geometry.column_direction,
        row_direction=geometry.row_direction,
        pixel_spacing=(
            geometry.pixel_spacing[0] * geometry.rows / rows,
            geometry.pixel_spacing[1] * geometry.columns / columns,
        ),
        rows=rows,
        columns=columns,
    )


def orbited(geometry: ProjectionGeometry, *, centre: FloatArray, degrees: float) -> ProjectionGeometry:
    """The apparatus turned around the patient's long axis through `centre` (3,), to look from elsewhere."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    return moved(geometry, RigidPose(rotation=rotation, translation=centre - rotation @ centre))


def depth_maps(vertices: FloatArray, triangles: npt.NDArray[np.int32], geometry: ProjectionGeometry) -> DepthMaps:
    """Front, back and thickness of a closed surface as each pixel's ray meets it.

    Args:
        vertices: (V, 3) in the geometry's frame.
        triangles: (T, 3), outward.
        geometry: As fine as the maps shall be, see `resampled`.
    """
    tensor = o3d.core.Tensor.from_numpy
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        tensor(np.ascontiguousarray(vertices, np.float32)), tensor(np.ascontiguousarray(triangles, np.uint32))
    )
    corners = vertices[triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    count = geometry.rows * geometry.columns
    front, back, thickness = (np.full(count, fill, dtype=np.float32) for fill in (np.inf, -np.inf, 0.0))
    for start, directions in _rays(geometry):
        rays = np.concatenate([np.broadcast_to(geometry.source, directions.shape), directions], axis=1)
        hits = scene.list_intersections(tensor(rays.astype(np.float32)))
        ray, distance = hits["ray_ids"].numpy().astype(np.int64), hits["t_hit"].numpy()
        facet = facets[hits["primitive_ids"].numpy().astype(np.int64)]
        once = _distinct(ray, distance)
        ray, distance = ray[once], distance[once]
        leaving = np.sign((directions[ray] * facet[once]).sum(axis=1))
        np.minimum.at(front, start + ray, distance)
        np.maximum.at(back, start + ray, distance)
        np.add.at(thickness, start + ray, (leaving * distance).astype(np.float32))
    missed = ~np.isfinite(front)
    front[missed] = back[missed] = np.nan
    # A ray through an edge may be counted on one side of it only: no path is longer than from front to back.
    thickness = np.where(missed, 0, np.clip(thickness, 0, back - front)).astype(np.float32)
    shape = (geometry.rows, geometry.columns)
    return DepthMaps(front=front.reshape(shape), back=back.reshape(shape), thickness=thickness.reshape(shape))


def _distinct(ray: IntArray, distance: npt.NDArray[np.float32]) -> IntArray:
    """Hits (indices) without repetitions: a ray through an edge or a vertex hits every triangle that meets there."""
    order = np.lexsort((distance, ray))
    repeated = (np.diff(ray[order]) == 0) & (np.diff(distance[order]) < SAME_HIT_MM)
    return np.asarray(order[np.r_[True, ~repeated]] if len(order) else order)


def _rays(geometry: ProjectionGeometry) -> Iterator[tuple[int, FloatArray]]:
    """Unit directions (n, 3) from the focal spot to consecutive pixels, with the number of the first."""
    count = geometry.rows * geometry.columns
    for start in range(0, count, RAYS_AT_ONCE):
        row, column = np.divmod(np.arange(start, min(start + RAYS_AT_ONCE, count)), geometry.columns)
        directions = geometry.pixel_position(np.stack([column, row], axis=-1)) - geometry.source
        yield start, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def simulated_film(thickness: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Brightness from 0 (air) to 1 of bone of this thickness (mm), as a digitally reconstructed radiograph shows it."""
    return np.asarray(1 - np.exp(-BONE_ATTENUATION_PER_MM * thickness), dtype=np.float32)


def vertex_normals(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> FloatArray:
    """(V, 3) outward normals, as long as the adjoining triangles are large."""
    corners = vertices[triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.stack(
        [
            sum(np.bincount(triangles[:, corner], facets[:, axis], len(vertices)) for corner in range(3))
            for axis in range(3)
        ],
        axis=1,
    )

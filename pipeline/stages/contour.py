"""The bone's outline as the perception's probability map shows it, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d, map_coordinates

from pipeline.geometry import FloatArray
from pipeline.stages.perceive import Perception

UPSAMPLING: Final = 4
"""The level of one half is traced on a grid this much finer than the working grid."""

CALMING_PIXELS: Final = 0.8
"""Blur of the probability map that closes hairlines; moves the outline of a femoral head by 0.03 pixels."""

SMOOTHING_PIXELS: Final = 0.75
"""Takes the staircase of the traced grid off the outline; working pixels along it."""

BORDER_PIXELS: Final = 3.0
"""Nearer to the field's edge than this the mask's outline is the field's, not the bone's; working pixels."""

DOUBT: Final = 0.15
"""Error of the probability near the outline; divided by its slope it is the outline's error."""

LEAST_SLOPE: Final = 0.02
MOST_SHIFT_PIXELS: Final = 0.5

MINOR_PIECE: Final = 0.1
"""Pieces of the mask smaller than this share of the largest are noise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Contour:
    """Points along the outline of the bone's shadow.

    Attributes:
        pixels: (N, 2) column and row in source pixels.
        normals: (N, 2) unit, pointing out of the shadow, in the directions of column and row.
        sd_pixels: (N,) source pixels, one standard deviation along the normal: where the probability falls slowly,
            the perception was in doubt.
        spacing: Distance of neighbouring points in source pixels.
    """

    pixels: FloatArray
    normals: FloatArray
    sd_pixels: FloatArray
    spacing: float


def seen_contour(perception: Perception) -> Contour:
    """Trace the outline of the mask at a probability of one half, without the stretches that the field's edge cuts.

    The spacing is one pixel of the working grid.
    """
    rows, columns = perception.mask.shape
    calm = cv2.GaussianBlur(perception.mask, (0, 0), CALMING_PIXELS)
    fine = cv2.resize(calm, (columns * UPSAMPLING, rows * UPSAMPLING), interpolation=cv2.INTER_LINEAR)
    polygons, _ = cv2.findContours((fine > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    depth = depth_in_field(perception.field)
    scale = float(np.sqrt(abs(np.linalg.det(perception.working_to_pixel[:, :2]))))
    pieces = [_resampled((polygon[:, 0] + 0.5) / UPSAMPLING - 0.5) for polygon in _substantial(polygons)]
    points = np.concatenate([piece[0] for piece in pieces]) if pieces else np.zeros((0, 2))
    normals = np.concatenate([piece[1] for piece in pieces]) if pieces else np.zeros((0, 2))
    column, row = np.clip(np.round(points).astype(np.int64), 0, [columns - 1, rows - 1]).T
    kept = depth[row, column] > BORDER_PIXELS
    points, sd = _sharpened(calm, points[kept], normals[kept])
    linear, shift = perception.working_to_pixel[:, :2], perception.working_to_pixel[:, 2]
    turned = normals[kept] @ linear.T
    return Contour(
        pixels=points @ linear.T + shift,
        normals=turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12),
        sd_pixels=sd * scale,
        spacing=scale,
    )


def depth_in_field(field: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Distance (working pixels) of every pixel of the grid from the field's edge; the picture's border is one."""
    padded = np.pad(field.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], dtype=np.float32)


def _sharpened(mask: npt.NDArray[Any], points: FloatArray, normals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points moved along their normals to where the probability is one half, and their doubt (working pixels)."""
    inner, outer = (_sampled(mask, points + step * normals) for step in (-1.0, 1.0))
    slope = np.maximum((inner - outer) / 2, LEAST_SLOPE)
    shift = np.clip((_sampled(mask, points) - 0.5) / slope, -MOST_SHIFT_PIXELS, MOST_SHIFT_PIXELS)
    return points + shift[:, None] * normals, DOUBT / slope


def _sampled(mask: npt.NDArray[Any], points: FloatArray) -> FloatArray:
    return np.asarray(map_coordinates(mask, points[:, ::-1].T, order=1, mode="nearest"), dtype=np.float64)


def _substantial(polygons: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    areas = [cv2.contourArea(polygon) for polygon in polygons]
    largest = max(areas, default=0.0)
    return [polygon for polygon, area in zip(polygons, areas, strict=True) if area > max(MINOR_PIECE * largest, 1.0)]


def _resampled(polygon: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A closed polygon (N, 2) at one working pixel's spacing, and its outward normals."""
    closed = np.vstack([polygon, polygon[:1]])
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))]
    fine_steps = np.linspace(0, along[-1], max(8, int(along[-1] * UPSAMPLING)), endpoint=False)
    fine = np.stack([np.interp(fine_steps, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    smooth = gaussian_filter1d(fine, SMOOTHING_PIXELS * UPSAMPLING, axis=0, mode="wrap")
    tangent = np.roll(smooth, -UPSAMPLING, axis=0) - np.roll(smooth, UPSAMPLING, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normals = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    signed_area = float(np.sum(smooth[:, 0] * np.roll(smooth[:, 1], -1) - np.roll(smooth[:, 0], -1) * smooth[:, 1]))
    normals *= np.sign(signed_area)
    return smooth[::UPSAMPLING], normals[::UPSAMPLING]

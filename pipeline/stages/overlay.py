"""The proof: the reconstruction's outlines on the radiograph they came from, coloured by how well both agree.

One bone's outline runs from turquoise to red with its distance from what is seen. Several bones overlap: each outline
has its bone's colour, and is red where it misses. The picture itself is left alone apart from these thin lines; all
words stand in bands above and below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.projector import outlines, shadow
from pipeline.stages.bands import band, framed, legend_block, scale_block, word_block
from pipeline.stages.contour import BORDER_PIXELS, depth_in_field, seen_contour
from pipeline.stages.lettering import HALO, Line, Picture
from pipeline.stages.palette import (
    BONE_COLOURS,
    COOLING,
    ERROR_RAMP,
    ERROR_RANGE,
    MISS,
    MISS_MM,
    UNSEEN,
    Colours,
    ramp_colours,
    ramp_strip,
)
from pipeline.stages.perceive import Perception
from pipeline.surface import Bone

CANVAS_PIXELS: Final = 1600
"""Longest side of the grid on which outlines are traced, and of proof pictures."""

NARROWEST_PIXELS: Final = 900
"""A picture narrower than this gets dark margins, so that the words below it fit."""

SMOOTHING_PIXELS: Final = 1.5
"""Takes the staircase of the traced grid off an outline."""

WINDOW_PERCENTILES: Final = (0.5, 99.7)
MIN_PIECE_PIXELS: Final = 40
LINE_OPACITY: Final = 0.9
PIXELS_PER_LINE_WIDTH: Final = 600


@dataclass(frozen=True, kw_only=True, eq=False)
class ReprojectedContour:
    """A reconstructed bone's outline in a radiograph.

    Attributes:
        bone: Which bone.
        polygons: Each (N, 2), closed, column and row in source pixels; they run on outside the picture.
        error: Each (N,), distance to the outline seen in the image, mm (units of the assumed scale without one);
            NaN where the image cannot tell, at and beyond the exposed field's edge.
    """

    bone: Bone
    polygons: tuple[FloatArray, ...]
    error: tuple[FloatArray, ...]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The words of a proof picture.

    Attributes:
        title: "Right femur, AP".
        sides: Marker letters: the one side that is shown, or those at the picture's left and right end; or none.
        lines: Below the picture, the most important first.
        mm_per_pixel: Size of a source pixel in the plane of the bones, None without scale.
    """

    title: str
    sides: tuple[str, ...]
    lines: tuple[Line, ...]
    mm_per_pixel: float | None


def windowed(pixels: npt.NDArray[np.float32]) -> Picture:
    """(rows, columns) uint8: the radiograph as a reader would window it, bone bright."""
    low, high = np.percentile(pixels, WINDOW_PERCENTILES)
    return np.asarray(np.clip((pixels - low) / max(float(high - low), 1e-6), 0, 1) * 255, dtype=np.uint8)


def reproject(
    bone: Bone,
    vertices: FloatArray,
    triangles: npt.NDArray[np.int32],
    geometry: ProjectionGeometry,
    perception: Perception,
) -> ReprojectedContour:
    """Trace a surface's shadow and measure how far it runs from the outline seen in the image.

    Args:
        bone: Which bone.
        vertices: (V, 3) in the geometry's frame.
        triangles: (T, 3), outward.
        geometry: How the radiograph was taken.
        perception: What it shows of this bone.
    """
    polygons = traced_shadow(vertices, triangles, geometry)
    row_spacing, column_spacing = geometry.pixel_spacing
    in_bone_plane = np.sqrt(row_spacing * column_spacing) / geometry.magnification(vertices.mean(axis=0))
    seen = seen_contour(perception).pixels
    errors = tuple(_error(polygon, seen, perception) * in_bone_plane for polygon in polygons)
    return ReprojectedContour(bone=bone, polygons=polygons, error=errors)


def traced_shadow(
    vertices: FloatArray, triangles: npt.NDArray[np.int32], geometry: ProjectionGeometry
) -> tuple[FloatArray, ...]:
    """Outer polygons (N, 2) of a surface's shadow in source pixels, also where they leave the detector."""
    size = np.array([geometry.columns, geometry.rows], dtype=np.float64)
    projected = geometry.project(vertices)
    low = np.maximum(projected.min(axis=0) - 8, -size)
    high = np.minimum(projected.max(axis=0) + 8, 2 * size)
    factor = CANVAS_PIXELS / size.max()
    columns, rows = np.maximum(np.ceil((high - low) * factor).astype(int), 1)
    mask = shadow((projected - low) * factor, triangles, (int(rows), int(columns)))
    pieces = [piece for piece in outlines(mask) if len(piece) >= MIN_PIECE_PIXELS]
    return tuple(gaussian_filter1d(p, SMOOTHING_PIXELS, axis=0, mode="wrap") / factor + low for p in pieces)


def proof_picture(pixels: npt.NDArray[np.float32], contours: Sequence[ReprojectedContour], caption: Caption) -> Picture:
    """The radiograph with the outlines on it and words around it.

    Args:
        pixels: (rows, columns) of the radiograph, bone bright.
        contours: From `reproject`.
        caption: The words.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    picture, factor = fitted(windowed(pixels))
    drawn = with_contours(picture, contours, factor=factor)
    width = max(drawn.shape[1], NARROWEST_PIXELS)
    keys: tuple[Picture, ...] = ()
    if caption.mm_per_pixel is not None:
        keys = (scale_block(width, caption.mm_per_pixel / factor),)
        if len(contours) == 1:
            low, high = ERROR_RANGE
            strip = ramp_strip(ERROR_RAMP)
            keys = (legend_block(width, strip, low=f"{low:g}", high=f"{high:g} mm +", title="contour error"), *keys)
    return framed(_header(width, caption), drawn, band(width, *caption.lines, right=keys))


def _header(width: int, caption: Caption) -> Picture:
    """The title and the side beside it; below it both, where both are shown."""
    title = Line(text=caption.title, size=1.3)
    markers = [Line(text=side, size=1.6) for side in caption.sides]
    at_right = tuple(word_block(width, marker) for marker in markers[-1:])
    if len(markers) < 2:
        return band(width, title, right=at_right)
    return np.concatenate([band(width, title), band(width, *markers[:-1], right=at_right)])


def with_contours(picture: Picture, contours: Sequence[ReprojectedContour], *, factor: float) -> Picture:
    """A copy of a picture (H, W, 3) with outlines on it, `factor` picture pixels per source pixel."""
    together = len(contours) > 1
    drawn, thickness = picture.copy(), max(round(max(picture.shape) / PIXELS_PER_LINE_WIDTH), 2 if together else 1)
    for contour in contours:
        for polygon, error in zip(contour.polygons, contour.error, strict=True):
            points = np.round(((polygon + 0.5) * factor - 0.5) * 16).astype(int)
            if together:  # lines of many colours need an edge on white bone
                cv2.polylines(drawn, [points.astype(np.int32)], True, HALO, thickness + 2, cv2.LINE_AA, 4)
            colours = _identified(contour.bone, error) if together else _graded(error)
            for start, end, colour in zip(points, np.roll(points, -1, axis=0), colours.tolist(), strict=True):
                cv2.line(drawn, start.tolist(), end.tolist(), colour, thickness, cv2.LINE_AA, 4)
    return np.asarray(cv2.addWeighted(drawn, LINE_OPACITY, picture, 1 - LINE_OPACITY, 0), dtype=np.uint8)


def _graded(error: FloatArray) -> npt.NDArray[Any]:
    """(N, 3) colours of a lone bone's outline: by its distance from what is seen."""
    graded = ramp_colours(np.nan_to_num(error), ERROR_RAMP, ERROR_RANGE)
    return np.where(np.isfinite(error)[:, None], graded, UNSEEN)


def _identified(bone: Bone, error: FloatArray) -> Colours:
    """(N, 3) colours of one bone's outline among others: its own, red where it misses, pale where nothing is seen."""
    own = np.array(BONE_COLOURS[bone], dtype=np.float64)
    pale = (1 - COOLING) * own + COOLING * np.array(UNSEEN)
    seen, missed = np.isfinite(error)[:, None], (np.nan_to_num(error) > MISS_MM)[:, None]
    return np.where(seen, np.where(missed, MISS, own), pale).round().astype(np.uint8)


def fitted(grey: Picture, *, longest: int = CANVAS_PIXELS) -> tuple[Picture, float]:
    """A grey picture as (H, W, 3) of about that longest side, and picture pixels per source pixel."""
    rows, columns = grey.shape
    factor = shown_factor((rows, columns), longest=longest)
    size = (max(round(columns * factor), 1), max(round(rows * factor), 1))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(np.ascontiguousarray(grey), size, interpolation=interpolation)
    return np.repeat(np.asarray(resized, dtype=np.uint8)[..., None], 3, axis=2), factor


def shown_factor(shape: tuple[int, ...], *, longest: int = CANVAS_PIXELS) -> float:
    """Picture pixels per source pixel: large pictures are reduced to `longest`, tiny ones enlarged to half of it."""
    return float(np.clip(1.0, longest / 2 / max(shape), longest / max(shape)))


def _error(polygon: FloatArray, seen: FloatArray, perception: Perception) -> FloatArray:
    """Distance (source pixels) of each point to the seen outline, NaN where the field's edge hides it."""
    if not len(seen):
        return np.full(len(polygon), np.nan)
    linear, shift = perception.working_to_pixel[:, :2], perception.working_to_pixel[:, 2]
    column, row = np.round((polygon - shift) @ np.linalg.inv(linear).T).astype(int).T
    depth = depth_in_field(perception.field)
    rows, columns = depth.shape
    held = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    inside = held.copy()
    inside[held] = depth[row[held], column[held]] > BORDER_PIXELS
    return np.where(inside, cKDTree(seen).query(polygon)[0], np.nan)

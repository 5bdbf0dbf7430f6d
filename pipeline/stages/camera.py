"""Where pictures of the bone are taken from, and which rays they need.

Cameras are orthographic, so that a scale bar holds everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, read_only
from pipeline.radiograph import Side

MARGIN_SHARE: Final = 0.04
"""Empty borders around the bone, share of its longest side."""

NARROWEST_SHARE: Final = 0.6
"""A picture is at least so wide, share of its height: words stand above and below it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """An orthographic camera.

    Attributes:
        name: What a person calls the view ("anterior").
        towards: (3,) unit vector along which the camera looks, LPS.
        up: (3,) unit vector that is up in the picture, LPS; square to `towards`.
    """

    name: str
    towards: FloatArray
    up: FloatArray

    def __post_init__(self) -> None:
        for field in ("towards", "up"):
            object.__setattr__(self, field, read_only(getattr(self, field), shape=(3,)))

    @property
    def right(self) -> FloatArray:
        """(3,) unit vector to the right in the picture, LPS."""
        return np.cross(self.towards, self.up)

    def axes(self) -> FloatArray:
        """(3, 3) rows: right, up, towards the viewer."""
        return np.stack([self.right, self.up, -self.towards])


def camera(name: str, *, azimuth_deg: float, elevation_deg: float = 0.0) -> Camera:
    """A camera that looks at an upright patient.

    Args:
        name: Of the view.
        azimuth_deg: Where the viewer stands: 0 in front, 90 at the patient's left, 180 behind, -90 at the right.
        elevation_deg: How far above the horizontal the viewer stands.
    """
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    sideways, forward = math.sin(azimuth), -math.cos(azimuth)
    position = np.array(
        [sideways * math.cos(elevation), forward * math.cos(elevation), math.sin(elevation)], dtype=np.float64
    )
    up = np.array([-sideways * math.sin(elevation), -forward * math.sin(elevation), math.cos(elevation)])
    return Camera(name=name, towards=-position, up=up)


def standard_cameras(side: Side | None) -> tuple[Camera, ...]:
    """From where a bone is looked at.

    Args:
        side: Of the bone: anterior, lateral, posterior, medial, superior and an anterolateral three-quarter view. None
            for a bone in the middle of the body: anterior, right, posterior, superior and three-quarter from above.
    """
    if side is None:
        return (
            camera("anterior", azimuth_deg=0),
            camera("from the right", azimuth_deg=-90),
            camera("posterior", azimuth_deg=180),
            camera("superior", azimuth_deg=0, elevation_deg=90),
            camera("three-quarter", azimuth_deg=-35, elevation_deg=22),
        )
    lateral = 90.0 if side is Side.LEFT else -90.0
    return (
        camera("anterior", azimuth_deg=0),
        camera("lateral", azimuth_deg=lateral),
        camera("posterior", azimuth_deg=180),
        camera("medial", azimuth_deg=-lateral),
        camera("superior", azimuth_deg=0, elevation_deg=90),
        camera("three-quarter", azimuth_deg=lateral * 0.45, elevation_deg=18),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """The rectangle that a camera sees: its upper left corner in (right, up) mm, and its pixels."""

    view: Camera
    left: float
    top: float
    nearest: float
    mm_per_pixel: float
    rows: int
    columns: int

    def finer(self, factor: int) -> Frame:
        """The same rectangle with that many times more pixels along each axis."""
        return replace(
            self, mm_per_pixel=self.mm_per_pixel / factor, rows=self.rows * factor, columns=self.columns * factor
        )

    def near(self, points: FloatArray, *, within_mm: float) -> npt.NDArray[np.bool_]:
        """(rows, columns) True where a point (N, 3) is seen at most so far away, and a little around."""
        border = math.ceil(within_mm / self.mm_per_pixel) + 1
        mask = np.zeros((self.rows + 2 * border, self.columns + 2 * border), dtype=np.uint8)
        row = (self.top - points @ self.view.up) / self.mm_per_pixel + border
        column = (points @ self.view.right - self.left) / self.mm_per_pixel + border
        inside = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
        mask[row[inside].astype(np.intp), column[inside].astype(np.intp)] = 1
        size = 2 * border + 1
        return np.asarray(cv2.dilate(mask, np.ones((size, size), dtype=np.uint8))[border:-border, border:-border] > 0)

    def rays(self, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """(n, 6) origin and direction of the rays through the pixels in these rows (n,) and columns (n,)."""
        right, up, viewer = self.view.axes().astype(np.float32)
        across = (self.left + (column + 0.5) * self.mm_per_pixel).astype(np.float32)
        height = (self.top - (row + 0.5) * self.mm_per_pixel).astype(np.float32)
        rays = np.empty((len(row), 6), dtype=np.float32)
        start = (self.nearest + 10.0) * viewer
        for axis in range(3):  # one axis after another: NumPy is slow along rows of three
            rays[:, axis] = start[axis] + across * right[axis] + height * up[axis]
            rays[:, 3 + axis] = self.view.towards[axis]
        return rays


def reach(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> float:
    """How far any point of a mesh can be from the nearest vertex: the longest edge over the root of three at most."""
    corners = vertices[triangles]
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() / math.sqrt(3))


def frame_around(points: FloatArray, view: Camera, *, longest_side: int) -> Frame:
    """A frame around points with borders.

    Args:
        points: (N, 3) what must be seen.
        view: Where from.
        longest_side: Of the picture, pixels.
    """
    seen = points @ view.axes().T
    low, high = seen.min(axis=0), seen.max(axis=0)
    longest = max(high[0] - low[0], high[1] - low[1])
    top = high[1] + MARGIN_SHARE * longest
    height = top - low[1] + MARGIN_SHARE * longest
    width = max(high[0] - low[0] + 2 * MARGIN_SHARE * longest, NARROWEST_SHARE * height)
    step = float(max(width, height) / longest_side)
    return Frame(
        view=view,
        left=float((low[0] + high[0] - width) / 2),
        top=float(top),
        nearest=float(high[2]) + FAR_MM,
        mm_per_pixel=step,
        rows=round(height / step),
        columns=round(width / step),
    )


FAR_MM: Final = 600.0
"""Cameras stand so far off that no part of the bone lies behind them."""

"""Bodies of metal as a beam shows them: how many millimetres every pixel's ray passes, drawn in the picture's plane."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray

FloatImage = npt.NDArray[np.float32]


class Sheet:
    """Millimetres of metal in every pixel of a picture; bodies are added one by one.

    Args:
        shape: (rows, columns).
        spacing_mm: Size of a pixel.
    """

    def __init__(self, shape: tuple[int, int], spacing_mm: float) -> None:
        self.thickness: FloatImage = np.zeros(shape, dtype=np.float32)
        self.spacing_mm = spacing_mm
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        self._pixels = np.stack([columns, rows], axis=-1).astype(np.float32)

    def rod(self, start: FloatArray, end: FloatArray, diameter: float, *, tip: float | None = None) -> None:
        """A round bar with rounded ends between two points (2,) in pixels; `tip` is the diameter at its end, mm."""
        along = np.asarray(end - start, dtype=np.float64)
        length = float(along @ along)
        offset = self._pixels - start.astype(np.float32)
        share = np.clip(offset @ along.astype(np.float32) / max(length, 1e-6), 0, 1)
        away = np.linalg.norm(offset - share[..., None] * along.astype(np.float32), axis=-1) * self.spacing_mm
        radius = (diameter + share * ((diameter if tip is None else tip) - diameter)) / 2
        # A wire thinner than a pixel is drawn as wide as one, with as much metal as it has.
        wide = np.maximum(radius, 0.6 * self.spacing_mm)
        self._add(2 * np.sqrt(np.maximum(wide**2 - away**2, 0)) * (radius / wide) ** 2)

    def bar(self, points: FloatArray, diameter: float) -> None:
        """A bent round bar through (N, 2) points in pixels; its bends are not counted twice."""
        path = Sheet(self._shape, self.spacing_mm)
        for start, end in pairwise(points):
            piece = Sheet(self._shape, self.spacing_mm)
            piece.rod(start, end, diameter)
            path.thickness = np.maximum(path.thickness, piece.thickness)
        self._add(path.thickness)

    def ball(self, centre: FloatArray, diameter: float) -> None:
        """A full ball."""
        self._add(self._chord(centre, diameter))

    def cup(self, centre: FloatArray, outer: float, wall: float, axis: FloatArray) -> None:
        """A hollow half ball that opens towards `axis` (2,); diameters in mm."""
        shell = self._chord(centre, outer) - self._chord(centre, outer - 2 * wall)
        side = (self._pixels - centre.astype(np.float32)) @ (axis / np.linalg.norm(axis)).astype(np.float32)
        self._add(shell * np.clip(0.5 - side, 0, 1))

    def plate(self, corners: FloatArray, thickness: float, holes: Sequence[tuple[FloatArray, float]] = ()) -> None:
        """A flat piece with (N, 2) corners in pixels, with round holes of some diameter in mm."""
        self.patch(self._filled(corners, holes), thickness)

    def patch(self, shape: FloatImage, thickness: float) -> None:
        """A flat piece of any outline, (rows, columns) in 0..1."""
        self._add(thickness * shape)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.thickness.shape[0], self.thickness.shape[1]

    def _filled(self, corners: FloatArray, holes: Sequence[tuple[FloatArray, float]]) -> FloatImage:
        canvas = np.zeros(self._shape, dtype=np.uint8)
        cv2.fillPoly(canvas, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        for centre, diameter in holes:
            place = tuple(int(v) for v in np.round(centre * 16))
            cv2.circle(canvas, place, round(8 * diameter / self.spacing_mm), 0, -1, cv2.LINE_AA, 4)
        return np.asarray(canvas, dtype=np.float32) / np.float32(255)

    def _chord(self, centre: FloatArray, diameter: float) -> FloatImage:
        away = np.linalg.norm(self._pixels - centre.astype(np.float32), axis=-1) * self.spacing_mm
        return np.asarray(2 * np.sqrt(np.maximum((diameter / 2) ** 2 - away**2, 0)), dtype=np.float32)

    def _add(self, thickness: npt.NDArray[np.floating]) -> None:
        self.thickness = (self.thickness + thickness).astype(np.float32)

"""A bone's surface with what is known by name on it, and the geometry that definitions of measurements share.

Definitions are functions of such values. They do not depend on where a bone lies, but on which side it is of: left
bones are measured in the mirror (`Anatomy.mirrored`), so that all are right ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, nearest_sphere
from pipeline.shape_model import MIRROR, Landmark

IntArray = npt.NDArray[np.int64]


SLICE_HALF_HEIGHT_MM: Final = 6.0
"""A slice this thick holds two dozen vertices of a shaft."""

SHAFT_ROUNDS: Final = 2
"""Slices are cut square to the axis that they give."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """A line in space: `point` (3,) mm on it, and a unit vector `up` (3,)."""

    point: FloatArray
    up: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """One bone as it is measured: reconstructed, registered or picked by hand.

    Attributes:
        landmarks: By name.
        regions: Vertex indices by name.
        vertices: (V, 3) mm, of a right bone (LPS).
    """

    landmarks: Mapping[str, Landmark]
    regions: Mapping[str, IntArray]
    vertices: FloatArray

    def at(self, name: str) -> FloatArray:
        """(3,) a landmark."""
        return self.landmarks[name].position(self.vertices)

    def region(self, name: str) -> FloatArray:
        """(n, 3) the vertices of a region."""
        return np.asarray(self.vertices[self.regions[name]])

    def sphere(self, region: str) -> tuple[FloatArray, float]:
        """Centre (3,) and radius of the sphere nearest to a region.

        The landmark in such a centre strays by 2 mm, because corresponding vertices slide along a ball.
        """
        return nearest_sphere(self.region(region))

    def mirrored(self) -> Self:
        """The other side's bone."""
        return replace(self, vertices=self.vertices * MIRROR)


def unit(vector: FloatArray) -> FloatArray:
    """(3,) of length 1."""
    return np.asarray(vector / np.linalg.norm(vector))


def across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """The part of vectors (..., 3) that is square to a unit axis."""
    return np.asarray(vector - np.multiply.outer(vector @ axis, axis))


def angle(one: FloatArray, other: FloatArray) -> float:
    """Between two directions, degrees, 0 to 180."""
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def extent(points: FloatArray, direction: FloatArray) -> float:
    """Width of points (n, 3) along a unit direction, mm."""
    return float(np.ptp(points @ direction))


def farthest(points: FloatArray, direction: FloatArray) -> FloatArray:
    """The one (3,) of points (n, 3) that lies farthest in a direction."""
    return np.asarray(points[int(np.argmax(points @ direction))])


def plane_normal(points: FloatArray) -> FloatArray:
    """(3,) unit normal, of either sign, of the plane nearest to points (n, 3)."""
    return np.asarray(np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][2])


def plane_across(axis: FloatArray) -> FloatArray:
    """(2, 3) two perpendicular unit vectors square to a unit axis."""
    first = unit(across(np.eye(3)[np.argmin(abs(axis))], axis))
    return np.stack([first, np.cross(axis, first)])


def nearest_circle(points: FloatArray, plane: FloatArray) -> tuple[FloatArray, float]:
    """Centre (3,) and radius of the circle in a plane (2, 3) that is nearest to a slice's points (n, 3).

    Least squares in the algebraic sense (Kåsa 1976). Unlike their mean, its centre does not lean to where vertices are
    dense.
    """
    middle = points.mean(axis=0)
    flat = (points - middle) @ plane.T
    squares = (flat**2).sum(axis=1)
    centre = np.linalg.solve(2 * flat.T @ flat, flat.T @ squares)
    return middle + centre @ plane, float(np.sqrt(squares.mean() + centre @ centre))


def shaft_axis(points: FloatArray, level: FloatArray, start: FloatArray, depths_mm: Sequence[float]) -> Axis:
    """The line nearest to the centres of a shaft's cross-sections.

    Args:
        points: (n, 3) mm, that hold the shaft.
        level: (3,) from where depths count.
        start: (3,) unit vector up, roughly along the shaft.
        depths_mm: Of the cross-sections below the level.
    """
    up = start
    for _ in range(SHAFT_ROUNDS):
        depth = (level - points) @ up
        slices = (points[abs(depth - wanted) < SLICE_HALF_HEIGHT_MM] for wanted in depths_mm)
        plane = plane_across(up)
        centres = np.array([nearest_circle(each, plane)[0] for each in slices])
        along = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)[2][0]
        up = along * np.sign(along @ up)
    return Axis(point=centres.mean(axis=0), up=up)

"""What is measured on a femur: pure functions of a right femur's surface. Sources are in docs/measurements.md.

Landmarks and regions are those of the femur's shape model; lengths mm, angles degrees.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.stages.measure_anatomy import (
    Anatomy,
    Axis,
    across,
    angle,
    extent,
    farthest,
    nearest_circle,
    plane_across,
    shaft_axis,
    unit,
)

TANGENT_ROUNDS: Final = 3
"""The line that touches both condyles behind is found within these: its turn decides which points it touches."""

SHAFT_DEPTHS_MM: Final = tuple(np.arange(30.0, 111.0, 10.0))
"""Below the lesser trochanter, of the cross-sections whose centres span the axis of the upper shaft."""

NECK_REACH: Final = tuple(np.arange(0.7, 1.6, 0.1))
"""From the head's centre, in its radii, to the cross-sections among which the neck's isthmus is."""

NECK_SLICE: Final = 0.17
"""Thickness of such a cross-section in radii of the head."""

NECK_WIDTH: Final = 1.15
"""What lies farther from the neck's axis, in radii of the head, is a trochanter."""

NECK_ROUNDS: Final = 3
LEAST_IN_SLICE: Final = 8


class Femur(Anatomy):
    """A right femur and the axes that its measurements share."""

    @cached_property
    def head(self) -> tuple[FloatArray, float]:
        """Centre (3,) and radius of the sphere nearest to the articular surface of the head."""
        return self.sphere("head")

    @cached_property
    def neck_axis(self) -> FloatArray:
        """(3,) from the centre of the neck's narrowest cross-section to the head's centre."""
        centre, radius = self.head
        upper = np.concatenate([self.region(name) for name in ("head", "neck", "trochanters")])
        towards = centre - self.region("neck").mean(axis=0)
        for _ in range(NECK_ROUNDS):
            towards = centre - _isthmus(upper, centre, radius, unit(towards))
        return np.asarray(towards)

    @cached_property
    def upper_shaft(self) -> Axis:
        """The axis of the upper shaft."""
        points = np.concatenate([self.region(name) for name in ("trochanters", "shaft")])
        return shaft_axis(points, self.at("lesser_trochanter"), self.mechanical_axis, SHAFT_DEPTHS_MM)

    @cached_property
    def mechanical_axis(self) -> FloatArray:
        """(3,) unit vector from the middle of the epicondyles up to the head's centre (Wu 2002)."""
        return unit(self.head[0] - (self.at("medial_epicondyle") + self.at("lateral_epicondyle")) / 2)

    @cached_property
    def epicondylar_line(self) -> FloatArray:
        """(3,) unit vector from the lateral to the medial epicondyle, square to the mechanical axis."""
        return unit(across(self.at("medial_epicondyle") - self.at("lateral_epicondyle"), self.mechanical_axis))

    @cached_property
    def condyles(self) -> tuple[FloatArray, FloatArray]:
        """(n, 3) and (m, 3): the lower end's medial and lateral half."""
        lower = self.region("distal")
        medial = (lower - self.at("intercondylar_notch")) @ self.epicondylar_line > 0
        return lower[medial], lower[~medial]

    @cached_property
    def posterior_condylar_line(self) -> FloatArray:
        """(3,) unit vector to the medial side, along the line that touches both condyles behind, square to the axis."""
        medial, lateral = self.condyles
        line = self.epicondylar_line
        for _ in range(TANGENT_ROUNDS):
            back = np.cross(self.mechanical_axis, line)
            line = unit(across(farthest(medial, back) - farthest(lateral, back), self.mechanical_axis))
        return line


def head_diameter(femur: Femur) -> float:
    """Of the sphere nearest to the articular surface of the head (least squares)."""
    return 2 * femur.head[1]


def neck_shaft_angle(femur: Femur) -> float:
    """Between the neck's axis (isthmus centre to head centre) and the axis of the upper shaft, in 3D (Müller 1957)."""
    return angle(femur.neck_axis, -femur.upper_shaft.up)


def neck_length(femur: Femur) -> float:
    """From the head's centre along the neck's axis to where that passes the axis of the upper shaft."""
    shaft, square = femur.upper_shaft, across(unit(femur.neck_axis), femur.upper_shaft.up)
    return float((femur.head[0] - shaft.point) @ square / (square @ square))


def offset(femur: Femur) -> float:
    """Distance of the head's centre from the axis of the upper shaft."""
    return float(np.linalg.norm(across(femur.head[0] - femur.upper_shaft.point, femur.upper_shaft.up)))


def femoral_length(femur: Femur) -> float:
    """From the top of the head to the lowest point of the condyles along the mechanical axis."""
    return extent(femur.vertices, femur.mechanical_axis)


def anteversion(femur: Femur) -> float:
    """Of the neck against the back of the condyles, along the mechanical axis (Murphy 1987); forward is positive."""
    medial = femur.posterior_condylar_line
    forward = np.cross(medial, femur.mechanical_axis)
    return float(np.rad2deg(np.arctan2(femur.neck_axis @ forward, femur.neck_axis @ medial)))


def distal_femoral_angle(femur: Femur) -> float:
    """Mechanical axis against the line that touches both condyles below, lateral side, frontal plane (Paley 2002)."""
    up = femur.head[0] - femur.at("intercondylar_notch")
    front = unit(np.cross(femur.mechanical_axis, femur.epicondylar_line))
    medial, lateral = (farthest(condyle, -up) for condyle in femur.condyles)
    return angle(across(up, front), across(lateral - medial, front))


def epicondylar_width(femur: Femur) -> float:
    """Distance of the epicondyles."""
    return float(np.linalg.norm(femur.at("medial_epicondyle") - femur.at("lateral_epicondyle")))


def bicondylar_width(femur: Femur) -> float:
    """Greatest width of the lower end along the line that touches both condyles behind."""
    return extent(femur.region("distal"), femur.posterior_condylar_line)


def _isthmus(upper: FloatArray, centre: FloatArray, radius: float, towards: FloatArray) -> FloatArray:
    """(3,) centre of the narrowest of the circles that are nearest to the neck's cross-sections.

    Args:
        upper: (n, 3) the upper femur.
        centre: Of the head.
        radius: Of the head.
        towards: (3,) unit vector, roughly from the neck to the head.
    """
    away = (centre - upper) @ towards / radius
    near = np.linalg.norm(across(upper - centre, towards), axis=1) < NECK_WIDTH * radius
    slices = (upper[near & (away > reach) & (away < reach + NECK_SLICE)] for reach in NECK_REACH)
    plane = plane_across(towards)
    circles = [nearest_circle(each, plane) for each in slices if len(each) >= LEAST_IN_SLICE]
    return min(circles, key=lambda circle: circle[1])[0]

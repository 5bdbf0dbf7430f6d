"""What is measured on tibia and patella, and on the leg as a whole: pure functions of a right leg's surfaces.

Landmarks and regions are those of the shape models; lengths mm, angles degrees. Sources are in docs/measurements.md.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.stages.measure_anatomy import Anatomy, across, angle, extent, plane_normal, shaft_axis, unit
from pipeline.stages.measure_femur import Femur

SHAFT_DEPTHS_MM: Final = tuple(np.arange(70.0, 121.0, 10.0))
"""Below the plateau, of the cross-sections whose centres span the axis of the upper shaft: below the tuberosity, and
still on a film of the knee."""

PLATEAU_DEPTH_MM: Final = 25.0
"""The upper end is widest within this below the plateau."""


class Tibia(Anatomy):
    """A right tibia and what its measurements share."""

    @cached_property
    def mechanical_axis(self) -> FloatArray:
        """(3,) mm, from the middle of the plafond up to the middle of the plateau."""
        return np.asarray(self.at("knee_centre") - self.at("ankle_centre"))

    @cached_property
    def plateaus(self) -> tuple[FloatArray, FloatArray]:
        """(n, 3) and (m, 3): vertices of the medial and of the lateral plateau."""
        both = self.region("plateau")
        medial, lateral = self.at("medial_plateau"), self.at("lateral_plateau")
        is_medial = (both - (medial + lateral) / 2) @ (medial - lateral) > 0
        return both[is_medial], both[~is_medial]

    @cached_property
    def joint_line(self) -> FloatArray:
        """(3,) mm, from the middle of the lateral plateau to that of the medial one."""
        medial, lateral = self.plateaus
        return np.asarray(medial.mean(axis=0) - lateral.mean(axis=0))


class Patella(Anatomy):
    """A right patella."""

    @cached_property
    def long_axis(self) -> FloatArray:
        """(3,) unit vector from apex to base."""
        return unit(self.at("base") - self.at("apex"))


def tibial_length(tibia: Tibia) -> float:
    """Mechanical length: from the middle of the plateau to the middle of the plafond."""
    return float(np.linalg.norm(tibia.mechanical_axis))


def proximal_tibial_angle(tibia: Tibia) -> float:
    """Mechanical axis against the line through the middles of both plateaus, on the medial side (Paley 2002)."""
    return angle(-tibia.mechanical_axis, tibia.joint_line)


def medial_slope(tibia: Tibia) -> float:
    """How far the plane nearest to the medial plateau falls to the back, against the axis of the upper shaft."""
    up = shaft_axis(tibia.vertices, tibia.at("knee_centre"), unit(tibia.mechanical_axis), SHAFT_DEPTHS_MM).up
    back = np.cross(up, unit(across(tibia.joint_line, up)))
    normal = plane_normal(tibia.plateaus[0])
    normal = normal * np.sign(normal @ up)
    return float(np.rad2deg(np.arctan2(normal @ back, normal @ up)))


def plateau_width(tibia: Tibia) -> float:
    """Greatest width of the upper end along the line through the middles of both plateaus."""
    up = unit(tibia.mechanical_axis)
    upper = tibia.vertices[(tibia.at("knee_centre") - tibia.vertices) @ up < PLATEAU_DEPTH_MM]
    return extent(upper, unit(across(tibia.joint_line, up)))


def patellar_height(patella: Patella) -> float:
    """Greatest extent along the line from apex to base."""
    return extent(patella.vertices, patella.long_axis)


def patellar_width(patella: Patella) -> float:
    """Greatest extent across, square to the height."""
    medially = patella.at("medial_edge") - patella.at("lateral_edge")
    return extent(patella.vertices, unit(across(medially, patella.long_axis)))


def hip_knee_ankle_angle(tibia: Tibia, femur: Femur) -> float:
    """Between the mechanical axes of femur and tibia, medial side, in the femur's frontal plane; below 180 is varus."""
    up = unit(femur.head[0] - femur.at("intercondylar_notch"))
    medially = unit(across(femur.posterior_condylar_line, up))
    down = -tibia.mechanical_axis
    return float(180 - np.rad2deg(np.arctan2(down @ medially, -(down @ up))))

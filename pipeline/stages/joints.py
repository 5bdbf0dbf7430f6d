"""How neighbouring bones lie against each other: what lets several bones share one frame.

Offsets and rotations are given in the frame of the first bone's shape model (a right bone, LPS mm; of a left joint the
mirror image), with the standard deviations over people that `models/cards/joints.md` tells; offsets carry 2 mm more,
because corresponding vertices slide along a joint's surface from person to person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.surface import Bone

SLIDING_MM: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Two bones and where the landmark of the second lies, seen from the landmark of the first.

    Attributes:
        first: Bone in whose frame everything is given.
        first_landmark: Its landmark; for a sacrum that of the right joint.
        second: The other bone.
        second_landmark: Its landmark.
        offset_mm: (3,) mean from the first landmark to the second.
        offset_sd_mm: (3,) standard deviations over people.
        rotation_deg: (3,) mean rotation vector of the second bone against the first.
        rotation_sd_deg: (3,) standard deviations, what the joint moves included.
        across: The second bone is the other side's.
    """

    first: Bone
    first_landmark: str
    second: Bone
    second_landmark: str
    offset_mm: tuple[float, float, float]
    offset_sd_mm: tuple[float, float, float]
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_sd_deg: tuple[float, float, float] = (180.0, 180.0, 180.0)
    across: bool = False

    def offset_precision(self) -> FloatArray:
        """(3,) 1 / mm²."""
        return np.asarray(1 / (np.square(self.offset_sd_mm) + SLIDING_MM**2))

    def rotation_precision(self) -> FloatArray:
        """(3,) 1 / rad²."""
        return np.asarray(1 / np.square(np.deg2rad(self.rotation_sd_deg)))


JOINTS: Final = (
    Joint(
        first=Bone.HIP_BONE,
        first_landmark="acetabular_centre",
        second=Bone.FEMUR,
        second_landmark="head_centre",
        offset_mm=(0.1, 0.5, 0.1),
        offset_sd_mm=(1.0, 0.4, 0.4),
    ),
    Joint(
        first=Bone.HIP_BONE,
        first_landmark="pubic_symphysis",
        second=Bone.HIP_BONE,
        second_landmark="pubic_symphysis",
        offset_mm=(6.6, -0.1, 0.1),
        offset_sd_mm=(3.9, 1.7, 2.1),
        rotation_sd_deg=(2.0, 5.5, 5.0),
        across=True,
    ),
    Joint(
        first=Bone.SACRUM,
        first_landmark="sacroiliac_centre_right",
        second=Bone.HIP_BONE,
        second_landmark="sacroiliac_centre",
        offset_mm=(-3.9, 0.4, -1.7),
        offset_sd_mm=(1.8, 4.0, 5.1),
        rotation_sd_deg=(4.0, 3.0, 3.0),
    ),
    Joint(
        first=Bone.FEMUR,
        first_landmark="intercondylar_notch",
        second=Bone.TIBIA,
        second_landmark="knee_centre",
        offset_mm=(-3.9, 3.3, -12.0),
        offset_sd_mm=(2.5, 20.0, 10.0),
        rotation_deg=(0.0, -0.7, -2.5),
        rotation_sd_deg=(60.0, 4.0, 7.0),
    ),
    Joint(
        first=Bone.FEMUR,
        first_landmark="intercondylar_notch",
        second=Bone.PATELLA,
        second_landmark="centre",
        offset_mm=(-3.4, -40.6, 28.0),
        offset_sd_mm=(4.0, 12.0, 20.0),
        rotation_deg=(0.0, -0.9, -2.6),
        rotation_sd_deg=(40.0, 6.0, 6.0),
    ),
    Joint(
        first=Bone.TIBIA,
        first_landmark="lateral_edge",
        second=Bone.FIBULA,
        second_landmark="apex",
        offset_mm=(7.2, 32.5, -3.4),
        offset_sd_mm=(4.1, 6.4, 4.0),
        rotation_deg=(0.3, 0.1, -0.5),
        rotation_sd_deg=(2.0, 2.0, 12.0),
    ),
    Joint(
        first=Bone.TIBIA,
        first_landmark="medial_malleolus",
        second=Bone.FIBULA,
        second_landmark="lateral_malleolus",
        offset_mm=(-36.4, 36.6, -13.8),
        offset_sd_mm=(5.9, 5.0, 5.7),
    ),
)
"""The knee's standard deviations are wider than the three people's whose knees are known: knees bend."""

LEADS: Final = {Bone.FIBULA: Bone.TIBIA, Bone.PATELLA: Bone.FEMUR}
"""Bones that are found from a neighbour: their own outline leaves their rotation or their place open."""

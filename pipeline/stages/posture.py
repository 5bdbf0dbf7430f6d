"""How a bone lies before a detector, before anything is seen: where a fit begins, and what pulls it back.

Angles are a right bone's, degrees, against the nominal view: tilt about the axis from right to left, yaw about the
long axis of the body; a left bone's yaw is the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pipeline.surface import Bone


@dataclass(frozen=True, kw_only=True)
class Posture:
    """What technologists' positioning leaves open.

    Attributes:
        starts_deg: (tilt, yaw) to begin with; an outline has local optima over these angles.
        yaw_deg: Mean rotation about the long axis.
        yaw_sd_deg: Its standard deviation.
        turn_sd_deg: By how much that rotation changes between two views, beyond the nominal quarter turn.
        tilt_sd_deg: Standard deviation of the rotation that foreshortens the bone: flexion in a frontal view, abduction
            in a lateral one.
        in_plane_sd_deg: Standard deviation of the rotation that the picture shows directly.
        turns_deg: Rotations in the picture's plane to try.
    """

    starts_deg: tuple[tuple[float, float], ...]
    yaw_deg: float
    yaw_sd_deg: float
    turn_sd_deg: float
    tilt_sd_deg: float
    in_plane_sd_deg: float
    turns_deg: tuple[float, ...]


FEMORAL: Final = Posture(
    starts_deg=((0.0, -36.0), (0.0, -14.0), (0.0, 8.0)),
    # Relaxed supine legs lie at -19 +- 13 degrees (turned out; our bones in CT); technologists turn them in, more or
    # less.
    yaw_deg=-12.0,
    yaw_sd_deg=15.0,
    turn_sd_deg=6.0,
    tilt_sd_deg=7.0,
    in_plane_sd_deg=40.0,
    turns_deg=(-45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0),
)

CRURAL: Final = Posture(
    starts_deg=((0.0, -36.0), (0.0, -14.0), (0.0, 8.0)),
    yaw_deg=-12.0,
    yaw_sd_deg=15.0,
    turn_sd_deg=6.0,
    tilt_sd_deg=9.0,
    in_plane_sd_deg=60.0,
    turns_deg=(-60.0, -45.0, -30.0, -15.0, 0.0, 15.0, 30.0, 45.0, 60.0),
)
"""Of the lower leg: a knee bends up to a right angle in a lateral view."""

PELVIC: Final = Posture(
    starts_deg=((-10.0, 0.0), (8.0, 0.0)),
    yaw_deg=0.0,
    yaw_sd_deg=5.0,
    turn_sd_deg=3.0,
    tilt_sd_deg=10.0,
    in_plane_sd_deg=8.0,
    turns_deg=(-10.0, 0.0, 10.0),
)

POSTURES: Final = {
    Bone.FEMUR: FEMORAL,
    Bone.HIP_BONE: PELVIC,
    Bone.SACRUM: PELVIC,
    Bone.TIBIA: CRURAL,
    Bone.FIBULA: CRURAL,
    Bone.PATELLA: CRURAL,
}

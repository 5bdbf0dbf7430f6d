"""Joints: a leg turns about its femoral head while the pelvis stays, a lower leg about the condyles' axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.bodies import LEG, Body
from models.training.bones import FloatArray, Kind
from pipeline.radiograph import Side

PATELLAR_SHARE = 0.65
"""By how much the patella follows when the knee bends, relative to the tibia (Nha 2008, J Orthop Res 26:1067)."""


@dataclass(frozen=True, kw_only=True)
class LegPose:
    """How one leg lies against the pelvis, in degrees from how it lay when it was scanned.

    Attributes:
        flexion: Of the hip; the knee comes to the front.
        abduction: Of the hip; the knee goes away from the midline.
        external_rotation: Of the femur about its own axis.
        knee_flexion: Of the knee; the foot goes to the back.
    """

    flexion: float = 0.0
    abduction: float = 0.0
    external_rotation: float = 0.0
    knee_flexion: float = 0.0


def pose_leg(body: Body, side: Side, pose: LegPose) -> Body:
    """The body with one leg moved; everything else stays where it is.

    Args:
        body: Levelled: its front faces to -y.
        side: Which leg.
        pose: How it lies.
    """
    bent = bend_knee(body, side, pose.knee_flexion)
    pivot = body.landmark(Kind.FEMUR, side, "head_centre")
    rotation = hip_rotation(side, pose)
    moved = {(kind, side) for kind in LEG}
    bones = {name: bone.moved(rotation, pivot) if name in moved else bone for name, bone in bent.bones.items()}
    return replace(bent, bones=bones)


def hip_rotation(side: Side, pose: LegPose) -> FloatArray:
    """Rotation (3, 3) of the femur: first about its long axis, then away from the midline, then to the front."""
    outwards = -1.0 if side is Side.RIGHT else 1.0
    external = Rotation.from_euler("z", outwards * pose.external_rotation, degrees=True)
    abduction = Rotation.from_euler("y", -outwards * pose.abduction, degrees=True)
    flexion = Rotation.from_euler("x", -pose.flexion, degrees=True)
    return np.asarray((flexion * abduction * external).as_matrix())


def bend_knee(body: Body, side: Side, degrees: float) -> Body:
    """The body with one knee bent about the axis through the femoral epicondyles."""
    if degrees == 0.0 or (Kind.TIBIA, side) not in body.bones:
        return body
    medial, lateral = (body.landmark(Kind.FEMUR, side, f"{end}_epicondyle") for end in ("medial", "lateral"))
    left = medial - lateral if side is Side.RIGHT else lateral - medial
    axis = left / np.linalg.norm(left)
    bones = dict(body.bones)
    for kind, share in ((Kind.TIBIA, 1.0), (Kind.FIBULA, 1.0), (Kind.PATELLA, PATELLAR_SHARE)):
        if (kind, side) in bones:
            rotation = Rotation.from_rotvec(np.radians(share * degrees) * axis).as_matrix()
            bones[kind, side] = bones[kind, side].moved(rotation, (medial + lateral) / 2)
    return replace(body, bones=bones)

"""The radiographs of pelvis, hip, knee and lower leg: what is shown, how the patient lies, where the tube stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.bodies import Body
from models.training.bones import FloatArray, Kind
from models.training.joints import LegPose
from models.training.positioning import Axes, Beam, Distances, geometry_around
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side, View

RIGHT_TO_LEFT = np.array([1.0, 0.0, 0.0])
FRONT_TO_BACK = np.array([0.0, 1.0, 0.0])
DOWN = np.array([0.0, 0.0, -1.0])

AS_SCANNED = LegPose()


class BoneField(StrEnum):
    """A radiograph as it is asked for."""

    PELVIS_AP = "pelvis AP"
    HIP_AP = "hip AP"
    HIP_FROG_LEG = "hip frog-leg"
    HIP_CROSS_TABLE = "hip cross-table"
    FEMUR_AP = "femur AP"
    FEMUR_LATERAL = "femur lateral"
    KNEE_AP = "knee AP"
    KNEE_LATERAL = "knee lateral"
    LOWER_LEG_AP = "lower leg AP"
    LOWER_LEG_LATERAL = "lower leg lateral"

    @property
    def lateral(self) -> bool:
        """Whether the beam crosses the body from side to side."""
        return self in {
            BoneField.HIP_CROSS_TABLE,
            BoneField.FEMUR_LATERAL,
            BoneField.KNEE_LATERAL,
            BoneField.LOWER_LEG_LATERAL,
        }

    @property
    def needs_pelvis(self) -> bool:
        """Whether hip bones are what it is taken for."""
        return self in {
            BoneField.PELVIS_AP,
            BoneField.HIP_AP,
            BoneField.HIP_FROG_LEG,
            BoneField.HIP_CROSS_TABLE,
        }

    @property
    def needs_lower_leg(self) -> bool:
        """Whether tibia and fibula are in it."""
        return not self.needs_pelvis


@dataclass(frozen=True, kw_only=True)
class FieldSetup(Distances):
    """A radiograph as it is set up.

    Attributes:
        field: What it is to show.
        side: Of the leg in question; for a pelvis, either.
        pose: How that leg lies.
        other_pose: How the other leg lies; None where it is out of the beam.
        tilt_degrees: Rotation vector by which tube and detector turn against the nominal view, LPS axes.
        columns_reversed: The picture is seen from the detector's back.
        part: Of a lower leg, which stretch is to be shown: shares of its length from the knee down.
        from_medial: Lateral only: the beam enters through the medial side.
    """

    field: BoneField
    side: Side
    pose: LegPose = AS_SCANNED
    other_pose: LegPose | None = None
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    columns_reversed: bool = False
    part: tuple[float, float] = (0.0, 1.0)
    from_medial: bool = True

    @property
    def view(self) -> View:
        """As the technologist's console calls it; a frog-leg is taken from the front."""
        return View.LATERAL if self.field.lateral else View.AP

    @property
    def beam(self) -> Beam:
        """Through which side a lateral beam enters."""
        return "ML" if self.from_medial else "LM"

    @property
    def sides_look_exchanged(self) -> bool:
        """Whether a right bone looks like a left one in the picture.

        In a frontal view a right bone looks right when the patient's right is at the picture's left. A lateral view of
        a right leg and the mirrored one of a left leg are the same picture: what has its front at the left is called
        right.
        """
        if self.field.lateral:
            return (self.side is Side.RIGHT) is self.columns_reversed
        return self.columns_reversed


def sample_setup(field: BoneField, side: Side, rng: np.random.Generator, *, slips: float = 1.0) -> FieldSetup:
    """A setup as one meets them; `slips` scales how far tube and detector turn against the nominal view."""
    tilt = np.clip(rng.normal(0, [5.0, 4.0, 5.0]), -15, 15) * slips
    left, top, right, bottom = (float(value) for value in rng.uniform(-5, 60, 4))
    far = rng.random() < 0.25
    return FieldSetup(
        field=field,
        side=side,
        pose=_sample_pose(field, rng),
        other_pose=_sample_other_pose(field, rng),
        tilt_degrees=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        source_to_detector_mm=float(rng.uniform(1250, 1800) if far else rng.uniform(900, 1250)),
        bone_to_detector_mm=float(rng.uniform(20, 200)),
        off_centre_mm=(float(rng.normal(0, 20)), float(rng.normal(0, 25))),
        margins_mm=(left, top, right, bottom),
        columns_reversed=bool(rng.random() < (0.5 if field.lateral else 0.03)),
        from_medial=bool(rng.random() < 0.6),
    )


PARTS = ((0.0, 1.0), (0.35, 1.0), (0.6, 1.0), (0.0, 0.6))
"""Of lower legs: whole, towards the ankle, the ankle, towards the knee."""


def with_part(setup: FieldSetup, rng: np.random.Generator) -> FieldSetup:
    """The setup, of a lower leg often of a part only: cassettes are shorter than many legs."""
    if setup.field not in {BoneField.LOWER_LEG_AP, BoneField.LOWER_LEG_LATERAL}:
        return setup
    return replace(setup, part=PARTS[int(rng.choice(len(PARTS), p=(0.5, 0.2, 0.2, 0.1)))])


def _sample_pose(field: BoneField, rng: np.random.Generator) -> LegPose:
    """Legs lie turned out when scanned; technologists turn them in for AP views, out and up for a frog-leg."""
    if field is BoneField.HIP_FROG_LEG:
        return LegPose(
            flexion=float(rng.uniform(20, 60)),
            abduction=float(rng.uniform(15, 45)),
            external_rotation=float(rng.uniform(10, 45)),
            knee_flexion=float(rng.uniform(40, 90)),
        )
    bent = field in {BoneField.KNEE_LATERAL, BoneField.LOWER_LEG_LATERAL, BoneField.FEMUR_LATERAL}
    return LegPose(
        flexion=float(rng.normal(0, 4)),
        abduction=float(rng.normal(2, 5)),
        external_rotation=float(rng.normal(-10 if not field.lateral else -14, 9)),
        knee_flexion=float(rng.uniform(5, 55) if bent else rng.uniform(0, 8)),
    )


def _sample_other_pose(field: BoneField, rng: np.random.Generator) -> LegPose | None:
    """The other leg beside this one, in a frog-leg of both hips, or out of the beam."""
    if field is BoneField.HIP_FROG_LEG:
        return _sample_pose(field, rng) if rng.random() < 0.5 else _sample_pose(BoneField.HIP_AP, rng)
    if field.lateral or rng.random() > {BoneField.PELVIS_AP: 1.0, BoneField.HIP_AP: 0.9}.get(field, 0.15):
        return None
    return _sample_pose(field, rng)


def place(body: Body, setup: FieldSetup, *, longest_side: int) -> ProjectionGeometry:
    """Source and detector of a setup.

    Args:
        body: In the setup's pose.
        setup: The radiograph as it is set up.
        longest_side: Pixels along the detector's longer side.
    """
    turn = Rotation.from_rotvec(np.radians(setup.tilt_degrees)).as_matrix()
    beam, across, down = (turn @ axis for axis in _nominal_axes(setup))
    axes = Axes(beam=beam, across=-across if setup.columns_reversed else across, down=down)
    return geometry_around(_to_show(body, setup), axes, setup, longest_side=longest_side)


def _nominal_axes(setup: FieldSetup) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Beam, column and row directions of the untilted view: the patient's right, or front, at the picture's left."""
    outwards = RIGHT_TO_LEFT * (-1.0 if setup.side is Side.RIGHT else 1.0)
    if setup.field is BoneField.HIP_CROSS_TABLE:
        # Square to a femoral neck that rises by 45 degrees (Danelius-Miller).
        return (outwards - DOWN) / np.sqrt(2), FRONT_TO_BACK, (outwards + DOWN) / np.sqrt(2)
    if setup.field.lateral:
        return outwards if setup.from_medial else -outwards, FRONT_TO_BACK, DOWN
    return FRONT_TO_BACK, RIGHT_TO_LEFT, DOWN


def _to_show(body: Body, setup: FieldSetup) -> FloatArray:
    """(N, 3) mm, the points that the field is set up around."""
    side = setup.side
    femur = body.bones[Kind.FEMUR, side].mesh.vertices
    head = body.landmark(Kind.FEMUR, side, "head_centre")
    notch = body.landmark(Kind.FEMUR, side, "intercondylar_notch")
    length = float(np.linalg.norm(head - notch))
    if setup.field is BoneField.PELVIS_AP:
        hips = [body.bones[Kind.HIP_BONE, each].mesh.vertices for each in Side]
        heads = [body.landmark(Kind.FEMUR, each, "greater_trochanter")[None] for each in Side]
        return np.concatenate([*hips, *heads])
    if setup.field.needs_pelvis:
        shown = femur[np.linalg.norm(femur - head, axis=1) < 0.36 * length]
        hip = body.bones[Kind.HIP_BONE, side].mesh.vertices
        return np.concatenate([shown, hip[np.linalg.norm(hip - head, axis=1) < 62]])
    if setup.field in {BoneField.FEMUR_AP, BoneField.FEMUR_LATERAL}:
        return femur
    if setup.field in {BoneField.KNEE_AP, BoneField.KNEE_LATERAL}:
        near = [
            bone.mesh.vertices[np.linalg.norm(bone.mesh.vertices - notch, axis=1) < 0.25 * length]
            for (kind, each), bone in body.bones.items()
            if each is side and kind in {Kind.FEMUR, Kind.TIBIA, Kind.PATELLA}
        ]
        return np.concatenate(near)
    leg = np.concatenate([body.bones[kind, side].mesh.vertices for kind in (Kind.TIBIA, Kind.FIBULA)])
    knee, ankle = (body.landmark(Kind.TIBIA, side, f"{joint}_centre") for joint in ("knee", "ankle"))
    along = (leg - knee) @ (ankle - knee) / ((ankle - knee) @ (ankle - knee))
    first, last = setup.part
    # What lies beyond a joint belongs to the end that is shown.
    return leg[((along > first) | (first <= 0)) & ((along < last) | (last >= 1))]

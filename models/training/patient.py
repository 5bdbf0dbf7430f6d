"""A patient for any radiograph of pelvis and leg: single bones with their cores, and the soft parts around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.training.bodies import LEG, LOWER_LEG, Body, PlacedBone
from models.training.bones import FloatArray, Kind
from models.training.cortex import core_of_flat_bone, core_of_long_bone
from models.training.feet import soft_foot
from models.training.fields import BoneField, FieldSetup
from models.training.joints import pose_leg
from models.training.primitives import Mesh, ellipsoid, tube
from models.training.raycast import Layer
from models.training.tissue import Build, leg, sample_build, trunk
from models.training.variation import Warp
from pipeline.radiograph import Side
from pipeline.surface import Name

_CORTEX_SHARE = {Kind.FEMUR: 1.0, Kind.TIBIA: 0.85, Kind.FIBULA: 0.55}
"""Thickness of the shaft's cortex relative to the femur's."""

_BEYOND_THE_TRUNK = {
    BoneField.KNEE_AP,
    BoneField.KNEE_LATERAL,
    BoneField.LOWER_LEG_AP,
    BoneField.LOWER_LEG_LATERAL,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Patient:
    """Everything that the beam passes.

    Attributes:
        body: In the pose of the radiograph, with cores; only what can lie in the beam.
        others: Bones that nobody looks for: vertebrae, the foot.
        soft: Closed meshes per soft tissue.
    """

    body: Body
    others: Sequence[Mesh]
    soft: Mapping[Layer, Sequence[Mesh]]


def vary_body(body: Body, side: Side, rng: np.random.Generator, *, strength: float = 1.0) -> Body:
    """Somebody who is like this person, but is not. Torsion is left to the pose."""
    points = np.concatenate([bone.mesh.vertices for bone in body.bones.values()])
    head = body.landmark(Kind.FEMUR, side, "head_centre")
    knee_z = float(body.landmark(Kind.FEMUR, side, "intercondylar_notch")[2])
    warp = Warp(points, head, knee_z, rng, strength=strength, torsion_degrees=0.0, bumps=60)
    return replace(body, bones={name: bone.mapped(warp.points) for name, bone in body.bones.items()})


def build_patient(body: Body, setup: FieldSetup, rng: np.random.Generator) -> Patient:
    """Put a patient around a body, in the pose of a radiograph.

    Args:
        body: As scanned, levelled.
        setup: The radiograph as it is set up.
        rng: Source of what is not known: build, cortex.
    """
    build, quality = sample_build(rng), float(rng.uniform(0.55, 1.15))
    midline = np.asarray(np.mean([body.landmark(Kind.FEMUR, side, "head_centre") for side in Side], axis=0))
    seen = {name: bone for name, bone in body.bones.items() if _in_the_beam(name, setup)}
    cored = {name: replace(bone, core=_core(name[0], bone, quality)) for name, bone in seen.items()}
    posed = pose_leg(replace(body, bones=cored), setup.side, setup.pose)
    if setup.other_pose is not None:
        posed = pose_leg(posed, setup.side.other, setup.other_pose)
    others = _foot(posed, setup.side)
    if (Kind.SACRUM, None) in posed.bones:
        others += _vertebrae(posed.bones[Kind.SACRUM, None], rng)
    return Patient(body=posed, others=others, soft=_soft_parts(posed, setup, midline, build, rng))


def _in_the_beam(name: Name, setup: FieldSetup) -> bool:
    kind, side = name
    if kind not in LEG:
        return setup.field not in _BEYOND_THE_TRUNK
    if side is setup.side:
        return True
    return setup.other_pose is not None and kind not in LOWER_LEG


def _core(kind: Kind, bone: PlacedBone, quality: float) -> Mesh:
    if kind not in _CORTEX_SHARE:
        return core_of_flat_bone(bone.mesh, thickness_mm=1.2 * quality)
    heights = bone.mesh.vertices[:, 2]
    return core_of_long_bone(
        bone.mesh,
        length_mm=float(np.ptp(heights)),
        top_z=float(heights.max()),
        thickness=_CORTEX_SHARE[kind] * quality,
    )


def _vertebrae(sacrum: PlacedBone, rng: np.random.Generator) -> list[Mesh]:
    """The last lumbar vertebrae: waisted blocks with transverse and spinous processes, leaning as the lordosis does."""
    base, size = sacrum.landmarks["endplate_centre"], rng.uniform(0.9, 1.1)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    section = (abs(np.cos(angles) / 26) ** 2.5 + abs(np.sin(angles) / 18) ** 2.5) ** (-1 / 2.5)
    waist = np.array([0.9, 1.0, 0.87, 0.84, 0.87, 1.0, 0.9])[:, None]
    heights = np.array([-14.0, -12, -6, 0, 6, 12, 14])[:, None] * np.array([0.0, 0.0, 1.0])
    meshes = []
    for level in range(4):
        middle = base + size * np.array([0.0, -4.0 * level - 4, 22 + 36.0 * level])
        meshes.append(tube(middle + size * heights, size * waist * section, np.array([1.0, 0, 0])))
        meshes.append(ellipsoid(middle + size * np.array([0.0, 30, 2]), size * np.diag([42.0, 5, 6])))
        meshes.append(ellipsoid(middle + size * np.array([0.0, 52, -6]), size * np.diag([4.0, 22, 10])))
    return meshes


def _foot(body: Body, side: Side) -> list[Mesh]:
    """The foot under the tibia; talus and heel as rounded bodies where nobody's is known."""
    tibia = body.bones.get((Kind.TIBIA, side))
    if tibia is None:
        return []
    if body.foot:
        return body.foot.under(tibia.landmarks, side)
    ankle = tibia.landmarks["ankle_centre"]
    down = ankle - tibia.landmarks["knee_centre"]
    down = down / np.linalg.norm(down)
    across = tibia.landmarks["medial_edge"] - tibia.landmarks["lateral_edge"]
    across = across / np.linalg.norm(across)
    frame = np.stack([across, np.cross(down, across), down])
    talus = ellipsoid(ankle + 14.0 * down, np.array([[17.0], [24.0], [12.5]]) * frame)
    behind = frame[1] * np.sign(frame[1] @ (ankle - tibia.landmarks["tibial_tuberosity"]))
    heel = ellipsoid(ankle + 42.0 * down + 26.0 * behind, np.array([[16.0], [36.0], [19.0]]) * frame)
    return [talus, heel]


def _soft_parts(
    body: Body, setup: FieldSetup, midline: FloatArray, build: Build, rng: np.random.Generator
) -> dict[Layer, Sequence[Mesh]]:
    skin, muscle, seed = list[Mesh](), list[Mesh](), int(rng.integers(2**31))
    for side in Side:
        if (Kind.FEMUR, side) in body.bones:
            outer, inner = leg(*_leg_points(body, side), _medial(side), build, np.random.default_rng(seed))
            skin, muscle = [*skin, *outer], [*muscle, *inner]
        if (Kind.TIBIA, side) in body.bones:
            skin += soft_foot(body.bones[Kind.TIBIA, side].landmarks, side)
    if setup.field in _BEYOND_THE_TRUNK:
        return {Layer.SKIN: skin, Layer.MUSCLE: muscle}
    outer, inner = trunk(midline, np.array([0.0, 0.0, 1.0]), build, rng)
    # Bowel gas is shown where the trunk is; a beam across the table passes the hip, not the bowels.
    bowels = [] if setup.field is BoneField.HIP_CROSS_TABLE else outer
    return {Layer.SKIN: [*skin, *outer], Layer.MUSCLE: [*muscle, *inner], Layer.TRUNK: bowels}


def _medial(side: Side) -> FloatArray:
    return np.array([1.0 if side is Side.RIGHT else -1.0, 0.0, 0.0])


def _leg_points(body: Body, side: Side) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Hip, knee and ankle; without a tibia the lower leg goes on where the femur points."""
    hip = body.landmark(Kind.FEMUR, side, "head_centre")
    knee = body.landmark(Kind.FEMUR, side, "intercondylar_notch")
    tibia = body.bones.get((Kind.TIBIA, side))
    return hip, knee, knee + 0.92 * (knee - hip) if tibia is None else tibia.landmarks["ankle_centre"]

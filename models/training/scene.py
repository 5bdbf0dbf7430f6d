"""A patient on the table: one femur, the bones and soft parts around it, in a pose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.anatomy import Anatomy
from models.training.cortex import core_of_flat_bone, core_of_long_bone
from models.training.pelvis import build_hip_bone, build_sacrum
from models.training.primitives import Mesh
from models.training.raycast import Layer
from models.training.tissue import Build, leg, sample_build, trunk
from models.training.variation import mirror
from pipeline.geometry import FloatArray
from pipeline.stages.perceive import Landmark

_PELVIC = ("hip_", "pelvis_", "sacrum_")
_LOWER_LEG = ("tibia", "fibula", "patella")
_TYPICAL_HEAD_DISTANCE = 176.0
"""Between the centres of an adult's femoral heads, mm."""


@dataclass(frozen=True, kw_only=True)
class Pose:
    """How the rest of the patient lies relative to the femur, in degrees.

    Attributes:
        flexion: Of the hip; the knee comes to the front.
        abduction: Of the hip; the knee goes away from the midline.
        external_rotation: Of the femur.
        knee_flexion: Of the knee.
        other_leg: Whether the other leg lies beside this one (else it is lifted or moved out of the beam).
    """

    flexion: float = 0.0
    abduction: float = 0.0
    external_rotation: float = 0.0
    knee_flexion: float = 0.0
    other_leg: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """Everything that the beam passes.

    Attributes:
        anatomy: The femur in question, with its landmarks.
        meshes: Closed meshes per tissue, mm LPS in the femur's frame.
    """

    anatomy: Anatomy
    meshes: Mapping[Layer, Sequence[Mesh]]


def build_scene(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    pose: Pose | None = None,
    knee_donors: Sequence[Anatomy] = (),
    procedural_pelvis: bool = False,
) -> Scene:
    """Put a patient around a femur.

    Args:
        anatomy: The femur and what the collection has around it.
        rng: Source of everything that is not known: build, cortex, pelvis, donors.
        pose: How the patient lies; straight when None.
        knee_donors: People whose lower leg is used where this one's is missing.
        procedural_pelvis: Use a pelvis made of simple bodies even where the person's own is known.
    """
    pose = pose or Pose()
    build, quality = sample_build(rng), rng.uniform(0.55, 1.15)
    medial = -anatomy.lateral
    turn = _turner(anatomy.head_centre, _pelvis_rotation(pose, float(medial[0])))
    midline = anatomy.head_centre + medial * (_head_distance(anatomy, rng) / 2)
    pelvis = [] if procedural_pelvis else [m for n, m in anatomy.neighbours.items() if n.startswith(_PELVIC)]
    bones = pelvis or _procedural_pelvis(anatomy, midline, rng)
    ankle = anatomy.knee + np.array([0.0, 0.0, -0.92]) * np.linalg.norm(anatomy.head_centre - anatomy.knee)
    bend = _turner(anatomy.knee, Rotation.from_euler("x", -pose.knee_flexion, degrees=True).as_matrix())
    lower = _lower_leg(anatomy, knee_donors, rng)
    other = _other_femur(anatomy, midline) if pose.other_leg else []
    skin, muscle, body = _soft_parts(anatomy, midline, turn, bend(ankle), build, rng, other_leg=pose.other_leg)
    moved = [mesh.moved(turn(mesh.vertices)) for mesh in [*bones, *other]]
    bent = [mesh.moved(bend(mesh.vertices)) for mesh in lower]
    shell = quality * rng.uniform(0.8, 1.6)
    cores = [core_of_flat_bone(mesh, thickness_mm=shell) for mesh in moved[: len(bones)]]
    cores += [_femur_core(mesh, anatomy, quality) for mesh in moved[len(bones) :]]
    cores += [core_of_flat_bone(mesh, thickness_mm=1.8 * shell) for mesh in bent]
    return Scene(
        anatomy=anatomy,
        meshes={
            Layer.FEMUR: [anatomy.femur],
            Layer.FEMUR_CORE: [_femur_core(anatomy.femur, anatomy, quality)],
            Layer.BONE: [*moved, *bent],
            Layer.BONE_CORE: cores,
            Layer.SKIN: skin,
            Layer.MUSCLE: muscle,
            Layer.TRUNK: body,
        },
    )


def _turner(pivot: FloatArray, rotation: FloatArray) -> Callable[[FloatArray], FloatArray]:
    return lambda points: np.asarray((points - pivot) @ rotation.T + pivot)


def _pelvis_rotation(pose: Pose, medial_x: float) -> FloatArray:
    """Rotation of everything but the femur that brings about a pose of the femur."""
    external = Rotation.from_euler("z", medial_x * pose.external_rotation, degrees=True)
    abduction = Rotation.from_euler("y", -medial_x * pose.abduction, degrees=True)
    flexion = Rotation.from_euler("x", pose.flexion, degrees=True)
    return (external * abduction * flexion).as_matrix()


def _head_distance(anatomy: Anatomy, rng: np.random.Generator) -> float:
    sacrum = anatomy.neighbours.get("sacrum_C")
    if sacrum is not None:
        return 2 * abs(float(sacrum.vertices[:, 0].mean() - anatomy.head_centre[0]))
    return float(_TYPICAL_HEAD_DISTANCE * anatomy.head_radius / 24 * rng.uniform(0.93, 1.07))


def _procedural_pelvis(anatomy: Anatomy, midline: FloatArray, rng: np.random.Generator) -> list[Mesh]:
    medial = -anatomy.lateral
    seed = int(rng.integers(2**31))
    other_head = 2 * midline - anatomy.head_centre
    both = [
        build_hip_bone(head, anatomy.head_radius, direction, np.random.default_rng(seed))
        for head, direction in ((anatomy.head_centre, medial), (other_head, -medial))
    ]
    return [*both[0], *both[1], *build_sacrum(midline, anatomy.head_radius / 24, rng)]


def _other_femur(anatomy: Anatomy, midline: FloatArray) -> list[Mesh]:
    known = [mesh for name, mesh in anatomy.neighbours.items() if name.startswith("femur") and name[-1] != anatomy.side]
    return known or [anatomy.femur.mirrored(midline_x=float(midline[0]))]


def _femur_core(mesh: Mesh, anatomy: Anatomy, quality: float) -> Mesh:
    length = float(np.linalg.norm(anatomy.head_centre - anatomy.knee)) + anatomy.head_radius
    return core_of_long_bone(mesh, length_mm=length, top_z=float(mesh.vertices[:, 2].max()), thickness=quality)


def _lower_leg(anatomy: Anatomy, donors: Sequence[Anatomy], rng: np.random.Generator) -> list[Mesh]:
    own = _lower_leg_bones(anatomy)
    if own or not donors or not anatomy.whole:
        return own
    donor = donors[int(rng.integers(len(donors)))]
    donor = donor if donor.side is anatomy.side else mirror(donor)
    (source, source_frame), (target, target_frame) = _knee_frame(donor), _knee_frame(anatomy)
    return [
        mesh.moved((mesh.vertices - source) @ np.linalg.inv(source_frame) @ target_frame + target)
        for mesh in _lower_leg_bones(donor)
    ]


def _lower_leg_bones(anatomy: Anatomy) -> list[Mesh]:
    wanted = {f"{bone}_{anatomy.side}" for bone in _LOWER_LEG}
    return [mesh for name, mesh in anatomy.neighbours.items() if name in wanted]


def _knee_frame(anatomy: Anatomy) -> tuple[FloatArray, FloatArray]:
    """Origin and rows of axes of the knee; the axes are as long as the epicondyles are apart."""
    medial, lateral = anatomy.landmarks[Landmark.MEDIAL_EPICONDYLE], anatomy.landmarks[Landmark.LATERAL_EPICONDYLE]
    across = lateral - medial
    width = np.linalg.norm(across)
    up = anatomy.head_centre - anatomy.knee
    up = up - (up @ across) / width**2 * across
    up = up / np.linalg.norm(up) * width
    return anatomy.knee, np.stack([across, up, np.cross(across, up) / width])


def _soft_parts(
    anatomy: Anatomy,
    midline: FloatArray,
    turn: Callable[[FloatArray], FloatArray],
    ankle: FloatArray,
    build: Build,
    rng: np.random.Generator,
    *,
    other_leg: bool,
) -> tuple[list[Mesh], list[Mesh], list[Mesh]]:
    """Skin, muscle and the trunk's outline."""
    medial = -anatomy.lateral
    seed = int(rng.integers(2**31))
    skin, muscle = leg(anatomy.head_centre, anatomy.knee, ankle, medial, build, np.random.default_rng(seed))
    up = turn(anatomy.head_centre + np.array([0.0, 0.0, 1.0])) - anatomy.head_centre
    body_skin, body_muscle = trunk(turn(midline), up, build, rng)
    if other_leg:
        flip = np.array([-1.0, 1.0, 1.0])
        shift = np.array([2 * midline[0], 0.0, 0.0])
        points = [turn(point * flip + shift) for point in (anatomy.head_centre, anatomy.knee, ankle)]
        other_skin, other_muscle = leg(points[0], points[1], points[2], -medial, build, np.random.default_rng(seed))
        skin, muscle = [*skin, *other_skin], [*muscle, *other_muscle]
    return [*skin, *body_skin], [*muscle, *body_muscle], body_skin

"""How bones lie against each other in people: the prior of a fit in which several bones share one frame.

    python -m models.training.joint_offsets --data DATA

For every joint, where a landmark of one bone lies from a landmark of the other, in the frame of the first one's shape
model (right side; left joints are mirrored): mean and standard deviation per axis, in mm.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.bodies import PELVIS_ELSEWHERE, PlacedBone, load_placed_bones
from models.training.bone_dataset import read_models
from models.training.bones import FloatArray, Kind
from models.training.build_shape_model import CACHE
from models.training.dataset import read_folds
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel
from pipeline.surface import Name

Point = tuple[Kind, str]


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Two landmarks that lie near each other.

    Attributes:
        name: Of the joint.
        first: Bone in whose frame the offset is given, and its landmark.
        second: The other bone and its landmark.
        across: Whether the second bone is the other side's.
    """

    name: str
    first: Point
    second: Point
    across: bool = False


JOINTS = (
    Joint(name="hip", first=(Kind.HIP_BONE, "acetabular_centre"), second=(Kind.FEMUR, "head_centre")),
    Joint(
        name="symphysis",
        first=(Kind.HIP_BONE, "pubic_symphysis"),
        second=(Kind.HIP_BONE, "pubic_symphysis"),
        across=True,
    ),
    Joint(
        name="sacroiliac",
        first=(Kind.SACRUM, "sacroiliac_centre_right"),
        second=(Kind.HIP_BONE, "sacroiliac_centre"),
    ),
    Joint(name="knee", first=(Kind.FEMUR, "intercondylar_notch"), second=(Kind.TIBIA, "knee_centre")),
    Joint(name="patella", first=(Kind.FEMUR, "intercondylar_notch"), second=(Kind.PATELLA, "centre")),
    Joint(name="upper tibiofibular", first=(Kind.TIBIA, "lateral_edge"), second=(Kind.FIBULA, "apex")),
    Joint(name="malleoli", first=(Kind.TIBIA, "medial_malleolus"), second=(Kind.FIBULA, "lateral_malleolus")),
)


def offsets(
    joint: Joint, bones: Mapping[Name, PlacedBone], models: Mapping[Kind, ShapeModel]
) -> dict[Side, FloatArray]:
    """(3,) mm from the first landmark to the second, for every side on which both bones are there.

    Args:
        joint: Which joint.
        bones: Of one person.
        models: Shape models; the first bone's gives the frame.
    """
    found = {}
    for side in Side:
        first, second = _bone(bones, joint.first[0], side), _bone(bones, joint.second[0], side)
        if joint.across:
            other = _bone(bones, joint.second[0], side.other)
            second = other.mirrored() if other else None
        if first and second:
            turn = _to_model(first, models[joint.first[0]])
            found[side] = turn @ (second.landmarks[joint.second[1]] - first.landmarks[joint.first[1]])
    return found


def _bone(bones: Mapping[Name, PlacedBone], kind: Kind, side: Side) -> PlacedBone | None:
    """A bone as a right one: a left one, or the sacrum seen for the left joint, is mirrored."""
    bone = bones.get((kind, None if kind is Kind.SACRUM else side))
    if bone is None or side is Side.RIGHT:
        return bone
    image = bone.mirrored()
    if kind is not Kind.SACRUM:
        return image
    swap = {"right": "left", "left": "right"}
    renamed = {
        f"{stem}_{swap[end]}" if end in swap else name: point
        for name, point in image.landmarks.items()
        for stem, _, end in [name.rpartition("_")]
    }
    return PlacedBone(mesh=image.mesh, landmarks=renamed)


def _to_model(bone: PlacedBone, model: ShapeModel) -> FloatArray:
    """Rotation (3, 3) from where a right bone lies into the frame of its model, from their landmarks."""
    here = np.stack([bone.landmarks[name] for name in model.landmarks])
    there = np.stack([landmark.position(model.mean) for landmark in model.landmarks.values()])
    rotation, _ = Rotation.align_vectors(there - there.mean(axis=0), here - here.mean(axis=0))
    return np.asarray(rotation.as_matrix())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--cache", type=Path, default=CACHE)
    given = parser.parse_args()
    models = read_models()
    people = [person for person, fold in read_folds().items() if isinstance(fold, int)]
    everybody = load_placed_bones(given.data, people, models, cache=given.cache)
    for joint in JOINTS:
        pelvic = {Kind.HIP_BONE, Kind.SACRUM} & {joint.first[0], joint.second[0]}
        asked = {p: bones for p, bones in everybody.items() if not (pelvic and p in PELVIS_ELSEWHERE)}
        found = {person: list(offsets(joint, bones, models).values()) for person, bones in asked.items()}
        values = np.array([value for each in found.values() for value in each])
        count = sum(bool(each) for each in found.values())
        mean, sd = values.mean(axis=0).round(1), values.std(axis=0, ddof=1).round(1)
        print(f"| {joint.name} | {count} | {len(values)} | {' / '.join(map(str, mean))} | {' / '.join(map(str, sd))} |")


if __name__ == "__main__":
    main()

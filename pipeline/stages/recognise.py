"""Which of the patient's bones a picture shows: from how bones look to bones and sides.

A network says what looks like a right or a left bone (`pipeline.stages.perceive.Looks`); how the picture hangs and what
the sender said make the patient's sides of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.radiograph import Side
from pipeline.stages.calibrate import Calibration
from pipeline.stages.perceive import Looks, Perception, other_side
from pipeline.surface import SIDE_WORDS, Bone, Name

LEAST_SHARE: Final = {
    Bone.FEMUR: 0.02,
    Bone.HIP_BONE: 0.02,
    Bone.SACRUM: 0.01,
    Bone.TIBIA: 0.02,
    Bone.FIBULA: 0.008,
    Bone.PATELLA: 0.008,
}
"""Of the field: a smaller shadow is a corner of a bone, or none."""

SAME_BONE_OVERLAP: Final = 0.5
"""Two shadows of which this share of the smaller lies in the larger are one bone that looks like either side's."""

ONLY_FRONTAL: Final = frozenset({Bone.HIP_BONE, Bone.SACRUM})
"""In lateral views both halves of the pelvis cover each other: their outlines are not told apart well enough."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recognised:
    """What one picture shows.

    Attributes:
        bones: The bones in it.
        side: Of the leg that it shows, where there is only one.
        notes: What the reader should know, in sentences.
    """

    bones: Mapping[Name, Perception]
    side: Side | None
    notes: tuple[str, ...] = ()


def recognise(seen: Mapping[Looks, Perception], calibration: Calibration, *, side: Side | None) -> Recognised:
    """Name the bones of one picture.

    Args:
        seen: What the network of many bones made of it.
        calibration: Of the picture; it tells the view and how the picture hangs.
        side: As the sender said.
    """
    there = {looks: found for looks, found in seen.items() if found.share >= LEAST_SHARE[looks[0]]}
    frontal = calibration.view.is_frontal
    paired = [_of_kind(there, bone, frontal=frontal) for bone in (Bone.FEMUR, Bone.HIP_BONE)]
    both = frontal and max(map(len, paired)) > 1
    leg, notes = (None, ()) if both else _side_of_leg(paired, calibration, side)
    bones: dict[Name, Perception] = {}
    for found in paired:
        for (bone, looks), perception in found.items():
            bones[bone, leg or _patients(looks, calibration)] = perception
    single = [bone for bone, looks in there if looks is None and bone is not Bone.SACRUM]
    for bone in single if leg else []:
        bones[bone, leg] = there[bone, None]
    if both and single:
        notes = (f"Both legs are in the picture: whose {_listed(single)} it shows is not told apart, it is left out.",)
    if frontal and (Bone.SACRUM, None) in there:
        bones[Bone.SACRUM, None] = _hung(there[Bone.SACRUM, None], calibration)
    kept = {name: found for name, found in bones.items() if frontal or name[0] not in ONLY_FRONTAL}
    return Recognised(bones=kept, side=leg, notes=notes)


def _listed(bones: Sequence[Bone]) -> str:
    return " and ".join(bone.words for bone in bones)


def _hung(sacrum: Perception, calibration: Calibration) -> Perception:
    """A sacrum's landmarks named by the patient's sides rather than by how they look."""
    if _patients(Side.RIGHT, calibration) is Side.RIGHT:
        return sacrum
    return replace(sacrum, landmarks={other_side(name): found for name, found in sacrum.landmarks.items()})


def _of_kind(there: Mapping[Looks, Perception], bone: Bone, *, frontal: bool) -> dict[Looks, Perception]:
    """The bones of a kind that come in pairs, the larger first: one in a lateral view, else one or two."""
    found = sorted((each for each in there.items() if each[0][0] is bone), key=lambda each: -each[1].share)
    if len(found) == 2 and (not frontal or _overlap(found[0][1], found[1][1]) > SAME_BONE_OVERLAP):
        found = found[:1]
    return dict(found)


def _overlap(larger: Perception, smaller: Perception) -> float:
    inside = (larger.mask > 0.5) & (smaller.mask > 0.5)
    return float(inside.sum() / max((smaller.mask > 0.5).sum(), 1))


def _side_of_leg(
    paired: Sequence[Mapping[Looks, Perception]], calibration: Calibration, said: Side | None
) -> tuple[Side, tuple[str, ...]]:
    """The side of the one leg that is shown, by the femur rather than by the hip bone."""
    looks = [looks for found in paired for _, looks in found]
    if not calibration.view.is_frontal or not looks:
        assumed = "Nobody says which side is shown: the right one is assumed."
        return said or Side.RIGHT, () if said else (assumed,)
    seen = _patients(looks[0], calibration)
    if said is None:
        return seen, (f"Nobody says which side is shown: it looks like the {SIDE_WORDS[seen]} one.",)
    if seen is not said:
        return said, (
            f"The sender calls the side {SIDE_WORDS[said]}, but it looks like the {SIDE_WORDS[seen]} one: "
            "the picture may be mirrored, or the side wrong.",
        )
    return said, ()


def _patients(looks: Side | None, calibration: Calibration) -> Side:
    """The patient's side of a bone in a frontal view, from how the picture hangs."""
    right_looks_right = float(calibration.geometry.column_direction @ np.array([1.0, 0.0, 0.0])) > 0
    return Side.RIGHT if (looks is Side.RIGHT) == right_looks_right else Side.LEFT

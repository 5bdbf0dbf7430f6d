"""From how bones look to the patient's bones and sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.radiograph import Acquisition, Radiograph, Side, View
from pipeline.stages.calibrate import calibrate
from pipeline.stages.perceive import BONES, Perception, SeenLandmark
from pipeline.stages.recognise import recognise
from pipeline.surface import Bone

WHOLE = (slice(10, 90), slice(10, 45))
OTHER = (slice(10, 90), slice(55, 90))


def perception(*where: tuple[slice, slice]) -> Perception:
    mask = np.zeros((100, 100), dtype=np.float32)
    for place in where:
        mask[place] = 1
    return Perception(mask=mask, working_to_pixel=np.eye(2, 3), field=np.ones((100, 100), dtype=np.bool_), landmarks={})


def seen(**masks: tuple[slice, slice]) -> dict:
    """Perceptions of all bones, empty but for those named like `femur_R` or `sacrum`."""
    names = {f"{bone}_{side}" if side else str(bone): (bone, side) for bone, side in BONES}
    there = {names[name]: perception(place) for name, place in masks.items()}
    return {looks: there.get(looks, perception()) for looks in BONES}


def hanging(view: View, *, across: str = "L"):
    said = Acquisition(column_axis=across, row_axis="F", imager_pixel_spacing=(0.2, 0.2))
    film = Radiograph(identifier="1", pixels=np.zeros((100, 100), np.float32), acquisition=said)
    return calibrate(film, view=view, side=Side.RIGHT)


def test_both_sides_of_a_pelvis_are_told_apart():
    found = recognise(seen(femur_R=WHOLE, femur_L=OTHER, sacrum=WHOLE), hanging(View.AP), side=None)
    assert set(found.bones) == {(Bone.FEMUR, Side.RIGHT), (Bone.FEMUR, Side.LEFT), (Bone.SACRUM, None)}
    assert (found.side, found.notes) == (None, ())


def test_a_picture_that_hangs_from_behind_exchanges_the_sides():
    found = recognise(seen(femur_R=WHOLE, hip_bone_R=WHOLE), hanging(View.AP, across="R"), side=None)
    assert set(found.bones) == {(Bone.FEMUR, Side.LEFT), (Bone.HIP_BONE, Side.LEFT)}


def test_the_side_is_seen_where_nobody_says_it():
    found = recognise(seen(femur_L=WHOLE, tibia=OTHER), hanging(View.AP), side=None)
    assert set(found.bones) == {(Bone.FEMUR, Side.LEFT), (Bone.TIBIA, Side.LEFT)}
    assert "looks like the left one" in found.notes[0]


def test_the_sender_is_believed_but_the_reader_told():
    found = recognise(seen(femur_L=WHOLE), hanging(View.AP), side=Side.RIGHT)
    assert set(found.bones) == {(Bone.FEMUR, Side.RIGHT)}
    assert "mirrored" in found.notes[0]


@pytest.mark.parametrize("side", list(Side))
def test_a_lateral_shows_one_leg_and_no_pelvis(side):
    found = recognise(
        seen(femur_R=WHOLE, femur_L=OTHER, hip_bone_R=WHOLE, sacrum=WHOLE), hanging(View.LATERAL, across="P"), side=side
    )
    assert set(found.bones) == {(Bone.FEMUR, side)}


def test_a_bone_that_looks_like_either_sides_is_one():
    found = recognise(seen(femur_R=WHOLE, femur_L=(slice(10, 80), slice(10, 45))), hanging(View.AP), side=Side.RIGHT)
    assert set(found.bones) == {(Bone.FEMUR, Side.RIGHT)}


def test_a_lateral_of_unknown_side_is_of_one_side_for_all_its_bones():
    found = recognise(seen(femur_R=WHOLE, tibia=OTHER, patella=OTHER), hanging(View.LATERAL, across="P"), side=None)
    assert {side for _, side in found.bones} == {Side.RIGHT}
    assert "assumed" in found.notes[0]


def test_of_two_knees_the_lower_legs_are_left_out():
    found = recognise(seen(femur_R=WHOLE, femur_L=OTHER, tibia=WHOLE), hanging(View.AP), side=None)
    assert set(found.bones) == {(Bone.FEMUR, Side.RIGHT), (Bone.FEMUR, Side.LEFT)}
    assert "tibia" in found.notes[0]


def test_one_leg_has_the_side_that_the_sender_says_for_all_its_bones():
    found = recognise(seen(femur_R=WHOLE, hip_bone_L=OTHER), hanging(View.AP), side=Side.RIGHT)
    assert {side for _, side in found.bones} == {Side.RIGHT}


def test_a_sacrum_seen_from_behind_has_its_landmarks_on_the_patients_sides():
    place = SeenLandmark(pixel=np.zeros(2), sd_pixels=1.0, confidence=1.0)
    named = replace(perception(WHOLE), landmarks={"sacroiliac_centre_right": place, "apex": place})
    shown = {**seen(femur_R=WHOLE, femur_L=OTHER), (Bone.SACRUM, None): named}
    found = recognise(shown, hanging(View.AP, across="R"), side=None)
    assert set(found.bones[Bone.SACRUM, None].landmarks) == {"sacroiliac_centre_left", "apex"}


def test_a_speck_is_no_bone():
    found = recognise(seen(femur_R=WHOLE, tibia=(slice(0, 4), slice(0, 4))), hanging(View.AP), side=Side.RIGHT)
    assert set(found.bones) == {(Bone.FEMUR, Side.RIGHT)}

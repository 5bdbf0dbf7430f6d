"""A pose moves one bone against another, in the joint between them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.bodies import lend_lower_leg, levelled
from models.training.bone_dataset import read_models
from models.training.bones import Kind
from models.training.joint_offsets import JOINTS, offsets
from models.training.joints import LegPose, bend_knee, pose_leg
from pipeline.radiograph import Side
from tests.training.whole_body import someone, without_lower_legs

SIDES = pytest.mark.parametrize("side", Side)


def at(body, side, name, kind=Kind.FEMUR):
    return body.landmark(kind, side, name)


def outwards(side) -> float:
    return -1.0 if side is Side.RIGHT else 1.0


@SIDES
def test_the_femoral_head_stays_in_its_socket_and_the_pelvis_where_it_was(side):
    body = someone()
    moved = pose_leg(body, side, LegPose(flexion=50, abduction=30, external_rotation=40, knee_flexion=60))
    assert at(moved, side, "head_centre") == pytest.approx(at(body, side, "head_centre"))
    for name, bone in body.bones.items():
        if name[1] is not side or name[0] is Kind.HIP_BONE:
            np.testing.assert_array_equal(moved.bones[name].mesh.vertices, bone.mesh.vertices)


@SIDES
def test_flexion_brings_the_knee_to_the_front(side):
    moved = pose_leg(someone(), side, LegPose(flexion=40))
    forward = at(someone(), side, "intercondylar_notch") - at(moved, side, "intercondylar_notch")
    assert forward[1] > 200


@SIDES
def test_abduction_takes_the_knee_away_from_the_midline(side):
    moved = pose_leg(someone(), side, LegPose(abduction=30))
    away = at(moved, side, "intercondylar_notch") - at(someone(), side, "intercondylar_notch")
    assert outwards(side) * away[0] > 150


@SIDES
def test_turning_out_takes_the_lateral_epicondyle_to_the_back(side):
    moved = pose_leg(someone(), side, LegPose(external_rotation=30))
    back = at(moved, side, "lateral_epicondyle") - at(someone(), side, "lateral_epicondyle")
    assert back[1] > 15


@SIDES
def test_bending_the_knee_takes_the_foot_to_the_back_and_leaves_the_femur(side):
    moved = bend_knee(someone(), side, 60)
    back = at(moved, side, "ankle_centre", Kind.TIBIA) - at(someone(), side, "ankle_centre", Kind.TIBIA)
    assert back[1] > 200
    np.testing.assert_array_equal(
        moved.bones[Kind.FEMUR, side].mesh.vertices, someone().bones[Kind.FEMUR, side].mesh.vertices
    )


def test_the_tibia_turns_about_the_epicondyles():
    def distances(body):
        knee = at(body, Side.RIGHT, "knee_centre", Kind.TIBIA)
        return [np.linalg.norm(knee - at(body, Side.RIGHT, f"{end}_epicondyle")) for end in ("medial", "lateral")]

    assert distances(bend_knee(someone(), Side.RIGHT, 70)) == pytest.approx(distances(someone()))


def test_the_patella_follows_less_than_the_tibia():
    def turned(kind, a, b):
        before = at(someone(), Side.RIGHT, a, kind) - at(someone(), Side.RIGHT, b, kind)
        bent = bend_knee(someone(), Side.RIGHT, 40)
        after = at(bent, Side.RIGHT, a, kind) - at(bent, Side.RIGHT, b, kind)
        cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
        return np.degrees(np.arccos(cosine))

    assert 15 < turned(Kind.PATELLA, "base", "apex") < turned(Kind.TIBIA, "knee_centre", "ankle_centre")


def test_a_levelled_body_has_its_iliac_spines_side_by_side():
    turn = np.array([[0.9, -np.sqrt(0.19), 0], [np.sqrt(0.19), 0.9, 0], [0, 0, 1.0]])
    body = someone()
    askew = type(body)(people=body.people, bones={n: b.moved(turn, np.zeros(3)) for n, b in body.bones.items()})
    right, left = (at(levelled(askew), side, "asis", Kind.HIP_BONE) for side in (Side.RIGHT, Side.LEFT))
    assert left[0] > right[0]
    assert left[1] == pytest.approx(right[1])


@SIDES
def test_a_lent_lower_leg_sits_on_the_femur_and_names_its_lender(side):
    lent = lend_lower_leg(without_lower_legs(someone()), side, someone(), Side.RIGHT)
    assert lent.people == ("somebody else", "nobody")
    assert lent.whole_legs() == (side,)
    assert at(lent, side, "knee_centre", Kind.TIBIA) == pytest.approx(
        at(someone(), side, "knee_centre", Kind.TIBIA), abs=0.5
    )


def test_the_offset_of_a_joint_is_the_same_on_both_sides_and_however_the_body_lies():
    (hip,) = [joint for joint in JOINTS if joint.name == "hip"]
    body = pose_leg(someone(), Side.RIGHT, LegPose())
    shifted = {**body.bones}
    for side in Side:
        shifted[Kind.FEMUR, side] = shifted[Kind.FEMUR, side].moved(
            np.eye(3), np.zeros(3), np.array([-2.0 * outwards(side), 1.0, 3.0])
        )
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    lying = {name: bone.moved(turn, np.zeros(3)) for name, bone in shifted.items()}
    found = offsets(hip, lying, read_models())
    assert found[Side.RIGHT] == pytest.approx([2, 1, 3])
    assert found[Side.LEFT] == pytest.approx([2, 1, 3])


def test_the_sacrum_meets_each_hip_bone_at_its_own_side():
    (joint,) = [joint for joint in JOINTS if joint.name == "sacroiliac"]
    found = offsets(joint, someone().bones, read_models())
    assert found[Side.RIGHT] == pytest.approx([-3, 0, 0], abs=0.1)
    assert abs(found[Side.LEFT]).max() < 10

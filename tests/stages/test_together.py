"""Neighbouring bones find each other, and lie together as people's bones do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.radiograph import Radiograph, Side, View
from pipeline.shape_model import ShapeModel, load, mirrored
from pipeline.stages.calibrate import calibrate
from pipeline.stages.fit import Fit, ViewObservation, finished
from pipeline.stages.joints import JOINTS, Joint
from pipeline.stages.together import Sought, search, settle
from pipeline.surface import Bone
from tests.stages.shadows import acquisition_of, apparatus, ideal_perception

MODELS = Path(__file__).parents[2] / "models"
KNEE = (Bone.FEMUR, Bone.TIBIA, Bone.FIBULA)


@pytest.fixture(scope="module")
def models() -> dict[Bone, ShapeModel]:
    return {bone: load(MODELS / f"{bone}_shape.npz") for bone in KNEE}


def joint_between(first: Bone, second: Bone) -> Joint:
    return next(joint for joint in JOINTS if (joint.first, joint.second) == (first, second))


def standing_knee(models, side: Side) -> dict[Bone, np.ndarray]:
    """Vertices of mean bones put together by the joints, the femur at the origin."""
    placed = {Bone.FEMUR: mirrored(models[Bone.FEMUR].mean, side)}
    for first, second in ((Bone.FEMUR, Bone.TIBIA), (Bone.TIBIA, Bone.FIBULA)):
        joint = joint_between(first, second)
        start = models[first].landmarks[joint.first_landmark].position(placed[first])
        bone = mirrored(models[second].mean, side)
        there = start + mirrored(joint.offset_mm, side)
        placed[second] = bone + there - models[second].landmarks[joint.second_landmark].position(bone)
    return placed


def observed(vertices, everything, triangles, side, view, *, heights) -> ViewObservation:
    geometry = apparatus(everything, view, side, heights=heights)
    film = Radiograph(
        identifier=str(view),
        pixels=np.zeros((geometry.rows, geometry.columns), np.float32),
        acquisition=acquisition_of(geometry, view),
    )
    return ViewObservation(
        calibration=calibrate(film, view=view, side=side), perception=ideal_perception(vertices, triangles, geometry)
    )


def sought_knee(models, side: Side) -> list[Sought]:
    placed = standing_knee(models, side)
    middle = placed[Bone.TIBIA][:, 2].max()
    heights = (middle - 130, middle + 110)
    everything = np.concatenate([placed[Bone.FEMUR], placed[Bone.TIBIA]])
    return [
        Sought(
            bone=bone,
            side=side,
            model=models[bone],
            observations=tuple(
                observed(placed[bone], everything, models[bone].triangles_of(side), side, view, heights=heights)
                for view in (View.AP, View.LATERAL)
            ),
        )
        for bone in KNEE
    ]


def offset(joint: Joint, first: Fit, second: Fit) -> np.ndarray:
    """From the first bone's landmark to the second's, in the first bone's frame, as a right joint's."""
    start = first.model.landmarks[joint.first_landmark].position(first.vertices)
    end = second.model.landmarks[joint.second_landmark].position(second.vertices)
    return mirrored(first.pose.rotation.T @ (end - start), first.side)


@pytest.fixture(scope="module", params=list(Side))
def knee(request, models):
    """What is found of a knee of either side, before and after the bones are settled."""
    found = search(sought_knee(models, request.param))
    return [{s.bone: finished(s) for s in each} for each in (found, settle(found))]


def strain(joint: Joint, bones: dict[Bone, Fit]) -> float:
    """How far a joint's offset is from people's mean, in standard deviations (root mean square)."""
    away = offset(joint, bones[joint.first], bones[joint.second]) - joint.offset_mm
    return float(np.sqrt((away**2 * joint.offset_precision()).mean()))


@pytest.mark.parametrize("bones", [(Bone.FEMUR, Bone.TIBIA), (Bone.TIBIA, Bone.FIBULA)])
def test_bones_are_found_in_one_frame(knee, bones):
    _, together = knee
    assert strain(joint_between(*bones), together) < 1


def test_a_fibula_lies_where_its_tibia_leads(knee):
    _, together = knee
    assert max(view.unmatched for view in together[Bone.FIBULA].views) < 0.15


def test_settling_pulls_bones_together_that_were_put_apart(models):
    found = search(sought_knee(models, Side.RIGHT))
    tibia = found[1]
    moved = tibia.best.translations + np.array([[0.0, 40.0, 0.0], [0.0, 0.0, 0.0]])
    apart = [found[0], replace(tibia, best=replace(tibia.best, translations=moved)), found[2]]
    before, after = ({s.bone: finished(s) for s in each} for each in (apart, settle(apart)))
    joint = joint_between(Bone.TIBIA, Bone.FIBULA)
    assert strain(joint, before) > 3
    assert strain(joint, after) < 1


def test_settling_keeps_to_the_outlines(knee):
    _, together = knee
    for fit in together.values():
        assert max(float(np.abs(view.residual_mm).mean()) for view in fit.views) < 0.8


def test_a_bone_alone_is_left_as_it_is(models):
    (found,) = search(sought_knee(models, Side.RIGHT)[:1])
    assert settle([found]) == [found]

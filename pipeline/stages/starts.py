"""Where a fit begins: the mean bone, turned about its long axis and laid over the shadow.

How far the bone is turned in the picture's plane (a leg lifted or abducted) is found by trial: landmarks propose one
turn, and a few more are tried in any case, because a landmark may be seen where none is. What covers the shadow best is
taken.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.geometry import FloatArray
from pipeline.projector import coarse_shadow
from pipeline.stages.problem import Problem, State, View
from pipeline.stages.solver import yaw_of

Pose = tuple[FloatArray, FloatArray]
"""Rotation (3, 3) and translation (3,)."""

ROUNDS: Final = 4
"""How often the mean bone is cropped to the field and laid over the shadow again."""

FREE_SIDE_PIXELS: Final = 4.0
"""A side of the shadow's bounding box this far (working pixels) inside the field is the bone's own end."""

MOST_TURN_DEG: Final = 60.0
LEAST_SPAN_MM: Final = 40.0
"""Landmarks nearer together than this do not tell how far the bone is turned in the picture."""


TRIAL_GRID: Final = 80
"""Longest side, pixels, of the grid on which trials are compared with the shadow."""


def start(problem: Problem, *, tilt_deg: float, yaw_deg: float) -> State:
    """The mean bone turned in every view, and laid over the shadow.

    Args:
        problem: The problem.
        tilt_deg: By how much it is turned about the axis from right to left.
        yaw_deg: By how much a right bone is turned about the body's long axis; a left one the other way round.
    """
    turned = Rotation.from_euler("zx", [yaw_of(problem.side, yaw_deg), tilt_deg], degrees=True).as_matrix()
    poses = [
        max(_trials(problem, view, turned), key=lambda pose: _overlap(problem, view, pose)) for view in problem.views
    ]
    return State(
        coefficients=np.zeros(problem.model.size),
        rotations=np.stack([rotation for rotation, _ in poses]),
        translations=np.stack([translation for _, translation in poses]),
    )


def _trials(problem: Problem, view: View, turned: FloatArray) -> list[Pose]:
    poses = []
    known = {name: pixel for name, pixel, _ in view.landmarks if name in problem.model.landmarks}
    if len(known) >= 2:
        points = np.stack([problem.model.landmarks[name].position(problem.mean) for name in known])
        seen = np.stack(list(known.values()))
        if np.ptp(seen, axis=0).max() * view.mm_per_pixel > LEAST_SPAN_MM:
            poses.append(_by_landmarks(view, turned, points, seen))
    for turn in problem.posture.turns_deg:
        rotation = Rotation.from_rotvec(np.deg2rad(turn) * view.beam).as_matrix() @ turned
        poses.append((rotation, _by_shadow(problem, view, rotation)))
    return poses


def _overlap(problem: Problem, view: View, pose: Pose) -> float:
    """Intersection over union of the mean bone's shadow and the seen one, within the field, on a coarse grid."""
    rotation, translation = pose
    step = max(1, round(max(view.mask.shape) / TRIAL_GRID))
    seen = view.mask[::step, ::step] > 0.5
    pixels = view.geometry.project(problem.mean @ rotation.T + translation)
    working = (pixels @ view.pixel_to_working[:, :2].T + view.pixel_to_working[:, 2]) / step
    cast = (coarse_shadow(working, problem.triangles, seen.shape) > 0) & (view.field_depth[::step, ::step] > 0)
    return float((cast & seen).sum() / max((cast | seen).sum(), 1))


def _by_landmarks(view: View, rotation: FloatArray, points: FloatArray, seen: FloatArray) -> Pose:
    """Turn in the picture's plane, and shift, so that landmarks lie where they were seen."""
    plane = np.stack([view.geometry.column_direction, view.geometry.row_direction])
    at_bone = (view.geometry.pixel_position(seen) / view.geometry.magnification(np.zeros(3))) @ plane.T
    model = (points @ rotation.T) @ plane.T
    a, b = model - model.mean(axis=0), at_bone - at_bone.mean(axis=0)
    angle = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(), (a * b).sum())
    angle = np.clip(angle, -np.deg2rad(MOST_TURN_DEG), np.deg2rad(MOST_TURN_DEG))
    turned = Rotation.from_rotvec(angle * np.cross(*plane)).as_matrix() @ rotation
    shift = at_bone.mean(axis=0) - ((points @ turned.T) @ plane.T).mean(axis=0)
    return turned, np.asarray(shift @ plane)


def _by_shadow(problem: Problem, view: View, rotation: FloatArray) -> FloatArray:
    """Shift that lays the mean bone, cropped to the field, over the shadow by the sides that the field shows."""
    translation = np.zeros(3)
    if not len(view.contour.pixels):
        return translation
    low, high = view.contour.pixels.min(axis=0), view.contour.pixels.max(axis=0)
    ends = _free_ends(view, low, high)
    plane = np.stack([view.geometry.column_direction, view.geometry.row_direction])
    for _ in range(ROUNDS):
        pixels = view.geometry.project(problem.mean @ rotation.T + translation)
        inside = ((pixels > low - 1) & (pixels < high + 1))[:, ::-1]
        offset = np.zeros(2)
        for axis in (1, 0):
            crop = pixels[inside[:, axis], axis] if axis == 0 and inside[:, axis].any() else pixels[:, axis]
            gaps = (low[axis] - crop.min(), high[axis] - crop.max())
            free = [gap for gap, end in zip(gaps, ends[axis], strict=True) if end] or [sum(gaps) / 2]
            offset[axis] = np.mean(free)
        translation = translation + (offset * view.mm_per_pixel) @ plane
    return translation


def _free_ends(view: View, low: FloatArray, high: FloatArray) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """Per axis (column, row): whether the shadow's lower and upper end are the bone's own rather than the field's."""
    rows, columns = view.field_depth.shape
    working = [corner @ view.pixel_to_working[:, :2].T + view.pixel_to_working[:, 2] for corner in (low, high)]
    held = np.argwhere(view.field_depth > 0)[:, ::-1]
    field_low, field_high = (
        (held.min(axis=0), held.max(axis=0)) if len(held) else (np.zeros(2), np.array([columns, rows]))
    )
    free = [(working[0] - field_low > FREE_SIDE_PIXELS), (field_high - working[1] > FREE_SIDE_PIXELS)]
    return (bool(free[0][0]), bool(free[1][0])), (bool(free[0][1]), bool(free[1][1]))

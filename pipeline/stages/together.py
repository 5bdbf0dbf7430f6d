"""All bones of a study in one frame: each is found in its own shadow, then joints settle how they lie together.

Bones are neighbours in every radiograph that shows both, each radiograph with a pose of its own: patients move. The
settling is Gauss-Newton on the sum of the bones' posteriors (`pipeline.stages.solver`) and of the joints' priors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.linalg import block_diag, cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel, mirrored
from pipeline.stages.fit import COARSE_MODES, COARSE_NOISE_MM, FINE_NOISE_MM, Solution, ViewObservation, solve
from pipeline.stages.joints import JOINTS, LEADS, Joint
from pipeline.stages.perceive import other_side
from pipeline.stages.posture import POSTURES
from pipeline.stages.problem import Problem, State, prepare
from pipeline.stages.solver import Terms, iterate, jacobian_of, normal_equations, stepped
from pipeline.surface import Bone, Name

SETTLING_STEPS: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Sought:
    """A bone to be found.

    Attributes:
        bone: Which bone.
        side: Its side; the sacrum has none.
        model: Its shape model.
        observations: Of the views that show it, frontal views first.
    """

    bone: Bone
    side: Side | None
    model: ShapeModel
    observations: tuple[ViewObservation, ...]

    @property
    def name(self) -> Name:
        """Bone and side."""
        return self.bone, self.side


def search(sought: Sequence[Sought]) -> list[Solution]:
    """Find every bone in its own shadow, those that need a neighbour to begin from after that neighbour."""
    found: dict[Name, Solution] = {}
    for each in sorted(sought, key=lambda each: each.bone in LEADS):
        found[each.name] = _followed(each, found) or solve(
            each.model, each.observations, side=each.side, bone=each.bone
        )
    return [found[each.name] for each in sought]


def _followed(sought: Sought, found: Mapping[Name, Solution]) -> Solution | None:
    """The bone, found from where its neighbour leads to; None where no neighbour is seen in all its views."""
    posture = POSTURES[sought.bone]
    for joint, side in _joints_to(sought.name):
        leader = found.get(_first(joint, side))
        numbers = _numbered(leader) if leader else {}
        shared = [numbers.get(view.calibration.identifier, -1) for view in sought.observations]
        if leader is None or min(shared) < 0:
            continue
        # The pictures hang, and are as large, as the neighbour was found in them.
        observations = tuple(
            replace(view, calibration=leader.observations[number].calibration)
            for view, number in zip(sought.observations, shared, strict=True)
        )
        rotations, translations = _led(joint, side, leader, shared, sought)
        views = [(view.calibration, view.perception) for view in observations]
        problem = prepare(sought.model, views, sought.side, posture)
        state = State(coefficients=np.zeros(sought.model.size), rotations=rotations, translations=translations)
        state = iterate(problem, state, COARSE_NOISE_MM, modes=COARSE_MODES)
        best = iterate(problem, state, FINE_NOISE_MM, modes=sought.model.size)
        return Solution(bone=sought.bone, problem=problem, observations=observations, best=best, start_spread_mm=0.0)
    return None


def _led(
    joint: Joint, side: Side, leader: Solution, views: Sequence[int], sought: Sought
) -> tuple[FloatArray, FloatArray]:
    """Rotations (views, 3, 3) and translations (views, 3) of the mean bone where the joint puts it in those views."""
    there = sought.model.landmarks[joint.second_landmark].position(mirrored(sought.model.mean, sought.side))
    rotations, translations = [], []
    for index in views:
        turned = leader.best.rotations[index] @ _mean_rotation(joint, side)
        from_leader = leader.best.rotations[index] @ mirrored(joint.offset_mm, side)
        rotations.append(turned)
        translations.append(_landmark(joint, side, leader, index) + from_leader - turned @ there)
    return np.stack(rotations), np.stack(translations)


def settle(solutions: Sequence[Solution]) -> list[Solution]:
    """Let the joints pull the bones to where people's bones lie, as far as the shadows allow."""
    links = [link for link in _links(solutions) if link.first.views and link.second.views]
    if not links:
        return list(solutions)
    states = [solution.best for solution in solutions]
    for _ in range(SETTLING_STEPS):
        states = _settled_step(solutions, states, links)
    return [replace(solution, best=state) for solution, state in zip(solutions, states, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class _End:
    """One bone of a joint: its number among the solutions, and its views that show the other as well, in order."""

    number: int
    views: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Link:
    joint: Joint
    side: Side
    first: _End
    second: _End


def _links(solutions: Sequence[Solution]) -> Iterator[_Link]:
    numbers = {(solution.bone, solution.problem.side): number for number, solution in enumerate(solutions)}
    for joint in JOINTS:
        for side in (Side.RIGHT,) if joint.across else Side:
            first, second = numbers.get(_first(joint, side)), numbers.get(_second(joint, side))
            if first is None or second is None:
                continue
            one, other = _numbered(solutions[first]), _numbered(solutions[second])
            shared = sorted(one.keys() & other.keys())
            yield _Link(
                joint=joint,
                side=side,
                first=_End(number=first, views=tuple(one[view] for view in shared)),
                second=_End(number=second, views=tuple(other[view] for view in shared)),
            )


def _first(joint: Joint, side: Side) -> Name:
    return joint.first, side if joint.first.is_paired else None


def _second(joint: Joint, side: Side) -> Name:
    return joint.second, side.other if joint.across else side


def _joints_to(name: Name) -> Iterator[tuple[Joint, Side]]:
    """Joints by which a bone follows its leader."""
    for joint in JOINTS:
        if joint.second is name[0] and joint.first is LEADS.get(name[0]) and name[1] is not None:
            yield joint, name[1]


def _settled_step(solutions: Sequence[Solution], states: Sequence[State], links: Sequence[_Link]) -> list[State]:
    noise = FINE_NOISE_MM[-1]
    own = [
        normal_equations(solution.problem, state, noise, solution.problem.model.size)
        for solution, state in zip(solutions, states, strict=True)
    ]
    hessian = block_diag(*(each for each, _ in own))
    gradient = np.concatenate([each for _, each in own])
    starts = np.cumsum([0, *(len(each) for _, each in own)])
    for link in links:
        for views in zip(link.first.views, link.second.views, strict=True):
            term = _joint_terms(link, views, solutions, states, starts)
            weighted = term.jacobian * term.precision[:, None]
            hessian += weighted.T @ term.jacobian
            gradient += weighted.T @ term.residual
    step = -cho_solve(cho_factor(hessian), gradient)
    return [
        stepped(state, step[starts[number] : starts[number + 1]], solutions[number].problem.model.size)
        for number, state in enumerate(states)
    ]


def _joint_terms(
    link: _Link, views: tuple[int, int], solutions: Sequence[Solution], states: Sequence[State], starts: FloatArray
) -> Terms:
    """Where the second bone's landmark lies in the first one's frame (three, mm), and how it is turned (three, rad)."""
    one, other = (solutions[end.number].problem for end in (link.first, link.second))
    state, other_state = states[link.first.number], states[link.second.number]
    axes, turned = state.rotations[views[0]], other_state.rotations[views[1]]
    point, point_modes = _point(one, state, _first_landmark(link.joint, link.side))
    target, target_modes = _point(other, other_state, link.joint.second_landmark)
    arm = other_state.placed(target, views[1]) - state.placed(point, views[0])
    residual = axes.T @ arm - mirrored(link.joint.offset_mm, link.side)
    # The first bone's frame turns with it: to the offset that is as if the landmark lay where the second bone's does.
    reached = np.repeat((point + axes.T @ arm)[None], 3, axis=0)
    jacobian = np.zeros((6, int(starts[-1])))
    first = _columns(starts, link.first.number)
    second = _columns(starts, link.second.number)
    jacobian[:3, first] = -jacobian_of(one, state, views[0], reached, np.repeat(point_modes, 3, axis=1), axes.T)
    own = np.repeat(target[None], 3, axis=0)
    jacobian[:3, second] = jacobian_of(other, other_state, views[1], own, np.repeat(target_modes, 3, axis=1), axes.T)
    turn = _mean_rotation(link.joint, link.side).T @ axes.T @ turned
    for columns, problem, view, sign in ((first, one, views[0], -1.0), (second, other, views[1], 1.0)):
        place = columns.start + problem.model.size + 6 * view
        jacobian[3:, place : place + 3] = sign * axes.T
    return Terms(
        residual=np.r_[residual, Rotation.from_matrix(turn).as_rotvec()],
        jacobian=jacobian,
        precision=np.r_[link.joint.offset_precision(), link.joint.rotation_precision()],
    )


def _columns(starts: FloatArray, number: int) -> slice:
    return slice(int(starts[number]), int(starts[number + 1]))


def _point(problem: Problem, state: State, landmark: str) -> tuple[FloatArray, FloatArray]:
    """The landmark (3,) in the model's frame, and what the modes do to it (modes, 1, 3)."""
    where = problem.model.landmarks[landmark]
    return where.position(state.vertices(problem)), where.position(problem.modes)[:, None]


def _landmark(joint: Joint, side: Side, leader: Solution, view: int) -> FloatArray:
    """(3,) the first bone's landmark in the nominal frame of a view."""
    point, _ = _point(leader.problem, leader.best, _first_landmark(joint, side))
    return leader.best.placed(point, view)


def _first_landmark(joint: Joint, side: Side) -> str:
    unpaired_left = side is Side.LEFT and not joint.first.is_paired
    return other_side(joint.first_landmark) if unpaired_left else joint.first_landmark


def _mean_rotation(joint: Joint, side: Side) -> FloatArray:
    """(3, 3) of the second bone against the first; mirroring turns the sense of all but the first component."""
    vector = np.deg2rad(joint.rotation_deg) * (np.array([1.0, -1.0, -1.0]) if side is Side.LEFT else 1.0)
    return np.asarray(Rotation.from_rotvec(vector).as_matrix())


def _numbered(solution: Solution) -> dict[str, int]:
    """The number of each of a bone's views, by the radiograph's identifier."""
    return {view.calibration.identifier: number for number, view in enumerate(solution.observations)}

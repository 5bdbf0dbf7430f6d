"""Gauss-Newton on the posterior of one bone's shape and of its pose in every view.

What counts: contour points that the model's outline and the seen outline match to each other, in both directions;
landmarks, loosely; standard normal shape coefficients; and per view a pose whose prior holds what is known of
positioning and, as depth, of the scale. The noise of a contour point contains what the shape model cannot express;
without it, depth and size run away to explain a bump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.stages.matching import Matches, blend, gate_mm, match, residuals_mm
from pipeline.stages.posture import Posture
from pipeline.stages.problem import Problem, State, View

CORRELATION_MM: Final = 24.0
"""Neighbouring contour points err together. The model's residual is correlated over 12 mm, what a perception network
gets wrong over more. On three people, 12, 16 and 24 mm do not differ; with a network of rougher outlines 24 mm was best
from one view."""

STUDENT_FREEDOM: Final = 4.0
"""Degrees of freedom of the contour noise: overlapping bones and soft-tissue edges make outliers."""

LANDMARK_SD_MM: Final = 4.0
"""By how much people disagree on a femoral landmark (five raters, VSD); adds to the heat map's own spread."""

SHIFT_SD_MM: Final = 300.0
"""What the picture shows directly needs hardly any prior."""

DEPTH_STRIDE: Final = 10
"""Every so many vertices are enough to tell how far away the bone lies."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """Residuals, linearised: `residual + jacobian @ step`, each with a precision.

    The unknowns of a step are the coefficients, then per view a rotation vector (radians, applied after the present
    rotation) and a translation.
    """

    residual: FloatArray
    jacobian: FloatArray
    precision: FloatArray


def iterate(problem: Problem, state: State, noises_mm: Sequence[float], *, modes: int) -> State:
    """One Gauss-Newton step per noise level, in the first `modes` modes."""
    for noise in noises_mm:
        hessian, gradient = normal_equations(problem, state, noise, modes)
        step = -cho_solve(cho_factor(hessian), gradient)
        state = stepped(state, step, modes)
    return state


def posterior_covariance(problem: Problem, state: State, noise_mm: float) -> FloatArray:
    """(K, K) of the coefficients, poses integrated out: the inverse of the Hessian at the optimum (Laplace)."""
    count = problem.model.size
    hessian, _ = normal_equations(problem, state, noise_mm, count)
    return np.asarray(np.linalg.inv(hessian)[:count, :count])


def objective(problem: Problem, state: State, noise_mm: float) -> float:
    """Negative log posterior but for a constant, Student's noise; what finds no match costs as much as the gate."""
    vertices = state.vertices(problem)
    prior = _prior_terms(problem, state, vertices, problem.model.size)
    total = 0.5 * float((prior.precision * prior.residual**2).sum())
    for index, view in enumerate(problem.views):
        matches = match(problem, state, vertices, index, noise_mm)
        variance = _contour_variance(problem, matches, noise_mm)
        squared = residuals_mm(view, state, vertices, index, matches) ** 2 / variance
        gate = gate_mm(noise_mm) ** 2 / float(np.median(problem.model.residual_sd) ** 2 + noise_mm**2)
        outline_mm = len(view.contour.pixels) * view.contour.spacing * view.mm_per_pixel
        total += float((_log_student(squared) * matches.length_mm).sum()) / CORRELATION_MM
        total += _log_student(np.array(gate)).item() * matches.unmatched * outline_mm / CORRELATION_MM
    return total


def _log_student(squared: FloatArray) -> FloatArray:
    return np.asarray((STUDENT_FREEDOM + 1) / 2 * np.log1p(squared / STUDENT_FREEDOM))


def _contour_variance(problem: Problem, matches: Matches, noise_mm: float) -> FloatArray:
    model_sd = (problem.model.residual_sd[matches.edge] * matches.share).sum(axis=1)
    return np.asarray(noise_mm**2 + matches.sd_mm**2 + model_sd**2)


def normal_equations(problem: Problem, state: State, noise_mm: float, modes: int) -> tuple[FloatArray, FloatArray]:
    """Hessian (unknowns, unknowns) and gradient (unknowns,) of the negative log posterior; see `Terms`."""
    vertices = state.vertices(problem)
    terms = [_prior_terms(problem, state, vertices, modes)]
    for index in range(len(problem.views)):
        terms += [
            _contour_terms(problem, state, vertices, index, noise_mm, modes),
            _landmark_terms(problem, state, vertices, index, modes),
        ]
    unknowns = modes + 6 * len(problem.views)
    hessian, gradient = np.zeros((unknowns, unknowns)), np.zeros(unknowns)
    for term in terms:
        weighted = term.jacobian * term.precision[:, None]
        hessian += weighted.T @ term.jacobian
        gradient += weighted.T @ term.residual
    return hessian, gradient


def _contour_terms(
    problem: Problem, state: State, vertices: FloatArray, index: int, noise_mm: float, modes: int
) -> Terms:
    view = problem.views[index]
    matches = match(problem, state, vertices, index, noise_mm)
    residual = residuals_mm(view, state, vertices, index, matches)
    variance = _contour_variance(problem, matches, noise_mm)
    robust = (STUDENT_FREEDOM + 1) / (STUDENT_FREEDOM + residual**2 / variance)
    points = blend(vertices, matches.edge, matches.share)
    slope = np.einsum("nd,nde->ne", matches.normal, _pixel_slope(view, state.placed(points, index)))
    point_modes = blend(problem.modes[:modes], matches.edge, matches.share)
    return Terms(
        residual=residual,
        jacobian=jacobian_of(problem, state, index, points, point_modes, slope * view.mm_per_pixel),
        precision=robust * matches.length_mm / CORRELATION_MM / variance,
    )


def _landmark_terms(problem: Problem, state: State, vertices: FloatArray, index: int, modes: int) -> Terms:
    view = problem.views[index]
    known = [seen for seen in view.landmarks if seen[0] in problem.model.landmarks]
    if not known:
        return Terms(
            residual=np.zeros(0), jacobian=np.zeros((0, modes + 6 * len(problem.views))), precision=np.zeros(0)
        )
    landmarks = [problem.model.landmarks[name] for name, _, _ in known]
    points = np.stack([landmark.position(vertices) for landmark in landmarks])
    point_modes = np.stack([landmark.position(problem.modes[:modes]) for landmark in landmarks], axis=1)
    placed = state.placed(points, index)
    offset = (view.geometry.project(placed) - np.stack([pixel for _, pixel, _ in known])) * view.mm_per_pixel
    slope = _pixel_slope(view, placed) * view.mm_per_pixel
    variance = np.array([(sd * view.mm_per_pixel) ** 2 for _, _, sd in known]) + LANDMARK_SD_MM**2
    robust = (STUDENT_FREEDOM + 2) / (STUDENT_FREEDOM + (offset**2).sum(axis=1) / variance)
    axes = [jacobian_of(problem, state, index, points, point_modes, slope[:, axis]) for axis in (0, 1)]
    return Terms(
        residual=np.r_[offset[:, 0], offset[:, 1]],
        jacobian=np.concatenate(axes),
        precision=np.tile(robust / variance, 2),
    )


def _pixel_slope(view: View, placed: FloatArray) -> FloatArray:
    """(N, 2, 3) change of the pixel with the point."""
    geometry = view.geometry
    rays = placed - geometry.source
    depth = rays @ geometry.normal
    axes = np.stack(
        [
            geometry.column_direction / geometry.pixel_spacing[1],
            geometry.row_direction / geometry.pixel_spacing[0],
        ]
    )
    along = (rays @ axes.T) / depth[:, None]
    magnified = (geometry.source_to_detector / depth)[:, None, None]
    return np.asarray(magnified * (axes[None] - along[:, :, None] * geometry.normal))


def jacobian_of(
    problem: Problem, state: State, index: int, points: FloatArray, point_modes: FloatArray, slope: FloatArray
) -> FloatArray:
    """(N, unknowns) of scalar residuals that change by `slope` (N, 3) per mm of the placed point.

    Args:
        problem: The problem.
        state: Where it is linearised.
        index: Number of the view.
        points: (N, 3) in the model's frame.
        point_modes: (modes, N, 3).
        slope: (N, 3).
    """
    modes = len(point_modes)
    rotation = state.rotations[index]
    jacobian = np.zeros((len(points), modes + 6 * len(problem.views)))
    jacobian[:, :modes] = np.einsum("ne,kne->nk", slope @ rotation, point_modes, optimize=True)
    first = modes + 6 * index
    jacobian[:, first : first + 3] = np.cross(points @ rotation.T, slope)
    jacobian[:, first + 3 : first + 6] = slope
    return jacobian


def _prior_terms(problem: Problem, state: State, vertices: FloatArray, modes: int) -> Terms:
    """Standard normal coefficients, and what is known of poses before anything is seen."""
    unknowns = modes + 6 * len(problem.views)
    residual, precision = [state.coefficients[:modes]], [np.ones(modes)]
    jacobian = [np.eye(modes, unknowns)]
    yaw = []
    for index, view in enumerate(problem.views):
        first = modes + 6 * index
        turned = Rotation.from_matrix(state.rotations[index]).as_rotvec()
        residual.append(turned - [0, 0, np.deg2rad(yaw_of(problem.side, problem.posture.yaw_deg))])
        jacobian.append(np.eye(3, unknowns, first))
        precision.append(1 / np.deg2rad(_rotation_sd_deg(problem.posture, view.beam)) ** 2)
        residual.append(state.translations[index])
        jacobian.append(np.eye(3, unknowns, first + 3))
        precision.append(np.full(3, 1 / SHIFT_SD_MM**2))
        depth = _depth_term(problem, state, vertices, index, modes)
        residual.append(depth.residual)
        jacobian.append(depth.jacobian)
        precision.append(depth.precision)
        yaw.append((turned[2], first + 2))
    for (one, first), (other, second) in pairwise(yaw):
        row = np.zeros((1, unknowns))
        row[0, first], row[0, second] = 1, -1
        residual.append(np.array([one - other]))
        jacobian.append(row)
        precision.append(np.array([1 / np.deg2rad(problem.posture.turn_sd_deg) ** 2]))
    return Terms(
        residual=np.concatenate(residual), jacobian=np.concatenate(jacobian), precision=np.concatenate(precision)
    )


def yaw_of(side: Side | None, right_deg: float) -> float:
    """A right bone's rotation about the long axis, as the given side's: mirroring turns its sense."""
    return -right_deg if side is Side.LEFT else right_deg


def _rotation_sd_deg(posture: Posture, beam: FloatArray) -> FloatArray:
    """Standard deviations of the rotation vector's three components for a view along `beam` (the x or the y axis)."""
    in_plane = abs(beam)
    around_long_axis = np.array([0.0, 0.0, 1.0])
    other = 1 - in_plane - around_long_axis
    return np.asarray(
        in_plane * posture.in_plane_sd_deg + around_long_axis * posture.yaw_sd_deg + other * posture.tilt_sd_deg
    )


def _depth_term(problem: Problem, state: State, vertices: FloatArray, index: int, modes: int) -> Terms:
    """The shown part of the bone lies in the plane that the magnification is for, give or take the scale's doubt."""
    view = problem.views[index]
    placed = state.placed(vertices, index)
    shown = np.flatnonzero(view.field_depth_at(view.geometry.project(placed)) > 0)[::DEPTH_STRIDE]
    shown = shown if len(shown) else np.arange(0, len(vertices), DEPTH_STRIDE)
    middle = vertices[shown].mean(axis=0)
    middle_modes = problem.modes[:modes, shown].mean(axis=1)[:, None]
    return Terms(
        residual=np.array([state.placed(middle, index) @ view.beam]),
        jacobian=jacobian_of(problem, state, index, middle[None], middle_modes, view.beam[None]),
        precision=np.array([1 / view.depth_sd_mm**2]),
    )


def depth_deviation(problem: Problem, state: State, vertices: FloatArray, index: int) -> float:
    """How far behind its nominal plane the shown part of the bone lies, in the scale's standard deviations."""
    return _depth_term(problem, state, vertices, index, 1).residual.item() / problem.views[index].depth_sd_mm


def stepped(state: State, step: FloatArray, modes: int) -> State:
    """The state after a step (unknowns,); see `Terms`."""
    coefficients = state.coefficients.copy()
    coefficients[:modes] += step[:modes]
    poses = step[modes:].reshape(-1, 6)
    turns = Rotation.from_rotvec(poses[:, :3]).as_matrix()
    return State(
        coefficients=coefficients,
        rotations=turns @ state.rotations,
        translations=state.translations + poses[:, 3:],
    )

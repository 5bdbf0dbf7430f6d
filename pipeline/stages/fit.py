"""The shape and the poses that best explain what the radiographs show.

Several starts are followed coarsely, the best two to the end; noise is annealed from gross misplacement down to that of
a good mask. The mathematics is in `pipeline.stages.solver`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, ProjectionGeometry, RigidPose
from pipeline.projector import moved
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel
from pipeline.stages.calibrate import Calibration
from pipeline.stages.matching import match, residuals_mm
from pipeline.stages.perceive import Perception
from pipeline.stages.posture import POSTURES, Posture
from pipeline.stages.problem import Problem, State, prepare
from pipeline.stages.solver import depth_deviation, iterate, objective, posterior_covariance
from pipeline.stages.starts import start
from pipeline.surface import Bone

ASSUMED_SIZES: Final = (0.5, 0.63, 0.8, 1.0, 1.25)
"""Pixel sizes to try, relative to a picture as large as the longest cassette, where the sender gave none."""

COARSE_MODES: Final = 12
COARSE_NOISE_MM: Final = (8.0, 6.0, 4.0, 3.0, 2.0, 2.0)
FINE_NOISE_MM: Final = (2.0, 1.5, 1.0, 0.7, 0.5, 0.5, 0.5, 0.5)
"""Standard deviation of the seen outline at each iteration; the last is a good mask's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewObservation:
    """What one radiograph shows of the bone, and how it was taken."""

    calibration: Calibration
    perception: Perception


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedView:
    """One view after the fit.

    Attributes:
        observation: As it went in.
        geometry: How the radiograph was taken, in the surface's frame: projecting the surface with it gives the shadow.
        residual_mm: (n,) signed distances of the model's outline from the seen one, in the bone's plane, for the points
            of either.
        unmatched: Share of both outlines that the other one does not explain.
        depth_deviation: How far behind its nominal plane the shown part lies, in the scale's standard deviations.
    """

    observation: ViewObservation
    geometry: ProjectionGeometry
    residual_mm: FloatArray
    unmatched: float
    depth_deviation: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The best explanation found, with how sure it is.

    Attributes:
        bone: Which bone.
        model: Its shape model.
        side: Side of the bone; the sacrum has none.
        coefficients: (K,) in standard deviations.
        covariance: (K, K) of the coefficients: Laplace's approximation of the posterior, poses integrated out.
        pose: From the model's frame (mirrored for a left bone) to the surface's.
        vertices: (V, 3) LPS mm in the nominal frame of the first view.
        triangles: (T, 3), outward for that side.
        views: In the order of the observations.
        in_field: (V,) True where at least one view's field holds the vertex.
        start_spread_mm: Root mean square distance of corresponding vertices, in the bone's own frame, between this and
            the second best start; 0 where both ended in the same optimum.
        objective: Negative log posterior, to compare fits of the same observations.
    """

    bone: Bone
    model: ShapeModel
    side: Side | None
    coefficients: FloatArray
    covariance: FloatArray
    pose: RigidPose
    vertices: FloatArray
    triangles: npt.NDArray[np.int32]
    views: tuple[FittedView, ...]
    in_field: npt.NDArray[np.bool_]
    start_spread_mm: float
    objective: float

    @property
    def crossed(self) -> bool:
        """Whether the bone is seen both from the front and from the side: two frontal films tell no depth."""
        return len({view.observation.calibration.view.is_frontal for view in self.views}) > 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Where the search for one bone ended.

    Attributes:
        bone: Which bone.
        problem: What was solved.
        observations: As the pictures were taken to hang.
        best: The likeliest state.
        start_spread_mm: See `Fit`.
    """

    bone: Bone
    problem: Problem
    observations: tuple[ViewObservation, ...]
    best: State
    start_spread_mm: float


def fit(
    model: ShapeModel, observations: tuple[ViewObservation, ...], *, side: Side | None, bone: Bone = Bone.FEMUR
) -> Fit:
    """Fit the shape model to one or more views of one bone.

    Args:
        model: Shape model of the right bone.
        observations: Of the same bone, frontal view first.
        side: Side of the bone; the sacrum has none.
        bone: Which bone, for how it lies.
    """
    return finished(solve(model, observations, side=side, bone=bone))


def solve(model: ShapeModel, observations: tuple[ViewObservation, ...], *, side: Side | None, bone: Bone) -> Solution:
    """Search from every start of the bone's posture; see `fit`."""
    posture = POSTURES[bone]
    sized = tuple(_with_assumed_scale(model, view, side, posture) for view in observations)
    hung = _hangings(sized)
    problems = [
        prepare(model, [(view.calibration, view.perception) for view in views], side, posture) for views in hung
    ]
    coarse = [
        (number, iterate(problem, start(problem, tilt_deg=tilt, yaw_deg=yaw), COARSE_NOISE_MM, modes=COARSE_MODES))
        for number, problem in enumerate(problems)
        for tilt, yaw in posture.starts_deg
    ]
    coarse.sort(key=lambda found: objective(problems[found[0]], found[1], COARSE_NOISE_MM[-1]))
    fine = [(number, iterate(problems[number], state, FINE_NOISE_MM, modes=model.size)) for number, state in coarse[:2]]
    fine.sort(key=lambda found: objective(problems[found[0]], found[1], FINE_NOISE_MM[-1]))
    number, best = fine[0]
    _, rival = fine[-1]
    return Solution(
        bone=bone,
        problem=problems[number],
        observations=hung[number],
        best=best,
        start_spread_mm=_spread_mm(problems[number], best, rival),
    )


def _spread_mm(problem: Problem, best: State, rival: State) -> float:
    """Root mean square distance of corresponding vertices that the best state shows in any view."""
    vertices = best.vertices(problem)
    shown = np.any([_shown(problem, best, vertices, index) for index in range(len(problem.views))], axis=0)
    difference = (rival.vertices(problem) - vertices)[shown]
    return float(np.sqrt((difference**2).sum(axis=1).mean())) if len(difference) else 0.0


def _shown(problem: Problem, state: State, vertices: FloatArray, index: int) -> npt.NDArray[np.bool_]:
    """(V,) whether a view's field holds each vertex."""
    view = problem.views[index]
    return np.asarray(view.field_depth_at(view.geometry.project(state.placed(vertices, index))) > 0)


def _with_assumed_scale(
    model: ShapeModel, view: ViewObservation, side: Side | None, posture: Posture
) -> ViewObservation:
    """Where nothing says how large a pixel is: the size of pixel with which a bone of ordinary size fits best."""
    if view.calibration.scale.known:
        return view
    candidates = [_with_pixels_of(view, factor) for factor in ASSUMED_SIZES]
    problems = [prepare(model, [(each.calibration, each.perception)], side, posture) for each in candidates]
    tilt, yaw = posture.starts_deg[len(posture.starts_deg) // 2]
    found = [
        iterate(each, start(each, tilt_deg=tilt, yaw_deg=yaw), COARSE_NOISE_MM, modes=COARSE_MODES) for each in problems
    ]
    costs = [objective(each, state, COARSE_NOISE_MM[-1]) for each, state in zip(problems, found, strict=True)]
    return candidates[int(np.argmin(costs))]


def _with_pixels_of(view: ViewObservation, factor: float) -> ViewObservation:
    """The view with pixels larger by a factor, around the central ray."""
    geometry = view.calibration.geometry
    middle = geometry.pixel_position([(geometry.columns - 1) / 2, (geometry.rows - 1) / 2])
    resized = replace(
        geometry,
        detector_origin=middle + factor * (geometry.detector_origin - middle),
        pixel_spacing=(geometry.pixel_spacing[0] * factor, geometry.pixel_spacing[1] * factor),
    )
    return replace(view, calibration=replace(view.calibration, geometry=resized))


def _hangings(observations: tuple[ViewObservation, ...]) -> list[tuple[ViewObservation, ...]]:
    """The ways in which the pictures may hang: also mirrored, where the sender of a lateral did not say."""
    choices = [
        (view,)
        if view.calibration.mirroring_known or view.calibration.view.is_frontal
        else (view, _mirrored_hanging(view))
        for view in observations
    ]
    return list(product(*choices))


def _mirrored_hanging(view: ViewObservation) -> ViewObservation:
    geometry = view.calibration.geometry
    turned = replace(
        geometry,
        detector_origin=geometry.pixel_position(np.array([geometry.columns - 1.0, 0.0])),
        column_direction=-geometry.column_direction,
    )
    return replace(view, calibration=replace(view.calibration, geometry=turned))


def finished(solution: Solution) -> Fit:
    """The solution as a bone in the frame of its first view, with how sure it is."""
    problem, best, noise = solution.problem, solution.best, FINE_NOISE_MM[-1]
    vertices = best.vertices(problem)
    poses = [
        RigidPose(rotation=_orthonormal(rotation), translation=translation)
        for rotation, translation in zip(best.rotations, best.translations, strict=True)
    ]
    placed = poses[0].apply(vertices)
    views, shown = [], np.zeros(len(vertices), dtype=np.bool_)
    for index, (observation, view) in enumerate(zip(solution.observations, problem.views, strict=True)):
        matches = match(problem, best, vertices, index, noise)
        to_surface = _composed(poses[0], poses[index].inverse())
        views.append(
            FittedView(
                observation=observation,
                geometry=moved(observation.calibration.geometry, to_surface),
                residual_mm=residuals_mm(view, best, vertices, index, matches),
                unmatched=matches.unmatched,
                depth_deviation=depth_deviation(problem, best, vertices, index),
            )
        )
        shown |= _shown(problem, best, vertices, index)
    return Fit(
        bone=solution.bone,
        model=problem.model,
        side=problem.side,
        coefficients=best.coefficients,
        covariance=posterior_covariance(problem, best, noise),
        pose=poses[0],
        vertices=placed,
        triangles=problem.triangles,
        views=tuple(views),
        in_field=shown,
        start_spread_mm=solution.start_spread_mm,
        objective=objective(problem, best, noise),
    )


def _composed(second: RigidPose, first: RigidPose) -> RigidPose:
    """The pose that applies `first`, then `second`."""
    return RigidPose(
        rotation=_orthonormal(second.rotation @ first.rotation),
        translation=second.rotation @ first.translation + second.translation,
    )


def _orthonormal(rotation: FloatArray) -> FloatArray:
    """The nearest rotation matrix: products of many rotations drift."""
    u, _, vt = np.linalg.svd(rotation)
    return np.asarray(u @ vt)

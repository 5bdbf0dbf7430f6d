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
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.projector import contour_generator, edges_of, on_outline, shadow
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel, mirrored
from pipeline.stages.calibrate import Calibration
from pipeline.stages.contour import BORDER_PIXELS, Contour, depth_in_field, seen_contour
from pipeline.stages.perceive import Perception

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CORRELATION_MM: Final = 24.0
"""Neighbouring contour points err together. The model's residual is correlated over 12 mm, what a perception network
gets wrong over more. Against 12 mm, end to end on ten people: AP alone better (1.78 for 1.92 mm), two views about alike
(1.30 for 1.27); with true outlines 12 mm is better."""

STUDENT_FREEDOM: Final = 4.0
"""Degrees of freedom of the contour noise: overlapping bones and soft-tissue edges make outliers."""

GATE_MM: Final = 5.0
GATE_PER_NOISE: Final = 3.0
"""Points farther apart than gate + factor x noise do not match."""

NORMAL_AGREEMENT: Final = 0.6
"""Least cosine between the outward normals of the seen and the model's outline where they match."""

LANDMARK_SD_MM: Final = 4.0
"""By how much people disagree on a femoral landmark (five raters, VSD); adds to the heat map's own spread."""

YAW_DEG: Final = -12.0
YAW_SD_DEG: Final = 15.0
"""Rotation of a right leg about its long axis against the nominal view. Relaxed supine legs lie at -19 +- 13 degrees
(turned out; our bones in CT); technologists turn them in, more or less."""

TURN_SD_DEG: Final = 6.0
"""By how much that rotation changes between two views, beyond the nominal quarter turn."""

TILT_SD_DEG: Final = 7.0
"""Rotation that foreshortens the bone: flexion in a frontal view, abduction in a lateral one."""

IN_PLANE_SD_DEG: Final = 40.0
SHIFT_SD_MM: Final = 300.0
"""What the picture shows directly needs hardly any prior."""

DEPTH_STRIDE: Final = 10
"""Every so many vertices are enough to tell how far away the bone lies."""

OUTLINE_GRID_MM: Final = 1.5
"""Grid on which the model's outer outline is told from its inner folds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One view, prepared for iterations.

    Attributes:
        geometry: In the nominal frame of the view.
        contour: Seen outline, source pixels.
        tree: Of the seen outline's points.
        mask: (h, w) probability of the bone's shadow on the working grid.
        field_depth: (h, w) working pixels from the field's edge.
        pixel_to_working: (2, 3).
        mm_per_pixel: Nominal size of a source pixel in the bone's plane.
        depth_sd_mm: Of the bone along the beam.
        landmarks: Name, pixel (2,) and standard deviation in source pixels.
    """

    geometry: ProjectionGeometry
    contour: Contour
    tree: cKDTree
    mask: npt.NDArray[np.float32]
    field_depth: npt.NDArray[np.float32]
    pixel_to_working: FloatArray
    mm_per_pixel: float
    depth_sd_mm: float
    landmarks: tuple[tuple[str, FloatArray, float], ...]

    @property
    def beam(self) -> FloatArray:
        """(3,) nominal direction of the central ray."""
        return self.geometry.normal

    def field_depth_at(self, pixels: FloatArray) -> FloatArray:
        """Working pixels (N,) that source pixels (N, 2) lie inside the field; 0 outside."""
        working = np.round(pixels @ self.pixel_to_working[:, :2].T + self.pixel_to_working[:, 2]).astype(np.int64)
        rows, columns = self.field_depth.shape
        column, row = working.T
        held = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        column, row = np.where(held, column, 0), np.where(held, row, 0)
        return np.where(held, self.field_depth[row, column], 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What one fit holds constant: the model as the given side's bone, and the views."""

    model: ShapeModel
    side: Side
    mean: FloatArray
    modes: FloatArray
    triangles: npt.NDArray[np.int32]
    edges: IntArray
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The unknowns.

    Attributes:
        coefficients: (K,) in standard deviations.
        rotations: (views, 3, 3) from the model's frame to the nominal frame of each view.
        translations: (views, 3) mm.
    """

    coefficients: FloatArray
    rotations: FloatArray
    translations: FloatArray

    def vertices(self, problem: Problem) -> FloatArray:
        """(V, 3) of the side's bone in the model's frame."""
        return np.asarray(problem.mean + np.tensordot(self.coefficients, problem.modes, axes=1))

    def placed(self, vertices: FloatArray, view: int) -> FloatArray:
        """Vertices in the nominal frame of a view."""
        return np.asarray(vertices @ self.rotations[view].T + self.translations[view])


@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """Residuals, linearised: `residual + jacobian @ step`, each with a precision.

    The unknowns of a step are the coefficients, then per view a rotation vector (radians, applied after the present
    rotation) and a translation.
    """

    residual: FloatArray
    jacobian: FloatArray
    precision: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Points of the model's outline and of the seen outline that belong together.

    Attributes:
        edge: (N, 2) vertex indices on whose edge the model's point lies.
        share: (N, 2) weights of them.
        target: (N, 2) seen pixel.
        normal: (N, 2) its outward normal.
        sd_mm: (N,) its doubt.
        length_mm: (N,) stretch of outline that the match stands for.
        unmatched: Share of the seen outline without a match.
    """

    edge: IntArray
    share: FloatArray
    target: FloatArray
    normal: FloatArray
    sd_mm: FloatArray
    length_mm: FloatArray
    unmatched: float


def prepare(model: ShapeModel, views: Sequence[tuple[Calibration, Perception]], side: Side) -> Problem:
    """Everything that can be computed once."""
    return Problem(
        model=model,
        side=side,
        mean=mirrored(model.mean, side),
        modes=mirrored(model.modes, side),
        triangles=model.triangles_of(side),
        edges=edges_of(model.triangles),
        views=tuple(_prepared(calibration, perception) for calibration, perception in views),
    )


def _prepared(calibration: Calibration, perception: Perception) -> View:
    geometry, contour = calibration.geometry, seen_contour(perception)
    return View(
        geometry=geometry,
        contour=contour,
        tree=cKDTree(contour.pixels),
        mask=perception.mask,
        field_depth=depth_in_field(perception.field),
        pixel_to_working=np.linalg.inv(np.vstack([perception.working_to_pixel, [0, 0, 1]]))[:2],
        mm_per_pixel=float(np.sqrt(np.prod(geometry.pixel_spacing))) / geometry.magnification(np.zeros(3)),
        depth_sd_mm=calibration.depth_sd_mm,
        landmarks=tuple((str(name), seen.pixel, seen.sd_pixels) for name, seen in perception.landmarks.items()),
    )


def iterate(problem: Problem, state: State, noises_mm: Sequence[float], *, modes: int) -> State:
    """One Gauss-Newton step per noise level, in the first `modes` modes."""
    for noise in noises_mm:
        hessian, gradient = _normal_equations(problem, state, noise, modes)
        step = -cho_solve(cho_factor(hessian), gradient)
        state = _stepped(state, step, modes)
    return state


def posterior_covariance(problem: Problem, state: State, noise_mm: float) -> FloatArray:
    """(K, K) of the coefficients, poses integrated out: the inverse of the Hessian at the optimum (Laplace)."""
    count = problem.model.size
    hessian, _ = _normal_equations(problem, state, noise_mm, count)
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
        gate = (GATE_MM + GATE_PER_NOISE * noise_mm) ** 2 / float(
            np.median(problem.model.residual_sd) ** 2 + noise_mm**2
        )
        outline_mm = len(view.contour.pixels) * view.contour.spacing * view.mm_per_pixel
        total += float((_log_student(squared) * matches.length_mm).sum()) / CORRELATION_MM
        total += _log_student(np.array(gate)).item() * matches.unmatched * outline_mm / CORRELATION_MM
    return total


def _log_student(squared: FloatArray) -> FloatArray:
    return np.asarray((STUDENT_FREEDOM + 1) / 2 * np.log1p(squared / STUDENT_FREEDOM))


def match(problem: Problem, state: State, vertices: FloatArray, index: int, noise_mm: float) -> Matches:
    """Pair the model's outline in a view with the seen outline, each point with the nearest of the other."""
    view = problem.views[index]
    placed = state.placed(vertices, index)
    edge, share, pixels, outward = _outline(problem, view, placed)
    shown = view.field_depth_at(pixels) > BORDER_PIXELS
    edge, share, pixels, outward = edge[shown], share[shown], pixels[shown], outward[shown]
    gate = (GATE_MM + GATE_PER_NOISE * noise_mm) / view.mm_per_pixel
    if not len(pixels) or not len(view.contour.pixels):
        return _no_matches()
    to_seen = _nearest(view.tree, pixels, outward, view.contour.normals, gate)
    to_model = _nearest(cKDTree(pixels), view.contour.pixels, view.contour.normals, outward, gate)
    of_model, of_seen = np.flatnonzero(to_seen >= 0), np.flatnonzero(to_model >= 0)
    from_model = np.r_[of_model, to_model[of_seen]]
    from_seen = np.r_[to_seen[of_model], of_seen]
    spacing_mm = view.contour.spacing * view.mm_per_pixel
    outline_mm = len(view.contour.pixels) * spacing_mm
    # Each direction counts half, so that together they weigh as much as the outline is long.
    length = np.r_[np.full(len(of_model), 0.5 * outline_mm / len(pixels)), np.full(len(of_seen), 0.5 * spacing_mm)]
    return Matches(
        edge=edge[from_model],
        share=share[from_model],
        target=view.contour.pixels[from_seen],
        normal=view.contour.normals[from_seen],
        sd_mm=view.contour.sd_pixels[from_seen] * view.mm_per_pixel,
        length_mm=length,
        unmatched=1 - (len(of_seen) / len(view.contour.pixels) + len(of_model) / len(pixels)) / 2,
    )


def _no_matches() -> Matches:
    pairs, nothing = np.zeros((0, 2)), np.zeros(0)
    return Matches(
        edge=pairs.astype(np.int64),
        share=pairs,
        target=pairs,
        normal=pairs,
        sd_mm=nothing,
        length_mm=nothing,
        unmatched=1.0,
    )


def _outline(problem: Problem, view: View, placed: FloatArray) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Edges, weights, pixels and outward pixel normals of the model's outer outline in a view."""
    normals = vertex_normals(placed, problem.triangles)
    edge, share = contour_generator(placed, normals, problem.edges, view.geometry.source)
    pixels = view.geometry.project(_blend(placed, edge, share))
    normal = _blend(normals, edge, share)
    outward = normal @ np.stack([view.geometry.column_direction, view.geometry.row_direction], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
    outer = _is_outer(problem, view, view.geometry.project(placed), pixels)
    return edge[outer], share[outer], pixels[outer], outward[outer]


def _is_outer(problem: Problem, view: View, vertices: FloatArray, pixels: FloatArray) -> BoolArray:
    """Which points of the contour generator lie on the outer outline, told on a coarse grid around the shadow."""
    grid = OUTLINE_GRID_MM / view.mm_per_pixel
    low = vertices.min(axis=0) - 2 * grid
    columns, rows = np.ceil((vertices.max(axis=0) + 2 * grid - low) / grid).astype(int)
    mask = shadow((vertices - low) / grid, problem.triangles, (min(int(rows), 2000), min(int(columns), 2000)))
    return on_outline((pixels - low) / grid, mask)


def vertex_normals(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> FloatArray:
    """(V, 3) outward normals, as long as the adjoining triangles are large."""
    corners = vertices[triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.stack(
        [
            sum(np.bincount(triangles[:, corner], facets[:, axis], len(vertices)) for corner in range(3))
            for axis in range(3)
        ],
        axis=1,
    )


def _blend(values: FloatArray, edge: IntArray, share: FloatArray) -> FloatArray:
    """Values (..., V, 3) at points on edges: (..., N, 3)."""
    return np.asarray(values[..., edge[:, 0], :] * share[:, :1] + values[..., edge[:, 1], :] * share[:, 1:])


def _nearest(tree: cKDTree, points: FloatArray, normals: FloatArray, tree_normals: FloatArray, gate: float) -> IntArray:
    """Index (N,) of the nearest point of the tree, -1 where it is beyond the gate or faces elsewhere."""
    distance, index = tree.query(points, distance_upper_bound=gate)
    found = np.isfinite(distance)
    index = np.where(found, index, 0)
    agrees = (normals * tree_normals[index]).sum(axis=1) > NORMAL_AGREEMENT
    return np.where(found & agrees, index, -1)


def residuals_mm(view: View, state: State, vertices: FloatArray, index: int, matches: Matches) -> FloatArray:
    """(N,) signed distances along the seen normals, in the bone's plane."""
    pixels = view.geometry.project(state.placed(_blend(vertices, matches.edge, matches.share), index))
    return np.asarray(((pixels - matches.target) * matches.normal).sum(axis=1) * view.mm_per_pixel)


def _contour_variance(problem: Problem, matches: Matches, noise_mm: float) -> FloatArray:
    model_sd = (problem.model.residual_sd[matches.edge] * matches.share).sum(axis=1)
    return np.asarray(noise_mm**2 + matches.sd_mm**2 + model_sd**2)


def _normal_equations(problem: Problem, state: State, noise_mm: float, modes: int) -> tuple[FloatArray, FloatArray]:
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
    points = _blend(vertices, matches.edge, matches.share)
    slope = np.einsum("nd,nde->ne", matches.normal, _pixel_slope(view, state.placed(points, index)))
    point_modes = _blend(problem.modes[:modes], matches.edge, matches.share)
    return Terms(
        residual=residual,
        jacobian=_jacobian(problem, state, index, points, point_modes, slope * view.mm_per_pixel),
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
    axes = [_jacobian(problem, state, index, points, point_modes, slope[:, axis]) for axis in (0, 1)]
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


def _jacobian(
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
        residual.append(turned - [0, 0, np.deg2rad(yaw_of(problem.side, YAW_DEG))])
        jacobian.append(np.eye(3, unknowns, first))
        precision.append(1 / np.deg2rad(_rotation_sd_deg(view.beam)) ** 2)
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
        precision.append(np.array([1 / np.deg2rad(TURN_SD_DEG) ** 2]))
    return Terms(
        residual=np.concatenate(residual), jacobian=np.concatenate(jacobian), precision=np.concatenate(precision)
    )


def yaw_of(side: Side, right_leg_deg: float) -> float:
    """A right leg's rotation about the long axis, as the given side's: mirroring turns its sense."""
    return right_leg_deg if side is Side.RIGHT else -right_leg_deg


def _rotation_sd_deg(beam: FloatArray) -> FloatArray:
    """Standard deviations of the rotation vector's three components for a view along `beam` (the x or the y axis)."""
    in_plane = abs(beam)
    around_long_axis = np.array([0.0, 0.0, 1.0])
    other = 1 - in_plane - around_long_axis
    return np.asarray(in_plane * IN_PLANE_SD_DEG + around_long_axis * YAW_SD_DEG + other * TILT_SD_DEG)


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
        jacobian=_jacobian(problem, state, index, middle[None], middle_modes, view.beam[None]),
        precision=np.array([1 / view.depth_sd_mm**2]),
    )


def depth_deviation(problem: Problem, state: State, vertices: FloatArray, index: int) -> float:
    """How far behind its nominal plane the shown part of the bone lies, in the scale's standard deviations."""
    return _depth_term(problem, state, vertices, index, 1).residual.item() / problem.views[index].depth_sd_mm


def _stepped(state: State, step: FloatArray, modes: int) -> State:
    coefficients = state.coefficients.copy()
    coefficients[:modes] += step[:modes]
    poses = step[modes:].reshape(-1, 6)
    turns = Rotation.from_rotvec(poses[:, :3]).as_matrix()
    return State(
        coefficients=coefficients,
        rotations=turns @ state.rotations,
        translations=state.translations + poses[:, 3:],
    )

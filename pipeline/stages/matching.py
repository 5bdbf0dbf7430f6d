"""Which points of the model's outline and of the seen outline belong together, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pipeline.geometry import FloatArray
from pipeline.projector import coarse_shadow, contour_generator, on_outline, vertex_normals
from pipeline.stages.contour import BORDER_PIXELS
from pipeline.stages.problem import IntArray, Problem, State, View

BoolArray = npt.NDArray[np.bool_]

GATE_MM: Final = 5.0
GATE_PER_NOISE: Final = 3.0

NORMAL_AGREEMENT: Final = 0.6
"""Least cosine between the outward normals of the seen and the model's outline where they match."""

OUTLINE_GRID_MM: Final = 1.5
"""Grid on which the model's outer outline is told from its inner folds."""


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


def gate_mm(noise_mm: float) -> float:
    """Points of the two outlines that lie farther apart do not belong together."""
    return GATE_MM + GATE_PER_NOISE * noise_mm


def match(problem: Problem, state: State, vertices: FloatArray, index: int, noise_mm: float) -> Matches:
    """Pair the model's outline in a view with the seen outline, each point with the nearest of the other."""
    view = problem.views[index]
    placed = state.placed(vertices, index)
    edge, share, pixels, outward = _outline(problem, view, placed)
    shown = view.field_depth_at(pixels) > BORDER_PIXELS
    edge, share, pixels, outward = edge[shown], share[shown], pixels[shown], outward[shown]
    gate = gate_mm(noise_mm) / view.mm_per_pixel
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
    pixels = view.geometry.project(blend(placed, edge, share))
    normal = blend(normals, edge, share)
    outward = normal @ np.stack([view.geometry.column_direction, view.geometry.row_direction], axis=1)
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-12)
    outer = _is_outer(problem, view, view.geometry.project(placed), pixels)
    return edge[outer], share[outer], pixels[outer], outward[outer]


def _is_outer(problem: Problem, view: View, vertices: FloatArray, pixels: FloatArray) -> BoolArray:
    """Which points of the contour generator lie on the outer outline, told on a coarse grid around the shadow."""
    grid = OUTLINE_GRID_MM / view.mm_per_pixel
    low = vertices.min(axis=0) - 2 * grid
    columns, rows = np.ceil((vertices.max(axis=0) + 2 * grid - low) / grid).astype(int)
    mask = coarse_shadow((vertices - low) / grid, problem.triangles, (min(int(rows), 2000), min(int(columns), 2000)))
    return on_outline((pixels - low) / grid, mask)


def blend(values: FloatArray, edge: IntArray, share: FloatArray) -> FloatArray:
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
    pixels = view.geometry.project(state.placed(blend(vertices, matches.edge, matches.share), index))
    return np.asarray(((pixels - matches.target) * matches.normal).sum(axis=1) * view.mm_per_pixel)

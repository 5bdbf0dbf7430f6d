"""Distances between a reconstructed surface and the true one, over what a radiograph shows of it.

The reconstruction is laid onto the shown part of the truth rigidly, never scaled: iterated closest points, trimmed at
95 %. Then points are sprinkled evenly over both surfaces, and each point's distance to the other surface is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d as o3d
import trimesh

from models.training.primitives import Mesh
from pipeline.geometry import FloatArray

ALIGNED_POINTS = 3000
SCORED_POINTS = 30000
ROUNDS = 120
TRIMMED = 0.95
CLOSE_ENOUGH_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class Score:
    """Distances in mm.

    Attributes:
        asd: Mean of both directed mean distances.
        rms: Root mean square over both.
        hd95: 95th percentile over both.
        nsd1: Share within 1 mm.
        nsd2: Share within 2 mm.
    """

    asd: float
    rms: float
    hd95: float
    nsd1: float
    nsd2: float


def score(found: Mesh, truth: Mesh, shown: tuple[float, float], start: FloatArray) -> Score:
    """Score a reconstruction over a part of the truth.

    Args:
        found: The reconstruction, turned about as the truth is.
        truth: The true surface.
        shown: Lowest and highest z, mm, of the part of the truth that counts.
        start: (3,) shift of the reconstruction from which the alignment begins.
    """
    part = _within(_sprinkled(truth, 2 * SCORED_POINTS), shown)
    vertices = aligned(found, part[:: max(1, len(part) // ALIGNED_POINTS)], start)
    moved = Mesh(vertices=vertices, triangles=found.triangles)
    to_found = _distances(part[:SCORED_POINTS], moved)
    other = _within(_sprinkled(moved, 2 * SCORED_POINTS), shown)[:SCORED_POINTS]
    to_truth = _distances(other, truth) if len(other) else np.full(1, np.inf)
    both = np.r_[to_found, to_truth]
    return Score(
        asd=float((to_found.mean() + to_truth.mean()) / 2),
        rms=float(np.sqrt((both**2).mean())),
        hd95=float(max(np.quantile(to_found, 0.95), np.quantile(to_truth, 0.95))),
        nsd1=float((both <= 1).mean()),
        nsd2=float((both <= 2).mean()),
    )


def aligned(found: Mesh, part: FloatArray, start: FloatArray) -> FloatArray:
    """(V, 3) the reconstruction's vertices, laid onto points (N, 3) of the truth."""
    scene = _scene(found)
    rotation, shift = np.eye(3), np.asarray(start, dtype=np.float64)
    for _ in range(ROUNDS):
        own = (part - shift) @ rotation
        closest = scene.compute_closest_points(o3d.core.Tensor.from_numpy(own.astype(np.float32)))["points"].numpy()
        distance = np.linalg.norm(own - closest, axis=1)
        kept = distance <= np.quantile(distance, TRIMMED)
        turned, moved = nearest_motion(closest[kept].astype(np.float64), part[kept])
        still = np.abs((own @ turned.T + moved) - (own @ rotation.T + shift)).max() < CLOSE_ENOUGH_MM
        rotation, shift = turned, moved
        if still:
            break
    return np.asarray(found.vertices @ rotation.T + shift)


def nearest_motion(points: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotation (3, 3) and shift (3,) that carry points (N, 3) nearest to their targets (N, 3) (Kabsch 1976)."""
    centre, aim = points.mean(axis=0), targets.mean(axis=0)
    u, _, vt = np.linalg.svd((targets - aim).T @ (points - centre))
    turned = np.asarray((u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt)
    return turned, np.asarray(aim - turned @ centre)


def turn_onto(points: FloatArray, targets: FloatArray, *, also: FloatArray | None = None) -> FloatArray:
    """Points (N, 3), or others that move `also` with them, carried rigidly nearest to the points' targets (N, 3)."""
    turned, moved = nearest_motion(points, targets)
    return np.asarray((points if also is None else also) @ turned.T + moved)


def _within(points: FloatArray, heights: tuple[float, float]) -> FloatArray:
    low, high = heights
    return points[(points[:, 2] >= low) & (points[:, 2] <= high)]


def _sprinkled(mesh: Mesh, count: int) -> FloatArray:
    """(count, 3) points spread evenly by area, in no order."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    return np.asarray(trimesh.sample.sample_surface(surface, count, seed=1)[0])


def _scene(mesh: Mesh) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.triangles, np.uint32)),
    )
    return scene


def _distances(points: FloatArray, mesh: Mesh) -> FloatArray:
    return np.asarray(
        _scene(mesh).compute_distance(o3d.core.Tensor.from_numpy(points.astype(np.float32))).numpy(), dtype=np.float64
    )

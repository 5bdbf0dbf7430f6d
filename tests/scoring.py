"""How far a reconstructed surface is from the true one, over the part of it that the radiographs show.

The true part is laid into the reconstruction by rigid ICP (never scaled), then the mean distance between both is
measured, in both directions, between points sampled evenly and the other surface.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open3d
import trimesh
from pydicom.dataset import Dataset
from scipy.spatial import cKDTree

SAMPLES = 30_000
ICP_SAMPLES = 3_000
ICP_ROUNDS = 120
TRIM = 0.95
NEAR_MM = 80.0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The surface that radiographs were simulated from, and the heights (mm, its own z) that all of them show."""

    mesh: trimesh.Trimesh
    low: float
    high: float

    @classmethod
    def load(cls, folder: Path) -> "Truth":
        """From `truth.ply` and `truth.json` of the sample study."""
        mesh = trimesh.load_mesh(folder / "truth.ply")
        radiographs = json.loads((folder / "truth.json").read_text())["radiographs"]
        seen = [_heights_in_field(mesh, radiograph["geometry"]) for radiograph in radiographs]
        return cls(mesh=mesh, low=max(low for low, _ in seen), high=min(high for _, high in seen))


def mesh_of(segmentation: Dataset) -> trimesh.Trimesh:
    """The first surface of a Surface Segmentation, as PS3.3 C.27 has it."""
    surface = segmentation.SurfaceSequence[0]
    points = np.frombuffer(surface.SurfacePointsSequence[0].PointCoordinatesData, "<f4").reshape(-1, 3)
    indices = surface.SurfaceMeshPrimitivesSequence[0].LongTrianglePointIndexList
    return trimesh.Trimesh(points, np.frombuffer(indices, "<u4").reshape(-1, 3).astype(int) - 1, process=False)


def mean_distance_mm(reconstruction: trimesh.Trimesh, truth: Truth) -> float:
    """Average symmetric surface distance over what the field shows."""
    part = _between(_sample(truth.mesh, SAMPLES), truth)
    rotation, shift = _lay_into(part, reconstruction)
    moved = reconstruction.copy()
    moved.vertices = (reconstruction.vertices - shift) @ rotation
    back = _between(_sample(moved, SAMPLES), truth)
    return float((_distances(part, moved).mean() + _distances(back, truth.mesh).mean()) / 2)


def _heights_in_field(mesh: trimesh.Trimesh, geometry: dict) -> tuple[float, float]:
    """Lowest and highest z of the vertices whose shadow falls on the detector."""
    source, origin = np.array(geometry["source"]), np.array(geometry["detector_origin"])
    along, down = np.array(geometry["column_direction"]), np.array(geometry["row_direction"])
    normal = np.cross(along, down)
    rays = mesh.vertices - source
    hits = source + rays * ((origin - source) @ normal / (rays @ normal))[:, None]
    columns = (hits - origin) @ along / geometry["pixel_spacing"][1]
    rows = (hits - origin) @ down / geometry["pixel_spacing"][0]
    inside = (columns > 0) & (columns < geometry["columns"]) & (rows > 0) & (rows < geometry["rows"])
    heights = mesh.vertices[inside, 2]
    return float(heights.min()), float(heights.max())


def _sample(mesh: trimesh.Trimesh, count: int) -> np.ndarray:
    return np.asarray(trimesh.sample.sample_surface(mesh, count, seed=0)[0])


def _between(points: np.ndarray, truth: Truth) -> np.ndarray:
    return points[(points[:, 2] > truth.low) & (points[:, 2] < truth.high)]


def _lay_into(part: np.ndarray, reconstruction: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift that lay `part` into the reconstruction: trimmed ICP from its top, middle and bottom."""
    surface = _sample(reconstruction, SAMPLES)
    tree = cKDTree(surface)
    moving = part[:: max(1, len(part) // ICP_SAMPLES)]
    tried = [_icp(moving, surface, tree, _start(part, surface, end)) for end in (0.0, 0.5, 1.0)]
    _, rotation, shift = min(tried, key=lambda found: found[0])
    return rotation, shift


def _start(part: np.ndarray, surface: np.ndarray, end: float) -> np.ndarray:
    """A shift that brings both together at the same relative height."""
    height_part, height_surface = (points[:, 2].min() + end * np.ptp(points[:, 2]) for points in (part, surface))
    near = surface[np.abs(surface[:, 2] - height_surface) < NEAR_MM]
    return np.r_[near[:, :2].mean(0), height_surface] - np.r_[part[:, :2].mean(0), height_part]


def _icp(
    moving: np.ndarray, surface: np.ndarray, tree: cKDTree, shift: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean distance, rotation and shift after trimmed point-to-point ICP (Chetverikov et al. 2002)."""
    rotation = np.eye(3)
    for _ in range(ICP_ROUNDS):
        distance, nearest = tree.query(moving @ rotation.T + shift)
        kept = distance <= np.quantile(distance, TRIM)
        rotation, shift = _rigid(moving[kept], surface[nearest[kept]])
    return float(tree.query(moving @ rotation.T + shift)[0].mean()), rotation, shift


def _rigid(points: np.ndarray, onto: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift of least squares (Kabsch 1976)."""
    u, _, vt = np.linalg.svd((points - points.mean(0)).T @ (onto - onto.mean(0)))
    rotation = vt.T @ np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    return rotation, onto.mean(0) - rotation @ points.mean(0)


def _distances(points: np.ndarray, mesh: trimesh.Trimesh) -> np.ndarray:
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.uint32))
    return scene.compute_distance(open3d.core.Tensor(points.astype(np.float32))).numpy()

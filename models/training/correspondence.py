"""Dense correspondence: one template's vertices on every bone.

Registration is non-rigid iterative closest points, regularised by a Gaussian process: the deformation is a smooth
random field over the template, a sum of squared-exponential kernels from bending of the shaft to bumps on a condyle
(Lüthi 2018, IEEE TPAMI 40:1860). With the low-rank basis of the kernel, each iteration is one ridge regression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import open3d as o3d
import trimesh
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial import cKDTree

from models.training.bones import Bone, FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

TEMPLATE_TRIANGLES = 9000
"""About 4500 vertices, 4 mm apart on the shaft: 0.1 mm from the surface between vertices on a femoral head."""

Kernels = tuple[tuple[float, float], ...]
"""Length scale and standard deviation of each squared-exponential kernel, mm."""

KERNELS: Kernels = ((200.0, 12.0), (70.0, 6.0), (25.0, 2.5), (10.0, 0.8))
"""Of the deformations by which one femur becomes another."""

RANK = 500
INDUCING_POINTS = 1500
NOISE_SCHEDULE = (6.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15, 0.15, 0.1, 0.1)
"""Standard deviation of a closest point around its true correspondence, mm: from guess to scanner noise."""

NORMAL_AGREEMENT = 0.5
"""A closest point counts where its normal deviates less than 60 degrees."""

CUT_MARGIN_MM = 4.0
"""Template vertices this near to where a bone was cut off have no counterpart on it."""

END_MM = 80.0
"""Height of the end by which a bone that was cut in the shaft is first laid onto the template's."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A watertight mesh whose vertices name corresponding points.

    Attributes:
        person: Whose bone it was; that person must not be evaluated with it.
        vertices: (V, 3) mm.
        triangles: (T, 3).
        long: Whether the bone has a long axis by which another is roughly laid onto it.
    """

    person: str
    vertices: FloatArray
    triangles: IntArray
    long: bool = True


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A bone in the template's vertices.

    Attributes:
        bone: The bone.
        vertices: (V, 3) mm, in the bone's own frame.
        seen: (V,) False where the bone was cut off and the vertices are a guess.
        residual_mm: Mean distance of the seen vertices from the bone's surface before the last snap onto it.
    """

    bone: Bone
    vertices: FloatArray
    seen: BoolArray
    residual_mm: float


def make_template(bone: Bone, *, triangles: int = TEMPLATE_TRIANGLES, long: bool = True) -> Template:
    """Thin out a smooth whole bone; quadrics keep more vertices where it is curved.

    Args:
        bone: The bone.
        triangles: How many to keep.
        long: Whether it has a long axis.

    Raises:
        ValueError: The thinned surface is not watertight.
    """
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(bone.vertices), o3d.utility.Vector3iVector(bone.triangles)
    )
    mesh = mesh.filter_smooth_taubin(number_of_iterations=5).simplify_quadric_decimation(triangles)
    thin = trimesh.Trimesh(np.asarray(mesh.vertices), np.asarray(mesh.triangles), process=True)
    if not thin.is_watertight:
        raise ValueError(f"the template from {bone.name} is not watertight; choose another bone")
    faces = np.array(thin.faces, dtype=np.int64)
    return Template(person=bone.person, vertices=np.array(thin.vertices), triangles=faces, long=long)


def deformation_basis(points: FloatArray, kernels: Kernels, rank: int) -> FloatArray:
    """Low-rank factor (V, rank) of the sum of squared-exponential kernels, by Nyström's method.

    Coefficients of its columns are independent standard normal variables.
    """
    chosen = points[farthest_points(points, min(INDUCING_POINTS, len(points)))]
    values, vectors = np.linalg.eigh(_kernel(chosen, chosen, kernels))
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    kept = values > values[0] * 1e-9
    return np.asarray(_kernel(points, chosen, kernels) @ (vectors[:, kept] / np.sqrt(values[kept])))


def farthest_points(points: FloatArray, count: int) -> IntArray:
    """Indices of `count` points spread evenly, each the farthest from those before it."""
    chosen = np.zeros(count, dtype=np.int64)
    distance = np.full(len(points), np.inf)
    for i in range(1, count):
        distance = np.minimum(distance, ((points - points[chosen[i - 1]]) ** 2).sum(axis=1))
        chosen[i] = distance.argmax()
    return chosen


def _kernel(a: FloatArray, b: FloatArray, kernels: Kernels) -> FloatArray:
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.asarray(sum(sd**2 * np.exp(-squared / (2 * length**2)) for length, sd in kernels))


def register(template: Template, basis: FloatArray, bone: Bone) -> Registered:
    """Carry the template onto a bone.

    Args:
        template: The template.
        basis: (V, R) from `deformation_basis` of the template's vertices.
        bone: Of the same kind, whole or cut in the shaft.
    """
    target = trimesh.Trimesh(bone.vertices, bone.triangles, process=False)
    start, seen = _similarity_start(template, bone)
    moved = start
    normals_of = trimesh.Trimesh(start, template.triangles, process=False)
    tree = cKDTree(bone.vertices)
    for noise in NOISE_SCHEDULE:
        normals_of.vertices = moved
        pull, weight = _pull(moved, np.array(normals_of.vertex_normals), target, tree)
        weight = weight * seen / noise**2
        offset = moved + pull - start
        weighted = basis * weight[:, None]
        system = basis.T @ weighted + np.eye(basis.shape[1])
        moved = start + basis @ cho_solve(cho_factor(system), weighted.T @ offset)
    snapped, residual = _snap(moved, target, seen)
    return Registered(bone=bone, vertices=snapped, seen=seen, residual_mm=residual)


def _pull(
    moved: FloatArray, normals: FloatArray, target: trimesh.Trimesh, tree: cKDTree
) -> tuple[FloatArray, FloatArray]:
    """Vectors (V, 3) to the tangent plane at the closest vertex plus half of the way along it, and weights (V,)."""
    distance, index = tree.query(moved)
    closest, closest_normals = np.asarray(target.vertices)[index], np.asarray(target.vertex_normals)[index]
    gap = closest - moved
    across = (gap * closest_normals).sum(axis=1, keepdims=True) * closest_normals
    agrees = (normals * closest_normals).sum(axis=1) > NORMAL_AGREEMENT
    near = distance < max(10.0, 3 * float(np.median(distance)))
    return across + 0.5 * (gap - across), (agrees & near).astype(np.float64)


def _snap(moved: FloatArray, target: trimesh.Trimesh, seen: BoolArray) -> tuple[FloatArray, float]:
    """Put vertices that are within 1 mm of the surface onto it; the mean distance before that."""
    closest = closest_points(target.vertices, target.faces, moved)
    distance = np.linalg.norm(closest - moved, axis=1)
    return np.where(((distance < 1.0) & seen)[:, None], closest, moved), float(distance[seen].mean())


def closest_points(vertices: npt.ArrayLike, triangles: npt.ArrayLike, points: FloatArray) -> FloatArray:
    """The points (N, 3) of a surface that are closest to `points` (N, 3)."""
    scene = o3d.t.geometry.RaycastingScene()
    tensor = o3d.core.Tensor.from_numpy
    scene.add_triangles(
        tensor(np.ascontiguousarray(vertices, np.float32)), tensor(np.ascontiguousarray(triangles, np.uint32))
    )
    found = scene.compute_closest_points(tensor(points.astype(np.float32)))
    return np.asarray(found["points"].numpy(), dtype=np.float64)


def _similarity_start(template: Template, bone: Bone) -> tuple[FloatArray, BoolArray]:
    """The template laid onto the bone by a similarity, and which of its vertices the bone has at all."""
    seen = np.ones(len(template.vertices), dtype=np.bool_)
    if bone.part == "whole":
        roughly = _length_scaled if template.long else _size_scaled
        moved = _similarity_icp(roughly(template.vertices, bone.vertices), bone.vertices, seen)
        return moved, seen
    up = 1.0 if bone.part == "proximal" else -1.0
    height = END_MM if bone.part == "proximal" else float(np.ptp(bone.vertices[:, 2]))
    moved = template.vertices + (_end(bone.vertices, up, height) - _end(template.vertices, up, height))
    cut = (up * bone.vertices[:, 2]).min() + CUT_MARGIN_MM
    for _ in range(3):
        seen = up * moved[:, 2] > cut
        moved = _similarity_icp(moved, bone.vertices, seen)
    return moved, up * moved[:, 2] > cut


def _end(vertices: FloatArray, up: float, height: float) -> FloatArray:
    """Middle of a bone's upper (`up` = 1) or lower (-1) end, its height the outermost vertex's."""
    heights = up * vertices[:, 2]
    end = vertices[heights > heights.max() - height]
    return np.array([*end[:, :2].mean(axis=0), up * heights.max()])


def _similarity_icp(moved: FloatArray, fixed: FloatArray, seen: BoolArray, iterations: int = 40) -> FloatArray:
    """`moved` rotated, shifted and scaled as a whole onto `fixed`; only the `seen` part is compared."""
    tree = cKDTree(fixed)
    for _ in range(iterations):
        distance, index = (np.asarray(found) for found in tree.query(moved[seen]))
        near = distance <= np.quantile(distance, 0.9)
        scale, rotation, shift = similarity(moved[seen][near], fixed[index[near]])
        moved = scale * moved @ rotation.T + shift
    return moved


def _size_scaled(moving: FloatArray, fixed: FloatArray) -> FloatArray:
    """`moving` with its centre and its spread brought onto those of `fixed`; both stand upright already."""
    centred, target = moving - moving.mean(axis=0), fixed - fixed.mean(axis=0)
    return np.asarray(centred * np.sqrt((target**2).mean() / (centred**2).mean()) + fixed.mean(axis=0))


def _length_scaled(moving: FloatArray, fixed: FloatArray) -> FloatArray:
    """`moving` with its long axis, length and centre brought onto those of `fixed`."""
    axes, lengths = zip(*(_long_axis(points) for points in (moving, fixed)), strict=True)
    v, c = np.cross(axes[0], axes[1]), float(axes[0] @ axes[1])
    skew = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    rotation = np.eye(3) + skew + skew @ skew / (1 + c)
    centres = [points.mean(axis=0) for points in (moving, fixed)]
    return np.asarray((moving - centres[0]) @ rotation.T * (lengths[1] / lengths[0]) + centres[1])


def _long_axis(points: FloatArray) -> tuple[FloatArray, float]:
    axis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][0]
    axis = axis * np.sign(axis[2])
    along = points @ axis
    return axis, float(np.ptp(along))


def similarity(moving: FloatArray, fixed: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Scale, rotation (3, 3) and shift (3,) that carry `moving` (N, 3) onto `fixed` best (Umeyama 1991)."""
    a, b = moving - moving.mean(axis=0), fixed - fixed.mean(axis=0)
    u, singular, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (a**2).sum())
    return scale, rotation, fixed.mean(axis=0) - scale * rotation @ moving.mean(axis=0)


def rigid(moving: FloatArray, fixed: FloatArray) -> FloatArray:
    """`moving` (V, 3) rotated and shifted onto its corresponding points `fixed` (Kabsch 1976)."""
    _, rotation, _ = similarity(moving, fixed)
    return np.asarray((moving - moving.mean(axis=0)) @ rotation.T + fixed.mean(axis=0))

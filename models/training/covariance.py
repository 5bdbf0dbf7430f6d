"""What people's bones have in common and how they differ: mean, covariance and its largest joint modes.

The prior over shapes is a Gaussian process whose covariance is a sum (Lüthi 2018, IEEE TPAMI 40:1860): what the people
differed in; a free size and a free length, because a bone larger than any in the collection must not be penalised;
smooth bending, where few people are known; and random fields along the normals, because a few dozen people do not span
everybody. What no mode explains becomes the model's residual, which the fit counts as error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import trimesh

from models.training.bones import FloatArray, IntArray
from models.training.correspondence import BoolArray, Registered, deformation_basis, rigid
from models.training.recipes import Recipe

REGISTRATION_SD_MM = 0.2
"""What the registration leaves between template and bone; adds to the residual."""

BENDING_RANK = 10
"""Smooth fields per axis: more of them repeat what the random fields along the normals say."""

SEEN_NOISE = 1.0
"""Variance, mm², of a vertex that was seen around what the covariance can express."""


def learn(registered: Sequence[Registered], recipe: Recipe, *, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Mean (V, 3) and factor (N, V, 3) of the covariance of people's bones.

    Whole bones come first; bones that were cut are completed by what the whole ones say. The upper femora are completed
    by their expectation, as 15 whole people know what goes with them. Where fewer people are whole (`bending` is free),
    by a random draw from the conditional distribution: the expectation would make all unseen ends alike.
    """
    whole = [item for item in registered if item.bone.part == "whole"]
    mean, factor = _mean_and_factor([item.vertices for item in whole], _weights(whole))
    full = np.concatenate([factor, free_modes(mean, recipe)])
    rng = np.random.default_rng(seed) if recipe.bending else None
    completed = [
        item.vertices if item.bone.part == "whole" else complete(item.vertices, item.seen, mean, full, rng)
        for item in registered
    ]
    return _mean_and_factor(completed, _weights(registered))


def joint_modes(
    mean: FloatArray, triangles: IntArray, factor: FloatArray, recipe: Recipe
) -> tuple[FloatArray, FloatArray]:
    """The largest joint modes (K, V, 3) of all parts of the covariance, and the residual's standard deviation (V,)."""
    normals = np.array(trimesh.Trimesh(mean, triangles, process=False).vertex_normals)
    fields = deformation_basis(mean, recipe.residual_kernels, recipe.residual_rank)
    along_normals = np.einsum("vr,vc,vd->rcvd", fields, normals, normals).reshape(-1, *mean.shape)
    free = free_modes(mean, recipe)
    parts = np.concatenate([factor, free, _without_rigid_motion(along_normals, mean)])
    flat = parts.reshape(len(parts), -1)
    vectors = np.linalg.eigh(flat @ flat.T)[1]
    modes = (vectors[:, ::-1][:, : recipe.modes].T @ flat).reshape(-1, *mean.shape)
    total = sum(sd**2 for _, sd in recipe.residual_kernels) + _normal_variance(factor, normals)
    explained = _normal_variance(modes, normals)
    left = np.maximum(total + _normal_variance(free, normals) - explained, 0) + REGISTRATION_SD_MM**2
    return modes, np.sqrt(left)


def complete(
    vertices: FloatArray, seen: BoolArray, mean: FloatArray, factor: FloatArray, rng: np.random.Generator | None = None
) -> FloatArray:
    """A bone whose unseen part is what the model expects, given the part that was seen.

    Args:
        vertices: (V, 3); values where not `seen` are ignored.
        seen: (V,).
        mean: (V, 3).
        factor: (N, V, 3) of the covariance, with its free modes.
        rng: Draw the unseen part from its conditional distribution; None takes its expectation.
    """
    columns = factor[:, seen].reshape(len(factor), -1).T
    system = columns.T @ columns + SEEN_NOISE * np.eye(len(factor))
    guess = mean
    for _ in range(10):
        aligned = _aligned_by_part(vertices, guess, seen)
        coefficients = np.linalg.solve(system, columns.T @ (aligned - mean)[seen].reshape(-1))
        guess = mean + np.tensordot(coefficients, factor, axes=1)
    if rng is not None:
        whitened = np.linalg.solve(np.linalg.cholesky(system).T, rng.standard_normal(len(factor)))
        guess = guess + np.tensordot(np.sqrt(SEEN_NOISE) * whitened, factor, axes=1)
    # The seam: the guess is carried to the seen part by the offset where they meet.
    edge = seen & _nearest_the_cut(guess[:, 2], seen)
    return np.where(seen[:, None], aligned, guess + (aligned - guess)[edge].mean(axis=0))


def _nearest_the_cut(heights: FloatArray, seen: BoolArray) -> BoolArray:
    """The twentieth of the seen vertices that lies nearest to the unseen ones."""
    up = 1.0 if heights[seen].mean() > heights[~seen].mean() else -1.0
    return np.asarray(up * heights < np.quantile(up * heights[seen], 0.05))


def free_modes(mean: FloatArray, recipe: Recipe) -> FloatArray:
    """(N, V, 3), one standard deviation each: the whole bone larger, longer along its long axis, and smoothly bent."""
    centred = mean - mean.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = np.outer(centred @ axis, axis)
    modes = [recipe.size_sd * centred] + ([recipe.length_sd * along] if recipe.length_sd else [])
    if not recipe.bending:
        return np.stack(modes)
    fields = deformation_basis(mean, recipe.bending, BENDING_RANK)
    bent = np.einsum("vr,cd->rcvd", fields, np.eye(3)).reshape(-1, *mean.shape)
    return np.concatenate([np.stack(modes), _without_rigid_motion(bent, mean)])


def _weights(registered: Sequence[Registered]) -> FloatArray:
    """Each person counts once, however many bones they gave."""
    people = [item.bone.person for item in registered]
    return np.array([1 / people.count(person) for person in people])


def _mean_and_factor(shapes: Sequence[FloatArray], weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rigidly align shapes to their weighted mean (Procrustes without scaling), and factor their covariance."""
    mean = shapes[0]
    for _ in range(5):
        aligned = np.array([rigid(shape, mean) for shape in shapes])
        mean = np.average(aligned, axis=0, weights=weights)
    mean = mean - mean.mean(axis=0)
    differences = np.array([rigid(shape, mean) for shape in shapes]) - mean
    return mean, differences * np.sqrt(weights / (weights.sum() - 1))[:, None, None]


def _aligned_by_part(vertices: FloatArray, target: FloatArray, part: BoolArray) -> FloatArray:
    """`vertices` moved rigidly so that their `part` lies on that of `target`."""
    a, b = vertices[part], target[part]
    u, _, vt = np.linalg.svd((b - b.mean(axis=0)).T @ (a - a.mean(axis=0)))
    rotation = (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return np.asarray((vertices - a.mean(axis=0)) @ rotation.T + b.mean(axis=0))


def _normal_variance(modes: FloatArray, normals: FloatArray) -> FloatArray:
    return np.asarray((np.einsum("kvc,vc->kv", modes, normals) ** 2).sum(axis=0))


def _without_rigid_motion(fields: FloatArray, mean: FloatArray) -> FloatArray:
    """`fields` (N, V, 3) without their rotations and translations, which are the pose's."""
    axes = np.eye(3)
    motions = [np.broadcast_to(axis, mean.shape) for axis in axes] + [np.cross(axis, mean) for axis in axes]
    orthonormal = np.linalg.qr(np.array(motions).reshape(6, -1).T)[0]
    flat = fields.reshape(len(fields), -1)
    return np.asarray((flat - (flat @ orthonormal) @ orthonormal.T).reshape(fields.shape))

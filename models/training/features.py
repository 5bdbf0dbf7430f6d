"""Landmarks and regions of a shape model, and the ways to find them on its mean surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.training.bones import FloatArray, IntArray
from models.training.correspondence import BoolArray, Registered
from pipeline.shape_model import Landmark


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """What is known by name on a mean surface.

    Attributes:
        landmarks: By name.
        regions: Vertex indices by name.
    """

    landmarks: Mapping[str, Landmark]
    regions: Mapping[str, IntArray]


def carried(
    registered: Sequence[Registered], mean: FloatArray, picks: Sequence[Mapping[str, FloatArray]]
) -> dict[str, FloatArray]:
    """Hand-picked landmarks carried to the mean by correspondence: the median over people, (3,) mm each.

    Args:
        registered: Bones.
        mean: (V, 3).
        picks: Of every bone, in its own frame.
    """
    found: dict[str, list[FloatArray]] = {}
    for item, points in zip(registered, picks, strict=True):
        for name, position in points.items():
            nearest = np.linalg.norm(item.vertices - position, axis=1).argsort()[:3]
            found.setdefault(name, []).append(mean[nearest].mean(axis=0))
    return {name: np.median(positions, axis=0) for name, positions in found.items()}


def nearest(mean: FloatArray, position: FloatArray) -> Landmark:
    """The vertex nearest to a position."""
    index = np.linalg.norm(mean - position, axis=1).argmin()
    return Landmark(indices=np.array([index]), weights=np.ones(1))


def farthest(mean: FloatArray, direction: Sequence[float], among: BoolArray | None = None) -> Landmark:
    """The vertex that lies farthest in a direction."""
    reach = mean @ np.asarray(direction)
    index = int(np.argmax(reach if among is None else np.where(among, reach, -np.inf)))
    return Landmark(indices=np.array([index]), weights=np.ones(1))


def centre_of(indices: IntArray) -> Landmark:
    """The mean of some vertices."""
    return Landmark(indices=indices, weights=np.full(len(indices), 1 / len(indices)))


def balanced(mean: FloatArray, region: IntArray, position: FloatArray) -> Landmark:
    """The smallest weights on a region's vertices that average to `position`: it follows the region as that grows."""
    constraints = np.vstack([(mean[region] - position).T, np.ones(len(region))])
    weights = np.linalg.pinv(constraints) @ [0, 0, 0, 1]
    return Landmark(indices=region, weights=weights / weights.sum())

"""Landmarks, regions and frame of tibia, fibula and patella, all by geometry: nobody picked any in the collection.

Frame: that of the person's own tibia. z runs from the middle of its cross-section above the ankle to the middle of its
plateau, x along the plateau's widest direction, to the medial side of a right leg.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.training.bones import Bone, FloatArray, IntArray, Kind, read_bones
from models.training.correspondence import BoolArray, Registered, similarity
from models.training.features import Features, balanced, centre_of, farthest, nearest
from pipeline.shape_model import Landmark

PLATEAU_MM = (10.0, 22.0)
"""Depths below the highest vertex between which the tibial plateau's cross-section is measured."""

ANKLE_MM = (14.0, 26.0)
"""Heights above the lowest vertex between which the cross-section above the ankle is measured."""

TUBEROSITY_MM = (25.0, 70.0)
"""Depths below the highest vertex between which the tuberosity is looked for."""

END_SHARE = 0.18
"""Share of the length that counts as an end, beside the shaft."""


def orientation(data: Path, registered: Sequence[Registered], mean: FloatArray) -> FloatArray:
    """Rotation (3, 3) of a mean bone of the leg into the frame of the tibia, as people's bones lie to it."""
    frames = {bone.name: tibial_axes(bone) for bone in read_bones(data, Kind.TIBIA) if bone.part == "whole"}
    placed = [item.vertices @ frames[item.bone.name].T for item in registered if item.bone.name in frames]
    _, rotation, _ = similarity(mean, np.mean([vertices - vertices.mean(axis=0) for vertices in placed], axis=0))
    return rotation


def tibial_axes(tibia: Bone) -> FloatArray:
    """(3, 3) rows are the axes of a whole right tibia that stands roughly upright."""
    z, middle = np.array([0.0, 0.0, 1.0]), np.zeros(3)
    for _ in range(3):
        height = tibia.vertices @ z
        below_top, above_bottom = height.max() - height, height - height.min()
        plateau = tibia.vertices[(below_top > PLATEAU_MM[0]) & (below_top < PLATEAU_MM[1])]
        ankle = tibia.vertices[(above_bottom > ANKLE_MM[0]) & (above_bottom < ANKLE_MM[1])]
        middle = plateau.mean(axis=0)
        z = middle - ankle.mean(axis=0)
        z = z / np.linalg.norm(z)
    flat = plateau - middle
    flat = flat - np.outer(flat @ z, z)
    x = np.linalg.svd(flat, full_matrices=False)[2][0]
    x = x * np.sign(x[0])
    return np.stack([x, np.cross(z, x), z])


def describe_tibia(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:  # noqa: ARG001
    """Landmarks and regions on the mean right tibia, which stands in the frame of `tibial_axes`."""
    depth = mean[:, 2].max() - mean[:, 2]
    level = (normals[:, 2] > 0.8) & (depth < 16)
    plateau = (depth > PLATEAU_MM[0]) & (depth < PLATEAU_MM[1])
    centre_x = float(mean[plateau, 0].mean())
    width = float(np.ptp(mean[plateau, 0]))
    medial = np.flatnonzero(level & (mean[:, 0] > centre_x + 0.15 * width))
    lateral = np.flatnonzero(level & (mean[:, 0] < centre_x - 0.15 * width))
    tuberosity = (depth > TUBEROSITY_MM[0]) & (depth < TUBEROSITY_MM[1])
    landmarks = {
        "medial_plateau": nearest(mean, mean[medial].mean(axis=0)),
        "lateral_plateau": nearest(mean, mean[lateral].mean(axis=0)),
        "knee_centre": centre_of(np.concatenate([medial, lateral])),
        "medial_edge": farthest(mean, (1, 0, 0), depth < 25),
        "lateral_edge": farthest(mean, (-1, 0, 0), depth < 25),
        "medial_plateau_anterior": _edge(mean, medial, -1.0),
        "medial_plateau_posterior": _edge(mean, medial, 1.0),
        "intercondylar_eminence": farthest(mean, (0, 0, 1), abs(mean[:, 0] - centre_x) < 0.15 * width),
        "tibial_tuberosity": farthest(mean, (0, -1, 0), tuberosity),
    }
    distal, regions = _ankle_of_tibia(mean, normals)
    ends = _ends(mean, "proximal", "distal")
    return Features(landmarks=landmarks | distal, regions=ends | regions | {"plateau": np.r_[medial, lateral]})


def _edge(mean: FloatArray, region: IntArray, back: float) -> Landmark:
    """The vertex of a region farthest to the front (-1) or the back (1), in its middle third across."""
    across = mean[region, 0]
    low, high = np.quantile(across, [0.33, 0.67])
    middle = region[(across > low) & (across < high)]
    return centre_of(middle[[int(np.argmax(back * mean[middle, 1]))]])


def _ankle_of_tibia(mean: FloatArray, normals: FloatArray) -> tuple[dict[str, Landmark], dict[str, IntArray]]:
    """Medial malleolus and plafond (the joint surface above the talus)."""
    malleolus = farthest(mean, (0, 0, -1))
    tip = mean[malleolus.indices[0]]
    height = mean[:, 2] - tip[2]
    plafond = np.flatnonzero((normals[:, 2] < -0.75) & (height > 4) & (height < 25) & (mean[:, 0] < tip[0] - 8))
    landmarks = {"medial_malleolus": malleolus, "ankle_centre": centre_of(plafond)}
    return landmarks, {"plafond": plafond, "malleolus": np.flatnonzero(height < 8)}


def describe_fibula(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:  # noqa: ARG001
    """Landmarks and regions on the mean right fibula, which stands in the frame of its tibia."""
    height, depth = mean[:, 2] - mean[:, 2].min(), mean[:, 2].max() - mean[:, 2]
    head, neck = np.flatnonzero(depth < 22), np.flatnonzero((depth > 30) & (depth < 40))
    landmarks = {
        "apex": farthest(mean, (0, 0, 1)),
        "lateral_malleolus": farthest(mean, (0, 0, -1)),
        "head_centre": centre_of(head),
        "neck_centre": centre_of(neck),
        "malleolar_centre": centre_of(np.flatnonzero(height < 25)),
    }
    return Features(landmarks=landmarks, regions=_ends(mean, "proximal", "distal"))


def describe_patella(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:  # noqa: ARG001
    """Landmarks and regions on the mean right patella, which stands in the frame of the tibia below it."""
    back: BoolArray = normals[:, 1] > 0.4
    upper = mean[:, 2] > np.quantile(mean[:, 2], 0.3)
    articular = np.flatnonzero(back & upper)
    landmarks = {
        "apex": farthest(mean, (0, 0, -1)),
        "base": farthest(mean, (0, 0, 1)),
        "medial_edge": farthest(mean, (1, 0, 0)),
        "lateral_edge": farthest(mean, (-1, 0, 0)),
        "anterior_surface": farthest(mean, (0, -1, 0)),
        "median_ridge": farthest(mean, (0, 1, 0), back & upper),
        "centre": balanced(mean, np.arange(len(mean)), mean.mean(axis=0)),
    }
    return Features(landmarks=landmarks, regions={"articular": articular, "anterior": np.flatnonzero(~back)})


def _ends(mean: FloatArray, upper: str, lower: str) -> dict[str, IntArray]:
    along = (mean[:, 2] - mean[:, 2].min()) / np.ptp(mean[:, 2])
    masks = {upper: along > 1 - END_SHARE, "shaft": abs(along - 0.5) <= 0.5 - END_SHARE, lower: along < END_SHARE}
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}

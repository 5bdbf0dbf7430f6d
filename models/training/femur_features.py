"""The femur's landmarks, regions and frame, from hand-picked landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from models.training.bones import FloatArray, IntArray, read_landmarks
from models.training.correspondence import Registered
from models.training.features import Features, balanced, carried, centre_of, nearest
from pipeline.geometry import nearest_sphere

LANDMARKS = {
    "greater_trochanter": "SGT",
    "lesser_trochanter": "LT",
    "medial_epicondyle": "MEC",
    "lateral_epicondyle": "LEC",
    "intercondylar_notch": "ICN",
    "posterior_medial_condyle": "PMC",
    "posterior_lateral_condyle": "PLC",
    "distal_medial_condyle": "DMC",
    "distal_lateral_condyle": "DLC",
}
"""Our name and the collection's."""

NECK_ISTHMUS = ("SNI", "ANI", "INI", "PNI")

SHAFT_LEVELS_MM = {"shaft_upper": 25.0, "shaft_lower": 110.0}
"""Heights below the lesser trochanter of the two cross-sections whose centres span the axis of the upper shaft."""

RING_HALF_HEIGHT_MM = 5.0

HEAD_POINTS = ("SFH", "AFH", "PFH", "MFH", "IFH")
HEAD_TOLERANCE = 0.06
"""A vertex belongs to the head where its distance from the centre deviates less than this share of the radius."""


def orientation(data: Path, registered: Sequence[Registered], mean: FloatArray) -> FloatArray:
    """Rotation (3, 3) into the frame of `pipeline.shape_model`.

    Mechanical axis: head centre to the middle of the epicondyles (Wu 2002, J Biomech 35:543).
    """
    positions = _positions(data, registered, mean)
    centre, _ = nearest_sphere(np.array([positions[code] for code in HEAD_POINTS]))
    middle = (positions["MEC"] + positions["LEC"]) / 2
    z = (centre - middle) / np.linalg.norm(centre - middle)
    medial = positions["MEC"] - positions["LEC"]
    x = medial - (medial @ z) * z
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def describe(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:  # noqa: ARG001
    """Landmarks and regions on the mean, which stands in the frame of `orientation`."""
    positions = _positions(data, registered, mean)
    regions, centre = _regions(mean, positions)
    landmarks = {name: nearest(mean, positions[code]) for name, code in LANDMARKS.items()}
    landmarks["head_centre"] = balanced(mean, regions["head"], centre)
    landmarks["neck_centre"] = balanced(mean, regions["neck"], _middle(positions, NECK_ISTHMUS))
    for name, below in SHAFT_LEVELS_MM.items():
        height = positions["LT"][2] - below
        landmarks[name] = centre_of(np.flatnonzero(abs(mean[:, 2] - height) < RING_HALF_HEIGHT_MM))
    return Features(landmarks=landmarks, regions=regions)


def _positions(data: Path, registered: Sequence[Registered], mean: FloatArray) -> dict[str, FloatArray]:
    return carried(registered, mean, [read_landmarks(data, item.bone.person, item.bone.side) for item in registered])


def _regions(mean: FloatArray, positions: Mapping[str, FloatArray]) -> tuple[dict[str, IntArray], FloatArray]:
    """Vertex indices by region, and the centre of the head."""
    neck_middle = _middle(positions, NECK_ISTHMUS)
    centre, radius = nearest_sphere(np.array([positions[code] for code in HEAD_POINTS]))
    for _ in range(5):
        from_centre = mean - centre
        distance = np.linalg.norm(from_centre, axis=1)
        towards_neck = (neck_middle - centre) / np.linalg.norm(neck_middle - centre)
        facing_away = from_centre @ towards_neck < 0.5 * radius
        head = (abs(distance / radius - 1) < HEAD_TOLERANCE) & facing_away
        centre, radius = nearest_sphere(mean[head])
    lowest, top_of_shaft = mean[:, 2].min(), positions["LT"][2] - 15
    distal = mean[:, 2] < lowest + 0.18 * np.ptp(mean[:, 2])
    shaft = (mean[:, 2] < top_of_shaft) & ~distal
    along = (mean - centre) @ towards_neck
    neck_length = float((neck_middle - centre) @ towards_neck)
    near_axis = np.linalg.norm((mean - centre) - np.outer(along, towards_neck), axis=1) < radius
    neck = ~head & (along > 0.5 * radius) & (along < neck_length + 8) & near_axis
    trochanters = ~(distal | shaft | head | neck)
    masks = {"head": head, "neck": neck, "trochanters": trochanters, "shaft": shaft, "distal": distal}
    return {name: np.flatnonzero(mask) for name, mask in masks.items()}, centre


def _middle(positions: Mapping[str, FloatArray], codes: Sequence[str]) -> FloatArray:
    return np.asarray(np.mean([positions[code] for code in codes], axis=0))

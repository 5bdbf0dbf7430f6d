"""Bones built from spheres, tubes and plates, of which every measurement is known."""

from __future__ import annotations

import numpy as np

from pipeline.shape_model import Landmark
from pipeline.stages.measure_femur import Femur
from pipeline.stages.measure_leg import Patella, Tibia
from pipeline.stages.measure_pelvis import HipBone

LATERAL, BACK, UP = np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
MEDIAL, FRONT = -LATERAL, -BACK


def turned(vector: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """A vector turned about an axis, counter-clockwise when the axis points at the viewer."""
    axis, angle = axis / np.linalg.norm(axis), np.deg2rad(degrees)
    return (
        vector * np.cos(angle) + np.cross(axis, vector) * np.sin(angle) + axis * (axis @ vector) * (1 - np.cos(angle))
    )


def sphere(centre: np.ndarray, radius: float, count: int = 800) -> np.ndarray:
    """Points spread evenly on a sphere."""
    i = np.arange(count) + 0.5
    polar, round_ = np.arccos(1 - 2 * i / count), np.pi * (1 + 5**0.5) * i
    unit = np.stack([np.cos(round_) * np.sin(polar), np.sin(round_) * np.sin(polar), np.cos(polar)], axis=1)
    return centre + radius * unit


def tube(start: np.ndarray, end: np.ndarray, radius, rings: int = 60, around: int = 24) -> np.ndarray:
    """Points on a round tube; `radius` is a number or a function of the share of the way."""
    along = (end - start) / np.linalg.norm(end - start)
    first = np.cross(along, [0.3, 0.5, 0.8])
    first /= np.linalg.norm(first)
    second = np.cross(along, first)
    shares, angles = np.linspace(0, 1, rings), np.linspace(0, 2 * np.pi, around, endpoint=False)
    width = radius(shares) if callable(radius) else np.full(rings, radius)
    spokes = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), second)
    rings_ = start + np.outer(shares, end - start)
    return (rings_[:, None] + width[:, None, None] * spokes).reshape(-1, 3)


def assembled(kind, landmarks: dict[str, np.ndarray], regions: dict[str, np.ndarray]):
    """A bone of these points and pieces of surface."""
    vertices = np.vstack([np.array(list(landmarks.values())), *regions.values()])
    starts = len(landmarks) + np.cumsum([0, *(len(piece) for piece in regions.values())])
    return kind(
        landmarks={name: Landmark(indices=np.array([i]), weights=np.ones(1)) for i, name in enumerate(landmarks)},
        regions={name: np.arange(a, b) for name, a, b in zip(regions, starts, starts[1:], strict=False)},
        vertices=vertices,
    )


def femur(*, neck_shaft=128.0, version=12.0, radius=24.0, offset=42.0, knee_valgus=2.5, width=80.0) -> Femur:
    """A right femur whose shaft is upright, its mechanical axis too: the shaft stands `offset` beside it.

    Args:
        neck_shaft: Angle between neck and shaft, degrees.
        version: Of the neck against the back of the condyles, degrees.
        radius: Of the head, mm.
        offset: Of the head's centre from the shaft, mm.
        knee_valgus: By how much the lateral condyle is higher: 90 less the mLDFA, degrees.
        width: Distance of the epicondyles, mm.
    """
    head = np.array([0.0, 0, 400])
    inwards = turned(MEDIAL, UP, -version)
    neck = turned(inwards, np.cross(inwards, UP), neck_shaft - 90)
    root = head - neck * offset / np.sin(np.deg2rad(neck_shaft))
    top = root - 20 * UP
    shaft_end = np.array([*root[:2], 60.0])
    condyles = [np.array([20 * side, 0, 20 + (20 * side * -np.tan(np.deg2rad(knee_valgus)))]) for side in (1, -1)]
    return assembled(
        Femur,
        {
            "lesser_trochanter": top - 25 * UP,
            "medial_epicondyle": width / 2 * MEDIAL + 25 * UP,
            "lateral_epicondyle": width / 2 * LATERAL + 25 * UP,
            "intercondylar_notch": 25 * UP,
        },
        {
            "head": sphere(head, radius)[(sphere(np.zeros(3), 1) @ neck) > -0.4],
            "neck": tube(head - 0.75 * radius * neck, root, lambda share: radius * (0.6 + (share - 0.45) ** 2)),
            "trochanters": tube(root + 5 * UP, top, 22.0, rings=12),
            "shaft": tube(top, shaft_end, 14.0, rings=150),
            "distal": np.vstack([sphere(centre, 20.0, 4000) for centre in condyles]),
        },
    )


def tibia(*, length=370.0, varus=3.0, slope=8.0, width=74.0) -> Tibia:
    """A right tibia that stands upright.

    Args:
        length: Mechanical, mm.
        varus: 90 less the MPTA, degrees.
        slope: Of the plateaus to the back, degrees.
        width: Of the plateau, mm.
    """
    across = turned(MEDIAL, BACK, varus)
    back = turned(BACK, MEDIAL, -slope)
    grid = np.stack(np.meshgrid(np.linspace(-10, 10, 7), np.linspace(-15, 15, 9)), axis=-1).reshape(-1, 2)
    plates = [length * UP + 20 * side * across + grid @ np.stack([across, back]) for side in (1, -1)]
    edges = [length * UP - 8 * UP + width / 2 * side * across for side in (1, -1)]
    return assembled(
        Tibia,
        {
            "knee_centre": length * UP,
            "ankle_centre": np.zeros(3),
            "medial_plateau": plates[0].mean(axis=0),
            "lateral_plateau": plates[1].mean(axis=0),
            "medial_edge": edges[0],
            "lateral_edge": edges[1],
        },
        {"plateau": np.vstack(plates), "shaft": tube((length - 30) * UP, 20 * UP, 13.0, rings=180)},
    )


def patella(*, height=42.0, width=45.0) -> Patella:
    """A right patella: a plate with an edge in each direction."""
    ends = {
        "base": height / 2 * UP,
        "apex": -height / 2 * UP,
        "medial_edge": width / 2 * MEDIAL + 3 * UP,
        "lateral_edge": width / 2 * LATERAL - 2 * UP,
    }
    return assembled(Patella, ends, {"articular": sphere(np.zeros(3), 10.0, 50)})


def hip_bone(*, inclination=42.0, anteversion=18.0, radius=25.0, cover=90.0, spines=240.0) -> HipBone:
    """A right hip bone whose anterior pelvic plane is upright, the middle of the body at x = 0.

    Args:
        inclination: Radiographic, degrees.
        anteversion: Radiographic, degrees.
        radius: Of the acetabulum, mm.
        cover: Angle between the acetabulum's axis and its rim, degrees.
        spines: Distance of both anterior superior iliac spines, mm.
    """
    centre = 90 * LATERAL + 40 * BACK - 70 * UP
    flat = turned(-UP, LATERAL, 0) * np.cos(np.deg2rad(inclination)) + LATERAL * np.sin(np.deg2rad(inclination))
    axis = flat * np.cos(np.deg2rad(anteversion)) + FRONT * np.sin(np.deg2rad(anteversion))
    first = np.cross(axis, FRONT)
    first /= np.linalg.norm(first)
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    circle = np.outer(np.cos(angles), first) + np.outer(np.sin(angles), np.cross(axis, first))
    rim = centre + radius * (np.cos(np.deg2rad(cover)) * axis + np.sin(np.deg2rad(cover)) * circle)
    cup = sphere(centre, radius)
    crest = np.linspace(-1, 1, 20)[:, None] * 30 * BACK + (spines / 2 + 20) * LATERAL + 60 * UP
    return assembled(
        HipBone,
        {
            "asis": spines / 2 * LATERAL,
            "pubic_tubercle": 25 * LATERAL - 90 * UP,
            "acetabular_rim_superior": rim[np.argmax(rim[:, 2])],
        },
        {
            "acetabulum": cup[(cup - centre) @ axis < radius * np.cos(np.deg2rad(cover))],
            "acetabular_rim": rim,
            "ilium": crest,
        },
    )

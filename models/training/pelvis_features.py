"""Landmarks, regions and frame of hip bone and sacrum: hand-picked where somebody picked them, by geometry otherwise.

Frame: the anterior pelvic plane stands upright. x runs from the right to the left anterior superior iliac spine, z lies
in the plane through both spines and the middle of the pubic tubercles (Lewinnek 1978, J Bone Joint Surg Am 60:217).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from models.training.anatomy import refine_head
from models.training.bones import (
    MIRROR,
    Bone,
    FloatArray,
    IntArray,
    Kind,
    read_bones,
    read_landmarks,
    read_pelvic_landmarks,
)
from models.training.correspondence import Registered, rigid, similarity
from models.training.features import Features, balanced, carried, centre_of, farthest, nearest
from models.training.femur_features import HEAD_POINTS
from models.training.primitives import Mesh
from pipeline.geometry import nearest_sphere

PICKED = {
    "asis": "ASIS",
    "aiis": "AIIS",
    "psis": "PSIS",
    "piis": "PIIS",
    "ischial_spine": "Ischial Spine (IS)",
    "pubic_tubercle": "Pubic Tubercle (PT)",
}
"""Our name and the collection's, after the word for the side."""

CARTILAGE_MM = 4.0
"""The acetabulum's articular surface is at most this much farther from the femoral head's centre than its radius."""

FACING_CENTRE = 0.8
"""Least cosine between the normal of an articular vertex and the direction to the centre."""

RIM_SECTORS = 24
RIM_REACH_MM = 9.0
"""The rim is at most this much farther from the centre than the articular surface."""

NOTCH_DEGREES = 50.0
"""Half the sector about the acetabular notch, in which there is no rim."""

CONTACT_MM = 5.0
"""Hip bone and sacrum are this near to each other in the sacroiliac joint, where its cartilage was."""

CONTACT_SHARE = 0.4
"""Share of bones in which a vertex lies in the joint, for it to belong to the region."""


def orientation(data: Path, registered: Sequence[Registered], mean: FloatArray) -> FloatArray:
    """Rotation (3, 3) of a mean hip bone or sacrum into the frame of the anterior pelvic plane, as people's lie."""
    placed = []
    for item in registered:
        picks = read_pelvic_landmarks(data, item.bone.person)
        if picks:
            placed.append(item.vertices @ _frame(picks, item.bone).T)
    target = np.mean([rigid(vertices, vertices) - vertices.mean(axis=0) for vertices in placed], axis=0)
    _, rotation, _ = similarity(mean, target)
    return rotation


def _frame(picks: dict[str, FloatArray], bone: Bone) -> FloatArray:
    """(3, 3) rows are the axes of a person's anterior pelvic plane, seen in the mirror for a mirrored bone."""
    spines = [picks[f"{side} ASIS"] for side in ("Right", "Left")]
    tubercles = [picks[f"{side} Pubic Tubercle (PT)"] for side in ("Right", "Left")]
    x = spines[1] - spines[0]
    x = x / np.linalg.norm(x)
    up = np.mean(spines, axis=0) - np.mean(tubercles, axis=0)
    z = up - (up @ x) * x
    z = z / np.linalg.norm(z)
    axes = np.stack([x, np.cross(z, x), z])
    return axes * np.outer(MIRROR, MIRROR) if bone.side == "L" else axes


def describe_hip_bone(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:
    """Landmarks and regions on the mean right hip bone, which stands in the frame of `orientation`."""
    positions = carried(registered, mean, [_picks_of_hip_bone(data, item.bone) for item in registered])
    cup, centre = _acetabulum(mean, normals, _clearance(data, registered))
    rim = _rim(mean, cup, centre)
    joint = _contact(data, registered, Kind.SACRUM)
    pubic = (mean[:, 2] < centre[2] + 10) & (mean[:, 1] < centre[1])
    medial = mean[:, 0] > mean[pubic, 0].max() - 6
    symphysis = np.flatnonzero(pubic & medial & (normals[:, 0] > 0.6))
    landmarks = {name: nearest(mean, positions[name]) for name in PICKED}
    landmarks |= {
        "acetabular_centre": balanced(mean, cup, centre),
        "acetabular_rim_superior": farthest(mean[rim], (0, 0, 1)),
        "acetabular_rim_anterior": farthest(mean[rim], (0, -1, 0)),
        "acetabular_rim_posterior": farthest(mean[rim], (0, 1, 0)),
    }
    for name in ("superior", "anterior", "posterior"):
        on_rim = landmarks[f"acetabular_rim_{name}"]
        landmarks[f"acetabular_rim_{name}"] = centre_of(rim[on_rim.indices])
    landmarks |= {
        "pubic_symphysis": centre_of(symphysis),
        "ischial_tuberosity": farthest(mean, (0, 0, -1)),
        "iliac_crest": farthest(mean, (0, 0, 1)),
        "sacroiliac_centre": centre_of(joint),
    }
    named = {"acetabulum": cup, "acetabular_rim": rim, "sacroiliac": joint, "symphysis": symphysis}
    return Features(landmarks=landmarks, regions=_parts(mean, centre) | named)


def _parts(mean: FloatArray, centre: FloatArray) -> dict[str, IntArray]:
    """The three bones that a hip bone grew together from, divided at the acetabulum's centre."""
    ilium = mean[:, 2] > centre[2] + 12
    pubis = ~ilium & (mean[:, 1] < centre[1] - 8)
    ischium = ~ilium & ~pubis
    return {name: np.flatnonzero(mask) for name, mask in (("ilium", ilium), ("pubis", pubis), ("ischium", ischium))}


def describe_sacrum(data: Path, registered: Sequence[Registered], mean: FloatArray, normals: FloatArray) -> Features:
    """Landmarks and regions on the mean sacrum, which stands in the frame of `orientation`."""
    positions = carried(registered, mean, [_picks_of_sacrum(data, item.bone) for item in registered])
    promontory = positions["promontory"]
    middle = abs(mean[:, 0] - mean[:, 0].mean()) < 22
    high = mean[:, 2] > promontory[2] - 12
    endplate = np.flatnonzero(middle & high & (normals[:, 2] > 0.6) & (mean[:, 1] < promontory[1] + 38))
    joint = _contact(data, registered, Kind.HIP_BONE)
    right = mean[joint][:, 0] < mean[:, 0].mean()
    body = abs(mean[:, 0] - mean[:, 0].mean()) < 25
    landmarks = {
        "promontory": nearest(mean, promontory),
        "sacral_centre": nearest(mean, positions["sacral_centre"]),
        "endplate_centre": centre_of(endplate),
        "apex": centre_of(np.flatnonzero(mean[:, 2] < mean[:, 2].min() + 5)),
        "ala_right": farthest(mean, (-1, 0, 0)),
        "ala_left": farthest(mean, (1, 0, 0)),
        "sacroiliac_centre_right": centre_of(joint[right]),
        "sacroiliac_centre_left": centre_of(joint[~right]),
    }
    regions = {
        "endplate": endplate,
        "sacroiliac": joint,
        "middle": np.flatnonzero(body),
        "alae": np.flatnonzero(~body),
    }
    return Features(landmarks=landmarks, regions=regions)


def _picks_of_hip_bone(data: Path, bone: Bone) -> dict[str, FloatArray]:
    picks = read_pelvic_landmarks(data, bone.person)
    word, mirror = ("Left", MIRROR) if bone.side == "L" else ("Right", np.ones(3))
    return {name: mirror * picks[f"{word} {code}"] for name, code in PICKED.items()} if picks else {}


def _picks_of_sacrum(data: Path, bone: Bone) -> dict[str, FloatArray]:
    picks = read_pelvic_landmarks(data, bone.person)
    mirror = MIRROR if bone.side == "L" else np.ones(3)
    names = {"promontory": "Sacral Promontory (SP)", "sacral_centre": "Sacral Center (SC)"}
    return {name: mirror * picks[code] for name, code in names.items()} if picks else {}


def _clearance(data: Path, registered: Sequence[Registered]) -> FloatArray:
    """(V,) mm, by how much vertices are farther from the centre of the same person's femoral head than its radius.

    The mean over people. It is the thickness of two layers of cartilage where the joint is, and more in the fossa.
    """
    femora = {bone.name: bone for bone in read_bones(data, Kind.FEMUR)}
    found = []
    for item in registered:
        picks = read_landmarks(data, item.bone.person, item.bone.side)
        if picks and item.bone.name in femora:
            femur = femora[item.bone.name]
            start = np.mean([picks[code] for code in HEAD_POINTS], axis=0)
            centre, radius = refine_head(start, Mesh(vertices=femur.vertices, triangles=femur.triangles))
            found.append(np.linalg.norm(item.vertices - centre, axis=1) - radius)
    return np.asarray(np.mean(found, axis=0))


def _acetabulum(mean: FloatArray, normals: FloatArray, clearance: FloatArray) -> tuple[IntArray, FloatArray]:
    """Vertices of the articular (lunate) surface, and the centre of the sphere through them."""
    near = (clearance > 0) & (clearance < CARTILAGE_MM)
    centre, _ = nearest_sphere(mean[near])
    for _ in range(4):
        away = mean - centre
        facing = -(away * normals).sum(axis=1) / np.linalg.norm(away, axis=1) > FACING_CENTRE
        centre, _ = nearest_sphere(mean[near & facing])
    return np.flatnonzero(near & facing), centre


def _rim(mean: FloatArray, cup: IntArray, centre: FloatArray) -> IntArray:
    """Vertices of the acetabular rim: in every direction round the mouth, the one that stands out farthest.

    Its plane gives inclination and anteversion (Murray 1993, J Bone Joint Surg Br 75:228). The notch below has no rim.
    """
    radius = float(np.linalg.norm(mean[cup] - centre, axis=1).mean())
    mouth = centre - mean[cup].mean(axis=0)
    mouth = mouth / np.linalg.norm(mouth)
    down = np.array([0.0, 0.0, -1.0]) - (-mouth[2]) * mouth
    down = down / np.linalg.norm(down)
    away = mean - centre
    angle = np.degrees(np.arctan2(away @ np.cross(mouth, down), away @ down))
    near = np.linalg.norm(away, axis=1) < radius + RIM_REACH_MM
    edges = np.linspace(NOTCH_DEGREES, 360 - NOTCH_DEGREES, RIM_SECTORS + 1)
    rim = []
    for low, high in pairwise(edges):
        sector = np.flatnonzero(near & (angle % 360 >= low) & (angle % 360 < high))
        if len(sector):
            rim.append(int(sector[np.argmax((away @ mouth)[sector])]))
    return np.unique(rim).astype(np.int64)


def _contact(data: Path, registered: Sequence[Registered], other: Kind) -> IntArray:
    """Vertices that lie in the sacroiliac joint of many people."""
    votes, count = np.zeros(len(registered[0].vertices)), 0
    neighbours: dict[str, list[FloatArray]] = {}
    for bone in read_bones(data, other):
        if other is Kind.SACRUM and bone.side == "L":
            continue
        mirror = MIRROR if bone.side == "L" else np.ones(3)
        neighbours.setdefault(bone.person, []).append(bone.vertices * mirror)
    for item in registered:
        if item.bone.person in neighbours and item.bone.source == "vsd":
            mirror = MIRROR if item.bone.side == "L" else np.ones(3)
            tree = cKDTree(np.concatenate(neighbours[item.bone.person]) * mirror)
            votes += tree.query(item.vertices)[0] < CONTACT_MM
            count += 1
    return np.flatnonzero(votes >= CONTACT_SHARE * count)

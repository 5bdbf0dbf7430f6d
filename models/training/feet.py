"""Feet under lower legs: the collection's, carried along with the tibia that they belong to.

A network that never saw a foot takes the talus for the end of the tibia.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from models.training.bones import FloatArray, person_of
from models.training.primitives import Mesh, ellipsoid
from pipeline.radiograph import Side

FOOT = ("talus", "calcn", "calcaneus", "toes", "tarsals", "metatarsals", "phalanges")
"""The collection's names for bones of the foot, some of them several bones in one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Foot:
    """A right foot in the frame of its ankle.

    Attributes:
        person: Whose it is.
        meshes: Of its bones, mm, in the axes of `ankle_axes` around the centre of the ankle.
    """

    person: str
    meshes: tuple[Mesh, ...]

    def under(self, landmarks: Mapping[str, FloatArray], side: Side) -> list[Mesh]:
        """The foot's bones under a tibia of a side, by the tibia's landmarks (3,) mm."""
        mirror = _mirror(side)
        axes = ankle_axes({name: point * mirror for name, point in landmarks.items()})
        placed = [mesh.moved(mesh.vertices @ axes + landmarks["ankle_centre"] * mirror) for mesh in self.meshes]
        return placed if side is Side.RIGHT else [mesh.mirrored() for mesh in placed]


def ankle_axes(landmarks: Mapping[str, FloatArray]) -> FloatArray:
    """(3, 3) rows: towards the medial side, the third axis, and down along a right tibia."""
    down = landmarks["ankle_centre"] - landmarks["knee_centre"]
    down = down / np.linalg.norm(down)
    medial = landmarks["medial_edge"] - landmarks["lateral_edge"]
    medial = medial - (medial @ down) * down
    medial = medial / np.linalg.norm(medial)
    return np.stack([medial, np.cross(down, medial), down])


def soft_foot(landmarks: Mapping[str, FloatArray], side: Side) -> list[Mesh]:
    """Heel and forefoot as rounded bodies around a foot's bones, by the tibia's landmarks (3,) mm."""
    mirror = _mirror(side)
    axes = ankle_axes({name: point * mirror for name, point in landmarks.items()})
    ankle = landmarks["ankle_centre"] * mirror
    parts = [
        ellipsoid(ankle + np.array([0.0, -8.0, 30.0]) @ axes, np.array([[38.0], [58.0], [62.0]]) * axes),
        ellipsoid(ankle + np.array([0.0, 70.0, 55.0]) @ axes, np.array([[44.0], [115.0], [32.0]]) * axes),
    ]
    return parts if side is Side.RIGHT else [part.mirrored() for part in parts]


def read_feet(data: Path, tibiae: Mapping[tuple[str, Side], Mapping[str, FloatArray]]) -> dict[str, Foot]:
    """A foot of everybody who has one and a tibia.

    Args:
        data: Folder that holds ``bones.csv``.
        tibiae: Landmarks (3,) mm of tibiae as scanned, by person and side.
    """
    with (data / "bones.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["bone"] in FOOT]
    feet = {}
    for (person, side), landmarks in tibiae.items():
        files = [row["file"] for row in rows if person_of(row["subject"]) == person and row["side"] == side]
        if files:
            feet[person] = Foot(person=person, meshes=tuple(_read(data / file, landmarks, side) for file in files))
    return feet


def _read(path: Path, landmarks: Mapping[str, FloatArray], side: Side) -> Mesh:
    mirror = _mirror(side)
    loaded = trimesh.load_mesh(path, process=True)
    mesh = Mesh(vertices=np.array(loaded.vertices), triangles=np.array(loaded.faces, dtype=np.int64))
    right = mesh if side is Side.RIGHT else mesh.mirrored()
    axes = ankle_axes({name: point * mirror for name, point in landmarks.items()})
    return right.moved((right.vertices - landmarks["ankle_centre"] * mirror) @ axes.T)


def _mirror(side: Side) -> FloatArray:
    return np.array([1.0 if side is Side.RIGHT else -1.0, 1.0, 1.0])

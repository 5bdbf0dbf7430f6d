"""The femora that shape models are built from, as right femora in LPS millimetres.

The collection's table of contents is ``bones.csv``; every bone keeps the person it belongs to, because people (never
bones) are held out. Left bones are mirrored in the sagittal plane and so become right bones.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import trimesh

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ADOLESCENTS = frozenset({"jia"})
"""Growth plates are open at 14 years: not part of an adult model."""

SAMPLE_PERSON = "m8"
"""The person of the sample study, who is in nothing that is trained."""

Part = Literal["whole", "proximal"]
_PARTS: dict[str, Part] = {"femur": "whole", "proxfemur": "proximal"}


@dataclass(frozen=True, kw_only=True)
class Bone:
    """One person's femur, mirrored to the right side.

    Attributes:
        person: Name of the person in the collection.
        source: Collection the bone came from: `vsd`, `staple` or `libhip`.
        side: The side it had in the body; the vertices are a right femur's in any case.
        part: Whether the surface is the whole bone or ends in the shaft.
        vertices: (V, 3) LPS mm.
        triangles: (T, 3) vertex indices, outward orientation.
    """

    person: str
    source: str
    side: Literal["L", "R"]
    part: Part
    vertices: FloatArray
    triangles: IntArray

    @property
    def name(self) -> str:
        """Person and side, as in ``z001-L``."""
        return f"{self.person}-{self.side}"


def person_of(subject: str) -> str:
    """Name of the person behind a subject of the table (``icl_mri`` is the person ``icl``)."""
    return subject.removesuffix("_mri")


def read_femora(data: Path, *, leave_out: frozenset[str] = frozenset()) -> tuple[Bone, ...]:
    """All adult femora of the collection, without the sample person and the people left out.

    Args:
        data: Folder that holds ``bones.csv``.
        leave_out: Names of people that the model must not see.
    """
    absent = leave_out | ADOLESCENTS | {SAMPLE_PERSON}
    with (data / "bones.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["bone"] in _PARTS]
    return tuple(_read(data, row) for row in rows if person_of(row["subject"]) not in absent)


def read_landmarks(data: Path, person: str, side: str) -> dict[str, FloatArray]:
    """Hand-picked landmarks of one VSD femur by abbreviation (``SFH``, ``LT``, ...), mirrored to the right, LPS mm.

    Mean of five raters with four picks each; empty where nobody picked any (Fischer 2023, Sci Data 10:763).
    """
    mirror = np.array([-1.0 if side == "L" else 1.0, 1.0, 1.0])
    with (data / "vsd_landmarks_mean_LPS.csv").open(newline="") as table:
        rows = [
            row
            for row in csv.DictReader(table)
            if (row["bone"], row["subject"], row["side"]) == ("Femur", person, side)
        ]
    return {
        row["landmark"].rpartition("(")[2].rstrip(")"): mirror * [float(row[axis]) for axis in "xyz"] for row in rows
    }


def _read(data: Path, row: dict[str, str]) -> Bone:
    mesh = trimesh.load_mesh(data / row["file"], process=True)
    vertices = np.array(mesh.vertices, dtype=np.float64)
    triangles = np.array(mesh.faces, dtype=np.int64)
    side: Literal["L", "R"] = "L" if row["side"] == "L" else "R"
    if side == "L":
        vertices[:, 0] *= -1
        triangles = triangles[:, ::-1]
    person = person_of(row["subject"])
    return Bone(
        person=person,
        source=row["source"],
        side=side,
        part=_PARTS[row["bone"]],
        vertices=vertices,
        triangles=np.ascontiguousarray(triangles),
    )

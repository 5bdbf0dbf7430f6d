"""The bones that shape models are built from, as right bones in LPS millimetres.

The collection's table of contents is ``bones.csv``; every bone keeps the person it belongs to, because people (never
bones) are held out. Left bones are mirrored in the sagittal plane and so become right bones. A sacrum has no side: it
is read as it is and, once more, mirrored, since nobody's asymmetry is likelier on one side.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import trimesh

from pipeline import surface

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ADOLESCENTS = frozenset({"jia", "jia_ankle"})
"""Growth plates are open at 14 years and before: not part of an adult model."""

SAMPLE_PERSON = "m8"
"""The person of the sample study, who is in nothing that is trained."""

MIRROR = np.array([-1.0, 1.0, 1.0])


Kind = surface.Bone
"""The bones that have a shape model."""

Part = Literal["whole", "proximal", "distal"]
Piece = Literal["all", "tibia", "fibula", "hip bones", "sacrum"]


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the collection keeps bones of a kind: a name in its table, and which piece of such a file."""

    name: str
    part: Part = "whole"
    piece: Piece = "all"


_PLACES: dict[Kind, tuple[_Place, ...]] = {
    Kind.FEMUR: (_Place(name="femur"), _Place(name="proxfemur", part="proximal")),
    Kind.HIP_BONE: (
        _Place(name="hip"),
        _Place(name="pelvis"),
        _Place(name="pelvis_no_sacrum", piece="hip bones"),
    ),
    Kind.SACRUM: (_Place(name="sacrum"), _Place(name="pelvis", piece="sacrum")),
    Kind.TIBIA: (_Place(name="tibia", piece="tibia"), _Place(name="distaltibia", part="distal")),
    Kind.FIBULA: (
        _Place(name="fibula"),
        _Place(name="tibia", piece="fibula"),
        _Place(name="distalfibula", part="distal"),
    ),
    Kind.PATELLA: (_Place(name="patella"),),
}
"""In the order of preference: the first place that has a person's bone of a side is taken."""


@dataclass(frozen=True, kw_only=True)
class Bone:
    """One person's bone, mirrored to the right side.

    Attributes:
        person: Name of the person in the collection.
        source: Collection the bone came from: `vsd`, `staple`, `libhip` or `lenz`.
        side: The side it had in the body; the vertices are a right bone's in any case. A sacrum is `R` as it is and
            `L` when mirrored.
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


def read_bones(data: Path, kind: Kind, *, leave_out: frozenset[str] = frozenset()) -> tuple[Bone, ...]:
    """All adult bones of a kind, without the sample person and the people left out.

    Args:
        data: Folder that holds ``bones.csv``.
        kind: Which bone.
        leave_out: Names of people that the model must not see.
    """
    absent = leave_out | ADOLESCENTS | {SAMPLE_PERSON}
    with (data / "bones.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if person_of(row["subject"]) not in absent]
    found: dict[str, Bone] = {}
    for place in _PLACES[kind]:
        for row in rows:
            if _is_at(row, place):
                for bone in _read(data, row, place):
                    found.setdefault(bone.name, bone)
    return tuple(found.values())


def is_of(kind: Kind, row: dict[str, str]) -> bool:
    """Whether a bone of a kind may come from a row of the collection's table."""
    return any(row["bone"] == place.name for place in _PLACES[kind])


def _is_at(row: dict[str, str], place: _Place) -> bool:
    both_sides_in_one = row["bone"] == "pelvis" and row["side"] == "C"
    return row["bone"] == place.name and (not both_sides_in_one or place.piece == "sacrum")


def _read(data: Path, row: dict[str, str], place: _Place) -> list[Bone]:
    mesh = trimesh.load_mesh(data / row["file"], process=True)
    pieces = _pieces(mesh, place.piece, row["side"])
    return [
        Bone(
            person=person_of(row["subject"]),
            source=row["source"],
            side=side,
            part=place.part,
            vertices=np.array(piece.vertices) * (MIRROR if side == "L" else 1.0),
            triangles=np.ascontiguousarray(np.array(piece.faces, np.int64)[:, :: -1 if side == "L" else 1]),
        )
        for side, piece in pieces
    ]


def _pieces(mesh: trimesh.Trimesh, piece: Piece, side: str) -> Sequence[tuple[Literal["L", "R"], trimesh.Trimesh]]:
    """The wanted bone or bones of a file, each with its side."""
    own: Literal["L", "R"] = "L" if side == "L" else "R"
    if piece == "all":
        return [("R", mesh), ("L", mesh)] if side == "C" else [(own, mesh)]
    largest = sorted(mesh.split(only_watertight=False), key=lambda part: -abs(part.volume))
    if piece == "tibia":
        return [(own, largest[0])]
    if piece == "fibula":
        return [(own, largest[1])] if len(largest) > 1 else []
    if piece == "hip bones":
        right, left = sorted(largest[:2], key=lambda part: part.centroid[0])
        return [("R", right), ("L", left)]
    if len(largest) < len(("right hip bone", "sacrum", "left hip bone")):
        return []
    middle = sorted(largest[:3], key=lambda part: part.centroid[0])[1]
    return [("R", middle), ("L", middle)]


def read_landmarks(data: Path, person: str, side: str) -> dict[str, FloatArray]:
    """Hand-picked landmarks of one VSD femur by abbreviation (``SFH``, ``LT``, ...), mirrored to the right, LPS mm.

    Mean of five raters with four picks each; empty where nobody picked any (Fischer 2023, Sci Data 10:763).
    """
    picks = _picks(data, "Femur", person, side)
    mirror = MIRROR if side == "L" else np.ones(3)
    return {name.rpartition("(")[2].rstrip(")"): mirror * position for name, position in picks.items()}


def read_pelvic_landmarks(data: Path, person: str) -> dict[str, FloatArray]:
    """Hand-picked landmarks of one VSD pelvis by name (``Right ASIS``, ``Sacral Promontory (SP)``, ...), LPS mm."""
    return _picks(data, "Pelvis", person, "")


def _picks(data: Path, bone: str, person: str, side: str) -> dict[str, FloatArray]:
    with (data / "vsd_landmarks_mean_LPS.csv").open(newline="") as table:
        return {
            row["landmark"]: np.array([float(row[axis]) for axis in "xyz"])
            for row in csv.DictReader(table)
            if (row["bone"], row["subject"], row["side"]) == (bone, person, side)
        }

"""People: the femur, the bones around it and its landmarks, from the shared collection of bones, in LPS mm."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from models.training.primitives import Mesh
from pipeline.geometry import FloatArray, nearest_sphere
from pipeline.radiograph import Side
from pipeline.stages.perceive import Landmark

_PICKED: dict[Landmark, str] = {
    Landmark.GREATER_TROCHANTER: "Superior Greater Trochanter (SGT)",
    Landmark.LESSER_TROCHANTER: "Lesser Trochanter (LT)",
    Landmark.MEDIAL_EPICONDYLE: "Medial Epicondyle (MEC)",
    Landmark.LATERAL_EPICONDYLE: "Lateral Epicondyle (LEC)",
    Landmark.INTERCONDYLAR_NOTCH: "Intercondylar Notch (ICN)",
}
_HEAD_SURFACE = tuple(f"{where} Femoral Head" for where in ("Superior", "Anterior", "Lateral", "Medial", "Inferior"))
_PROXIMAL = (Landmark.HEAD_CENTRE, Landmark.GREATER_TROCHANTER, Landmark.LESSER_TROCHANTER)
_SHORTEST_FEMUR_MM = 300.0
"""A surface that is shorter is a femur cut in the shaft."""
_TEMPLATE_SUBJECT = "z062"
"""Whose landmarks are carried over to femora that nobody has marked: a man of middle age and size."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """A femur and what lies around it.

    Attributes:
        person: Whose it is.
        side: Which femur.
        femur: Its surface.
        whole: Whether the surface runs down to the knee; else it is cut in the shaft.
        landmarks: (3,) mm of every landmark the surface has.
        head_radius: Radius of the femoral head, mm.
        neighbours: Other bones by name, in place.
    """

    person: str
    side: Side
    femur: Mesh
    whole: bool
    landmarks: Mapping[Landmark, FloatArray]
    head_radius: float
    neighbours: Mapping[str, Mesh] = field(default_factory=dict)

    @property
    def head_centre(self) -> FloatArray:
        """(3,) mm."""
        return self.landmarks[Landmark.HEAD_CENTRE]

    @property
    def lateral(self) -> FloatArray:
        """(3,) unit vector away from the midline."""
        return np.array([-1.0 if self.side is Side.RIGHT else 1.0, 0.0, 0.0])

    @property
    def knee(self) -> FloatArray:
        """(3,) mm, the intercondylar notch, or where it would be below a cut shaft."""
        if Landmark.INTERCONDYLAR_NOTCH in self.landmarks:
            return self.landmarks[Landmark.INTERCONDYLAR_NOTCH]
        heights = self.femur.vertices[:, 2]
        end = self.femur.vertices[heights < heights.min() + 15].mean(axis=0)
        below_trochanter = self.femur.vertices[heights < heights.min() + 60].mean(axis=0)
        along = (end - below_trochanter) / np.linalg.norm(end - below_trochanter)
        return np.asarray(end + along * (430.0 - (self.head_centre[2] - end[2])))


def load_mesh(path: Path) -> Mesh:
    """A closed mesh from any file that trimesh reads, vertices merged."""
    mesh = trimesh.load_mesh(path, process=True)
    mesh.fix_normals()
    return Mesh(vertices=np.array(mesh.vertices, dtype=np.float64), triangles=np.array(mesh.faces, dtype=np.int64))


class Collection:
    """The shared collection of bones in a folder with `bones.csv` and `vsd_landmarks_mean_LPS.csv`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with (folder / "bones.csv").open(newline="") as table:
            self._rows = list(csv.DictReader(table))
        with (folder / "vsd_landmarks_mean_LPS.csv").open(newline="") as table:
            self._picks = list(csv.DictReader(table))

    def sides(self, person: str) -> tuple[Side, ...]:
        """The sides on which the collection has a femur of this person."""
        return tuple(Side(row["side"]) for row in self._rows_of(person) if row["bone"] in {"femur", "proxfemur"})

    def load(self, person: str, side: Side) -> Anatomy:
        """One person's femur with the bones around it that lie in the same frame.

        Raises:
            KeyError: The collection has no such femur.
        """
        rows = {f"{row['bone']}_{row['side']}": row for row in self._rows_of(person)}
        whole = f"femur_{side}" in rows
        femur = self._mesh(rows[f"femur_{side}" if whole else f"proxfemur_{side}"])
        landmarks, radius = self._landmarks(person, side, femur, whole=whole)
        return Anatomy(
            person=person,
            side=side,
            femur=femur,
            whole=whole,
            landmarks=landmarks,
            head_radius=radius,
            neighbours={name: self._mesh(row) for name, row in rows.items() if _is_neighbour(name, row)},
        )

    def _rows_of(self, person: str) -> list[dict[str, str]]:
        return [row for row in self._rows if row["subject"].removesuffix("_mri") == person]

    def _mesh(self, row: dict[str, str]) -> Mesh:
        return load_mesh(self._folder / row["file"])

    def _landmarks(
        self, person: str, side: Side, femur: Mesh, *, whole: bool
    ) -> tuple[dict[Landmark, FloatArray], float]:
        picked = self._picked(person, side)
        if not picked:
            picked = self._carried_over(person, side, femur, whole=whole)
        names = tuple(picked) if whole else _PROXIMAL
        centre, radius = refine_head(picked[Landmark.HEAD_CENTRE], femur)
        return {name: picked[name] for name in names} | {Landmark.HEAD_CENTRE: centre}, radius

    def _picked(self, person: str, side: Side) -> dict[Landmark, FloatArray]:
        rows = [row for row in self._picks if (row["bone"], row["subject"], row["side"]) == ("Femur", person, side)]
        points = {row["landmark"]: np.array([float(row[axis]) for axis in "xyz"]) for row in rows}
        if not points:
            return {}
        head = np.array([point for name, point in points.items() if name.startswith(_HEAD_SURFACE)])
        return {Landmark.HEAD_CENTRE: head.mean(axis=0)} | {name: points[pick] for name, pick in _PICKED.items()}

    def _carried_over(self, person: str, side: Side, femur: Mesh, *, whole: bool) -> dict[Landmark, FloatArray]:
        """A template's landmarks, carried by an affine fit of the template's surface onto this one."""
        template, picked = self._template(person, side)
        if not whole:
            depth = np.ptp(femur.vertices[:, 2])
            template = template[template[:, 2] > template[:, 2].max() - depth]
        linear, shift = _affine_fit(template, femur.vertices)
        moved = {name: point @ linear + shift for name, point in picked.items()}
        nearest = cKDTree(femur.vertices)
        head = moved.pop(Landmark.HEAD_CENTRE)
        return {Landmark.HEAD_CENTRE: head} | {
            name: femur.vertices[nearest.query(point)[1]] for name, point in moved.items()
        }

    def _template(self, person: str, side: Side) -> tuple[FloatArray, dict[Landmark, FloatArray]]:
        """Vertices and landmarks of the person's other femur, else of the template's, as a femur of `side`."""
        for candidate in (person, _TEMPLATE_SUBJECT):
            rows = {f"{row['bone']}_{row['side']}": row for row in self._rows_of(candidate)}
            for marked in Side:
                picked = self._picked(candidate, marked)
                if picked and f"femur_{marked}" in rows:
                    flip = np.array([1.0 if marked is side else -1.0, 1.0, 1.0])
                    vertices = self._mesh(rows[f"femur_{marked}"]).vertices
                    return vertices * flip, {name: point * flip for name, point in picked.items()}
        raise KeyError(f"nobody marked landmarks on a femur of {_TEMPLATE_SUBJECT}")


def from_surface(path: Path, side: Side) -> Anatomy:
    """A femur of which nothing but its surface is known: head and knee are found by their place, mm LPS.

    Args:
        path: Closed surface, whole or cut in the shaft, upright along z.
        side: Which femur it is.
    """
    femur = load_mesh(path)
    vertices = femur.vertices
    medial = 1.0 if side is Side.RIGHT else -1.0
    upper = vertices[vertices[:, 2] > vertices[:, 2].max() - 50]
    inner = upper[upper[:, 0] * medial > np.quantile(upper[:, 0] * medial, 0.75)]
    centre, radius = refine_head(inner.mean(axis=0) - [12.0 * medial, 0, 0], femur)
    landmarks = {Landmark.HEAD_CENTRE: centre}
    whole = bool(np.ptp(vertices[:, 2]) > _SHORTEST_FEMUR_MM)
    if whole:
        knee = vertices[vertices[:, 2] < vertices[:, 2].min() + 30]
        landmarks[Landmark.INTERCONDYLAR_NOTCH] = np.r_[
            (knee.min(axis=0) + knee.max(axis=0))[:2] / 2, knee[:, 2].mean()
        ]
    return Anatomy(
        person=path.stem, side=side, femur=femur, whole=whole, landmarks=landmarks, head_radius=radius, neighbours={}
    )


def _is_neighbour(name: str, row: dict[str, str]) -> bool:
    bone = row["bone"]
    duplicated = bone in {"pelvis_no_sacrum"} or (bone == "pelvis" and row["side"] == "C")
    return not duplicated and "frame" not in row["note"] and bone not in {"proxfemur"} and name != ""


def refine_head(start: FloatArray, femur: Mesh) -> tuple[FloatArray, float]:
    """Sphere through the part of the femoral head that looks up and towards the midline from the rough centre."""
    centre, radius = start, 24.0
    for _ in range(4):
        offsets = femur.vertices - centre
        distance = np.linalg.norm(offsets, axis=1)
        on_head = (np.abs(distance - radius) < 4.0) & (offsets[:, 2] > -0.3 * radius)
        if on_head.sum() < 30:
            break
        centre, radius = nearest_sphere(femur.vertices[on_head])
    return centre, radius


def _affine_fit(moving: FloatArray, fixed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Linear map and shift that carry points onto points, by iterated closest points from a shared top and middle."""

    def anchor(points: FloatArray) -> FloatArray:
        return np.array([*points.mean(axis=0)[:2], points[:, 2].max()])

    linear, shift = np.eye(3), anchor(fixed) - anchor(moving)
    tree = cKDTree(fixed)
    for iteration in range(60):
        moved = moving @ linear + shift
        distance, nearest = (np.asarray(found) for found in tree.query(moved))
        keep = distance <= np.quantile(distance, 0.9)
        source, target = moving[keep], fixed[nearest[keep]]
        if iteration < 25:
            left, _, right = np.linalg.svd((source - source.mean(0)).T @ (target - target.mean(0)))
            linear = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
        else:
            linear = np.linalg.lstsq(source - source.mean(0), target - target.mean(0), rcond=None)[0]
        shift = target.mean(0) - source.mean(0) @ linear
    return linear, shift

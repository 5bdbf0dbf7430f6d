"""Broken bones: a shaft, a femoral neck or a patella cut through, one fragment moved. Only displaced fractures.

A fragment is the whole bone with everything beyond the cut pressed flat onto it: closed as it was, and what is pressed
flat has no thickness, so that no ray finds any bone in it.

python -m models.training.fractures --data DIR --out models/training/runs/gate/fractures --count 250
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.bodies import LOWER_LEG, Body, PlacedBone, load_bodies
from models.training.bone_dataset import read_models, render
from models.training.bones import Kind
from models.training.build_shape_model import CACHE
from models.training.dataset import read_folds
from models.training.fields import BoneField, FieldSetup
from models.training.patient import Patient
from models.training.primitives import Mesh
from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.surface import Name

FRACTURED_SIZE: Final = 384
"""Longest side of rendered fractures, pixels: as of the intact bones, so that sharpness gives nothing away."""

SITES: Final[dict[BoneField, tuple[str, ...]]] = {
    BoneField.PELVIS_AP: ("neck", "trochanters"),
    BoneField.HIP_AP: ("neck", "trochanters"),
    BoneField.HIP_FROG_LEG: ("neck", "trochanters"),
    BoneField.HIP_CROSS_TABLE: ("neck", "trochanters"),
    BoneField.FEMUR_AP: ("trochanters", "shaft", "shaft", "above the knee"),
    BoneField.FEMUR_LATERAL: ("shaft", "shaft", "above the knee"),
    BoneField.KNEE_AP: ("above the knee", "below the knee"),
    BoneField.KNEE_LATERAL: ("above the knee", "below the knee", "patella"),
    BoneField.LOWER_LEG_AP: ("lower leg",),
    BoneField.LOWER_LEG_LATERAL: ("lower leg",),
}
"""Where the bones of each field break."""

_ALONG: Final[dict[str, tuple[float, float]]] = {
    "trochanters": (0.10, 0.22),
    "shaft": (0.25, 0.72),
    "above the knee": (0.74, 0.91),
    "below the knee": (0.08, 0.25),
    "lower leg": (0.2, 0.9),
}
"""Range of the fracture along a bone, as a share of the distance between its joints."""

SITES_FILE: Final = "sites.json"
"""Column and row of every fracture in its shadow, by the shadow's file name."""

MARGIN: Final = 0.12
"""A fracture is at least this share of the picture away from its edges, so that a cut-out still shows it."""

_FLAT_RADIUS_MM: Final = 8.0
"""What is pressed flat is drawn in to this radius: inside the cut, where nothing of it can show."""

_TRIES: Final = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """A jagged surface through a bone.

    Attributes:
        centre: (3,) mm LPS, in the middle of the bone.
        frame: (3, 3) rows: two directions in the surface's plane, then its normal towards the proximal fragment.
        waves: (n, 4) of every wave of the jags: two numbers per mm, phase, height in mm.
    """

    centre: FloatArray
    frame: FloatArray
    waves: FloatArray

    def height(self, across: FloatArray) -> FloatArray:
        """(N,) mm of the surface over points (N, 2) of its plane."""
        phase = across @ self.waves[:, :2].T + self.waves[:, 2]
        return np.asarray(np.sin(phase) @ self.waves[:, 3])

    def fragment(self, mesh: Mesh, *, proximal: bool) -> Mesh:
        """The part of a closed mesh on one side of the cut, closed."""
        local = (mesh.vertices - self.centre) @ self.frame.T
        beyond = (local[:, 2] > self.height(local[:, :2])) != proximal
        flat = local[beyond]
        distance = np.linalg.norm(flat[:, :2], axis=1, keepdims=True)
        flat[:, :2] *= np.minimum(1.0, _FLAT_RADIUS_MM / np.maximum(distance, 1e-6))
        flat[:, 2] = self.height(flat[:, :2])
        local[beyond] = flat
        return mesh.moved(local @ self.frame + self.centre)


class NoRoomError(ValueError):
    """A radiograph shows no place well inside it where a bone of the leg in question could break."""


Motion = Callable[[FloatArray], FloatArray]


def break_bone(
    patient: Patient, setup: FieldSetup, geometry: ProjectionGeometry, rng: np.random.Generator
) -> tuple[Patient, FloatArray]:
    """The patient with a bone of the leg in question broken, and displaced so that the radiograph shows it.

    Returns:
        The patient; (2,) column and row of the fracture.

    Raises:
        NoRoomError: No place was found that lies well inside the picture.
    """
    for _ in range(_TRIES):
        site = str(rng.choice(SITES[setup.field]))
        name: Name = (_bone_of(site), setup.side)
        if name not in patient.body.bones:
            continue
        cut = _cut(site, patient.body.bones[name], rng)
        motion = _motion(site, cut, geometry, rng)
        if motion and _well_inside(cut.centre, geometry):
            return _apply(patient, name, cut, motion), geometry.project(cut.centre)
    raise NoRoomError(f"no fracture fits into a picture of the {setup.field}")


def _bone_of(site: str) -> Kind:
    if site == "patella":
        return Kind.PATELLA
    return Kind.TIBIA if site in {"below the knee", "lower leg"} else Kind.FEMUR


def _cut(site: str, bone: PlacedBone, rng: np.random.Generator) -> Cut:
    top, bottom = _ends(site, bone)
    axis = (top - bottom) / np.linalg.norm(top - bottom)
    along = float(rng.uniform(*_ALONG.get(site, (0.35, 0.65))))
    centre = _middle(bone.mesh, top + along * (bottom - top), axis, narrow=site == "neck")
    steepest = 25.0 if site in {"neck", "patella"} else 60.0
    lean = Rotation.from_rotvec(np.radians(rng.uniform(0, steepest)) * _square_to(axis, rng))
    normal = lean.apply(axis)
    first = _square_to(normal, rng)
    count = 4
    pitch = rng.normal(0, 0.35, (count, 2)) * np.array([[0.3], [0.6], [1.0], [2.0]])
    heights = rng.uniform(0.3, 1.0, count) * np.array([4.0, 2.5, 1.5, 0.8])
    waves = np.column_stack([pitch, rng.uniform(0, 2 * np.pi, count), heights])
    return Cut(centre=centre, frame=np.stack([first, np.cross(normal, first), normal]), waves=waves)


def _ends(site: str, bone: PlacedBone) -> tuple[FloatArray, FloatArray]:
    """Proximal and distal end of the stretch that breaks, mm LPS."""
    points = bone.landmarks
    if site == "patella":
        return points["base"], points["apex"]
    if site == "neck":
        trochanters = (points["greater_trochanter"] + points["lesser_trochanter"]) / 2
        return points["head_centre"], trochanters
    if _bone_of(site) is Kind.TIBIA:
        return points["knee_centre"], points["ankle_centre"]
    return points["head_centre"], points["intercondylar_notch"]


def _middle(mesh: Mesh, near: FloatArray, axis: FloatArray, *, narrow: bool) -> FloatArray:
    """The middle of a bone's cross-section; of the neck's, only what is near, for the plane meets trochanters too."""
    away = mesh.vertices - near
    slab = np.abs(away @ axis) < 5
    if narrow:
        slab &= np.linalg.norm(away, axis=1) < 30
    return np.asarray(mesh.vertices[slab].mean(axis=0)) if slab.any() else near


def _square_to(axis: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(3,) a random unit vector square to an axis."""
    vector = np.cross(axis, rng.standard_normal(3))
    return np.asarray(vector / np.linalg.norm(vector))


def _motion(site: str, cut: Cut, geometry: ProjectionGeometry, rng: np.random.Generator) -> Motion | None:
    """How the distal fragment moves; None where this radiograph would hardly show it."""
    beam = cut.centre - geometry.source
    beam = beam / np.linalg.norm(beam)
    axis = cut.frame[2]
    angle = np.radians(rng.uniform(5, 30)) * _square_to(axis, rng) + np.radians(rng.normal(0, 12)) * axis
    shift = rng.uniform(3, 28) * _square_to(axis, rng) + rng.uniform(-4, 22) * axis
    if site == "patella":
        angle, shift = 0.6 * angle, -rng.uniform(6, 25) * axis
    seen_shift = float(np.linalg.norm(shift - (shift @ beam) * beam))
    seen_degrees = abs(float(np.degrees(angle @ beam)))
    if seen_shift < 5 and seen_degrees < 10:
        return None
    turn = Rotation.from_rotvec(angle).as_matrix()
    return lambda points: np.asarray((points - cut.centre) @ turn.T + cut.centre + shift)


def _well_inside(point: FloatArray, geometry: ProjectionGeometry) -> bool:
    size = np.array([geometry.columns, geometry.rows])
    share = geometry.project(point) / size
    return bool(np.all((share > MARGIN) & (share < 1 - MARGIN)))


def _apply(patient: Patient, name: Name, cut: Cut, motion: Motion) -> Patient:
    """The patient with a bone cut, and what hangs on its distal fragment moved with it."""
    bones = dict(patient.body.bones)
    kind, side = name
    bones[name] = _in_two(bones[name], cut, motion)
    carried: list[Name] = [(each, side) for each in LOWER_LEG] if kind is Kind.FEMUR else []
    if kind is Kind.TIBIA and (Kind.FIBULA, side) in bones:
        fibula = bones[Kind.FIBULA, side]
        level = replace(cut, centre=_middle(fibula.mesh, cut.centre, cut.frame[2], narrow=False))
        bones[Kind.FIBULA, side] = _in_two(fibula, level, motion)
    for each in carried:
        if each in bones:
            bones[each] = bones[each].mapped(motion)
    others = patient.others if kind is Kind.PATELLA else _carried(patient.others, cut.centre, motion)
    return replace(patient, body=replace(patient.body, bones=bones), others=others)


def _carried(others: Sequence[Mesh], centre: FloatArray, motion: Motion) -> list[Mesh]:
    """The foot goes with the leg, vertebrae stay."""
    return [mesh.moved(motion(mesh.vertices)) if mesh.vertices[:, 2].mean() < centre[2] else mesh for mesh in others]


def _in_two(bone: PlacedBone, cut: Cut, motion: Motion) -> PlacedBone:
    return replace(
        bone, mesh=_halves(bone.mesh, cut, motion), core=_halves(bone.core, cut, motion) if bone.core else None
    )


def _halves(mesh: Mesh, cut: Cut, motion: Motion) -> Mesh:
    near, far = cut.fragment(mesh, proximal=True), cut.fragment(mesh, proximal=False)
    return Mesh(
        vertices=np.concatenate([near.vertices, motion(far.vertices)]),
        triangles=np.concatenate([near.triangles, far.triangles + len(near.vertices)]),
    )


def render_broken(
    bodies: Sequence[Body], field: BoneField, rng: np.random.Generator, path: Path, sites: dict[str, list[float]]
) -> None:
    """Write the shadow of somebody with a fracture to a file, and where it is to `sites`.

    Raises:
        NoRoomError: See `break_bone`.
    """

    def injury(patient: Patient, setup: FieldSetup, geometry: ProjectionGeometry) -> Patient:
        broken, site = break_bone(patient, setup, geometry, rng)
        sites[path.name] = site.tolist()
        return broken

    render(bodies, rng, field=field, size=FRACTURED_SIZE, injury=injury).save(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folds", nargs="+", default=["0", "1", "2"], help="whose bones")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of registrations")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    people = [person for person, fold in read_folds().items() if str(fold) in given.folds]
    bodies = load_bodies(given.data, people, read_models(), cache=given.cache)
    known = given.out / SITES_FILE
    sites: dict[str, list[float]] = json.loads(known.read_text()) if known.is_file() else {}
    for number in range(given.first, given.first + given.count):
        rng = np.random.default_rng([13, number])
        field = list(SITES)[number % len(SITES)]
        path = given.out / f"{number:05d}.npz"
        try:
            render_broken(bodies, field, rng, path, sites)
        except NoRoomError as error:
            print(f"{number}: {error}")
    known.write_text(json.dumps(sites) + "\n")


if __name__ == "__main__":
    main()

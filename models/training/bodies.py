"""People with every bone that the collection has of them, in place and with landmarks: what radiographs are made of.

Landmarks are those of the shape models, carried onto each person's bone by its registration. So a network learns the
same points that a fit looks for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.bones import MIRROR, Bone, FloatArray, Kind, read_bones
from models.training.feet import Foot, read_feet
from models.training.primitives import Mesh
from models.training.recipes import RECIPES
from models.training.registration import choose_template, register_all
from pipeline.geometry import nearest_sphere
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel
from pipeline.surface import Name

LEG = (Kind.FEMUR, Kind.TIBIA, Kind.FIBULA, Kind.PATELLA)
SPHERES = {Kind.FEMUR: ("head_centre", "head"), Kind.HIP_BONE: ("acetabular_centre", "acetabulum")}
"""Landmarks that are taken from the sphere through a region: vertices slide along a ball more than its centre moves."""

LOWER_LEG = (Kind.TIBIA, Kind.FIBULA, Kind.PATELLA)
PELVIS_ELSEWHERE = frozenset({"tlem2"})
"""Whose pelvis lies in another frame than their legs: it is carried onto their femoral heads."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlacedBone:
    """A bone where it lies in the body.

    Attributes:
        mesh: Its surface, LPS mm.
        landmarks: (3,) mm by the names of its shape model.
        core: Inner surface of its compact bone, where that has been made up.
        registered: (V, 3) mm, its shape model's vertices as registration laid them onto it, where it was registered.
    """

    mesh: Mesh
    landmarks: Mapping[str, FloatArray]
    core: Mesh | None = None
    registered: FloatArray | None = None

    def mapped(self, move: Callable[[FloatArray], FloatArray]) -> PlacedBone:
        """The bone with all its points (N, 3) carried elsewhere."""
        return PlacedBone(
            mesh=self.mesh.moved(move(self.mesh.vertices)),
            landmarks={name: move(point[None])[0] for name, point in self.landmarks.items()},
            core=self.core.moved(move(self.core.vertices)) if self.core else None,
            registered=None if self.registered is None else move(self.registered),
        )

    def moved(self, rotation: FloatArray, pivot: FloatArray, shift: FloatArray | None = None) -> PlacedBone:
        """The bone turned about a point, and shifted."""
        offset = pivot if shift is None else pivot + shift
        return self.mapped(lambda points: np.asarray((points - pivot) @ rotation.T + offset))

    def mirrored(self) -> PlacedBone:
        """The mirror image in the plane x = 0."""
        landmarks = {name: point * MIRROR for name, point in self.landmarks.items()}
        registered = None if self.registered is None else self.registered * MIRROR
        return PlacedBone(mesh=self.mesh.mirrored(), landmarks=landmarks, registered=registered)


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A person.

    Attributes:
        people: Whose bones these are, the owner of the body first; who lent a lower leg comes after.
        bones: By kind and side.
        foot: Right foot of the owner of the lower leg, where it is known.
    """

    people: tuple[str, ...]
    bones: Mapping[Name, PlacedBone]
    foot: Foot | None = None

    def landmark(self, kind: Kind, side: Side | None, name: str) -> FloatArray:
        """(3,) mm LPS."""
        return self.bones[kind, side].landmarks[name]

    @property
    def has_pelvis(self) -> bool:
        """Whether both hip bones are there."""
        return all((Kind.HIP_BONE, side) in self.bones for side in Side)

    def whole_legs(self) -> tuple[Side, ...]:
        """Sides on which femur, tibia and fibula are there."""
        return tuple(side for side in Side if all((kind, side) in self.bones for kind in LEG[:3]))


def load_bodies(
    data: Path, people: Sequence[str], models: Mapping[Kind, ShapeModel], *, cache: Path | None
) -> tuple[Body, ...]:
    """Everybody among the people whose pelvis or whole leg is known.

    Args:
        data: Folder that holds ``bones.csv``.
        people: Names in the collection.
        models: Shape model of every kind, built with nobody left out: its vertices are the registrations'.
        cache: Folder of registrations.
    """
    found = load_placed_bones(data, people, models, cache=cache)
    tibiae = {
        (person, side): bones[Kind.TIBIA, side].landmarks
        for person, bones in found.items()
        for side in Side
        if (Kind.TIBIA, side) in bones
    }
    feet = read_feet(data, tibiae)
    bodies = [
        Body(people=(person,), bones=_completed(person, bones), foot=feet.get(person))
        for person, bones in found.items()
    ]
    return tuple(levelled(body) for body in bodies if body.has_pelvis or body.whole_legs())


def load_placed_bones(
    data: Path, people: Sequence[str], models: Mapping[Kind, ShapeModel], *, cache: Path | None
) -> dict[str, dict[Name, PlacedBone]]:
    """Every whole bone that the collection has of each person, as scanned; see `load_bodies`."""
    found: dict[str, dict[Name, PlacedBone]] = {person: {} for person in people}
    for kind, model in models.items():
        for bone, placed in _placed_bones(data, kind, model, found, cache):
            found[bone.person][kind, None if kind is Kind.SACRUM else Side(bone.side)] = placed
    return found


def _placed_bones(
    data: Path, kind: Kind, model: ShapeModel, people: Mapping[str, object], cache: Path | None
) -> list[tuple[Bone, PlacedBone]]:
    recipe, everyone = RECIPES[kind], read_bones(data, kind)
    wanted = [bone for bone in everyone if bone.person in people and bone.part == "whole"]
    bones = [bone for bone in wanted if kind is not Kind.SACRUM or bone.side == "R"]
    template = choose_template(recipe, everyone)
    placed = []
    for item in register_all(template, recipe, bones, cache / kind if cache else None):
        landmarks = {name: landmark.position(item.vertices) for name, landmark in model.landmarks.items()}
        if kind in SPHERES:
            centre, region = SPHERES[kind]
            landmarks[centre], _ = nearest_sphere(item.vertices[model.regions[region]])
        mesh = Mesh(vertices=item.bone.vertices, triangles=item.bone.triangles)
        right = PlacedBone(mesh=mesh, landmarks=landmarks, registered=item.vertices)
        placed.append((item.bone, right.mirrored() if item.bone.side == "L" else right))
    return placed


def _completed(person: str, bones: Mapping[Name, PlacedBone]) -> dict[Name, PlacedBone]:
    """A pelvis from elsewhere set on its femora; a missing femur replaced by the other one's mirror image."""
    found = dict(bones)
    if person in PELVIS_ELSEWHERE:
        found |= _set_on_femora(found)
    for side in Side:
        femur, hip = found.get((Kind.FEMUR, side.other)), found.get((Kind.HIP_BONE, side))
        if (Kind.FEMUR, side) not in found and femur is not None and hip is not None:
            image = femur.mirrored()
            shift = hip.landmarks["acetabular_centre"] - image.landmarks["head_centre"]
            found[Kind.FEMUR, side] = image.moved(np.eye(3), np.zeros(3), shift)
    return found


def _set_on_femora(bones: Mapping[Name, PlacedBone]) -> dict[Name, PlacedBone]:
    heads = [bones[Kind.FEMUR, side].landmarks["head_centre"] for side in Side]
    cups = [bones[Kind.HIP_BONE, side].landmarks["acetabular_centre"] for side in Side]
    turn, _ = Rotation.align_vectors([heads[1] - heads[0]], [cups[1] - cups[0]])
    shift = np.mean(heads, axis=0) - np.mean(cups, axis=0)
    pivot = np.asarray(np.mean(cups, axis=0))
    pelvic = [name for name in bones if name[0] in {Kind.HIP_BONE, Kind.SACRUM}]
    return {name: bones[name].moved(turn.as_matrix(), pivot, shift) for name in pelvic}


def levelled(body: Body) -> Body:
    """The body turned about its long axis until the iliac spines (else the epicondyles of a leg) lie side by side."""
    if body.has_pelvis:
        right, left = (body.landmark(Kind.HIP_BONE, side, "asis") for side in (Side.RIGHT, Side.LEFT))
    else:
        side = body.whole_legs()[0]
        ends = [body.landmark(Kind.FEMUR, side, f"{end}_epicondyle") for end in ("lateral", "medial")]
        right, left = ends if side is Side.RIGHT else ends[::-1]
    across = left - right
    turn = Rotation.from_euler("z", -float(np.arctan2(across[1], across[0]))).as_matrix()
    pivot = (right + left) / 2
    return replace(body, bones={name: bone.moved(turn, pivot) for name, bone in body.bones.items()})


def lend_lower_leg(body: Body, side: Side, donor: Body, donor_side: Side) -> Body:
    """The body with somebody's lower leg, scaled to the width of the knee and set on the femur of a side."""
    if side is not donor_side:
        donor = replace(donor, bones={_swapped(name): bone.mirrored() for name, bone in donor.bones.items()})
    source, source_axes = _knee_frame(donor.bones[Kind.FEMUR, side])
    target, target_axes = _knee_frame(body.bones[Kind.FEMUR, side])
    linear = np.linalg.solve(source_axes, target_axes)

    lent: dict[Name, PlacedBone] = {
        (kind, side): bone.mapped(lambda points: np.asarray((points - source) @ linear + target))
        for kind in LOWER_LEG
        if (bone := donor.bones.get((kind, side))) is not None
    }
    return Body(people=(*body.people, donor.people[0]), bones={**body.bones, **lent}, foot=donor.foot)


def _swapped(name: Name) -> Name:
    kind, side = name
    return (kind, None if side is None else side.other)


def _knee_frame(femur: PlacedBone) -> tuple[FloatArray, FloatArray]:
    """Origin and rows of axes of the knee; the axes are as long as the epicondyles are apart."""
    medial, lateral = femur.landmarks["medial_epicondyle"], femur.landmarks["lateral_epicondyle"]
    across = lateral - medial
    width = float(np.linalg.norm(across))
    up = femur.landmarks["head_centre"] - femur.landmarks["intercondylar_notch"]
    up = up - (up @ across) / width**2 * across
    up = up / np.linalg.norm(up) * width
    return femur.landmarks["intercondylar_notch"], np.stack([across, up, np.cross(across, up) / width])

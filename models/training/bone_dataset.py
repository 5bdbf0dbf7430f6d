"""Training material with every bone apart: rendered once per geometry, developed into a new film every time it is used.

python -m models.training.bone_dataset --data DIR --out models/training/runs/bones/shadows --count 2000
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.training.bodies import Body, lend_lower_leg, load_bodies
from models.training.bone_rays import bone_lengths
from models.training.bones import Kind
from models.training.build_shape_model import CACHE
from models.training.dataset import RENDERED_SIZE, FloatImage, Window, coarse, read_folds
from models.training.fields import BoneField, FieldSetup, place, sample_setup, with_part
from models.training.patient import Patient, build_patient, vary_body
from models.training.photometry import expose, sample_photometry, typical_photometry
from models.training.raycast import Layer, path_lengths
from pipeline import shape_model
from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import Side
from pipeline.stages.enhance import WORKING_SIZE, exposed_field, normalise
from pipeline.stages.perceive import BONE_POINTS, BONES, MIRRORED_BONES, MIRRORED_POINTS, POINTS, other_side
from pipeline.surface import Name

MODELS = Path(__file__).parents[1]

LENGTHS: Final = (Layer.BONE, Layer.BONE_CORE)
SOFT: Final = (Layer.SKIN, Layer.MUSCLE, Layer.TRUNK)
"""Soft parts are smooth: they are rendered and kept at half the resolution."""

ORDINARY_SHARE: Final = 0.3
"""Share of films as most departments deliver them; the others are anything that one might meet."""

OWN_LEG_SHARE: Final = 0.5
"""Share of pictures of knees that show whole legs of the collection; in the others, a lower leg is lent."""

SHARES: Final[dict[BoneField, float]] = {
    BoneField.PELVIS_AP: 0.18,
    BoneField.HIP_AP: 0.12,
    BoneField.HIP_FROG_LEG: 0.08,
    BoneField.HIP_CROSS_TABLE: 0.08,
    BoneField.FEMUR_AP: 0.07,
    BoneField.FEMUR_LATERAL: 0.07,
    BoneField.KNEE_AP: 0.12,
    BoneField.KNEE_LATERAL: 0.12,
    BoneField.LOWER_LEG_AP: 0.08,
    BoneField.LOWER_LEG_LATERAL: 0.08,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class BoneShadow:
    """One patient in one geometry.

    Attributes:
        people: Whose bones are in it; a network that is judged on one of them must not see it.
        field: What it shows.
        spacing_mm: At the detector.
        sides_look_exchanged: Whether what the masks call right is the patient's left.
        lengths: (2, h, w) float16 mm: all bones, all their cores.
        soft: (3, h / 2, w / 2) float16 mm, in the order of `SOFT`.
        masks: (h, w) uint8, bit k set where bone k of `BONES` casts its shadow.
        landmarks: (points, 2) column and row in the order of `POINTS`; NaN where the bone is not there.
    """

    people: tuple[str, ...]
    field: BoneField
    spacing_mm: float
    sides_look_exchanged: bool
    lengths: npt.NDArray[np.float16]
    soft: npt.NDArray[np.float16]
    masks: npt.NDArray[np.uint8]
    landmarks: FloatArray

    def save(self, path: Path) -> None:
        """Write to a .npz file."""
        header = {
            "people": self.people,
            "field": self.field,
            "spacing_mm": self.spacing_mm,
            "sides_look_exchanged": self.sides_look_exchanged,
        }
        np.savez(
            path,
            header=np.array(json.dumps(header)),
            lengths=self.lengths,
            soft=self.soft,
            masks=self.masks,
            landmarks=self.landmarks,
        )

    @classmethod
    def load(cls, path: Path) -> BoneShadow:
        """Read a file written by `save`."""
        with np.load(path) as arrays:
            header = json.loads(str(arrays["header"]))
            return cls(
                people=tuple(header["people"]),
                field=BoneField(header["field"]),
                spacing_mm=header["spacing_mm"],
                sides_look_exchanged=header["sides_look_exchanged"],
                lengths=arrays["lengths"],
                soft=arrays["soft"],
                masks=arrays["masks"],
                landmarks=arrays["landmarks"],
            )


Injury = Callable[[Patient, FieldSetup, ProjectionGeometry], Patient]
"""What happens to a patient before the radiograph is taken."""


def render(
    bodies: Sequence[Body],
    rng: np.random.Generator,
    *,
    field: BoneField | None = None,
    size: int = RENDERED_SIZE,
    injury: Injury | None = None,
) -> BoneShadow:
    """A random person, varied, in a random pose and geometry.

    Args:
        bodies: Who may be drawn.
        rng: Source of everything.
        field: What is to be shown; None draws one by `SHARES`.
        size: Pixels along the longer side.
        injury: What happens to the patient.
    """
    field = field or BoneField(rng.choice(list(SHARES), p=list(SHARES.values())))
    body, side = _draw_person(bodies, field, rng)
    body = vary_body(body, side, rng)
    setup = with_part(sample_setup(field, side, rng), rng)
    patient = build_patient(body, setup, rng)
    geometry = place(patient.body, setup, longest_side=size)
    return take(injury(patient, setup, geometry) if injury else patient, setup, geometry)


def _draw_person(bodies: Sequence[Body], field: BoneField, rng: np.random.Generator) -> tuple[Body, Side]:
    """Somebody with the bones that a field needs, if need be with somebody else's lower leg."""
    legs = [(body, side) for body in bodies for side in body.whole_legs()]
    pelves = [(body, side) for body in bodies if body.has_pelvis for side in Side]
    if field.needs_pelvis or not legs:
        return pelves[int(rng.integers(len(pelves)))]
    donor, donor_side = legs[int(rng.integers(len(legs)))]
    if rng.random() < OWN_LEG_SHARE:
        return donor, donor_side
    body, side = pelves[int(rng.integers(len(pelves)))]
    if (Kind.TIBIA, side) in body.bones:
        return body, side
    return lend_lower_leg(body, side, donor, donor_side), side


def take(patient: Patient, setup: FieldSetup, geometry: ProjectionGeometry) -> BoneShadow:
    """What every ray passes of a patient, and which bones cast their shadow where."""
    bones = patient.body.bones
    outer = bone_lengths([bone.mesh for bone in bones.values()], geometry)
    cores = bone_lengths([bone.core for bone in bones.values() if bone.core], geometry)
    others = path_lengths({Layer.BONE: patient.others}, geometry, threads=1)[Layer.BONE]
    soft = path_lengths(patient.soft, _coarser(geometry), threads=1)
    lengths = np.stack([outer.sum(axis=0) + others, cores.sum(axis=0) + 0.8 * others])
    masks = np.zeros(others.shape, dtype=np.uint8)
    for name, length in zip(bones, outer, strict=True):
        masks |= ((length > 0) << np.uint8(BONES.index(channel(name, setup)))).astype(np.uint8)
    return BoneShadow(
        people=patient.body.people,
        field=setup.field,
        spacing_mm=geometry.pixel_spacing[0],
        sides_look_exchanged=setup.sides_look_exchanged,
        lengths=lengths.astype(np.float16),
        soft=np.stack([soft[layer] for layer in SOFT]).astype(np.float16),
        masks=masks,
        landmarks=_landmarks(patient.body, setup, geometry),
    )


def channel(name: Name, setup: FieldSetup) -> Name:
    """The bone of `BONES` as which a bone appears in a picture."""
    kind, side = name
    if kind not in {Kind.FEMUR, Kind.HIP_BONE} or side is None:
        return (kind, None)
    return (kind, side.other if setup.sides_look_exchanged else side)


def _landmarks(body: Body, setup: FieldSetup, geometry: ProjectionGeometry) -> FloatArray:
    seen = np.full((len(POINTS), 2), np.nan)
    for name, bone in body.bones.items():
        for landmark in BONE_POINTS[name[0]]:
            wanted = landmark
            if setup.sides_look_exchanged and name[0] is Kind.SACRUM:
                wanted = other_side(landmark)
            seen[POINTS.index((channel(name, setup), wanted))] = geometry.project(bone.landmarks[landmark])
    return seen


def _coarser(geometry: ProjectionGeometry) -> ProjectionGeometry:
    """The same field with half as many rows and columns."""
    row_spacing, column_spacing = geometry.pixel_spacing
    return replace(
        geometry,
        detector_origin=geometry.pixel_position([0.5, 0.5]),
        pixel_spacing=(2 * row_spacing, 2 * column_spacing),
        rows=geometry.rows // 2,
        columns=geometry.columns // 2,
    )


def read_shadows(folder: Path, without: frozenset[str]) -> Iterator[BoneShadow]:
    """All rendered shadows in which none of the named people's bones are."""
    for path in sorted(folder.glob("*.npz")):
        shadow = BoneShadow.load(path)
        if not without.intersection(shadow.people):
            yield shadow


@dataclass(frozen=True, kw_only=True, eq=False)
class BoneExample:
    """An enhanced image with what is true of it, on the working grid.

    Attributes:
        image: (h, w) float32, as `enhance` delivers it.
        masks: (bones, h, w) float32 in the order of `BONES`, share of the pixel that a bone's shadow covers inside the
            exposed field.
        landmarks: (points, 2) column and row; NaN or outside the picture where there is none.
    """

    image: FloatImage
    masks: FloatImage
    landmarks: FloatArray


def develop(shadow: BoneShadow, rng: np.random.Generator, *, working_size: int = WORKING_SIZE) -> BoneExample:
    """A new film of a shadow, cut out and mirrored at random, through the product's own enhancement."""
    window = Window.draw(shadow.masks.shape, working_size, rng)
    lengths = layers_of(shadow, window)
    ordinary = rng.random() < ORDINARY_SHARE
    photometry = typical_photometry(rng, marker="R") if ordinary else sample_photometry(rng)
    film, blades = expose(lengths, shadow.spacing_mm / window.factor, photometry, rng)
    if rng.random() < 0.08:
        film = coarse(film)
    found = exposed_field(film)
    covered = np.stack([window.cut((shadow.masks >> bit) & 1) for bit in range(len(BONES))])
    example = BoneExample(
        image=normalise(film, found), masks=covered * (blades & found), landmarks=window.points(shadow.landmarks)
    )
    return mirrored(example) if rng.random() < 0.5 else example


def layers_of(shadow: BoneShadow, window: Window | None = None) -> dict[Layer, FloatImage]:
    """Path lengths (h, w) mm per tissue, as `expose` wants them; of a part of the picture, or of all of it."""
    rows, columns = shadow.masks.shape
    cut = window.cut if window else lambda values: np.asarray(values, dtype=np.float32)
    layers = {layer: cut(values) for layer, values in zip(LENGTHS, shadow.lengths, strict=True)}
    for layer, values in zip(SOFT, shadow.soft, strict=True):
        layers[layer] = cut(cv2.resize(values.astype(np.float32), (columns, rows)))
    nothing = np.zeros_like(layers[Layer.BONE])
    return layers | {Layer.FEMUR: nothing, Layer.FEMUR_CORE: nothing}


def mirrored(example: BoneExample) -> BoneExample:
    """The picture seen from behind: what looked right looks left."""
    width = example.image.shape[1]
    landmarks = np.array([width - 1, 0.0]) + example.landmarks[MIRRORED_POINTS] * np.array([-1.0, 1.0])
    return BoneExample(
        image=example.image[:, ::-1], masks=example.masks[MIRRORED_BONES][..., ::-1], landmarks=landmarks
    )


def read_models(folder: Path = MODELS) -> dict[Kind, shape_model.ShapeModel]:
    """The shape model of every kind of bone."""
    return {kind: shape_model.load(folder / f"{kind}_shape.npz") for kind in Kind}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folds", nargs="+", default=["0", "1", "2"], help="whose bones")
    parser.add_argument("--fields", nargs="*", help="which fields, equally often; by default all, by their shares")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of registrations")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    people = [person for person, fold in read_folds().items() if str(fold) in given.folds]
    bodies = load_bodies(given.data, people, read_models(), cache=given.cache)
    for number in range(given.first, given.first + given.count):
        rng = np.random.default_rng([11, number])
        field = BoneField(rng.choice(given.fields)) if given.fields else None
        render(bodies, rng, field=field).save(given.out / f"{number:05d}.npz")


if __name__ == "__main__":
    main()

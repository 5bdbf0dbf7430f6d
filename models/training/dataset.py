"""Training material: path lengths rendered once per geometry, developed into a new film every time they are used.

python -m models.training.dataset --collection DIR --out models/training/runs/shadows --count 1600
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training.anatomy import Anatomy, Collection
from models.training.photometry import expose, sample_photometry, typical_photometry
from models.training.positioning import Field, place, sample_pose, sample_setup
from models.training.raycast import Layer, path_lengths
from models.training.scene import build_scene
from models.training.variation import vary
from pipeline.geometry import FloatArray
from pipeline.radiograph import View
from pipeline.stages.enhance import WORKING_SIZE, exposed_field, normalise
from pipeline.stages.perceive import LANDMARKS

FloatImage = npt.NDArray[np.float32]

FOLDS = Path(__file__).with_name("folds.json")
RENDERED_SIZE = 384
"""Longest side of rendered path lengths: above the working size, so that cut-outs stay sharp."""

HEAT_SIGMA = 3.0
"""Width of the landmarks' heat maps, pixels at the working size."""

ORDINARY_SHARE = 0.3
"""Share of films as most departments deliver them; the others are anything that one might meet."""

_KNEE_DONOR = "jia"
"""Whose lower leg is lent to people without one: a boy of 14, who is in no model and in no evaluation."""

_WHOLE_SHARE = 0.8
"""Share of pictures of people whose whole femur is known."""

_FIELDS = {Field.WHOLE: 0.42, Field.HIP: 0.30, Field.DISTAL: 0.28}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadow:
    """One patient in one geometry.

    Attributes:
        person: Whose femur it is; a network that is judged on this person must not see it.
        view: AP or lateral.
        field: Part of the femur.
        spacing_mm: At the detector.
        lengths: (layers, h, w) float16 mm, in the order of `Layer`.
        landmarks: (landmarks, 2) column and row in the order of `LANDMARKS`; NaN where the surface has none.
    """

    person: str
    view: View
    field: Field
    spacing_mm: float
    lengths: npt.NDArray[np.float16]
    landmarks: FloatArray

    def save(self, path: Path) -> None:
        """Write to a .npz file."""
        header = {
            "person": self.person,
            "view": self.view,
            "field": self.field,
            "spacing_mm": self.spacing_mm,
        }
        np.savez(path, lengths=self.lengths, landmarks=self.landmarks, header=json.dumps(header))

    @classmethod
    def load(cls, path: Path) -> Shadow:
        """Read a file written by `save`."""
        with np.load(path) as arrays:
            header = json.loads(str(arrays["header"]))
            return cls(
                person=header["person"],
                view=View(header["view"]),
                field=Field(header["field"]),
                spacing_mm=header["spacing_mm"],
                lengths=arrays["lengths"],
                landmarks=arrays["landmarks"],
            )


def read_folds() -> dict[str, int | str]:
    """Fold of every person: a number for those who are held out in turn, "train" or "sample" for the others."""
    folds: dict[str, int | str] = json.loads(FOLDS.read_text())
    return folds


def render_shadow(people: Sequence[Anatomy], donors: Sequence[Anatomy], rng: np.random.Generator) -> Shadow:
    """A random person, varied, in a random pose and geometry."""
    wanted = [each for each in people if each.whole == (rng.random() < _WHOLE_SHARE)] or people
    anatomy = wanted[int(rng.integers(len(wanted)))]
    field = Field(rng.choice(list(_FIELDS), p=list(_FIELDS.values()))) if anatomy.whole else Field.HIP
    view = View.AP if rng.random() < 0.5 else View.LATERAL
    donor = donors[int(rng.integers(len(donors)))]
    needs_donor = (
        anatomy.whole and field is not Field.HIP and not any(n.startswith("tibia") for n in anatomy.neighbours)
    )
    varied = vary(anatomy, rng)
    scene = build_scene(
        varied,
        rng,
        pose=sample_pose(view, rng),
        knee_donors=[donor] if needs_donor else [],
        procedural_pelvis=bool(rng.random() < 0.3),
    )
    geometry = place(varied, sample_setup(view, field, rng), longest_side=RENDERED_SIZE)
    lengths = path_lengths(scene.meshes, geometry, threads=1)
    nowhere = np.full(2, np.nan)
    points = [varied.landmarks.get(name) for name in LANDMARKS]
    return Shadow(
        person=anatomy.person,
        view=view,
        field=field,
        spacing_mm=geometry.pixel_spacing[0],
        lengths=np.stack([lengths[layer] for layer in Layer]).astype(np.float16),
        landmarks=np.array([nowhere if point is None else geometry.project(point) for point in points]),
    )


def read_shadows(folder: Path, without: frozenset[str]) -> Iterator[Shadow]:
    """All rendered shadows in which none of the named people's bones are."""
    for path in sorted(folder.glob("*.npz")):
        shadow = Shadow.load(path)
        if shadow.person not in without:
            yield shadow


@dataclass(frozen=True, kw_only=True, eq=False)
class Example:
    """An enhanced image with what is true of it, on the working grid.

    Attributes:
        image: (h, w) float32, as `enhance` delivers it.
        mask: (h, w) float32, share of the pixel that the femur's shadow covers inside the exposed field.
        landmarks: (landmarks, 2) column and row; NaN or outside the picture where there is none.
    """

    image: FloatImage
    mask: FloatImage
    landmarks: FloatArray


def develop_example(shadow: Shadow, rng: np.random.Generator, *, working_size: int = WORKING_SIZE) -> Example:
    """A new film of a shadow, cut out and mirrored at random, through the product's own enhancement."""
    window = Window.draw(shadow.lengths.shape[1:], working_size, rng)
    lengths = {layer: window.cut(length) for layer, length in zip(Layer, shadow.lengths, strict=True)}
    # Not where the resampled path is longer than nothing: that is up to a pixel too fat on every side.
    covered = window.cut(shadow.lengths[list(Layer).index(Layer.FEMUR)] > 0)
    landmarks = window.points(shadow.landmarks)
    ordinary = rng.random() < ORDINARY_SHARE
    photometry = typical_photometry(rng, marker="R") if ordinary else sample_photometry(rng)
    film, blades = expose(lengths, shadow.spacing_mm / window.factor, photometry, rng)
    if rng.random() < 0.08:
        film = coarse(film)
    found = exposed_field(film)
    mask = covered * (blades & found)
    image = normalise(film, found)
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
        landmarks = np.array([image.shape[1] - 1, 0.0]) + landmarks * np.array([-1.0, 1.0])
    return Example(image=image, mask=mask, landmarks=landmarks)


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a picture, enlarged or reduced.

    Attributes:
        left, top, right, bottom: Pixels; `right` and `bottom` are the first ones outside.
        factor: By which it is enlarged.
        size: (columns, rows) after that.
    """

    left: int
    top: int
    right: int
    bottom: int
    factor: float
    size: tuple[int, int]

    @classmethod
    def draw(cls, shape: tuple[int, ...], working_size: int, rng: np.random.Generator) -> Window:
        """A random one whose longer side is `working_size`; mostly nearly all of the picture (rows, columns)."""
        rows, columns = shape
        deep = rng.random() < 0.15
        trim = rng.uniform(0, 0.25 if deep else 0.05, 4) * np.array([columns, rows, columns, rows])
        left, top = (int(v) for v in trim[:2])
        right, bottom = columns - int(trim[2]), rows - int(trim[3])
        factor = working_size / max(right - left, bottom - top)
        size = (max(round((right - left) * factor), 32), max(round((bottom - top) * factor), 32))
        return cls(left=left, top=top, right=right, bottom=bottom, factor=factor, size=size)

    def cut(self, layer: npt.NDArray[np.generic]) -> FloatImage:
        """This part of one layer (rows, columns), resampled."""
        part = np.asarray(layer[self.top : self.bottom, self.left : self.right], dtype=np.float32)
        return np.asarray(cv2.resize(part, self.size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)

    def points(self, points: FloatArray) -> FloatArray:
        """Where (N, 2) columns and rows of the picture lie in the part."""
        return np.asarray((points - np.array([self.left, self.top]) + 0.5) * self.factor - 0.5)


def coarse(film: FloatImage) -> FloatImage:
    """The film after a detour over few pixels or few greys, as thumbnails and JPEG pictures have taken it."""
    _, packed = cv2.imencode(".jpg", np.round(film * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), dtype=np.float32) / np.float32(255)


def heat_maps(landmarks: FloatArray, shape: tuple[int, int]) -> FloatImage:
    """(landmarks, h, w) Gaussian bumps of height 1; all zero for a landmark outside the picture."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    sigma = HEAT_SIGMA * max(shape) / WORKING_SIZE
    maps = np.zeros((len(landmarks), *shape), dtype=np.float32)
    for heat, (column, row) in zip(maps, landmarks, strict=True):
        if 0 <= column <= shape[1] - 1 and 0 <= row <= shape[0] - 1:
            heat[:] = np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * sigma**2))
    return maps


def load_people(collection: Collection, folds: Container[str]) -> tuple[list[Anatomy], list[Anatomy]]:
    """Every femur of the people in some folds, and those of the boy who lends his lower leg."""
    chosen = [person for person, fold in read_folds().items() if str(fold) in folds]
    people = [collection.load(person, side) for person in chosen for side in collection.sides(person)]
    return people, [collection.load(_KNEE_DONOR, side) for side in collection.sides(_KNEE_DONOR)]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1600)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--folds", nargs="+", default=["0", "1", "2", "train"], help="whose femora")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    people, donors = load_people(Collection(given.collection), given.folds)
    for number in range(given.first, given.first + given.count):
        render_shadow(people, donors, np.random.default_rng([7, number])).save(given.out / f"{number:05d}.npz")


if __name__ == "__main__":
    main()

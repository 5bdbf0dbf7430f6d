"""Simulate a study of one person's own bones, in any field, and write it as DICOM.

    python -m models.training.field_study --data DATA --person z009 --side R --fields "pelvis AP" --seed 1 --out DIR

Bones are the person's own, unvaried, in a random pose for every view: patients move between radiographs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from models.training.bodies import Body, load_bodies
from models.training.bone_dataset import BoneShadow, layers_of, read_models, take
from models.training.build_shape_model import CACHE
from models.training.dataset import FloatImage
from models.training.disturbance import UNDISTURBED, Disturbance
from models.training.fields import BoneField, FieldSetup, place, sample_setup
from models.training.patient import build_patient
from models.training.photometry import expose, typical_photometry
from models.training.write_dx import Study, write_dx
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side

LONGEST_SIDE = 900
"""Pixels: half a millimetre for a whole femur."""

SLIPS = 0.7
"""How far tube and detector turn against the nominal view; 1 is a standard deviation of 4 to 5 degrees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FieldView:
    """One simulated radiograph and what is true of it.

    Attributes:
        setup: As what it was set up.
        body: The person in the pose of the radiograph, in the frame of `geometry`.
        geometry: Where source and detector stood.
        shadow: The bones' shadows.
        image: (rows, columns) float32 display values in 0..1, bone bright.
        field: (rows, columns) True where the blades leave the beam free.
        disturbance: What went wrong with it.
    """

    setup: FieldSetup
    body: Body
    geometry: ProjectionGeometry
    shadow: BoneShadow
    image: FloatImage
    field: npt.NDArray[np.bool_]
    disturbance: Disturbance = UNDISTURBED

    def dataset(self, study: Study, number: int) -> Dataset:
        """As DICOM DX."""
        side = None if self.setup.field is BoneField.PELVIS_AP else self.setup.side
        dataset = write_dx(self, self.setup, side, study, number=number)
        self.disturbance.mislabel(dataset)
        return dataset


def simulate_fields(
    body: Body,
    side: Side,
    fields: Sequence[BoneField],
    *,
    seed: int,
    longest_side: int = LONGEST_SIDE,
    disturbance: Disturbance = UNDISTURBED,
) -> list[FieldView]:
    """Radiographs of one person, one per field.

    Args:
        body: As scanned, levelled.
        side: Whose leg is in question.
        fields: In the order in which they are taken.
        seed: Decides everything else.
        longest_side: Pixels along the longer side of each picture.
        disturbance: What goes wrong.
    """
    build = int(np.random.default_rng([seed, 0]).integers(2**31))
    return [
        _simulated(body, side, field, np.random.default_rng([seed, number]), build, longest_side, disturbance)
        for number, field in enumerate(fields, start=1)
    ]


def _simulated(
    body: Body,
    side: Side,
    field: BoneField,
    rng: np.random.Generator,
    build: int,
    longest_side: int,
    disturbance: Disturbance,
) -> FieldView:
    setup = disturbance.set_up(sample_setup(field, side, rng, slips=SLIPS))
    patient = build_patient(body, setup, np.random.default_rng(build))
    geometry = disturbance.place(place(patient.body, setup, longest_side=longest_side))
    shadow = take(patient, setup, geometry)
    photometry = disturbance.expose(typical_photometry(rng, marker=str(side)))
    image, free = expose(layers_of(shadow), shadow.spacing_mm, photometry, rng)
    return FieldView(
        setup=setup,
        body=patient.body,
        geometry=geometry,
        shadow=shadow,
        image=image,
        field=free,
        disturbance=disturbance,
    )


def save_fields(views: Sequence[FieldView], study: Study, out: Path) -> list[Path]:
    """Write `1-pelvis-ap.dcm`, ... into a folder; the files' paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, view in enumerate(views, start=1):
        path = out / f"{number}-{view.setup.field.replace(' ', '-').lower()}.dcm"
        view.dataset(study, number).save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--person", required=True)
    parser.add_argument("--side", type=Side, choices=list(Side), default=Side.RIGHT)
    parser.add_argument("--fields", nargs="+", type=BoneField, required=True, help='such as "knee AP" "knee lateral"')
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest-side", type=int, default=LONGEST_SIDE)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of registrations")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    (body,) = load_bodies(given.data, [given.person], read_models(), cache=given.cache)
    views = simulate_fields(body, given.side, given.fields, seed=given.seed, longest_side=given.longest_side)
    study = Study(seed_text=f"{given.person} {given.side} {given.fields} {given.seed}", description="Simulated")
    for path in save_fields(views, study, given.out):
        print(path)


if __name__ == "__main__":
    main()

"""Simulate a whole study of one femur and write it as DICOM.

    python -m models.training.simulate_study --femur FILE --side R --field hip --views AP LATERAL --seed 1 --out DIR

With `--collection DIR --person z001` instead of `--femur FILE`, the bones around the femur are the person's own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset

from models.training.anatomy import Anatomy, Collection, from_surface
from models.training.photometry import Photometry, typical_photometry
from models.training.positioning import Field, Setup, place, sample_pose, sample_setup
from models.training.scene import build_scene
from models.training.simulator import SimulatedView, simulate_view
from models.training.write_dx import Study, write_dx
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side, View


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedRadiograph:
    """One radiograph of a simulated study.

    Attributes:
        setup: As what it was set up.
        view: The picture and what is true of it.
        dataset: As DICOM DX.
    """

    setup: Setup
    view: SimulatedView
    dataset: Dataset


def simulate_study(
    anatomy: Anatomy,
    *,
    field: Field,
    views: Sequence[View],
    seed: int,
    study: Study,
    knee_donors: Sequence[Anatomy] = (),
    procedural_pelvis: bool = False,
    longest_side: int = 1024,
    slips: float = 0.7,
    photometries: Sequence[Photometry] | None = None,
) -> list[SimulatedRadiograph]:
    """Radiographs of one person, one per view.

    Args:
        anatomy: The femur and the bones around it.
        field: Part of the femur to show.
        views: In the order in which they are taken.
        seed: Decides everything that is not given.
        study: What the DICOM instances share.
        knee_donors: People whose lower leg is used where this one's is missing.
        procedural_pelvis: Use a pelvis of simple bodies even where the person's own is known.
        longest_side: Pixels along the longer side of each picture; 600 takes a second, 2000 some ten.
        slips: How far tube and detector turn against the nominal view; 1 is a standard deviation of 4 to 6 degrees.
        photometries: One per view; typical ones when None.
    """
    person = np.random.default_rng([seed, 0]).integers(2**31)
    radiographs = []
    for number, view in enumerate(views, start=1):
        rng = np.random.default_rng([seed, number])
        scene = build_scene(
            anatomy,
            np.random.default_rng(person),
            pose=sample_pose(view, rng),
            knee_donors=knee_donors,
            procedural_pelvis=procedural_pelvis,
        )
        setup = sample_setup(view, field, rng, slips=slips)
        photometry = photometries[number - 1] if photometries else typical_photometry(rng, marker=str(anatomy.side))
        picture = simulate_view(scene, place(anatomy, setup, longest_side=longest_side), photometry, rng)
        dataset = write_dx(picture, setup, anatomy.side, study, number=number)
        radiographs.append(SimulatedRadiograph(setup=setup, view=picture, dataset=dataset))
    return radiographs


def save_study(radiographs: Sequence[SimulatedRadiograph], anatomy: Anatomy, out: Path) -> list[Path]:
    """Write `1-ap.dcm`, `2-lateral.dcm`, ... and `truth.json` into a folder; the files' paths."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, radiograph in enumerate(radiographs, start=1):
        path = out / f"{number}-{radiograph.setup.view.lower()}.dcm"
        radiograph.dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    truth = {
        "person": anatomy.person,
        "side": str(anatomy.side),
        "radiographs": [
            {
                "file": path.name,
                "view": str(radiograph.setup.view),
                "field": str(radiograph.setup.field),
                "geometry": describe_geometry(radiograph.view.geometry),
                "landmarks_px": {str(k): v.round(2).tolist() for k, v in radiograph.view.landmarks.items()},
            }
            for path, radiograph in zip(paths, radiographs, strict=True)
        ],
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return paths


def describe_geometry(geometry: ProjectionGeometry) -> dict[str, object]:
    """A geometry as plain JSON values, in the surface's own frame (mm LPS)."""
    return {
        "source": geometry.source.round(4).tolist(),
        "detector_origin": geometry.detector_origin.round(4).tolist(),
        "column_direction": geometry.column_direction.round(9).tolist(),
        "row_direction": geometry.row_direction.round(9).tolist(),
        "pixel_spacing": list(geometry.pixel_spacing),
        "rows": geometry.rows,
        "columns": geometry.columns,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--femur", type=Path, help="closed surface of a femur in LPS mm (.ply, .stl, .obj)")
    parser.add_argument("--collection", type=Path, help="folder with bones.csv; needed for --person and for landmarks")
    parser.add_argument("--person", help="a person of the collection")
    parser.add_argument("--side", required=True, type=Side, choices=list(Side))
    parser.add_argument("--field", default=Field.HIP, type=Field, choices=list(Field))
    parser.add_argument("--views", nargs="+", default=[View.AP, View.LATERAL], type=View)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest-side", type=int, default=1024)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.person:
        anatomy = Collection(given.collection).load(given.person, given.side)
    else:
        anatomy = from_surface(given.femur, given.side)
    study = Study(seed_text=f"{anatomy.person} {given.side} {given.field} {given.seed}")
    radiographs = simulate_study(
        anatomy, field=given.field, views=given.views, seed=given.seed, study=study, longest_side=given.longest_side
    )
    for path in save_study(radiographs, anatomy, given.out):
        print(path)


if __name__ == "__main__":
    main()

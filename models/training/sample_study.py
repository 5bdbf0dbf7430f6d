"""Make the sample study that ships in `models/sample`: a hip in two views, of a person that no training saw.

    python -m models.training.sample_study --collection DIR

Only the femur comes from a person (libhip m8, MIT; CT from TCIA, CC BY 3.0). Pelvis and soft parts are procedural, so
the study is free to ship and to change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import trimesh

from models.training.anatomy import Collection
from models.training.positioning import Field
from models.training.simulate_study import save_study, simulate_study
from models.training.write_dx import Patient, Study
from pipeline.radiograph import Side, View

PERSON = "m8"
SIDE = Side.RIGHT
SEED = 16
OUT = Path(__file__).parents[1] / "sample"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    anatomy = Collection(given.collection).load(PERSON, SIDE)
    patient = Patient(name="Sample^Bonecraft", identifier="BONECRAFT-SAMPLE", sex="M", age_years=60)
    radiographs = simulate_study(
        anatomy,
        field=Field.HIP,
        views=[View.AP, View.LATERAL],
        seed=given.seed,
        study=Study(seed_text="bonecraft sample", patient=patient, description="Right hip, two views, simulated"),
        procedural_pelvis=True,
        longest_side=900,
    )
    save_study(radiographs, anatomy, given.out)
    mesh = trimesh.Trimesh(anatomy.femur.vertices.astype(np.float32), anatomy.femur.triangles, process=False)
    mesh.export(given.out / "truth.ply")


if __name__ == "__main__":
    main()

"""Results of studies that nobody made, for tables."""

from __future__ import annotations

from dataclasses import replace

from models.training.disturbance import UNDISTURBED, Disturbance
from models.training.evaluation.plan import HIP, Examination, Person, Study
from models.training.evaluation.results import BoneResult, MeasurementResult, StudyResult, blank
from pipeline.radiograph import Side

WOMAN = Person(name="ann", sex="F", fold=1)
MAN = Person(name="bob", sex="M", fold=2)


def study(
    person: Person = WOMAN, *, examination: Examination = HIP, seed: int = 1, disturbance: Disturbance = UNDISTURBED
) -> Study:
    return Study(examination=examination, person=person, side=Side.RIGHT, seed=seed, disturbance=disturbance)


def femur(asd: float = 1.0, **changes) -> BoneResult:
    values = {
        "bone": "femur_R",
        "views": 2,
        "asd": asd,
        "rms": 1.2 * asd,
        "hd95": 2.5 * asd,
        "nsd1": 0.6,
        "nsd2": 0.9,
        "dice": 0.98,
        "mean_shape": 1.5,
        "another": 2.5,
        "held": 0.9,
        "held_by_region": (("head", 0.95), ("shaft", 0.8)),
        "half_width": 2.0,
        "vertex_error": 0.8,
        "ratios": (0.1, 0.2),
    }
    return BoneResult(**(values | changes))


def length(value: float | None = 450.0, *, truth: float = 451.0, reach: float = 3.0) -> MeasurementResult:
    ends = (None, None) if value is None else (value - reach, value + reach)
    return MeasurementResult(
        name="Femoral length", bone="femur_R", unit="mm", truth=truth, value=value, lower=ends[0], upper=ends[1]
    )


def result(of: Study | None = None, *bones: BoneResult, **changes) -> StudyResult:
    made = blank(of or study(), "digest")
    return replace(made, **({"bones": bones, "cpu_seconds": 5.0, "peak_mb": 400.0} | changes))

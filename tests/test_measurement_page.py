from dataclasses import replace

import numpy as np

from pipeline.made_with import MadeWith
from pipeline.measurement_page import ROW, WIDTH, measurement_page
from pipeline.radiograph import Scale, ScaleProvenance, Side
from pipeline.results import Measurement, SurfaceReport, Unmeasured

SCALE = Scale(mm_per_pixel=0.17, relative_uncertainty=0.02, provenance=ScaleProvenance.USER)
MADE_WITH = MadeWith(software_version="1.0", models=())
FEMUR = SurfaceReport(
    name="femur_R",
    bone="femur",
    side="R",
    vertices=10,
    triangles=16,
    watertight=True,
    extent=(1.0, 2.0, 3.0),
    expected_error=1.1,
    inferred_fraction=0.2,
    colour="#f0d492",
)
ANGLE = Measurement(name="Neck-shaft angle", bone="femur_R", unit="deg", value=127.0, lower=124.0, upper=130.0)
UNMEASURED = replace(ANGLE, name="Anteversion", value=None, lower=None, upper=None, unmeasured=Unmeasured.NEEDS_LATERAL)


def test_every_measurement_and_every_bone_has_its_row():
    heights = [
        measurement_page(bones, measurements, SCALE, made_with=MADE_WITH).pixels.shape[0]
        for bones, measurements in (
            ([FEMUR], []),
            ([FEMUR], [ANGLE]),
            ([FEMUR], [ANGLE, UNMEASURED]),
            ([FEMUR, replace(FEMUR, name="femur_L", side="L")], [ANGLE, UNMEASURED]),
        )
    ]
    assert heights == sorted(set(heights))


def test_other_values_make_another_page_of_the_same_width():
    one, other = (
        measurement_page([FEMUR], [each], SCALE, made_with=MADE_WITH).pixels
        for each in (ANGLE, replace(ANGLE, value=128.0))
    )
    assert one.shape == other.shape
    assert one.shape[1] == WIDTH
    assert (one != other).any()


def test_nothing_runs_over_the_edge():
    long = replace(ANGLE, name="A measurement with a name that is far too long for the column that it stands in " * 3)
    page = measurement_page([FEMUR], [long], SCALE, made_with=MADE_WITH).pixels
    assert (np.ptp(page[:, -20:].reshape(-1, 3), axis=0) == 0).all()


def test_a_long_name_or_reason_is_broken_not_cut():
    long = replace(ANGLE, name="Pelvic tilt (anterior pelvic plane against the detector)")
    short, taller = (measurement_page([FEMUR], [each], SCALE, made_with=MADE_WITH).pixels for each in (ANGLE, long))
    assert taller.shape[0] == short.shape[0] + ROW


def test_a_page_of_both_sides_is_of_none():
    assert measurement_page([FEMUR], [], SCALE, made_with=MADE_WITH).side is Side.RIGHT
    assert (
        measurement_page([FEMUR, replace(FEMUR, name="femur_L", side="L")], [], SCALE, made_with=MADE_WITH).side is None
    )

"""Metal is drawn where surgeons put it, with as much of it in the beam as there is."""

from __future__ import annotations

import numpy as np
import pytest

from models.training import implants
from models.training.bones import Kind
from models.training.implants import LEAST_AREA_MM2, Carriers, SeenBone, Shaft, implanted
from models.training.metal import Sheet
from pipeline.radiograph import Side

SHAPE = (240, 160)
SPACING = 2.0


def thigh() -> SeenBone:
    """A femur of 400 mm down the middle of the picture: a bar 30 mm wide with a head to one side."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    shaft = (abs(columns - 80) < 7.5) & (rows > 20) & (rows < 220)
    head = np.hypot(columns - 55, rows - 30) < 12
    points = {
        "head_centre": [55, 30],
        "greater_trochanter": [88, 25],
        "lesser_trochanter": [74, 45],
        "medial_epicondyle": [60, 212],
        "lateral_epicondyle": [100, 212],
        "intercondylar_notch": [80, 218],
    }
    return SeenBone(mask=shaft | head, points={name: np.array(place, dtype=float) for name, place in points.items()})


def leg() -> Carriers:
    return Carriers(bones={(Kind.FEMUR, Side.RIGHT): thigh()}, spacing_mm=SPACING, lateral=False)


def test_a_rod_is_as_thick_as_its_diameter():
    sheet = Sheet((41, 41), 0.5)
    sheet.rod(np.array([20.0, 5]), np.array([20.0, 35]), 8.0)
    assert sheet.thickness[20, 20] == pytest.approx(8.0)
    assert sheet.thickness[20].sum() * 0.5 == pytest.approx(np.pi * 16, rel=0.03)


def test_a_wire_thinner_than_a_pixel_keeps_its_metal():
    sheet = Sheet((41, 41), 2.0)
    sheet.rod(np.array([20.0, -40]), np.array([20.0, 80]), 0.8)
    assert sheet.thickness[20].sum() * 2.0 == pytest.approx(np.pi * 0.16, rel=0.3)


def test_bends_of_a_bar_are_no_thicker_than_its_runs():
    sheet = Sheet((61, 61), 1.0)
    sheet.bar(np.array([[10.0, 10], [30, 30], [50, 10]]), 6.0)
    assert sheet.thickness.max() <= 6.0


def test_a_cup_is_hollow_and_opens_to_one_side():
    sheet = Sheet((81, 81), 1.0)
    sheet.cup(np.array([40.0, 40]), 50.0, 4.0, np.array([0.0, 1]))
    assert sheet.thickness[25, 40] > 0
    assert sheet.thickness[55, 40] == 0
    assert sheet.thickness[30, 40] < 12


def test_the_middle_of_a_shaft_is_measured_on_its_shadow():
    bone = thigh()
    shaft = Shaft(bone, np.array([70.0, 30]), np.array([70.0, 210]), SPACING)
    assert shaft.middle(0.5) == pytest.approx([80, 120], abs=0.5)
    assert shaft.half_width(0.5) * SPACING == pytest.approx(15, abs=1.5)


@pytest.mark.parametrize("seed", range(12))
def test_an_implant_is_large_enough_to_be_seen(seed):
    sheet = implanted(leg(), SHAPE, np.random.default_rng(seed))
    assert (sheet.thickness > 1).sum() * SPACING**2 > LEAST_AREA_MM2
    assert np.isfinite(sheet.thickness).all()


def test_a_nail_lies_in_the_bone():
    bone = thigh()
    sheet = Sheet(SHAPE, SPACING)
    implants._nail(sheet, leg(), np.random.default_rng(1))
    along = sheet.thickness[60:180]
    assert along[~bone.mask[60:180]].sum() < 0.2 * along.sum()


def test_a_picture_without_bones_carries_no_implant():
    with pytest.raises(ValueError, match="no bone"):
        implanted(Carriers(bones={}, spacing_mm=SPACING, lateral=False), SHAPE, np.random.default_rng(0))

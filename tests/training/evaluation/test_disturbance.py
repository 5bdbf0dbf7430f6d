"""What goes wrong, by exactly so much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training.disturbance import UNDISTURBED, Disturbance, Sweep
from models.training.fields import BoneField, place, sample_setup
from models.training.photometry import typical_photometry
from models.training.write_dx import Study, write_dx
from pipeline.radiograph import Side
from tests.training.whole_body import someone


def setup(field: BoneField):
    return sample_setup(field, Side.RIGHT, np.random.default_rng(3))


def test_a_lateral_is_turned_further_off_and_a_frontal_film_is_not():
    wrong = Disturbance(sweep=Sweep.LATERAL, level=10)
    before = setup(BoneField.KNEE_LATERAL)
    after = wrong.set_up(before)
    assert abs(after.tilt_degrees[2]) == pytest.approx(abs(before.tilt_degrees[2]) + 10)
    assert after.tilt_degrees[:2] == before.tilt_degrees[:2]
    assert wrong.set_up(setup(BoneField.KNEE_AP)) == setup(BoneField.KNEE_AP)


def test_a_shorter_field_ends_earlier_below():
    whole = place(someone(), setup(BoneField.KNEE_AP), longest_side=200)
    cut = Disturbance(sweep=Sweep.CUT, level=30).place(whole)
    assert (cut.rows, cut.columns) == (round(whole.rows * 0.7), whole.columns)
    assert cut.detector_origin == pytest.approx(whole.detector_origin)


def test_noise_and_exposure_change_the_film_alone():
    film = typical_photometry(np.random.default_rng(1))
    assert Disturbance(sweep=Sweep.NOISE, level=4).expose(film) == replace(film, noise=4 * film.noise)
    half = Disturbance(sweep=Sweep.EXPOSURE, level=0.5).expose(film)
    assert half.noise == pytest.approx(film.noise * np.sqrt(2))
    assert UNDISTURBED.expose(film) == film


def test_a_wrong_scale_stands_in_the_header_and_nowhere_else():
    class Blank:
        geometry = place(someone(), setup(BoneField.KNEE_AP), longest_side=60)
        image = np.zeros((geometry.rows, geometry.columns), dtype=np.float32)

    dataset = write_dx(Blank(), setup(BoneField.KNEE_AP), Side.RIGHT, Study(seed_text="x"), compressed=False)
    true = [float(each) for each in dataset.ImagerPixelSpacing]
    UNDISTURBED.mislabel(dataset)
    assert dataset.ImagerPixelSpacing == true
    Disturbance(sweep=Sweep.SCALE, level=3).mislabel(dataset)
    assert dataset.ImagerPixelSpacing == pytest.approx([1.03 * each for each in true], abs=1e-5)

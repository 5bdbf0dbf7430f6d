"""A film for the gate shows what was planned, and says so."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.bone_dataset import BoneShadow, take
from models.training.fields import BoneField, FieldSetup, place
from models.training.gate_films import GateFilm, Plan, draw_plan, leg_film, legs, save
from models.training.patient import build_patient
from pipeline.radiograph import Side
from pipeline.stages.gate import CONTENTS, GATE_SIZE, HINDRANCES, Content, Hindrance
from tests.training.whole_body import someone


@pytest.fixture(scope="module")
def knee() -> BoneShadow:
    setup = FieldSetup(field=BoneField.KNEE_AP, side=Side.RIGHT, source_to_detector_mm=1100, bone_to_detector_mm=60)
    patient = build_patient(someone(), setup, np.random.default_rng(3))
    return take(patient, setup, place(patient.body, setup, longest_side=160))


@pytest.mark.parametrize("hindrance", [Hindrance.METAL, Hindrance.CAST])
def test_what_is_planned_changes_the_film(knee, hindrance):
    without, shown = (
        leg_film(knee, Plan(hindrances=frozenset(there)), np.random.default_rng(5), ordinary_share=1.0)
        for there in ((), (hindrance,))
    )
    assert shown.image.shape == (GATE_SIZE, GATE_SIZE)
    assert shown.hindrances == {hindrance}
    assert without.hindrances == frozenset()
    assert shown.content is Content.KNEE
    assert (abs(shown.image - without.image) > 0.5).mean() > 0.002


def test_a_knee_with_growth_plates_is_a_childs(knee):
    film = leg_film(knee, Plan(child=True), np.random.default_rng(5))
    assert film.content is Content.CHILD
    assert film.hindrances is None


def test_a_broken_bone_stays_broken_whatever_else_is_planned(knee, tmp_path):
    knee.save(tmp_path / "0.npz")
    films = list(legs([tmp_path / "0.npz"], 6, np.random.default_rng(1), broken=True))
    assert len(films) == 6
    assert all(Hindrance.FRACTURE in film.hindrances for film in films)


def test_only_limbs_are_put_in_casts():
    rng = np.random.default_rng(0)
    plans = [draw_plan(Content.PELVIS, rng, broken=False) for _ in range(200)]
    assert not any(Hindrance.CAST in plan.hindrances for plan in plans)
    assert any(Hindrance.METAL in plan.hindrances for plan in plans)


def test_what_was_not_asked_is_written_as_minus_one(tmp_path):
    image = np.zeros((GATE_SIZE, GATE_SIZE), dtype=np.float32)
    known = GateFilm(
        image=image, content=Content.KNEE, people=("a", "b"), lateral=True, hindrances=frozenset({Hindrance.CAST})
    )
    save(iter([known, GateFilm(image=image, content=Content.HEAD)]), tmp_path / "films.npz")
    with np.load(tmp_path / "films.npz") as written:
        assert written["classes"].tolist() == [CONTENTS.index(Content.KNEE), CONTENTS.index(Content.HEAD)]
        assert written["laterals"].tolist() == [1, -1]
        assert written["hindrances"].tolist() == [[int(each is Hindrance.CAST) for each in HINDRANCES], [-1, -1, -1]]
        assert written["people"].tolist() == ["a+b", ""]

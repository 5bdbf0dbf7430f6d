"""Which studies are made."""

from __future__ import annotations

from models.training.disturbance import LEVELS, Sweep
from models.training.evaluation.plan import (
    KNEE,
    LOWER_LEG,
    PELVIS,
    Person,
    disturbed,
    full_plan,
    left_to_do,
    small_plan,
    undisturbed,
)
from pipeline.radiograph import Side

PEOPLE = [
    *(Person(name=f"z{n}", sex="M", fold=1 + n % 2) for n in range(8)),
    Person(name="z023", sex="F", fold=1),
    Person(name="z064", sex="M", fold=2, lower_legs=(Side.LEFT, Side.RIGHT)),
]


def test_no_two_studies_of_the_full_plan_have_the_same_key():
    keys = [study.key for study in full_plan(PEOPLE)]
    assert len(keys) == len(set(keys))
    assert sum(study.disturbance.sweep is None for study in full_plan(PEOPLE)) >= 200


def test_every_disturbed_study_has_its_undisturbed_twin_in_the_full_plan():
    plan = full_plan(PEOPLE)
    plain = {(s.examination, s.person, s.side, s.seed) for s in plan if s.disturbance.sweep is None}
    wrong = [study for study in plan if study.disturbance.sweep]
    assert {study.disturbance.sweep for study in wrong} == set(Sweep)
    assert all((s.examination, s.person, s.side, s.seed) in plain for s in wrong)


def test_the_small_plan_is_a_dozen_that_the_full_one_holds():
    small = [study.key for study in small_plan(PEOPLE)]
    assert len(small) == 12
    assert set(small) <= {study.key for study in full_plan(PEOPLE)}


def test_a_pelvis_is_taken_once_a_leg_on_both_sides_and_a_lower_leg_where_it_is_known():
    for examination, count in ((PELVIS, 10), (KNEE, 20), (LOWER_LEG, 2)):
        assert len(undisturbed(PEOPLE, [examination], [1])) == count


def test_sweeps_take_every_level_of_everybody():
    found = disturbed(PEOPLE[:2], [Sweep.NOISE], 1, (KNEE,))
    assert [study.disturbance.level for study in found] == [level for level in LEVELS[Sweep.NOISE] for _ in range(2)]


def test_what_is_finished_is_not_made_again():
    plan = small_plan(PEOPLE)
    assert [study.key for study in left_to_do(plan, [plan[0].key])] == [study.key for study in plan[1:]]

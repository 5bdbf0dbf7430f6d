"""Many studies, some of which break."""

from __future__ import annotations

import os

from models.training.evaluation.run import run
from tests.training.evaluation.made_up import WOMAN, femur, result, study

STUDIES = [study(WOMAN, seed=seed) for seed in range(4)]


def work(each):
    """Makes a study; the second kills its process, the third fails."""
    if each.seed == 1:
        os._exit(1)
    if each.seed == 2:
        raise ValueError("nothing to see")
    return result(each, femur())


def test_a_process_that_dies_and_a_study_that_fails_are_results_and_the_others_are_made():
    found = {each.seed: each for each in run(STUDIES, work, lambda _: "digest", jobs=1)}
    assert sorted(found) == [0, 1, 2, 3]
    assert "BrokenProcessPool" in found[1].error
    assert found[2].error == "ValueError: nothing to see"
    assert [found[seed].bones[0].asd for seed in (0, 3)] == [1.0, 1.0]


def test_when_time_is_up_nothing_new_is_begun():
    assert list(run(STUDIES, work, lambda _: "digest", jobs=1, may_begin=lambda: False)) == []

"""Results survive the run that made them."""

from __future__ import annotations

import pytest

from models.training.disturbance import Disturbance, Sweep
from models.training.evaluation.results import ResultFile, failed, of_models
from tests.training.evaluation.made_up import MAN, femur, length, result, study

LATERAL = Disturbance(sweep=Sweep.LATERAL, level=10)


def test_a_result_is_read_back_as_it_was_written(tmp_path):
    file = ResultFile(tmp_path / "deep" / "results.jsonl")
    # Every number is one, for NaN is not itself.
    full = femur(contour_error=0.5, shape_distance=0.6)
    written = result(study(MAN, disturbance=LATERAL), full, measurements=(length(),), seconds=1.0, scale_interval=0.02)
    assert file.read() == []
    file.append(written)
    assert file.read() == [written]


def test_a_line_that_a_crash_cut_short_is_as_if_never_begun(tmp_path):
    path = tmp_path / "results.jsonl"
    file = ResultFile(path)
    file.append(result())
    with path.open("a") as opened:
        opened.write(result(study(MAN)).to_line()[:50])
    assert [each.person for each in file.read()] == ["ann"]
    file.append(result(study(MAN)))
    assert [each.person for each in file.read()] == ["ann", "bob"]


def test_lines_of_another_version_are_named_as_such(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text(result().to_line().replace('"side"', '"flank"') + "\n")
    with pytest.raises(ValueError, match="another version"):
        ResultFile(path).read()


def test_results_of_other_networks_do_not_count():
    assert of_models([result(), result(study(MAN))], {1: "digest", 2: "another"}) == [result()]


def test_a_study_that_broke_says_why_and_of_which_it_was():
    broken = failed(study(MAN), "digest", KeyError("tibia"))
    assert (broken.key, broken.error) == (study(MAN).key, "KeyError: 'tibia'")

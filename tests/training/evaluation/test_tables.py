"""Tables of results whose figures are known."""

from __future__ import annotations

import pytest

from models.training.disturbance import Disturbance, Sweep
from models.training.evaluation.page import PAGE, sections, with_section
from models.training.evaluation.plots import accuracy_plot, costs, robustness_plot
from models.training.evaluation.results import failed
from models.training.evaluation.robustness import robustness_table, scale_sentence
from models.training.evaluation.statistics import clustered
from models.training.evaluation.tables import (
    accuracy_table,
    cost_table,
    interval_table,
    measurement_table,
    refusal_table,
)
from tests.training.evaluation.made_up import MAN, WOMAN, femur, length, result, study

THREE_PER_CENT = Disturbance(sweep=Sweep.SCALE, level=3)


def cells(table: str, row: int = 0) -> dict[str, str]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return dict(zip(lines[0], lines[2 + row], strict=True))


def test_a_row_counts_people_and_tells_sexes_apart_and_who_was_refused():
    found = [
        result(study(WOMAN), femur(1.2)),
        result(study(MAN), femur(0.8)),
        result(study(MAN, seed=2), femur(bone="femur_L", refused="poor-fit")),
    ]
    row = cells(accuracy_table(found))
    assert row["n (people)"] == "3 (2)"
    assert row["ASD median (worst)"] == "1.00 (1.20)"
    assert row["men / women"] == "0.80 / 1.20"
    assert (row["mean shape"], row["another person's"]) == ("1.50", "2.50")
    assert row["refused"] == "1 of 3"


def test_disturbed_and_broken_studies_stay_out_of_the_ordinary_tables():
    wrong = result(study(disturbance=THREE_PER_CENT), femur(9.0))
    found = [result(study(), femur()), wrong, failed(study(MAN), "digest", ValueError("x"))]
    assert cells(accuracy_table(found))["n (people)"] == "1 (1)"


def test_coverage_is_resampled_by_person_not_by_bone():
    by_bone = {str(number): [number % 2] for number in range(40)}
    by_person = {"ann": [0.0] * 20, "bob": [1.0] * 20}
    assert clustered(by_bone).mean == clustered(by_person).mean == 0.5
    assert clustered(by_person).high - clustered(by_person).low == 1.0
    assert clustered(by_bone).high - clustered(by_bone).low < 0.4
    assert str(clustered({"ann": [0.9]})) == "90%"


def test_intervals_say_where_they_are_worst_and_how_wide_they_are():
    table = interval_table([result(study(WOMAN), femur()), result(study(MAN), femur(held=0.8))])
    row = cells(table)
    assert row["by fold"] == "1: 90%, 2: 80%"
    assert row["worst region"] == "shaft 80%"
    assert row["half-width / error"] == "2.5"
    assert cells(table, 1)["bone"] == "all"


def test_a_measurement_is_judged_by_its_distance_and_by_its_interval():
    near, far = length(450.0, truth=451.0), length(440.0, truth=451.0)
    none = length(None)
    found = [result(study(WOMAN), femur(), measurements=(near, none)), result(study(MAN), femur(), measurements=(far,))]
    row = cells(measurement_table(found))
    assert row["n (people)"] == "2 (2)"
    assert row["error median"] == "6.0 mm (1.3%)"
    assert row["90 % interval holds (95 % CI)"].startswith("50%")


def test_a_disturbance_is_compared_with_the_same_study_without_it():
    found = []
    for person, before, after in ((WOMAN, 1.0, 1.1), (MAN, 2.0, 2.6)):
        found.append(result(study(person), femur(before), measurements=(length(),)))
        wrong = study(person, disturbance=THREE_PER_CENT)
        found.append(result(wrong, femur(after), measurements=(length(440),), scale_interval=0.025))
    found.append(result(study(WOMAN, seed=3, disturbance=THREE_PER_CENT), femur(50.0), scale_interval=0.025))
    row = cells(robustness_table(found))
    assert (row["ASD without"], row["ASD with"]) == ("1.50", "1.85")
    assert row["costs (median of pairs)"] == "+20%"
    assert row["lengths' 90 % intervals hold without / with"] == "100% / 0%"
    assert scale_sentence(found).endswith("± 2.5%: an error of 3 % outside.")
    assert costs(Sweep.SCALE, found) == {"hip AP + lateral: femur": [(3, pytest.approx(0.2))]}
    assert robustness_plot(found).ndim == accuracy_plot(found).ndim == 3


def test_films_and_bones_left_out_are_counted_with_their_reasons():
    found = [
        result(study(WOMAN), femur(refused="metal-implant"), refused="metal-implant"),
        result(study(MAN), femur(), femur(bone="hip_bone_R", refused="poor-fit"), films_refused=("wrong-body-part",)),
    ]
    row = cells(refusal_table(found))
    assert row["refused whole"] == "1 (50%)"
    assert row["films left out"] == "3 of 4"
    assert row["bones left out"] == "2 of 3"
    assert row["reasons"] == "metal-implant 1, wrong-body-part 1, poor-fit 1"


def test_time_and_memory_are_of_studies_that_were_not_refused():
    found = [result(study(), femur()), result(study(MAN), refused="child", cpu_seconds=0.1)]
    assert cells(cost_table(found))["studies"] == "1"


def test_the_page_has_a_place_for_every_section_and_keeps_its_prose():
    page = PAGE.read_text(encoding="utf-8")
    wrong = result(study(disturbance=THREE_PER_CENT), femur(), scale_interval=0.02)
    found = [result(study(), femur(), measurements=(length(),)), wrong]
    for true_outlines in (False, True):
        for name, text in sections(found, true_outlines=true_outlines).items():
            page = with_section(page, name, text)
            assert text in page
    assert "nothing here is a claim about real films" in page
    with pytest.raises(ValueError, match="no section <!-- weather -->"):
        with_section(page, "weather", "fine")

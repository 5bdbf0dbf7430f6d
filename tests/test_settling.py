from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.settling import NotYet, Ready, ReceivedView, StudyFacts, input_digest, is_ready
from tests.node_helpers import NOON, after


def study(*views: tuple[str, str]) -> StudyFacts:
    return StudyFacts(
        views=tuple(ReceivedView(view=view, side=side) for view, side in views),
        last_received_at=NOON,
        quiet_time=timedelta(seconds=60),
    )


@pytest.mark.parametrize("frontal", ["AP", "PA"])
@pytest.mark.parametrize("side", ["L", "R"])
def test_a_frontal_and_a_lateral_view_of_one_side_are_enough(frontal: str, side: str) -> None:
    assert isinstance(is_ready(study((frontal, side), ("LATERAL", side)), NOON), Ready)


@pytest.mark.parametrize(
    "views",
    [
        [("AP", "R")],
        [("AP", "R"), ("AP", "R")],
        [("AP", "R"), ("LATERAL", "L")],
        [("AP", ""), ("LATERAL", "")],
        [("", "R"), ("LATERAL", "R")],
    ],
)
def test_anything_less_waits_until_it_has_been_quiet_for_long_enough(views: list[tuple[str, str]]) -> None:
    assert is_ready(study(*views), after(59)) == NotYet(until=after(60))
    assert isinstance(is_ready(study(*views), after(60)), Ready)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_arrival_makes_no_other_input(digests: list[str]) -> None:
    assert input_digest(digests) == input_digest(["a", "b", "c", "d"])


def test_another_view_makes_another_input() -> None:
    assert input_digest(["a", "b"]) != input_digest(["a", "b", "c"])
    assert input_digest(["ab"]) != input_digest(["a", "b"])

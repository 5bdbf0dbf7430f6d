from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.regions import NEED_A_LATERAL, REGION_OF, VIEWS_OF, Projection, Region
from pipeline.settling import (
    LOOK_AGAIN,
    SENDER_PAUSE,
    NotYet,
    Ready,
    ReceivedView,
    StudyFacts,
    Wait,
    input_digest,
    is_ready,
    missing_views,
)
from pipeline.stages.gate import RECONSTRUCTED, RECONSTRUCTED_PARTS
from pipeline.waits import PartWait, Waits, wait_for
from tests.node_helpers import NOON, after

MINUTE = Wait(quiet=timedelta(seconds=60), maximum=timedelta(seconds=600))


def films(*films: str) -> tuple[ReceivedView, ...]:
    """`"KNEE AP R"`: body part, view and side; a hyphen where the sender says nothing."""
    said = ([word.strip("-") for word in film.split()] for film in films)
    return tuple(ReceivedView(body_part=part, view=view, side=side) for part, view, side in said)


def study(
    *shown: str, since: datetime = NOON, last: datetime = NOON, sending: bool = False, wait: Wait = MINUTE
) -> StudyFacts:
    return StudyFacts(views=films(*shown), waiting_since=since, last_received_at=last, is_being_sent=sending, wait=wait)


@pytest.mark.parametrize(
    "shown",
    [
        ["PELVIS AP -"],
        ["KNEE AP R", "KNEE LATERAL R"],
        ["KNEE PA L", "PATELLA LATERAL L"],
        ["HIP AP L", "HIP LATERAL L"],
        ["PELVIS AP -", "HIP LATERAL R"],
        ["PELVIS AP -", "HIP LATERAL R", "HIP LATERAL L"],
        ["KNEE AP -", "KNEE LATERAL R", "KNEE LATERAL L"],
        ["KNEE AP R", "KNEE LATERAL -"],
        ["KNEE AP -", "KNEE LATERAL -"],
        ["FEMUR AP R", "THIGH LATERAL R"],
        ["FEMUR AP R", "FEMUR AP R", "FEMUR LATERAL R", "FEMUR LATERAL R"],
        ["- AP R", "- LATERAL R"],
        ["KNEE AP R", "KNEE LATERAL R", "CHEST PA -"],
    ],
)
def test_a_study_with_every_view_of_its_body_parts_is_ready_at_once(shown: list[str]) -> None:
    assert missing_views(films(*shown)) == ()
    assert isinstance(is_ready(study(*shown), NOON), Ready)


@pytest.mark.parametrize(
    ("shown", "waits_for"),
    [
        (["KNEE AP L"], "a lateral view of the left knee"),
        (["KNEE LATERAL L"], "a frontal view of the left knee"),
        (["KNEE AP R", "KNEE LATERAL L"], "a frontal view of the left knee and a lateral view of the right knee"),
        (["KNEE AP R", "KNEE AP L", "KNEE LATERAL R"], "a lateral view of the left knee"),
        (["KNEE AP R", "KNEE AP L", "KNEE LATERAL -"], "a lateral view of the left knee and a lateral view of the right"
         " knee"),
        (["HIP AP -"], "a lateral view of the hip"),
        (["PELVIS LATERAL -"], "a frontal view of the pelvis"),
        (["FEMUR AP R", "FEMUR AP R", "FEMUR LATERAL R"], "another lateral view of the right femur"),
        (["- AP -"], "a lateral view of the limb"),
        (["KNEE - R"], "a frontal view of the right knee and a lateral view of the right knee"),
        (["PELVIS AP -", "KNEE AP R"], "a lateral view of the right knee"),
        (["CHEST PA -"], "further images"),
    ],
)  # fmt: skip
def test_anything_less_waits_until_it_has_been_quiet_for_long_enough(shown: list[str], waits_for: str) -> None:
    expected = NotYet(waits_for=waits_for, until=after(60), look_at=after(60))
    assert is_ready(study(*shown), after(59)) == expected
    assert isinstance(is_ready(study(*shown), after(60)), Ready)


def test_a_study_whose_sender_is_connected_is_not_quiet() -> None:
    sent = study("KNEE AP L", sending=True)
    verdict = is_ready(sent, after(90))
    assert verdict == NotYet(
        waits_for="a lateral view of the left knee and the sender, which is still connected",
        until=after(600),
        look_at=after(90) + LOOK_AGAIN,
    )
    assert isinstance(is_ready(study("KNEE AP L"), after(90)), Ready)


def test_a_complete_study_gives_its_sender_a_moment_to_finish() -> None:
    sent = study("PELVIS AP -", sending=True)
    assert is_ready(sent, after(1)) == NotYet(
        waits_for="the sender, which is still connected", until=NOON + SENDER_PAUSE, look_at=NOON + SENDER_PAUSE
    )
    assert isinstance(is_ready(sent, NOON + SENDER_PAUSE), Ready)


@pytest.mark.parametrize("sending", [False, True])
def test_a_trickle_of_images_does_not_postpone_it_for_ever(sending: bool) -> None:
    trickle = study("KNEE AP L", since=NOON, last=after(590), sending=sending)
    verdict = is_ready(trickle, after(591))
    assert isinstance(verdict, NotYet)
    assert verdict.until == after(600)
    assert isinstance(is_ready(trickle, after(600)), Ready)


def test_where_content_alone_is_not_trusted_quiet_time_decides() -> None:
    waits = Waits(quiet_seconds=60, maximum_wait_seconds=600, parts=(PartWait(body_part="PELVIS", by_content=False),))
    pelvis = study("PELVIS AP -", wait=wait_for(waits, {"PELVIS"}))
    assert is_ready(pelvis, NOON) == NotYet(waits_for="further images", until=after(60), look_at=after(60))
    assert isinstance(is_ready(pelvis, after(60)), Ready)


def test_a_body_part_has_its_own_waits_and_a_study_the_longest_of_its_parts() -> None:
    knee = PartWait(body_part="KNEE", quiet_seconds=10)
    femur = PartWait(body_part="FEMUR", maximum_wait_seconds=1200)
    waits = Waits(quiet_seconds=60, maximum_wait_seconds=600, parts=(knee, femur))
    assert wait_for(waits, {"KNEE"}) == Wait(quiet=timedelta(seconds=10), maximum=timedelta(seconds=600))
    assert wait_for(waits, {"PATELLA"}) == wait_for(waits, {"KNEE"}), "another term for the same region"
    assert wait_for(waits, {"HIP"}) == MINUTE
    assert wait_for(waits, {"KNEE", "THIGH"}) == Wait(quiet=timedelta(seconds=60), maximum=timedelta(seconds=1200))


@pytest.mark.parametrize(("usual", "other"), [("FEMUR", "THIGH"), ("KNEE", "PATELLA")])
def test_each_term_of_a_region_has_the_waits_that_are_set_for_it(usual: str, other: str) -> None:
    parts = (PartWait(body_part=usual, quiet_seconds=10), PartWait(body_part=other, quiet_seconds=300))
    for in_any_order in (parts, parts[::-1]):
        waits = Waits(quiet_seconds=60, maximum_wait_seconds=600, parts=in_any_order)
        assert wait_for(waits, {usual}).quiet == timedelta(seconds=10)
        assert wait_for(waits, {other}).quiet == timedelta(seconds=300)


def test_settling_and_science_speak_of_the_same_regions() -> None:
    assert {content.value for content in RECONSTRUCTED} == {region.value for region in VIEWS_OF} == set(Region)
    assert set(REGION_OF.values()) == set(Region)
    assert all(region.value in RECONSTRUCTED_PARTS for region in Region)
    assert NEED_A_LATERAL
    assert Projection.LATERAL in VIEWS_OF[Region.KNEE], "where the patella is"


@given(st.permutations(["KNEE AP R", "KNEE LATERAL R", "KNEE AP L", "PELVIS AP -"]))
def test_the_order_of_arrival_changes_nothing(shown: list[str]) -> None:
    assert isinstance(is_ready(study(*shown), NOON), NotYet)
    assert isinstance(is_ready(study(*shown, "KNEE LATERAL L"), NOON), Ready)
    assert input_digest(shown) == input_digest(sorted(shown))


def test_another_view_makes_another_input() -> None:
    assert input_digest(["a", "b"]) != input_digest(["a", "b", "c"])
    assert input_digest(["ab"]) != input_digest(["a", "b"])

"""Spoilt bytes from anybody: a small share of `make fuzz`, always the same cases."""

from tests.fuzz.afterlife import read_back, work_off
from tests.fuzz.campaign import run_campaign
from tests.fuzz.run import fuzzed_listener, problems_of, send_sound_file
from tests.fuzz.seeds import ENCODINGS
from tests.peers import debian_program

CASES = 150


def test_whatever_is_sent_is_answered_or_closed_and_leaves_nothing_behind() -> None:
    for program in ("echoscu", "findscu", "storescu", *{convert[0] for convert, _ in ENCODINGS.values() if convert}):
        debian_program(program, package="dcmtk")
    with fuzzed_listener() as (listener, seeds):
        campaign = run_campaign(listener, seeds, seed=4, cases=CASES, on_progress=lambda _: None)
        assert problems_of(campaign, sends=send_sound_file(listener)) == []
        assert read_back(listener).total() > CASES // 10
        assert work_off(listener, at_most=1).total() == 1

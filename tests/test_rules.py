"""An institution's rules: which studies are processed, how urgently, and which results go where."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.rules import KINDS, OPTIONAL, USUAL, Priority, Rule, kinds_in_words, optional_kinds
from pipeline.rules_verdict import ImageFacts, how_urgent, judge, trace, what_goes_to, whether_to_process
from pipeline.site_values import RulesValue, differences, explain

NO_FEET = Rule(name="no-feet", sentence="No model knows feet.", body_part=("FOOT", "ANKLE"), process=False)
CHILDREN = Rule(name="children", maximum_age_years=15, process=False)
EMERGENCY = Rule(name="emergency", calling_ae_title=("ER*",), priority=Priority.STAT)
SURFACES_ONLY = Rule(name="surfaces-only", send={"RESEARCH": ("surface-segmentation",)})


def image(
    *, age_years: float | None = 66.0, calling: str = "CR1", called: str = "BONECRAFT", **facts: Any
) -> ImageFacts:
    plain = {"modality": "DX", "body_part": "HIP", "view": "AP", "age_years": age_years, **facts}
    return ImageFacts.of(plain, calling_ae_title=calling, called_ae_title=called)


HIP, FOOT = image(), image(body_part="FOOT")


class TestWhetherToProcess:
    def test_without_rules_everything_is_processed(self):
        decision = whether_to_process([], [FOOT])
        assert decision.choice
        assert decision.rule is None

    def test_a_study_is_left_out_when_every_image_fulfils_the_conditions(self):
        decision = whether_to_process([NO_FEET], [FOOT, image(body_part="ANKLE")])
        assert not decision.choice
        assert decision.because == "rule 'no-feet': No model knows feet."

    def test_one_other_image_is_reason_enough_to_process_it(self):
        assert whether_to_process([NO_FEET], [FOOT, HIP]).choice

    def test_the_first_rule_that_matches_and_says_it_decides(self):
        hips = Rule(name="hips", body_part=("HIP",), process=True)
        nothing_else = Rule(name="nothing-else", process=False)
        assert whether_to_process([EMERGENCY, hips, nothing_else], [HIP]).rule == hips
        assert whether_to_process([EMERGENCY, hips, nothing_else], [FOOT]).rule == nothing_else
        assert whether_to_process([nothing_else, hips], [HIP]).rule == nothing_else

    def test_all_conditions_of_a_rule_must_be_fulfilled_by_the_same_image(self):
        feet_from_the_ward = Rule(name="ward", body_part=("FOOT",), calling_ae_title=("WARD",), priority=Priority.LOW)
        split = [image(body_part="FOOT"), image(calling="WARD")]
        assert how_urgent([feet_from_the_ward], split).rule is None
        both = [image(body_part="FOOT", calling="WARD")]
        assert how_urgent([feet_from_the_ward], both).rule == feet_from_the_ward


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "patterns", "facts"),
        [
            ("modality", ("CR", "D?"), {}),
            ("body_part", ("h[ia]p",), {}),
            ("view", ("",), {"view": ""}),
            ("description", ("*outside*",), {"descriptions": ["Hip", "OUTSIDE film"]}),
            ("station_name", ("ROOM 3",), {"station_name": "Room 3"}),
            ("calling_ae_title", ("CR1",), {}),
            ("called_ae_title", ("BONECRAFT*",), {}),
            ("requested_priority", ("STAT",), {"requested_priority": "STAT"}),
        ],
    )
    def test_each_is_a_pattern_without_regard_to_case(self, condition, patterns, facts):
        rule = Rule(name="it", process=False, **{condition: patterns})
        other = Rule(name="other", process=False, **{condition: ("something else",)})
        assert trace(rule, [image(**facts)]).matches
        assert not trace(other, [image(**facts)]).matches

    def test_age_is_counted_in_completed_years(self):
        assert not whether_to_process([CHILDREN], [image(age_years=15.99)]).choice
        assert whether_to_process([CHILDREN], [image(age_years=16.0)]).choice

    def test_an_age_that_nobody_knows_fulfils_no_condition(self):
        assert whether_to_process([CHILDREN], [image(age_years=None)]).choice

    def test_a_rule_without_conditions_always_matches(self):
        assert not whether_to_process([Rule(name="nothing", process=False)], [HIP]).choice


class TestUrgency:
    def test_the_sender_may_ask_for_it(self):
        asked = [image(), image(requested_priority="stat ")]
        assert how_urgent([], asked).choice is Priority.STAT
        assert how_urgent([], [HIP]).choice is Priority.ROUTINE
        assert how_urgent([], [image(requested_priority="soon")]).choice is Priority.ROUTINE

    def test_a_rule_knows_better_than_the_sender(self):
        calm = Rule(name="calm", calling_ae_title=("CR1",), priority=Priority.ROUTINE)
        assert how_urgent([calm], [image(requested_priority="STAT")]).choice is Priority.ROUTINE

    def test_a_calling_ae_title_can_be_urgent(self):
        assert how_urgent([EMERGENCY], [image(calling="ER2")]).choice is Priority.STAT

    def test_who_is_more_urgent_has_the_longer_head_start(self):
        head_starts = [priority.head_start for priority in Priority]
        assert head_starts == sorted(head_starts, reverse=True)
        assert Priority.ROUTINE.head_start == timedelta(0)


class TestWhatGoesWhere:
    def test_without_rules_everything_usual_goes_everywhere(self):
        assert what_goes_to([], [HIP], "PACS").choice == USUAL
        assert set(USUAL) | set(OPTIONAL) == set(KINDS)
        assert not set(USUAL) & set(OPTIONAL)

    def test_what_is_optional_goes_where_a_rule_names_it(self):
        lines = Rule(name="lines", send={"PACS": ("all", "presentation-state", "turntable")})
        assert lines.send == {"PACS": ("all", "presentation-state")}, "turntables are among all"
        assert set(what_goes_to([lines], [HIP], "PACS").choice) == {*USUAL, "presentation-state"}
        assert what_goes_to([lines], [HIP], "RESEARCH").choice == USUAL
        assert optional_kinds([NO_FEET, lines]) == ("presentation-state",)
        assert "PACS gets everything and presentation-state" in str(lines)
        assert kinds_in_words(USUAL) == "everything"

    def test_a_peer_gets_the_kinds_that_the_first_rule_names_for_it(self):
        assert what_goes_to([SURFACES_ONLY], [HIP], "RESEARCH").choice == ("surface-segmentation",)
        assert what_goes_to([SURFACES_ONLY], [HIP], "PACS").choice == USUAL

    def test_every_other_peer_can_be_named_at_once(self):
        only = Rule(name="only", send={"PACS": ("all",), "*": ()})
        assert what_goes_to([only], [HIP], "PACS").choice == USUAL
        assert what_goes_to([only], [HIP], "RESEARCH").choice == ()


def test_the_whole_verdict_names_the_rule_of_each_decision():
    verdict = judge([NO_FEET, EMERGENCY, SURFACES_ONLY], [image(calling="ER1")], peers=["PACS", "RESEARCH"])
    assert (verdict.process.choice, verdict.process.because) == (True, "no rule says anything of it")
    assert (verdict.priority.choice, verdict.priority.because) == (Priority.STAT, "rule 'emergency'")
    assert verdict.sends["RESEARCH"].because == "rule 'surfaces-only'"


def test_a_trace_names_the_values_that_decided():
    assert trace(NO_FEET, [FOOT, HIP]).reasons == ("body part 'HIP' is not FOOT or ANKLE",)
    assert trace(NO_FEET, [FOOT]).reasons == ("body part 'FOOT' is FOOT or ANKLE",)
    assert trace(CHILDREN, [HIP]).reasons == ("age 66 is not 15 or less",)


class TestWriting:
    @pytest.mark.parametrize(
        ("facts", "told"),
        [
            ({}, "the rule decides nothing"),
            ({"process": False, "priority": "stat"}, "a study that is left out has no priority"),
            ({"process": True, "minimum_age_years": 20, "maximum_age_years": 10}, "nobody is at least 20"),
            ({"send": {"PACS": ["surfaces"]}}, "'surfaces' is no kind of result; there are "),
            ({"process": True, "name": "No Feet"}, "name: 'No Feet' may hold a-z, 0-9 and inner hyphens"),
            ({"process": True, "bodypart": ["HIP"]}, "bodypart"),
        ],
    )
    def test_what_cannot_be_meant_is_refused_with_the_reason(self, facts, told):
        with pytest.raises(ValidationError) as caught:
            Rule(**{"name": "it", **facts})
        assert told in explain(caught.value)

    def test_two_rules_of_one_name_are_refused(self):
        with pytest.raises(ValidationError, match="rule 'no-feet' is named twice"):
            RulesValue(rules=(NO_FEET, NO_FEET))

    def test_a_difference_shows_rules_in_words_and_their_order(self):
        older = NO_FEET.model_copy(update={"body_part": ("FOOT",)})
        before, after = RulesValue(rules=(CHILDREN, older)), RulesValue(rules=(NO_FEET, CHILDREN))
        assert differences(before, after) == (
            '- order = ["children", "no-feet"]',
            '+ order = ["no-feet", "children"]',
            '- rule no-feet = "when body part is FOOT: leave out (No model knows feet.)"',
            '+ rule no-feet = "when body part is FOOT or ANKLE: leave out (No model knows feet.)"',
        )

    def test_rules_are_read_back_as_they_were_stored(self):
        value = RulesValue(rules=(NO_FEET, CHILDREN, EMERGENCY, SURFACES_ONLY))
        assert RulesValue.model_validate(value.to_json()) == value

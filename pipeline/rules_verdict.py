"""What an institution's rules say of a study, and why.

A rule matches a study when one of its images fulfils all conditions. A rule that leaves studies out matches only when
every image does: a hip among films of feet is reason enough to process the study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from pipeline.rules import PATTERN_CONDITIONS, USUAL, Priority, Rule, alternatives

Choice = TypeVar("Choice")


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """What rules see of an image: no names, no numbers of people.

    Attributes:
        texts: What each condition of `PATTERN_CONDITIONS` looks at; empty where the sender said nothing.
        age_years: The patient's age at the time of the study.
    """

    texts: Mapping[str, tuple[str, ...]]
    age_years: float | None

    @classmethod
    def of(cls, facts: Mapping[str, Any], *, calling_ae_title: str, called_ae_title: str) -> ImageFacts:
        """Of an instance's facts (`pipeline.dicom_header`), as they are kept with it."""
        single = {name: (str(facts.get(name) or ""),) for name in PATTERN_CONDITIONS if name != "description"}
        titles = {"calling_ae_title": (calling_ae_title,), "called_ae_title": (called_ae_title,)}
        described = tuple(facts.get("descriptions") or ("",))
        return cls(texts=single | titles | {"description": described}, age_years=facts.get("age_years"))


@dataclass(frozen=True, kw_only=True)
class Trace:
    """How a rule fared with a study.

    Attributes:
        rule: Its name.
        matches: Whether it matched.
        reasons: The conditions that decided that, with the values they looked at.
    """

    rule: str
    matches: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Decision(Generic[Choice]):
    """What is done, and the rule that says so; None: no rule says anything, so it is what it is without rules."""

    choice: Choice
    rule: Rule | None

    @property
    def because(self) -> str:
        """For people."""
        if self.rule is None:
            return "no rule says anything of it"
        return f"rule '{self.rule.name}'" + (f": {self.rule.sentence}" if self.rule.sentence else "")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All that the rules say of a study.

    Attributes:
        process: Whether it is reconstructed.
        priority: How urgent it is.
        sends: The kinds of result objects that each peer gets.
    """

    process: Decision[bool]
    priority: Decision[Priority]
    sends: Mapping[str, Decision[tuple[str, ...]]]


def judge(rules: Sequence[Rule], images: Sequence[ImageFacts], *, peers: Sequence[str]) -> Verdict:
    """Everything at once; `peers` are those that get results."""
    return Verdict(
        process=whether_to_process(rules, images),
        priority=how_urgent(rules, images),
        sends={peer: what_goes_to(rules, images, peer) for peer in peers},
    )


def whether_to_process(rules: Sequence[Rule], images: Sequence[ImageFacts]) -> Decision[bool]:
    """The first rule that matches and says it; without one: yes."""
    rule = next((rule for rule in rules if rule.process is not None and matches(rule, images)), None)
    return Decision(choice=rule is None or not rule.leaves_out, rule=rule)


def how_urgent(rules: Sequence[Rule], images: Sequence[ImageFacts]) -> Decision[Priority]:
    """The first rule that matches and says it; without one what the most urgent image asks for."""
    for rule in rules:
        if rule.priority is not None and matches(rule, images):
            return Decision(choice=rule.priority, rule=rule)
    asked = {Priority.requested(text) for image in images for text in image.texts["requested_priority"]}
    return Decision(choice=next((each for each in Priority if each in asked), Priority.ROUTINE), rule=None)


def what_goes_to(rules: Sequence[Rule], images: Sequence[ImageFacts], peer: str) -> Decision[tuple[str, ...]]:
    """The first rule that matches and says something of that peer; without one: everything that is usual."""
    for rule in rules:
        kinds = rule.kinds_for(peer)
        if kinds is not None and matches(rule, images):
            return Decision(choice=kinds, rule=rule)
    return Decision(choice=USUAL, rule=None)


def matches(rule: Rule, images: Sequence[ImageFacts]) -> bool:
    """Whether one image fulfils its conditions; for a rule that leaves out, whether every image does."""
    fulfilled = [_fulfils(image, rule) for image in images]
    return all(fulfilled) and bool(fulfilled) if rule.leaves_out else any(fulfilled)


def trace(rule: Rule, images: Sequence[ImageFacts]) -> Trace:
    """Why a rule matches a study, or why not."""
    matched = matches(rule, images)
    telling = [image for image in images if _fulfils(image, rule) is matched]
    said = [sentence for image in telling for ok, sentence in _checks(rule, image) if ok is matched]
    return Trace(rule=rule.name, matches=matched, reasons=tuple(dict.fromkeys(said)) or ("it has no conditions",))


def _fulfils(image: ImageFacts, rule: Rule) -> bool:
    return all(ok for ok, _ in _checks(rule, image))


def _checks(rule: Rule, image: ImageFacts) -> list[tuple[bool, str]]:
    """Each condition that the rule names: whether the image fulfils it, and a sentence about that."""
    named = [(condition, getattr(rule, condition)) for condition in PATTERN_CONDITIONS]
    checks = [_check_patterns(condition, image.texts[condition], wanted) for condition, wanted in named if wanted]
    if rule.minimum_age_years is not None or rule.maximum_age_years is not None:
        checks.append(_check_age(image.age_years, rule.minimum_age_years, rule.maximum_age_years))
    return checks


def _check_patterns(condition: str, values: Sequence[str], wanted: Sequence[str]) -> tuple[bool, str]:
    what = condition.replace("_", " ")
    for value in values:
        if any(fnmatchcase(value.upper(), pattern.upper()) for pattern in wanted):
            return True, f"{what} '{value}' is {alternatives(wanted)}"
    said = " and ".join(f"'{value}'" for value in values)
    return False, f"{what} {said} is not {alternatives(wanted)}"


def _check_age(age_years: float | None, least: int | None, most: int | None) -> tuple[bool, str]:
    if age_years is None:
        return False, "the age is not known"
    completed = int(age_years)
    is_in = (least is None or completed >= least) and (most is None or completed <= most)
    bounds = [f"{least} or more" if least is not None else "", f"{most} or less" if most is not None else ""]
    return is_in, f"age {completed} is {'' if is_in else 'not '}{' and '.join(filter(None, bounds))}"

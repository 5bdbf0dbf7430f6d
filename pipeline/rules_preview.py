"""What other rules would have done with the studies of the last days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pipeline.rules import Rule, kinds_in_words
from pipeline.rules_verdict import Decision, ImageFacts, Verdict, judge

SHOWN: Final = 20
"""So many studies are named; all are counted."""


@dataclass(frozen=True, kw_only=True)
class PastStudy:
    """A study that was received.

    Attributes:
        study_instance_uid: StudyInstanceUID; no other identifier is shown.
        images: Its radiographs.
        is_wanted: Somebody had it processed whatever rules say.
    """

    study_instance_uid: str
    images: tuple[ImageFacts, ...]
    is_wanted: bool

    def verdict(self, rules: Sequence[Rule], *, peers: Sequence[str]) -> Verdict:
        """What rules say of it."""
        verdict = judge(rules, self.images, peers=peers)
        return replace(verdict, process=Decision(choice=True, rule=None)) if self.is_wanted else verdict


@dataclass(frozen=True, kw_only=True)
class OtherFate:
    """A study that would have fared differently, and in what."""

    study_instance_uid: str
    differences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a change of rules would have changed.

    Attributes:
        days: Of how many days the studies are.
        studies: How many were received in these.
        fates: Those that would have fared differently.
    """

    days: int
    studies: int
    fates: tuple[OtherFate, ...]

    def lines(self) -> tuple[str, ...]:
        """For people: how many, in what, and which."""
        said = f"{len(self.fates)} of {self.studies} studies of the last {self.days} days would have fared differently"
        if not self.fates:
            return (said,)
        counted = Counter(difference for fate in self.fates for difference in fate.differences)
        named = [f"  {fate.study_instance_uid}: {'; '.join(fate.differences)}" for fate in self.fates[:SHOWN]]
        rest = len(self.fates) - SHOWN
        return (
            said,
            *(f"  {count} x {difference}" for difference, count in counted.most_common()),
            "which ones:",
            *named,
            *([f"  and {rest} more"] if rest > 0 else []),
        )


def preview(
    studies: Sequence[PastStudy], *, before: Sequence[Rule], after: Sequence[Rule], peers: Sequence[str], days: int
) -> Preview:
    """Hold both lists of rules against the studies of the last `days`; `peers` are those that get results."""
    fates = (
        OtherFate(
            study_instance_uid=study.study_instance_uid,
            differences=tuple(_differences(study.verdict(before, peers=peers), study.verdict(after, peers=peers))),
        )
        for study in studies
    )
    return Preview(days=days, studies=len(studies), fates=tuple(fate for fate in fates if fate.differences))


def _differences(before: Verdict, after: Verdict) -> Iterator[str]:
    """In words; where one of both leaves the study out, nothing else matters."""
    if before.process.choice != after.process.choice:
        yield f"{_fate(before)} -> {_fate(after)}"
    if not (before.process.choice and after.process.choice):
        return
    if before.priority.choice is not after.priority.choice:
        yield f"priority {before.priority.choice} -> {after.priority.choice}"
    for peer, decision in after.sends.items():
        was = before.sends[peer].choice
        if was != decision.choice:
            yield f"{peer} gets {kinds_in_words(was)} -> {kinds_in_words(decision.choice)}"


def _fate(verdict: Verdict) -> str:
    if verdict.process.choice:
        return "processed"
    rule = verdict.process.rule
    return f"left out by rule '{rule.name}'" if rule else "left out"

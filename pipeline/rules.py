"""Rules: what an institution does with which studies. The language; `pipeline.rules_verdict` holds it against studies.

A rule has a name, conditions on images, and what it says of a study whose images fulfil them: whether to process it,
how urgent it is, which results go where. Rules are read in their order, and of each of these questions the first rule
that matches and says something of it decides. Without rules everything is processed and sent everywhere.

Patterns are globs (`*`, `?`, `[ab]`), without regard to case. There are no regular expressions, because one that
backtracks for ever would hold up the reception of images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.results import OPTIONAL_KINDS, FileKind

ALL: Final = "all"
"""Every kind of result object but the optional ones, which are named one by one."""
OTHERS: Final = "*"
"""In place of an AE title: every peer that the rule does not name."""
KINDS: Final = tuple(sorted(kind.value for kind in FileKind if kind.is_dicom))
"""Result objects that go to peers."""
OPTIONAL: Final = tuple(sorted(kind.value for kind in OPTIONAL_KINDS))
"""Those among them that go only where a rule names them."""
USUAL: Final = tuple(kind for kind in KINDS if kind not in OPTIONAL)
"""Those that go wherever no rule says otherwise."""


class Priority(StrEnum):
    """How urgent a study is, the most urgent first."""

    STAT = "stat"
    HIGH = "high"
    ROUTINE = "routine"
    LOW = "low"

    @property
    def head_start(self) -> timedelta:
        """It stands in the queue as if it had come so much earlier, so whoever has waited longer still goes first."""
        return _HEAD_STARTS[self]

    @classmethod
    def requested(cls, text: str) -> Priority | None:
        """What Requested Procedure Priority (0040,1003) or the retired Study Priority ID (0032,000C) asks for."""
        return _REQUESTED.get(text.strip().upper())


_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")

_HEAD_STARTS: Final = {
    Priority.STAT: timedelta(hours=1),
    Priority.HIGH: timedelta(minutes=20),
    Priority.ROUTINE: timedelta(0),
    Priority.LOW: timedelta(hours=-1),
}
_REQUESTED: Final = {
    "STAT": Priority.STAT,
    "HIGH": Priority.HIGH,
    "ROUTINE": Priority.ROUTINE,
    "MEDIUM": Priority.ROUTINE,
    "LOW": Priority.LOW,
}


def _rule_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} may hold a-z, 0-9 and inner hyphens, at most 40; for example 'no-feet'")
    return text


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    """As they were written, without repetitions and surrounding spaces."""
    return tuple(dict.fromkeys(text.strip() for text in texts))


def _kinds_by_peer(sends: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """What each peer gets, checked."""
    for kind in (kind for kinds in sends.values() for kind in kinds):
        if kind not in (*KINDS, ALL):
            raise ValueError(f"{kind!r} is no kind of result; there are {', '.join(KINDS)}, and {ALL}")
    return {peer.strip(): _shortest(kinds) for peer, kinds in sorted(sends.items())}


def _shortest(kinds: Iterable[str]) -> tuple[str, ...]:
    """Each kind once, in order; what `all` stands for is not named beside it."""
    named = set(kinds)
    if ALL in named:
        return (ALL, *(kind for kind in OPTIONAL if kind in named))
    return tuple(sorted(named))


def kinds_meant(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds that are named, each by itself."""
    named = set(kinds)
    return tuple(kind for kind in KINDS if kind in named or (ALL in named and kind in USUAL))


Patterns = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], AfterValidator(_once)]
Years = Annotated[int, Field(ge=0, le=120, strict=True)]


class Rule(BaseModel):
    """One rule. All conditions that it names must be fulfilled; of several patterns one is enough.

    Attributes:
        name: What it is called.
        sentence: Why it is there, for the people who see what it did.
        modality: Modality (0008,0060).
        body_part: AnatomicRegionSequence or BodyPartExamined (0018,0015), in the terms of the latter.
        view: AP, PA or LATERAL; empty where the sender said none of these.
        description: StudyDescription (0008,1030), SeriesDescription (0008,103E) or ProtocolName (0018,1030).
        station_name: StationName (0008,1010).
        calling_ae_title: Who sent it; WEB for an upload.
        called_ae_title: As whom we were called; empty for an upload.
        requested_priority: RequestedProcedurePriority (0040,1003) or the retired StudyPriorityID (0032,000C).
        minimum_age_years: The patient's completed years at the time of the study, at least.
        maximum_age_years: The same, at most.
        process: Whether to reconstruct.
        priority: How urgent.
        send: Which kinds of result objects each peer gets; `*` for every other peer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_rule_name)]
    sentence: Annotated[str, Field(max_length=300)] = ""

    modality: Patterns = ()
    body_part: Patterns = ()
    view: Patterns = ()
    description: Patterns = ()
    station_name: Patterns = ()
    calling_ae_title: Patterns = ()
    called_ae_title: Patterns = ()
    requested_priority: Patterns = ()
    minimum_age_years: Years | None = None
    maximum_age_years: Years | None = None

    process: bool | None = None
    priority: Priority | None = None
    send: Annotated[dict[str, tuple[str, ...]], AfterValidator(_kinds_by_peer)] = {}

    @model_validator(mode="after")
    def _says_something_that_can_be(self) -> Rule:
        says_more = self.priority is not None or bool(self.send)
        if self.process is None and not says_more:
            raise ValueError("the rule decides nothing: give it process, priority or send")
        if self.process is False and says_more:
            raise ValueError("a study that is left out has no priority and no results to send: remove these or process")
        ages = (self.minimum_age_years, self.maximum_age_years)
        if ages[0] is not None and ages[1] is not None and ages[0] > ages[1]:
            raise ValueError(f"nobody is at least {ages[0]} and at most {ages[1]} years old: exchange them")
        return self

    @property
    def leaves_out(self) -> bool:
        """Whether it takes studies out of the work."""
        return self.process is False

    def kinds_for(self, peer: str) -> tuple[str, ...] | None:
        """The kinds of result objects that a peer gets; None: the rule says nothing of it."""
        kinds = self.send.get(peer, self.send.get(OTHERS))
        return None if kinds is None else kinds_meant(kinds)

    def __str__(self) -> str:
        """In words, as differences and lists show it."""
        said = f"{_conditions(self)}: {', '.join(_decisions(self))}"
        return f"{said} ({self.sentence})" if self.sentence else said


def optional_kinds(rules: Iterable[Rule]) -> tuple[str, ...]:
    """The optional kinds that some peer may get: what is to be made beside the usual ones."""
    named = {kind for rule in rules for kinds in rule.send.values() for kind in kinds}
    return tuple(kind for kind in OPTIONAL if kind in named)


PATTERN_CONDITIONS: Final = (
    "modality",
    "body_part",
    "view",
    "description",
    "station_name",
    "calling_ae_title",
    "called_ae_title",
    "requested_priority",
)
"""The conditions of a rule that are patterns."""


def alternatives(patterns: Iterable[str]) -> str:
    """Patterns in a sentence."""
    return " or ".join(pattern or "empty" for pattern in patterns)


def kinds_in_words(kinds: Iterable[str]) -> str:
    """What a peer gets, in a sentence."""
    meant = kinds_meant(kinds)
    if not set(USUAL) <= set(meant):
        return " and ".join(meant) or "nothing"
    return " and ".join(("everything", *(kind for kind in meant if kind in OPTIONAL)))


def _conditions(rule: Rule) -> str:
    named = [(condition, getattr(rule, condition)) for condition in PATTERN_CONDITIONS]
    said = [f"{condition.replace('_', ' ')} is {alternatives(patterns)}" for condition, patterns in named if patterns]
    if rule.minimum_age_years is not None:
        said.append(f"age is {rule.minimum_age_years} or more")
    if rule.maximum_age_years is not None:
        said.append(f"age is {rule.maximum_age_years} or less")
    return f"when {' and '.join(said)}" if said else "always"


def _decisions(rule: Rule) -> tuple[str, ...]:
    process = () if rule.process is None else ("process" if rule.process else "leave out",)
    priority = () if rule.priority is None else (f"priority {rule.priority}",)
    sends = (f"{_peers(peer)} gets {kinds_in_words(kinds)}" for peer, kinds in rule.send.items())
    return *process, *priority, *sends


def _peers(peer: str) -> str:
    return "every other peer" if peer == OTHERS else peer

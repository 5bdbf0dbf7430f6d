"""What `bonecraft rules add` and `set` are told on the command line, as the entries of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from pipeline.errors import ConfigurationError
from pipeline.rules import ALL, PATTERN_CONDITIONS

NOTHING: Final = "nothing"
CONDITIONS: Final = (*PATTERN_CONDITIONS, "minimum_age_years", "maximum_age_years")
ENTRIES: Final = ("sentence", *CONDITIONS, "process", "priority", "send")

Name = Annotated[str, typer.Option("--name", help="The rule's name: a-z, 0-9 and hyphens.")]
Sentence = Annotated[str | None, typer.Option("--sentence", help="Why it is there, for those who see what it did.")]
When = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CONDITION=PATTERN",
        help="modality, body-part, view, description, station-name, calling-ae-title, called-ae-title or "
        "requested-priority, with the wildcards * and ?; minimum-age-years or maximum-age-years. All named must hold; "
        "repeat one for alternatives.",
    ),
]
Process = Annotated[bool | None, typer.Option("--process/--leave-out", help="Whether to reconstruct.")]
Urgency = Annotated[str | None, typer.Option("--priority", help="stat, high, routine or low.")]
Send = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AE=KINDS", help="What a peer gets: kinds of results by commas, all, or nothing; AE *: others."
    ),
]
Without = Annotated[list[str] | None, typer.Option(metavar="ENTRY", help="Take this out of the rule; may be repeated.")]


def said_by(*, when: Sequence[str] | None, send: Sequence[str] | None, **entries: object) -> dict[str, object]:
    """What the options say, as a rule's entries."""
    said = {entry: value for entry, value in entries.items() if value is not None}
    if send is not None:
        said["send"] = dict(map(_sent, send))
    return said | _conditions(when or ())


def _conditions(options: Sequence[str]) -> dict[str, Any]:
    """`body-part=FOOT` and the like as entries; a condition that is named again has alternatives."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, pattern = option.partition("=")
        if not equals:
            raise ConfigurationError(f"--when {option!r} is no condition; write for example --when body-part=FOOT")
        entry = entry_of(name, CONDITIONS)
        if entry.endswith("_years"):
            found[entry] = _years(option, pattern)
        else:
            found.setdefault(entry, []).append(pattern)
    return found


def _years(option: str, text: str) -> int:
    if not text.isdecimal():
        raise ConfigurationError(f"--when {option!r}: an age is a number of years")
    return int(text)


def entry_of(option: str, allowed: Sequence[str] = ENTRIES) -> str:
    """An option's word as the entry of a rule."""
    entry = option.strip().lower().replace("-", "_")
    if entry not in allowed:
        raise ConfigurationError(f"a rule has no {option!r} here; it has {', '.join(allowed).replace('_', '-')}")
    return entry


def _sent(option: str) -> tuple[str, list[str]]:
    """`PACS=surface-segmentation,secondary-capture`, `PACS=all` or `PACS=nothing`."""
    peer, equals, kinds = option.rpartition("=")
    if not equals:
        raise ConfigurationError(f"--send {option!r} names no results; write AE={ALL}, AE={NOTHING} or kinds by commas")
    return peer, [] if kinds == NOTHING else [kind.strip() for kind in kinds.split(",")]

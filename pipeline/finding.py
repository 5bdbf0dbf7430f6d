"""One line of a check-up: what was looked at, and whether it is well."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at, in a few words.
        ok: Whether it is as it should be.
        sentence: What is so; where it is not as it should be, the exact change to make and on which side.
    """

    check: str
    ok: bool
    sentence: str


def well(check: str, sentence: str) -> Finding:
    """It is as it should be."""
    return Finding(check=check, ok=True, sentence=sentence)


def ill(check: str, sentence: str) -> Finding:
    """Somebody must change something."""
    return Finding(check=check, ok=False, sentence=sentence)

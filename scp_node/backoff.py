"""When to try again: longer and longer waits, spread so that what failed together is not tried together."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(hours=1)
SPREAD: Final = 0.2
"""Waits are up to this share shorter or longer."""


def next_attempt(*, attempts: int, limit: int, now: datetime, chance: float) -> datetime | None:
    """When a delivery is tried again; None when it was tried often enough and becomes a dead letter.

    Args:
        attempts: How often it was tried, at least once.
        limit: How often it may be tried.
        now: The time of the failure.
        chance: Random, in 0..1.
    """
    return None if attempts >= limit else now + wait(attempts, longest=LONGEST_WAIT, chance=chance)


def wait(failures: int, *, longest: timedelta, chance: float) -> timedelta:
    """How long to wait after so many failures in a row: twice as long each time, up to about `longest`.

    Args:
        failures: At least one.
        longest: The cap, before it is spread.
        chance: Random, in 0..1.
    """
    return _spread(min(longest, FIRST_WAIT * 2.0 ** min(failures - 1, 32)), chance)


def wait_out(lasted: timedelta, *, longest: timedelta, chance: float) -> timedelta:
    """How long to wait with trouble that has lasted so long: as long again, so about twice as long each time.

    Args:
        lasted: Since it was noticed.
        longest: The cap, before it is spread.
        chance: Random, in 0..1.
    """
    return _spread(min(longest, max(FIRST_WAIT, lasted)), chance)


def _spread(duration: timedelta, chance: float) -> timedelta:
    return duration * (1.0 + SPREAD * (2.0 * chance - 1.0))

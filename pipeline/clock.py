"""What time it is: handed to whoever needs it, so that tests can decide."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Gives an aware time in UTC."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)

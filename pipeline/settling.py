"""When is a study ready? Decided from what arrived and the time, by nothing else.

By content: a frontal and a lateral view of the same side are here. Otherwise by quiet time: nothing more came for as
long as the institution waits. A view that comes later makes another input and so another reconstruction, which
supersedes the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

FRONTAL_VIEWS: Final = frozenset({"AP", "PA"})
LATERAL_VIEW: Final = "LATERAL"


@dataclass(frozen=True, kw_only=True)
class ReceivedView:
    """What the sender said of a radiograph: a value of `View` and of `Side`, or nothing."""

    view: str
    side: str


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What settling looks at.

    Attributes:
        views: The radiographs in use; at least one.
        last_received_at: When the last one came.
        quiet_time: How long the institution waits for more.
    """

    views: tuple[ReceivedView, ...]
    last_received_at: datetime
    quiet_time: timedelta


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Reconstruct now."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """Wait for more views, at most until then."""

    until: datetime


def is_ready(study: StudyFacts, now: datetime) -> Ready | NotYet:
    """Whether to reconstruct now or to wait for more views."""
    if any(_has_both_views(study.views, side) for side in ("L", "R")):
        return Ready(reason="frontal and lateral view of one side")
    quiet_until = study.last_received_at + study.quiet_time
    return Ready(reason="nothing more came") if now >= quiet_until else NotYet(until=quiet_until)


def input_digest(digests: Iterable[str]) -> str:
    """What a reconstruction is made from: one digest over the digests of its files, in whatever order they came."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _has_both_views(views: tuple[ReceivedView, ...], side: str) -> bool:
    seen = {received.view for received in views if received.side == side}
    return LATERAL_VIEW in seen and not seen.isdisjoint(FRONTAL_VIEWS)

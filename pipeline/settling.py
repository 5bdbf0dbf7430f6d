"""When is a study ready? Decided from what arrived and the time, by nothing else.

By content first: every view that the body parts in the study are taken in is here, and its sender has finished.
Otherwise by quiet time: nothing more came for as long as the institution waits, and nobody is sending. In any case
after the longest wait, so that a trickle of images does not postpone it for ever. A view that comes later makes another
input and so another reconstruction, which takes the place of the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipeline.radiograph import Side, View
from pipeline.regions import (
    FRONTAL_TOO,
    OVERLAPPING_FILMS,
    PROJECTION_OF,
    REGION_OF,
    VIEWS_OF,
    Projection,
    Region,
)
from pipeline.surface import SIDE_WORDS

SENDER_PAUSE: Final = timedelta(seconds=3)
"""A sender of all wanted views that stays connected is given so long after the last image: some never hang up."""

LOOK_AGAIN: Final = timedelta(seconds=5)
"""So often a study is looked at whose sender is connected: that may end without a word."""

LIMB: Final = "limb"
"""What is waited for where the sender names no body part: two views, as of any limb."""


@dataclass(frozen=True, kw_only=True)
class ReceivedView:
    """What the sender said of a radiograph: a value of `View` and of `Side`, BodyPartExamined; or nothing."""

    view: str
    side: str
    body_part: str = ""


Groups = Mapping[Region | None, Sequence[ReceivedView]]
"""Views by what they show; None: nobody says."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How an institution waits for the views of a body part.

    Attributes:
        quiet: So long nothing more must have come.
        maximum: So long a study waits in all.
        by_content: Whether it is ready without waiting when every view is here.
    """

    quiet: timedelta
    maximum: timedelta
    by_content: bool = True


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What settling looks at.

    Attributes:
        views: The radiographs in use; at least one.
        waiting_since: When the first one came that no reconstruction has been made from.
        last_received_at: When the last one came.
        is_being_sent: Somebody who sends to the study is connected.
        wait: How the institution waits for what is in the study.
    """

    views: tuple[ReceivedView, ...]
    waiting_since: datetime
    last_received_at: datetime
    is_being_sent: bool
    wait: Wait


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Reconstruct now."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class NotYet:
    """Wait for more.

    Attributes:
        waits_for: What for, in words.
        until: When the wait ends at the latest, as things are.
        look_at: When to look again, `until` or before.
    """

    waits_for: str
    until: datetime
    look_at: datetime


@dataclass(frozen=True, kw_only=True)
class WantedView:
    """A view that a study lacks.

    Attributes:
        projection: From where.
        region: Of what; None where the sender names no body part.
        side: `L`, `R`, or empty where there is none or nobody names one.
        again: Another film of the kind is there already.
    """

    projection: Projection
    region: Region | None
    side: str
    again: bool = False

    def __str__(self) -> str:
        """As people say it: `a lateral view of the left knee`."""
        side = f"{SIDE_WORDS[Side(self.side)]} " if self.side else ""
        return f"{'another' if self.again else 'a'} {self.projection} view of the {side}{self.region or LIMB}"


def is_ready(study: StudyFacts, now: datetime) -> Ready | NotYet:
    """Whether to reconstruct now or to wait for more views."""
    latest = study.waiting_since + study.wait.maximum
    missing = missing_views(study.views)
    is_complete = study.wait.by_content and missing == ()
    if is_complete and not study.is_being_sent:
        return Ready(reason="every view is here")
    if is_complete:
        until = min(study.last_received_at + SENDER_PAUSE, latest)
    elif study.is_being_sent:
        until = latest
    else:
        until = min(study.last_received_at + study.wait.quiet, latest)
    if now >= until:
        return Ready(reason="waited long enough")
    look_at = min(until, now + LOOK_AGAIN) if study.is_being_sent else until
    waits_for = _in_words(missing or (), is_being_sent=study.is_being_sent)
    return NotYet(waits_for=waits_for, until=until, look_at=look_at)


def missing_views(views: Sequence[ReceivedView]) -> tuple[WantedView, ...] | None:
    """What a study of these views still lacks; None where nobody can tell, for nothing in it can be reconstructed."""
    groups: dict[Region | None, list[ReceivedView]] = {}
    for view in views:
        if not view.body_part or view.body_part in REGION_OF:
            groups.setdefault(REGION_OF.get(view.body_part), []).append(view)
    if not groups:
        return None
    return tuple(wanted for region in groups for wanted in _missing_in(region, groups))


def input_digest(digests: Iterable[str]) -> str:
    """What a reconstruction is made from: one digest over the digests of its files, in whatever order they came."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def _missing_in(region: Region | None, groups: Groups) -> Iterator[WantedView]:
    """What one body part lacks, side by side."""
    wanted = VIEWS_OF[region] if region else tuple(Projection)
    sides = sorted({view.side for view in groups[region]} - {""}) if Projection.LATERAL in wanted else []
    for side in sides or [""]:
        films = {projection: _films(groups, region, projection, side, of=len(sides)) for projection in wanted}
        enough = max(films.values()) if region in OVERLAPPING_FILMS else 1
        for projection, found in films.items():
            if found < enough or not found:
                yield WantedView(projection=projection, region=region, side=side, again=found > 0)


def _films(groups: Groups, region: Region | None, projection: Projection, side: str, *, of: int) -> int:
    """How many films show a side from there; `of` is the number of sides that are named.

    A frontal film of no named side shows both; a lateral one belongs to the only side there is.
    """
    frontal = projection is Projection.FRONTAL
    shows_it_too = groups.get(FRONTAL_TOO[region], []) if frontal and region in FRONTAL_TOO else []
    own = [view for view in groups[region] if view.side == side or (not view.side and (frontal or of <= 1))]
    return sum(1 for view in (*own, *shows_it_too) if _projection(view) is projection)


def _projection(view: ReceivedView) -> Projection | None:
    return PROJECTION_OF[View(view.view)] if view.view else None


def _in_words(missing: Sequence[WantedView], *, is_being_sent: bool) -> str:
    what = " and ".join(map(str, missing)) or ("" if is_being_sent else "further images")
    sender = "the sender, which is still connected" if is_being_sent else ""
    return " and ".join(filter(None, (what, sender)))

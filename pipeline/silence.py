"""Has a sender been silent for unusually long? Told from what it usually sends at these hours of the week.

What is usual is learned for each hour of the week, by the clocks of the place: the median of the last weeks, which one
holiday or one day of repair does not move. Examinations are counted, not images, as those of one come together. If
examinations came as in a Poisson process of the usual rate, so long a silence would have the probability exp(-number of
examinations that usually would have come since); it is told below `IMPROBABLE`. With 500 examinations a week a sender
that works would be told of less than once in four years, were it not for public holidays, which nobody tells the node.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from statistics import median
from typing import Final

WEEKS: Final = 8
"""So far back it is learned: of one that has been silent for half of them nothing is known any more, nor told."""
WEEKS_NEEDED: Final = 4
"""Before there are so many nothing is said."""
IMPROBABLE: Final = 1e-5
HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Arrivals:
    """What came in an hour: images, and of how many studies."""

    images: int
    studies: int


NOTHING: Final = Arrivals(images=0, studies=0)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """What a sender sent.

    Attributes:
        first_at: When it sent for the first time.
        last_at: When it sent for the last time.
        hours: By the hour that they came in, UTC; hours without any may be missing.
    """

    first_at: datetime
    last_at: datetime
    hours: Mapping[datetime, Arrivals]


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A sender is silent though it usually is not.

    Attributes:
        since: When it sent for the last time, by the clocks of the place.
        an_hour: How many images it usually sends in an hour in which it works.
        probability: Of so long a silence, if nothing were the matter.
    """

    since: datetime
    an_hour: float
    probability: float


def unusual_silence(sender: Sender, *, now: datetime, zone: tzinfo | None) -> Silence | None:
    """Whether the sender has been silent for unusually long.

    Args:
        sender: What it sent.
        now: The time.
        zone: Of the place; None: that of this machine.
    """
    usual = _usual_week(sender, now, zone)
    missed = [(part, usual.get(_hour_of_week(hour, zone), (0.0, 0.0))) for hour, part in _parts(sender.last_at, now)]
    studies = sum(part * rate for part, (_, rate) in missed)
    probability = math.exp(-studies)
    if probability >= IMPROBABLE:
        return None
    images = sum(part * rate for part, (rate, _) in missed)
    worked = sum(part for part, (rate, _) in missed if rate)
    return Silence(since=sender.last_at.astimezone(zone), an_hour=images / worked, probability=probability)


def _usual_week(sender: Sender, now: datetime, zone: tzinfo | None) -> dict[tuple[int, int], tuple[float, float]]:
    """Images and studies that are usual in each hour of the week; hours that were not seen often enough are missing."""
    seen: defaultdict[tuple[int, int], list[Arrivals]] = defaultdict(list)
    hour = max(_floor(now) - timedelta(weeks=WEEKS), _floor(sender.first_at))
    while hour + HOUR <= sender.last_at:
        seen[_hour_of_week(hour, zone)].append(sender.hours.get(hour, NOTHING))
        hour += HOUR
    return {slot: _middle(found) for slot, found in seen.items() if len(found) >= WEEKS_NEEDED}


def _middle(found: Sequence[Arrivals]) -> tuple[float, float]:
    return median(each.images for each in found), median(each.studies for each in found)


def _parts(start: datetime, end: datetime) -> Iterator[tuple[datetime, float]]:
    """The hours from `start` to `end`, each with the part of it that lies between them."""
    hour = _floor(start)
    while hour < end:
        yield hour, (min(end, hour + HOUR) - max(start, hour)) / HOUR
        hour += HOUR


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _hour_of_week(hour: datetime, zone: tzinfo | None) -> tuple[int, int]:
    local = hour.astimezone(zone)
    return local.weekday(), local.hour

"""What each sender sends, hour by hour, counted from the ledger; and who of them is silent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.ledger import LedgerEvent
from pipeline.records.tables import arrivals, institutions, ledger, peers
from pipeline.silence import WEEKS, Arrivals, Sender, Silence, unusual_silence

_LOCK: Final = 0x61_72_72_76  # any number that no other advisory lock of this database uses: "arrv"
_RECOUNTED: Final = timedelta(hours=2)
"""An entry is written some time before it is committed: the last hours are counted again."""


@dataclass(frozen=True, kw_only=True)
class SilentSender:
    """A peer that sends nothing though it usually does.

    Attributes:
        institution_id: Whose peer.
        institution: Its slug.
        peer: The peer's AE title.
        since: When it sent for the last time.
        sentence: What to tell people.
    """

    institution_id: UUID
    institution: str
    peer: str
    since: datetime
    sentence: str


def count(connection: Connection) -> None:
    """Count what has come since the last time; of several who count at once all but one leave it to that one."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
        return
    last = connection.execute(select(func.max(arrivals.c.hour))).scalar_one()
    sender, hour = ledger.c.facts["calling_ae_title"].astext, func.date_trunc("hour", ledger.c.recorded_at, "UTC")
    counted = (
        select(
            ledger.c.institution_id,
            sender,
            hour,
            func.count(),
            func.count(ledger.c.facts["study"].astext.distinct()),
            func.max(ledger.c.recorded_at),
        )
        .where(ledger.c.event == str(LedgerEvent.RECEIVED), ledger.c.facts["called_ae_title"].astext != "")
        .group_by(ledger.c.institution_id, sender, hour)
    )
    if last is not None:
        counted = counted.where(ledger.c.recorded_at >= last - _RECOUNTED)
    columns = [column.name for column in arrivals.c]
    statement = insert(arrivals).from_select(columns, counted)
    found = {name: statement.excluded[name] for name in ("images", "studies", "last_at")}
    key = list(arrivals.primary_key)
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=found))


def silent_senders(
    connection: Connection, *, now: datetime, institution_id: UUID | None = None
) -> tuple[SilentSender, ...]:
    """The peers that are silent, of one institution or of all, those that are wanted to be told of."""
    count(connection)
    columns: list[Any] = [institutions.c.slug, institutions.c.time_zone, peers.c.institution_id, peers.c.ae_title]
    query = select(*columns).join_from(peers, institutions).where(peers.c.sends, peers.c.silence_alarm)
    if institution_id is not None:
        query = query.where(peers.c.institution_id == institution_id)
    rows = connection.execute(query.order_by(institutions.c.slug, peers.c.ae_title)).all()
    senders = _senders(connection, rows, since=now - timedelta(weeks=WEEKS + 1))
    told = (_silent(row, senders.get((row.institution_id, row.ae_title)), now) for row in rows)
    return tuple(each for each in told if each is not None)


def _silent(row: Row[Any], sender: Sender | None, now: datetime) -> SilentSender | None:
    zone = ZoneInfo(row.time_zone) if row.time_zone else None
    silence = None if sender is None else unusual_silence(sender, now=now, zone=zone)
    if silence is None:
        return None
    return SilentSender(
        institution_id=row.institution_id,
        institution=row.slug,
        peer=row.ae_title,
        since=silence.since,
        sentence=f"{row.ae_title}: {_sentence(silence, now)}",
    )


def _sentence(silence: Silence, now: datetime) -> str:
    is_today = silence.since.date() == now.astimezone(silence.since.tzinfo).date()
    since = f"{silence.since:%H:%M}" if is_today else f"{silence.since:%Y-%m-%d %H:%M}"
    return f"usually {max(1, round(silence.an_hour))} images an hour, none since {since}"


def _senders(connection: Connection, rows: Sequence[Row[Any]], *, since: datetime) -> dict[tuple[UUID, str], Sender]:
    wanted = tuple_(arrivals.c.institution_id, arrivals.c.calling_ae_title).in_(
        [(row.institution_id, row.ae_title) for row in rows]
    )
    whose = (arrivals.c.institution_id, arrivals.c.calling_ae_title)
    ends = select(*whose, func.min(arrivals.c.hour), func.max(arrivals.c.last_at)).where(wanted).group_by(*whose)
    hours: defaultdict[tuple[UUID, str], dict[datetime, Arrivals]] = defaultdict(dict)
    for row in connection.execute(select(arrivals).where(wanted, arrivals.c.hour >= since)):
        found = Arrivals(images=row.images, studies=row.studies)
        hours[row.institution_id, row.calling_ae_title][row.hour] = found
    return {
        (institution, title): Sender(first_at=first, last_at=last, hours=hours[institution, title])
        for institution, title, first, last in connection.execute(ends)
    }

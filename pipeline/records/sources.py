"""Sources: Orthanc servers whose change feed is read, and how far it was read.

What a change brought is taken in before the position moves on, so that nothing is missed when a process dies between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.tables import institutions, source_positions, source_studies, sources


@dataclass(frozen=True, kw_only=True)
class Source:
    """An Orthanc server that is watched.

    Attributes:
        id: Its row.
        institution_id: Whose radiographs it holds.
        institution: The institution's slug.
        name: What it is called here.
        url: Where its REST API answers.
        user_name: As whom we ask; empty: without a login.
        password_file: Which file holds the password.
        ca_file: Which file holds the CA that its certificate must come from.
        history: Whether what it holds from before is taken, too.
        last_change: The number of the last change that was read; None: none yet.
        last_mark: What else is known of that change.
    """

    id: UUID
    institution_id: UUID
    institution: str
    name: str
    url: str
    user_name: str
    password_file: str
    ca_file: str
    history: bool
    last_change: int | None
    last_mark: str


@dataclass(frozen=True, kw_only=True)
class SourceLine:
    """How a source is doing, for people.

    Attributes:
        institution: The institution's slug.
        name: What it is called here.
        url: Where it is.
        last_change: The number of the last change that was read; None: none yet.
        changed_at: When that was.
        looked_at: When it answered last.
        taken: How many images came from there.
        waiting: How many studies it has begun to receive.
        problem: Why it cannot be read; empty where it can.
        down_since: Since when.
        failures: How often it was tried since.
        next_look_at: When it is looked at again.
    """

    institution: str
    name: str
    url: str
    last_change: int | None
    changed_at: datetime | None
    looked_at: datetime | None
    taken: int
    waiting: int
    problem: str
    down_since: datetime | None
    failures: int
    next_look_at: datetime | None


def due(connection: Connection, *, now: datetime) -> tuple[UUID, ...]:
    """The sources to be looked at now."""
    positions = source_positions.c
    is_due = or_(positions.source_id.is_(None), positions.next_look_at <= now)
    rows = connection.execute(select(sources.c.id).select_from(sources.outerjoin(source_positions)).where(is_due))
    return tuple(rows.scalars())


def claim(connection: Connection, source_id: UUID, *, now: datetime, lease: timedelta) -> Source | None:
    """A source that is due; nobody else gets it until the lease ends. None where it was removed or taken."""
    positions = source_positions.c
    there_is = select(sources.c.id, literal(now + lease)).where(sources.c.id == source_id)
    first = insert(source_positions).from_select(["source_id", "next_look_at"], there_is)
    claimed = first.on_conflict_do_update(
        index_elements=[positions.source_id], set_={"next_look_at": now + lease}, where=positions.next_look_at <= now
    )
    taken = connection.execute(claimed.returning(positions.source_id)).scalar_one_or_none()
    return None if taken is None else _get(connection, source_id)


def note_position(
    connection: Connection, source_id: UUID, *, change: int, mark: str, taken: int, now: datetime, lease: timedelta
) -> None:
    """Everything up to this change was read, and brought so many images; whoever reads goes on for another lease."""
    said = {"last_change": change, "last_mark": mark, "changed_at": now, "next_look_at": now + lease}
    _change(connection, source_id, taken=source_positions.c.taken + taken, **said)


def note_looked(connection: Connection, source_id: UUID, *, now: datetime, again: datetime) -> bool:
    """There is nothing more to read; whether the source had been away."""
    was_away = connection.execute(
        select(source_positions.c.failures > 0).where(source_positions.c.source_id == source_id)
    ).scalar_one_or_none()
    well = {"failures": 0, "problem": "", "down_since": None}
    _change(connection, source_id, looked_at=now, next_look_at=again, **well)
    return bool(was_away)


def note_failed(
    connection: Connection, source_id: UUID, *, problem: str, now: datetime, wait: Callable[[int], timedelta]
) -> datetime | None:
    """It could not be read; gives when it is looked at again, None where it was removed meanwhile."""
    failures: int | None = connection.execute(
        update(source_positions)
        .where(source_positions.c.source_id == source_id)
        .values(
            failures=source_positions.c.failures + 1,
            problem=problem,
            down_since=func.coalesce(source_positions.c.down_since, now),
        )
        .returning(source_positions.c.failures)
    ).scalar_one_or_none()
    if failures is None:
        return None
    again = now + wait(failures)
    _change(connection, source_id, next_look_at=again)
    return again


def announce(connection: Connection, source_id: UUID, orthanc_id: str, *, now: datetime) -> None:
    """The source has begun to receive a study."""
    row = insert(source_studies).values(source_id=source_id, orthanc_id=orthanc_id, announced_at=now)
    again = row.on_conflict_do_update(
        index_elements=[source_studies.c.source_id, source_studies.c.orthanc_id], set_={"announced_at": now}
    )
    connection.execute(again)


def forget(connection: Connection, source_id: UUID, orthanc_id: str) -> None:
    """The study was taken, or is gone."""
    is_it = (source_studies.c.source_id == source_id) & (source_studies.c.orthanc_id == orthanc_id)
    connection.execute(delete(source_studies).where(is_it))


def announced(connection: Connection, source_id: UUID, *, before: datetime) -> tuple[str, ...]:
    """The studies that were begun before that time and have not been called stable since."""
    wanted = (source_studies.c.source_id == source_id) & (source_studies.c.announced_at <= before)
    rows = connection.execute(select(source_studies.c.orthanc_id).where(wanted).order_by(source_studies.c.announced_at))
    return tuple(rows.scalars())


def lines(connection: Connection) -> tuple[SourceLine, ...]:
    """Every source, by institution and name."""
    waiting = (
        select(func.count()).where(source_studies.c.source_id == sources.c.id).correlate(sources).scalar_subquery()
    )
    positions = source_positions.c
    names = ("last_change", "changed_at", "looked_at", "down_since", "next_look_at")
    rows = connection.execute(
        select(
            institutions.c.slug.label("institution"),
            sources.c.name,
            sources.c.url,
            waiting.label("waiting"),
            func.coalesce(positions.taken, 0).label("taken"),
            func.coalesce(positions.problem, "").label("problem"),
            func.coalesce(positions.failures, 0).label("failures"),
            *(positions[name] for name in names),
        )
        .select_from(sources.join(institutions).outerjoin(source_positions))
        .order_by(institutions.c.slug, sources.c.name)
    )
    return tuple(SourceLine(**row) for row in rows.mappings())


def every_source(connection: Connection) -> tuple[Source, ...]:
    """All sources, by institution and name."""
    ids = connection.execute(
        select(sources.c.id).join_from(sources, institutions).order_by(institutions.c.slug, sources.c.name)
    ).scalars()
    return tuple(found for source_id in ids if (found := _get(connection, source_id)) is not None)


def _change(connection: Connection, source_id: UUID, **values: object) -> None:
    connection.execute(update(source_positions).where(source_positions.c.source_id == source_id).values(**values))


def _get(connection: Connection, source_id: UUID) -> Source | None:
    """The source of this row, with its position."""
    names = [name for name in Source.__dataclass_fields__ if name in sources.c]
    row = connection.execute(
        select(
            *(sources.c[name] for name in names),
            institutions.c.slug.label("institution"),
            source_positions.c.last_change,
            func.coalesce(source_positions.c.last_mark, "").label("last_mark"),
        )
        .select_from(sources.join(institutions).outerjoin(source_positions))
        .where(sources.c.id == source_id)
    )
    found = row.mappings().one_or_none()
    return None if found is None else Source(**found)

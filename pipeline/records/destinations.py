"""Destinations: the peers that results go to, and for each that cannot be reached a circuit breaker.

While the circuit is open nothing is sent there and no delivery loses an attempt; when its time comes one association is
tried, and with its success everything that waited leaves in its order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.standing import is_its_turn
from pipeline.records.tables import deliveries, destinations, institutions, peers


@dataclass(frozen=True, kw_only=True)
class Outage:
    """A destination that cannot be reached.

    Attributes:
        institution: The slug of its institution.
        peer: Its AE title.
        down_since: When it could not be reached for the first time.
        failures: How often it was tried since.
        problem: What is the matter, and what to change where.
        next_attempt_at: When it is tried again.
        waiting: How many deliveries wait for it.
    """

    institution: str
    peer: str
    down_since: datetime
    failures: int
    problem: str
    next_attempt_at: datetime
    waiting: int


def with_something_due(
    connection: Connection, *, now: datetime, also: ColumnElement[bool] | None = None
) -> tuple[UUID, ...]:
    """The peers for which a delivery is due and whose circuit is closed, the one that has waited longest first.

    Args:
        connection: Open connection.
        now: The time.
        also: SQL on `deliveries`: what else makes a delivery due.
    """
    is_due = and_(deliveries.c.state == "pending", deliveries.c.next_attempt_at <= now, is_open(now), is_its_turn())
    rows = connection.execute(
        select(deliveries.c.peer_id)
        .where(is_due if also is None else or_(is_due, also))
        .group_by(deliveries.c.peer_id)
        .order_by(func.min(deliveries.c.planned_at))
    )
    return tuple(rows.scalars())


def is_open(now: datetime) -> ColumnElement[bool]:
    """SQL: the delivery's peer may be tried."""
    waits = exists().where(destinations.c.peer_id == deliveries.c.peer_id, destinations.c.next_attempt_at > now)
    return ~waits


def note_unreachable(
    connection: Connection, peer_id: UUID, *, problem: str, now: datetime, wait: Callable[[int], timedelta]
) -> datetime:
    """The peer took no association: nothing more is sent there until the time that this gives.

    Args:
        connection: Open connection.
        peer_id: The peer.
        problem: What is the matter.
        now: The time of the failure.
        wait: How long to wait after so many failures in a row.
    """
    failed = {"peer_id": peer_id, "failures": 1, "down_since": now}
    failures: int = connection.execute(
        insert(destinations)
        .values(**failed)
        .on_conflict_do_update(index_elements=[destinations.c.peer_id], set_={"failures": destinations.c.failures + 1})
        .returning(destinations.c.failures)
    ).scalar_one()
    again = now + wait(failures)
    changed = destinations.update().where(destinations.c.peer_id == peer_id)
    connection.execute(changed.values(problem=problem, next_attempt_at=again))
    return again


def note_reached(connection: Connection, peer_id: UUID) -> bool:
    """The peer took an association; whether it had been away."""
    return connection.execute(delete(destinations).where(destinations.c.peer_id == peer_id)).rowcount == 1


def outages(connection: Connection) -> tuple[Outage, ...]:
    """Every destination that cannot be reached, the longest outage first."""
    waiting = (
        select(func.count())
        .where(deliveries.c.peer_id == destinations.c.peer_id, deliveries.c.state == "pending")
        .scalar_subquery()
    )
    columns = (destinations.c[name] for name in ("down_since", "failures", "problem", "next_attempt_at"))
    rows = connection.execute(
        select(
            institutions.c.slug.label("institution"),
            peers.c.ae_title.label("peer"),
            *columns,
            waiting.label("waiting"),
        )
        .join_from(destinations, peers)
        .join(institutions, institutions.c.id == peers.c.institution_id)
        .order_by(destinations.c.down_since)
    )
    return tuple(Outage(**row) for row in rows.mappings())

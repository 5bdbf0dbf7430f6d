"""Deliveries that this node itself cannot make: its store or its disk is at fault, not the peer.

They cost no attempt and close no destination; they are tried again, and shown with what is to be done here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, func, select, update

from pipeline.records import deliveries as outbox
from pipeline.records.tables import deliveries


@dataclass(frozen=True, kw_only=True)
class OwnFault:
    """Why deliveries wait though their peers could be reached.

    Attributes:
        problem: What is the matter, and what to do here.
        waiting: How many deliveries wait.
        since: Since when the first of them does.
        next_attempt_at: When one is tried again.
    """

    problem: str
    waiting: int
    since: datetime
    next_attempt_at: datetime


def note(
    connection: Connection,
    delivery_id: UUID,
    *,
    problem: str,
    now: datetime,
    wait: Callable[[timedelta], timedelta | None],
) -> None:
    """A delivery could not be made ready; the attempt does not count.

    Args:
        connection: Open connection.
        delivery_id: Which.
        problem: What is the matter, and what to do here.
        now: When.
        wait: How long to wait when it has gone on for so long; None: it becomes a dead letter.
    """
    columns = deliveries.c
    waits = and_(columns.id == delivery_id, columns.state == "pending")
    said = {
        "attempts": columns.attempts - 1,
        "problem": problem,
        "own_fault_since": func.coalesce(columns.own_fault_since, now),
    }
    noted = update(deliveries).where(waits).values(**said).returning(columns.own_fault_since)
    since: datetime | None = connection.execute(noted).scalar_one_or_none()
    if since is None:
        return
    pause = wait(now - since)
    if pause is None:
        outbox.mark_failed(connection, delivery_id, problem=problem, next_attempt_at=None, now=now)
    else:
        connection.execute(update(deliveries).where(waits).values(next_attempt_at=now + pause))


def own_faults(connection: Connection) -> tuple[OwnFault, ...]:
    """What is the matter here, the longest trouble first."""
    columns = deliveries.c
    since = func.min(columns.own_fault_since)
    rows = connection.execute(
        select(
            columns.problem,
            func.count().label("waiting"),
            since.label("since"),
            func.min(columns.next_attempt_at).label("next_attempt_at"),
        )
        .where(columns.state == "pending", columns.own_fault_since.is_not(None))
        .group_by(columns.problem)
        .order_by(since)
    )
    return tuple(OwnFault(**row) for row in rows.mappings())

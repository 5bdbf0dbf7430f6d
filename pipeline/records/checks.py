"""Connection checks: the web asks, the DICOM door calls the peer and writes down what an administrator should know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Select, insert, or_, select, update

from pipeline.records.tables import connection_checks, peers

CLAIM_LEASE: Final = timedelta(minutes=2)
"""A check whose process died is taken up again after this time."""


@dataclass(frozen=True, kw_only=True)
class ConnectionCheck:
    """One check.

    Attributes:
        id: Its row.
        peer_id: Whom to call.
        ok: Whether the peer answered; None until then.
        sentence: What to tell the administrator: that it answered, or the cause and the fix.
        requested_at: When it was asked for.
        finished_at: When it was done; None until then.
    """

    id: UUID
    peer_id: UUID
    ok: bool | None
    sentence: str
    requested_at: datetime
    finished_at: datetime | None


def request_check(connection: Connection, peer_id: UUID) -> UUID:
    """Ask for a C-ECHO to a peer; gives the row to look at.

    Raises:
        LookupError: There is no such peer.
    """
    institution = connection.execute(select(peers.c.institution_id).where(peers.c.id == peer_id)).scalar_one_or_none()
    if institution is None:
        raise LookupError("this peer was removed")
    row = insert(connection_checks).values(institution_id=institution, peer_id=peer_id)
    created: UUID = connection.execute(row.returning(connection_checks.c.id)).scalar_one()
    return created


def get_check(connection: Connection, check_id: UUID, *, institution_id: UUID) -> ConnectionCheck | None:
    """The check of this row, if it belongs to the institution."""
    wanted = (connection_checks.c.id == check_id) & (connection_checks.c.institution_id == institution_id)
    row = connection.execute(_fields().where(wanted)).mappings().one_or_none()
    return None if row is None else ConnectionCheck(**row)


def claim_check(connection: Connection, *, now: datetime) -> ConnectionCheck | None:
    """Take the oldest check that nobody is doing, if there is one."""
    is_free = or_(connection_checks.c.claimed_at.is_(None), connection_checks.c.claimed_at < now - CLAIM_LEASE)
    waiting = _fields().where(connection_checks.c.finished_at.is_(None), is_free)
    oldest = waiting.order_by(connection_checks.c.requested_at).limit(1).with_for_update(skip_locked=True)
    row = connection.execute(oldest).mappings().one_or_none()
    if row is None:
        return None
    claim = update(connection_checks).where(connection_checks.c.id == row["id"]).values(claimed_at=now)
    connection.execute(claim)
    return ConnectionCheck(**row)


def finish_check(connection: Connection, check_id: UUID, *, ok: bool, sentence: str, now: datetime) -> None:
    """Write down what came of it."""
    done = update(connection_checks).where(connection_checks.c.id == check_id)
    connection.execute(done.values(ok=ok, sentence=sentence, finished_at=now))


def _fields() -> Select[Any]:
    columns = connection_checks.c
    return select(columns.id, columns.peer_id, columns.ok, columns.sentence, columns.requested_at, columns.finished_at)

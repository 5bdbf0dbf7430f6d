"""Attempts to log in, counted by address and by where they come from, whether or not the address has an account.

So the answer tells nobody who has one, and who guesses shuts out nobody but whoever guesses from there. The address is
kept as a digest: people type passwords into the wrong field.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, case, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from pipeline.passwords import digest_of_token
from pipeline.records.tables import login_attempts

FAILURES_BEFORE_LOCK: Final = 5
LOCK_LENGTH: Final = timedelta(minutes=15)

_COLUMNS: Final = login_attempts.c


def count(connection: Connection, *, email: str, source: str, now: datetime) -> bool:
    """Count an attempt before it is looked at; gives whether it may be.

    The row is locked until the transaction ends: attempts that come at once are counted one after the other. Those
    that are turned away do not make the wait longer.

    Args:
        connection: Of the caller's transaction, which is committed whatever comes of the attempt.
        email: As it was typed.
        source: The caller's network address.
        now: When.
    """
    first = {"address_digest": _digest(email), "source": source, "attempts": 1, "forgotten_at": now + LOCK_LENGTH}
    is_over = _COLUMNS.forgotten_at <= now
    goes_on = or_(is_over, _COLUMNS.attempts < FAILURES_BEFORE_LOCK)
    counted = insert(login_attempts).on_conflict_do_update(
        index_elements=[_COLUMNS.address_digest, _COLUMNS.source],
        set_={
            "attempts": case((is_over, 1), else_=_COLUMNS.attempts + 1),
            "forgotten_at": case((goes_on, now + LOCK_LENGTH), else_=_COLUMNS.forgotten_at),
        },
    )
    attempts: int = connection.execute(counted.values(first).returning(_COLUMNS.attempts)).scalar_one()
    _forget_old(connection, now=now)
    return attempts <= FAILURES_BEFORE_LOCK


def forget(connection: Connection, *, email: str, source: str | None = None) -> None:
    """Begin anew with an address; None: from wherever attempts came."""
    wanted = _COLUMNS.address_digest == _digest(email)
    connection.execute(
        delete(login_attempts).where(wanted if source is None else and_(wanted, _COLUMNS.source == source))
    )


def _forget_old(connection: Connection, *, now: datetime) -> None:
    """But for those that another attempt has in hand."""
    old = select(_COLUMNS.id).where(_COLUMNS.forgotten_at <= now).with_for_update(skip_locked=True)
    connection.execute(delete(login_attempts).where(_COLUMNS.id.in_(old)))


def _digest(email: str) -> str:
    return digest_of_token(email.strip().lower())

"""Who was turned away at the DICOM door, so that an administrator can let them in.

The same attempt again raises a counter. What is kept is bounded, in all and for each address, so that a scanner fills
no disk and pushes nobody else's attempts out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, true
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.tables import institutions, rejected_attempts

KEPT: Final = 1000
KEPT_FOR_EACH_ADDRESS: Final = 50

_LOCK: Final = 0x52_45_4A_43  # any number that no other advisory lock of this database uses: "REJC"


class RejectReason(StrEnum):
    """Why somebody was turned away. Stable: stored and shown."""

    CALLED_AE_TITLE = "called-ae-title"
    """No institution answers to the title that was called."""
    CALLING_AE_TITLE = "calling-ae-title"
    """The caller is no peer of the institution that was called."""
    ADDRESS = "address"
    """The caller is a peer, but calls from elsewhere."""
    MAY_NOT_SEND = "may-not-send"
    """The caller is a peer that may not send, and tried to."""
    TOO_MANY_ASSOCIATIONS = "too-many-associations"
    """Everybody's associations together were too many."""
    PEER_ASSOCIATIONS = "peer-associations"
    """The caller's own associations were too many."""
    CERTIFICATE = "certificate"
    """The caller must show a certificate, and showed none."""
    OTHER_CERTIFICATE = "other-certificate"
    """The caller showed a certificate that is not its own."""
    TLS_HANDSHAKE = "tls-handshake"
    """No TLS connection came about; the AE titles are not known."""
    NOT_ACCEPTED = "not-accepted"
    """The caller was let in, but something that it wanted is not taken, or in none of its transfer syntaxes."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """An attempt that was turned away.

    Attributes:
        institution_id: Whose AE title was called, where that is known.
        reason: Why, for programs.
        sentence: Why, for people: the cause and the fix.
        called_ae_title: Whom they called.
        calling_ae_title: Who they said they are.
        address: The IP address that they called from.
        wanted: What they asked for, in words.
        certificate: The SHA-256 fingerprint of the certificate that they showed; empty: none, or no TLS came about.
    """

    institution_id: UUID | None
    reason: RejectReason
    sentence: str
    called_ae_title: str
    calling_ae_title: str
    address: str
    wanted: str
    certificate: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejected(Attempt):
    """An attempt as it is kept.

    Attributes:
        id: By which it is admitted.
        times: How often it was made.
        first_at: When first.
        last_at: When last.
    """

    id: int
    times: int
    first_at: datetime
    last_at: datetime


def note(connection: Connection, attempt: Attempt, *, now: datetime) -> None:
    """Write an attempt down, or count it where it was made before."""
    table = rejected_attempts
    said = {name: getattr(attempt, name) for name in Attempt.__dataclass_fields__}
    newer = {name: said[name] for name in ("institution_id", "sentence", "wanted", "certificate")}
    fresh = insert(table).values(**said, times=1, first_at=now, last_at=now)
    statement = fresh.on_conflict_do_update(
        index_elements=[table.c.reason, table.c.called_ae_title, table.c.calling_ae_title, table.c.address],
        set_={**newer, "times": table.c.times + 1, "last_at": func.greatest(table.c.last_at, now)},
    )
    if connection.execute(statement.returning(table.c.times)).scalar_one() == 1:
        _prune(connection, attempt.address)


def list_rejected(
    connection: Connection, *, institution: str | None = None, since: datetime | None = None, limit: int = KEPT
) -> tuple[Rejected, ...]:
    """The attempts that were turned away, the newest first.

    Args:
        connection: Of the caller's transaction.
        institution: Its slug: only those that called it.
        since: Only those that were made again since then.
        limit: At most so many.
    """
    rows = rejected_attempts
    query = select(rows).order_by(rows.c.last_at.desc(), rows.c.id.desc()).limit(limit)
    if institution is not None:
        query = query.join(institutions).where(institutions.c.slug == institution)
    if since is not None:
        query = query.where(rows.c.last_at >= since)
    return tuple(_rejected(row) for row in connection.execute(query))


def get_rejected(connection: Connection, number: int) -> Rejected | None:
    """The attempt of this number; None where there is none (any more)."""
    row = connection.execute(select(rejected_attempts).where(rejected_attempts.c.id == number)).one_or_none()
    return None if row is None else _rejected(row)


def forget(connection: Connection, number: int) -> None:
    """Strike an attempt off the list: it was admitted."""
    connection.execute(delete(rejected_attempts).where(rejected_attempts.c.id == number))


def forget_resolved(
    connection: Connection, *, called: str, calling: str, address: str, sends: bool, over_tls: bool, all_accepted: bool
) -> None:
    """Strike off what the same caller was turned away for: it has been let in.

    That there were too many associations stays: they may be too many again.

    Args:
        connection: Of the caller's transaction.
        called: Whom it called.
        calling: Who it is.
        address: Where it called from.
        sends: Whether it may send too.
        over_tls: Whether it got through TLS, so that earlier handshakes from its address are settled.
        all_accepted: Whether everything that it wanted is taken.
    """
    table = rejected_attempts
    is_caller = and_(table.c.called_ae_title == called, table.c.calling_ae_title == calling, table.c.address == address)
    still_open = {RejectReason.TOO_MANY_ASSOCIATIONS, RejectReason.PEER_ASSOCIATIONS}
    still_open |= set() if sends else {RejectReason.MAY_NOT_SEND}
    still_open |= set() if all_accepted else {RejectReason.NOT_ACCEPTED}
    connection.execute(delete(table).where(is_caller, table.c.reason.not_in(still_open)))
    if over_tls:
        is_handshake = table.c.reason == RejectReason.TLS_HANDSHAKE
        connection.execute(delete(table).where(is_handshake, table.c.address == address))


def _prune(connection: Connection, address: str) -> None:
    """Forget the oldest attempts beyond what is kept; whoever comes while another prunes leaves it to the next."""
    if connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
        _keep_newest(connection, KEPT_FOR_EACH_ADDRESS, rejected_attempts.c.address == address)
        _keep_newest(connection, KEPT, true())


def _keep_newest(connection: Connection, number: int, among: ColumnElement[bool]) -> None:
    table = rejected_attempts
    newest_first = select(table.c.id).where(among).order_by(table.c.last_at.desc(), table.c.id.desc())
    beyond = newest_first.offset(number).with_for_update(skip_locked=True)
    connection.execute(delete(table).where(table.c.id.in_(beyond)))


def _rejected(row: Row[Any]) -> Rejected:
    fields = {name: row._mapping[name] for name in Rejected.__dataclass_fields__}
    return Rejected(**{**fields, "reason": RejectReason(row.reason)})

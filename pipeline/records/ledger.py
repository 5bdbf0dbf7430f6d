"""The ledger: what became of each instance that was acknowledged, in a chain that shows whether anybody changed it.

An entry is written in the transaction that does what it tells. A moment later it is sealed: it gets the next number,
and a SHA-256 over its own content and the digest before it. Sealing afterwards keeps those who receive from waiting for
each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select

from pipeline.records.tables import ledger, ledger_seals, ledger_unsealed

FIRST_DIGEST: Final = "0" * 64
"""What the first entry's digest continues."""

_LOCK: Final = 0x73_65_61_6C  # any number that no other advisory lock of this database uses: "seal"
_ROWS_AT_ONCE: Final = 1000


class LedgerEvent(StrEnum):
    """What happened to an instance."""

    RECEIVED = "received"
    QUARANTINED = "quarantined"
    USED = "used"
    """A reconstruction was made from it."""
    RESULT = "result"
    """It was made by a reconstruction."""
    REPLACED = "replaced"
    """A newer result took its place."""
    DELIVERED = "delivered"
    NOT_DELIVERED = "not-delivered"
    """It was given up, or the peer does not take such objects."""
    COMMITTED = "committed"
    """The peer committed itself to keep it."""
    COMMITMENT_REFUSED = "commitment-refused"
    COMMITMENT_GIVEN = "commitment-given"
    """We told a peer whether we keep it."""
    REMOVED = "removed"
    """Its bytes were removed: by retention, or by hand."""


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """Something that happened to an instance.

    Attributes:
        institution_id: Whose instance.
        event: What happened.
        sop_instance_uid: To which instance.
        facts: What is to be known of it: plain JSON, no patient data.
        recorded_at: When.
    """

    institution_id: UUID
    event: LedgerEvent
    sop_instance_uid: str
    facts: Mapping[str, Any]
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Entry(NewEntry):
    """An entry of the ledger.

    Attributes:
        id: Its row.
        number: Its place in the chain; None until it is sealed.
        seal: The chain's digest up to it; None until it is sealed.
    """

    id: int
    number: int | None
    seal: str | None

    def digest(self, before: str) -> str:
        """SHA-256, hexadecimal, over the digest before it and its own content in canonical form."""
        content = {
            "id": self.id,
            "institution": str(self.institution_id),
            "event": str(self.event),
            "instance": self.sop_instance_uid,
            "facts": self.facts,
            "at": self.recorded_at.astimezone(UTC).isoformat(timespec="microseconds"),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(f"{before}\n{canonical}".encode()).hexdigest()


def write(connection: Connection, entries: Iterable[NewEntry]) -> None:
    """Add entries; they exist when the caller commits."""
    rows = [
        {
            "institution_id": entry.institution_id,
            "event": str(entry.event),
            "sop_instance_uid": entry.sop_instance_uid,
            "facts": dict(entry.facts),
            "recorded_at": entry.recorded_at,
        }
        for entry in entries
    ]
    # Piece by piece: a statement of PostgreSQL's protocol has 65,535 parameters at the most.
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        _insert(connection, rows[start : start + _ROWS_AT_ONCE])


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if len(rows) == 1:
        connection.execute(_ONE, {f"new_{name}": value for name, value in rows[0].items()})
    else:
        connection.execute(_writing(rows))


def _writing(values: Any) -> Any:  # noqa: ANN401 - SQL expressions
    written = insert(ledger).values(values).returning(ledger.c.id).cte("written")
    return insert(ledger_unsealed).from_select(["entry_id"], select(written.c.id))


_ONE: Final = _writing(
    {
        name: bindparam(f"new_{name}", type_=ledger.c[name].type)
        for name in ("institution_id", "event", "sop_instance_uid", "facts", "recorded_at")
    }
)
"""Most transactions write one entry; its statement is built once, which takes longer than PostgreSQL needs for it."""


def seal(connection: Connection, *, limit: int = _ROWS_AT_ONCE) -> int:
    """Put entries that wait into the chain, oldest first; gives how many. Of several sealers all but one do nothing."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
        return 0
    waiting = select(ledger_unsealed.c.entry_id).order_by(ledger_unsealed.c.entry_id).limit(limit).scalar_subquery()
    taken = connection.execute(
        delete(ledger_unsealed).where(ledger_unsealed.c.entry_id.in_(waiting)).returning(ledger_unsealed.c.entry_id)
    ).scalars()
    number, digest = head(connection)
    seals = []
    chosen = entries().where(ledger.c.id.in_(list(taken))).order_by(ledger.c.id)
    for entry in map(as_entry, connection.execute(chosen)):
        number, digest = number + 1, entry.digest(digest)
        seals.append({"number": number, "entry_id": entry.id, "digest": digest})
    if seals:
        connection.execute(insert(ledger_seals), seals)
    return len(seals)


def head(connection: Connection) -> tuple[int, str]:
    """Number and digest of the chain's last entry."""
    last = select(ledger_seals.c.number, ledger_seals.c.digest).order_by(ledger_seals.c.number.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    return (0, FIRST_DIGEST) if row is None else (row.number, row.digest)


def entries() -> Select[Any]:
    """All entries with their seals, for `as_entry`."""
    sealed = ledger.outerjoin(ledger_seals, ledger_seals.c.entry_id == ledger.c.id)
    return select(ledger, ledger_seals.c.number, ledger_seals.c.digest.label("seal")).select_from(sealed)


def as_entry(row: Row[Any]) -> Entry:
    """A row of `entries`."""
    known = {name: getattr(row, name) for name in Entry.__dataclass_fields__}
    return Entry(**{**known, "event": LedgerEvent(row.event)})

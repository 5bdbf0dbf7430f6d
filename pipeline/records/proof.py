"""What the ledger proves: the life of one instance, and that nobody changed what was written."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, exists, func, literal, select, union_all

from pipeline.records.ledger import FIRST_DIGEST, Entry, LedgerEvent, as_entry, entries
from pipeline.records.tables import instances, ledger, ledger_seals, ledger_unsealed

ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of checking the chain.

    Attributes:
        sealed: How many entries are whole, from the first on.
        head: The digest of the last of them. Kept elsewhere, it proves later that nothing up to it was changed.
        unsealed: How many entries wait for their seal.
        broken: What is the matter with the first entry that is not as it was written; empty: the chain is whole.
    """

    sealed: int
    head: str
    unsealed: int
    broken: str = ""


def entries_about(connection: Connection, sop_instance_uid: str) -> tuple[Entry, ...]:
    """The entries of an instance, of those made from it or that it was made from, and of what rejects it; in order."""
    own = ledger.c.sop_instance_uid == sop_instance_uid
    linked = [
        select(func.jsonb_array_elements_text(ledger.c.facts[key])).where(own, ledger.c.event == str(event))
        for key, event in (
            ("results", LedgerEvent.USED),
            ("sources", LedgerEvent.RESULT),
            ("rejected_by", LedgerEvent.REPLACED),
        )
    ]
    uids = connection.execute(union_all(select(literal(sop_instance_uid)), *linked)).scalars().all()
    chosen = entries().where(ledger.c.sop_instance_uid.in_(uids)).order_by(ledger.c.recorded_at, ledger.c.id)
    return tuple(map(as_entry, connection.execute(chosen)))


def verify(connection: Connection) -> Verdict:
    """Follow the chain from its first entry, as far as it is whole."""
    number, digest = 0, FIRST_DIGEST
    broken = ""
    with closing(_chain(connection)) as chain:
        for sealed in chain:
            if broken := _break_at(sealed, number + 1, digest):
                break
            number, digest = sealed.number, sealed.digest
    unsealed = int(connection.execute(select(func.count()).select_from(ledger_unsealed)).scalar_one())
    return Verdict(sealed=number, head=digest, unsealed=unsealed, broken=broken or _outside(connection))


def is_as_written(connection: Connection, entry: Entry) -> bool:
    """Whether an entry agrees with its own seal and with the one before it; one that is not sealed yet does."""
    if entry.number is None:
        return True
    before = FIRST_DIGEST if entry.number == 1 else digest_at(connection, entry.number - 1)
    return before is not None and entry.digest(before) == entry.seal


def digest_at(connection: Connection, number: int) -> str | None:
    """The chain's digest at that place; None where it does not reach so far."""
    found = select(ledger_seals.c.digest).where(ledger_seals.c.number == number)
    digest: str | None = connection.execute(found).scalar_one_or_none()
    return digest


@dataclass(frozen=True, kw_only=True)
class _Sealed:
    """A link of the chain; without an entry where somebody took it away."""

    number: int
    entry_id: int
    digest: str
    entry: Entry | None


def _chain(connection: Connection) -> Generator[_Sealed, None, None]:
    joined = ledger_seals.outerjoin(ledger, ledger.c.id == ledger_seals.c.entry_id)
    seals = (ledger_seals.c.number, ledger_seals.c.entry_id, ledger_seals.c.digest.label("seal"))
    in_order = select(*seals, ledger).select_from(joined).order_by(ledger_seals.c.number)
    with connection.execute(in_order, execution_options={"yield_per": ROWS_AT_ONCE}) as rows:
        for row in rows:
            entry = None if row.id is None else as_entry(row)
            yield _Sealed(number=row.number, entry_id=row.entry_id, digest=row.seal, entry=entry)


def _break_at(sealed: _Sealed, number: int, before: str) -> str:
    """What is the matter with a link that should be the `number`th; empty: nothing."""
    if sealed.number != number:
        return f"entry {number} of the chain was removed"
    if sealed.entry is None:
        return f"entry {number} was removed from the ledger, but not from the chain"
    if sealed.entry.digest(before) != sealed.digest:
        return f"entry {number} ({sealed.entry.event} {sealed.entry.sop_instance_uid}) is not as it was written"
    return ""


def _outside(connection: Connection) -> str:
    """Entries that neither are in the chain nor wait for it: somebody removed their links, or put them in by hand."""
    is_sealed = exists().where(ledger_seals.c.entry_id == ledger.c.id)
    waits = exists().where(ledger_unsealed.c.entry_id == ledger.c.id)
    stray = connection.execute(select(func.min(ledger.c.id)).where(~is_sealed, ~waits)).scalar_one()
    return "" if stray is None else f"row {stray} of the ledger is not in the chain"


def first_received(connection: Connection, sop_instance_uid: str) -> datetime | None:
    """When an instance came in, as the node's own records have it, which are older than the ledger."""
    is_it = instances.c.sop_instance_uid == sop_instance_uid
    found: datetime | None = connection.execute(select(func.min(instances.c.received_at)).where(is_it)).scalar_one()
    return found

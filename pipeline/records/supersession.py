"""A newer result takes the place of an older one: what still waits to be sent is held back, what went out is rejected.

Of a study's results one stands: the one that is not replaced. When a further reconstruction of the study begins,
nothing more of the standing result leaves the house. When it ends with a result or a refusal, that supersedes the
standing one, and a rejection note (`pipeline.dicom_write.rejection_note`) goes to every peer that has, or may have,
something of it. When it fails, the standing result stands, and is sent after all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, func, insert, or_, select, update

from pipeline.records import deliveries as outbox
from pipeline.records import ledger
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.replacement import replacement
from pipeline.records.standing import RESULTS
from pipeline.records.tables import deliveries, result_files, result_sets
from pipeline.results import FileKind


def withdraw(connection: Connection, study_id: UUID) -> None:
    """Hold back what waits to be sent of the standing result. What a sender has in hand may arrive all the same."""
    waiting = and_(deliveries.c.result_file_id.in_(_standing_files(study_id)), deliveries.c.state == "pending")
    connection.execute(update(deliveries).where(waiting).values(state="withdrawn", own_fault_since=None))


def reinstate(connection: Connection, study_id: UUID) -> None:
    """Nothing came to take the standing result's place: send what was held back."""
    held = and_(deliveries.c.result_file_id.in_(_standing_files(study_id)), deliveries.c.state == "withdrawn")
    connection.execute(update(deliveries).where(held).values(state="pending", next_attempt_at=func.now()))
    outbox.wake(connection)


def blob_keys_of_what_went_out(connection: Connection, study_id: UUID) -> tuple[str, ...]:
    """Where the standing result's instances lie of which one went to some peer, or may have."""
    files = (
        select(result_files.c.blob_key)
        .join_from(result_files, deliveries)
        .where(result_files.c.id.in_(_standing_files(study_id)), _went_out())
        .group_by(result_files.c.blob_key, result_files.c.sop_instance_uid)
        .order_by(result_files.c.sop_instance_uid)
    )
    return tuple(connection.execute(files).scalars())


def make_room(connection: Connection, study_id: UUID) -> tuple[UUID, ...]:
    """Another result set is about to be added: the standing one is kept as replaced, and given to `supersede`.

    That is said of itself: it stays replaced when retention removes what took its place.
    """
    standing = result_sets.c.id.in_(_standing(study_id))
    replaced = update(result_sets).where(standing).values(replaced_at=func.now()).returning(result_sets.c.id)
    return tuple(connection.execute(replaced).scalars())


def supersede(connection: Connection, replaced: Sequence[UUID], *, by: UUID, now: datetime) -> None:
    """A new result set took the place of these; its rejection note goes where they went."""
    if not replaced:
        return
    _enter(connection, replaced, by=by, now=now)
    connection.execute(update(result_sets).where(result_sets.c.id.in_(replaced)).values(superseded_by=by))
    _plan_rejection(connection, replaced, by=by)
    _ask_no_more(connection, replaced)


def _standing(study_id: UUID) -> Select[tuple[UUID]]:
    return select(result_sets.c.id).where(result_sets.c.study_id == study_id, result_sets.c.replaced_at.is_(None))


def _standing_files(study_id: UUID) -> Select[tuple[UUID]]:
    of_it = result_files.c.result_set_id.in_(_standing(study_id))
    return select(result_files.c.id).where(of_it, result_files.c.kind.in_(RESULTS))


def _went_out() -> ColumnElement[bool]:
    """SQL on `deliveries`: the peer has the instance; or it was tried, and nobody knows how that ended."""
    tried = and_(deliveries.c.attempts > 0, deliveries.c.state.in_(("pending", "withdrawn", "dead")))
    return or_(deliveries.c.state.in_(("sent", "delivered")), tried)


def _plan_rejection(connection: Connection, replaced: Sequence[UUID], *, by: UUID) -> None:
    """The note leaves for the peers that have something of what it rejects, whether they get new results or not."""
    note = select(result_files.c.id, result_files.c.institution_id).where(
        result_files.c.result_set_id == by, result_files.c.kind == FileKind.REJECTION_NOTE
    )
    row = connection.execute(note).one_or_none()
    if row is None:
        return
    of_replaced = select(result_files.c.id).where(
        result_files.c.result_set_id.in_(replaced), result_files.c.kind.in_(RESULTS)
    )
    peers = select(deliveries.c.peer_id).where(deliveries.c.result_file_id.in_(of_replaced), _went_out()).distinct()
    planned = [
        {"institution_id": row.institution_id, "result_file_id": row.id, "peer_id": peer_id}
        for peer_id in connection.execute(peers).scalars()
    ]
    if planned:
        connection.execute(insert(deliveries), planned)
        outbox.wake(connection)


def _ask_no_more(connection: Connection, replaced: Sequence[UUID]) -> None:
    """What of it a peer was not given, or did not take, is nobody's work any more."""
    of_replaced = select(result_files.c.id).where(
        result_files.c.result_set_id.in_(replaced), result_files.c.kind.in_(RESULTS)
    )
    over = and_(deliveries.c.result_file_id.in_(of_replaced), deliveries.c.state.in_(("dead", "not-accepted")))
    connection.execute(update(deliveries).where(over).values(state="withdrawn"))


def _enter(connection: Connection, replaced: Sequence[UUID], *, by: UUID, now: datetime) -> None:
    """Tell the ledger, for each instance that is replaced, what took its place and what rejects it."""
    columns = (result_files.c.institution_id, result_files.c.kind, result_files.c.sop_instance_uid)
    has_uid = result_files.c.sop_instance_uid.is_not(None)
    of_new = connection.execute(select(*columns).where(result_files.c.result_set_id == by, has_uid)).all()
    facts = {
        "replaced_by": sorted(row.sop_instance_uid for row in of_new if row.kind in RESULTS),
        "rejected_by": [row.sop_instance_uid for row in of_new if row.kind == FileKind.REJECTION_NOTE],
        "reason": str(replacement(connection, replaced[0], by)),
    }
    of_old = select(*columns).where(result_files.c.result_set_id.in_(replaced), result_files.c.kind.in_(RESULTS))
    entries = [
        NewEntry(
            institution_id=row.institution_id,
            event=LedgerEvent.REPLACED,
            sop_instance_uid=row.sop_instance_uid,
            facts=facts,
            recorded_at=now,
        )
        for row in connection.execute(of_old)
    ]
    ledger.write(connection, entries)

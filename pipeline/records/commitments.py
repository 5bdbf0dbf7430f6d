"""Storage commitments that we ask peers for: a result is delivered only when its peer has committed itself to keep it.

PS3.4 Annex J. What is stored there and awaits its commitment is `sent`; the peer's answer makes it `delivered`, or due
again where the peer does not have it after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select, update

from pipeline.records import deliveries as outbox
from pipeline.records.destinations import is_open
from pipeline.records.ledger import LedgerEvent
from pipeline.records.standing import is_overtaken, is_replaced
from pipeline.records.tables import commitments, deliveries, peers, result_files

ANSWER_TIME: Final = timedelta(minutes=10)
"""A peer that has not reported by then is asked again: its report may have come while we were down."""
INSTANCES_AT_ONCE: Final = 200
NEVER_REPORTED: Final = (
    "it is stored there, but its commitment was never reported: let {peer} call {our_title} at this node's DICOM port, "
    "or set commitment = never for this peer"
)


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What a peer is to be asked for now.

    Attributes:
        id: Of the commitment.
        transaction_uid: TransactionUID, by which the peer answers.
        instances: (SOPClassUID, SOPInstanceUID) of each.
    """

    id: UUID
    transaction_uid: str
    instances: tuple[tuple[str, str], ...]


def due(now: datetime) -> ColumnElement[bool]:
    """SQL on `deliveries`: a commitment is to be asked for, for the first time or again.

    What a report left unnamed waits like what was not reported: else peer and node would ask and answer without pause.
    """
    waits = (
        select(commitments.c.id)
        .where(
            commitments.c.id == deliveries.c.commitment_id,
            commitments.c.state.in_(("asked", "answered")),
            commitments.c.answer_due_at > now,
        )
        .exists()
    )
    return and_(deliveries.c.state == "sent", ~waits, is_open(now))


def has_due(connection: Connection, peer_id: UUID, *, now: datetime) -> bool:
    """Whether the peer is to be asked for something."""
    found = select(deliveries.c.id).where(deliveries.c.peer_id == peer_id, due(now)).limit(1)
    return connection.execute(found).one_or_none() is not None


def claim(connection: Connection, peer_id: UUID, *, now: datetime) -> Ask | None:
    """Begin to ask a peer for what awaits its commitment; None where nothing does.

    Commit before asking: the peer may answer at once.
    """
    rows = connection.execute(
        select(deliveries.c.id, deliveries.c.institution_id, deliveries.c.commitment_id)
        .where(deliveries.c.peer_id == peer_id, due(now))
        .order_by(deliveries.c.planned_at)
        .limit(INSTANCES_AT_ONCE)
        .with_for_update(of=deliveries, skip_locked=True)
    ).all()
    if not rows:
        return None
    overdue = [row.commitment_id for row in rows if row.commitment_id is not None]
    connection.execute(update(commitments).where(commitments.c.id.in_(overdue)).values(state="overdue"))
    transaction_uid = _new_transaction()
    asked = {
        "peer_id": peer_id,
        "transaction_uid": transaction_uid,
        "asked_at": now,
        "answer_due_at": now + ANSWER_TIME,
    }
    created: UUID = connection.execute(
        insert(commitments).values(institution_id=rows[0].institution_id, **asked).returning(commitments.c.id)
    ).scalar_one()
    ids = [row.id for row in rows]
    connection.execute(update(deliveries).where(deliveries.c.id.in_(ids)).values(commitment_id=created))
    instances = connection.execute(
        select(result_files.c.sop_class_uid, result_files.c.sop_instance_uid)
        .join_from(deliveries, result_files)
        .where(deliveries.c.id.in_(ids))
        .order_by(result_files.c.sop_instance_uid)
    )
    return Ask(id=created, transaction_uid=transaction_uid, instances=tuple((row[0], row[1]) for row in instances))


def decline(connection: Connection, ask: Ask, *, reason: str, now: datetime) -> None:
    """The peer does not commit itself: that it has stored everything is all that can be had."""
    connection.execute(update(commitments).where(commitments.c.id == ask.id).values(state="declined", answered_at=now))
    ours = and_(deliveries.c.commitment_id == ask.id, deliveries.c.state == "sent")
    connection.execute(update(deliveries).where(ours).values(state="delivered", note=reason))


def answer(
    connection: Connection,
    peer_id: UUID,
    transaction_uid: str,
    *,
    committed: Sequence[str],
    failed: Mapping[str, str],
    now: datetime,
    wait: Callable[[int], timedelta],
) -> bool:
    """The peer reported.

    Args:
        connection: Open connection.
        peer_id: The peer that reports.
        transaction_uid: TransactionUID of our question.
        committed: SOPInstanceUIDs that it keeps.
        failed: SOPInstanceUIDs that it does not keep, with the reason; they are sent again, but for those of a result
            that is replaced, or being made anew: a peer hides what a rejection note names (IHE RAD 4.66.4.1.3).
        now: When.
        wait: How long to wait with that after so many attempts.

    Returns:
        False where we never asked that peer this.
    """
    asked = and_(commitments.c.peer_id == peer_id, commitments.c.transaction_uid == transaction_uid)
    said = {"state": "answered", "answered_at": now, "kept": len(committed), "not_kept": len(failed)}
    known = connection.execute(update(commitments).where(asked).values(**said))
    if known.rowcount == 0:
        return False
    named = {"transaction": transaction_uid}
    for delivery in _awaiting(connection, peer_id, committed):
        _change(connection, delivery.id, state="delivered", committed_at=now, problem="")
        outbox.enter(connection, delivery.id, LedgerEvent.COMMITTED, named, now=now)
    for delivery in _awaiting(connection, peer_id, list(failed)):
        says = f"the peer does not keep it ({failed[delivery.uid]}): it is sent again"
        state, problem = ("withdrawn", "") if delivery.is_overtaken else ("pending", says)
        again = {"next_attempt_at": now + wait(delivery.attempts), "delivered_at": None, "commitment_id": None}
        _change(connection, delivery.id, state=state, problem=problem, **again)
        refused = named | {"reason": failed[delivery.uid]}
        outbox.enter(connection, delivery.id, LedgerEvent.COMMITMENT_REFUSED, refused, now=now)
    return True


def give_up_older(connection: Connection, peer_id: UUID, *, than: datetime, our_title: str, now: datetime) -> int:
    """Make what was stored there before `than` and is still not committed a dead letter; gives how much that is.

    What was replaced meanwhile nobody waits for any more: it is withdrawn.
    """
    old = and_(deliveries.c.peer_id == peer_id, deliveries.c.state == "sent", deliveries.c.delivered_at < than)
    columns = (deliveries.c.id, peers.c.ae_title, is_replaced().label("is_replaced"))
    joined = deliveries.join(peers).join(result_files, result_files.c.id == deliveries.c.result_file_id)
    rows = connection.execute(select(*columns).select_from(joined).where(old)).all()
    for row in rows:
        if row.is_replaced:
            _change(connection, row.id, state="withdrawn", commitment_id=None)
    given_up = [row for row in rows if not row.is_replaced]
    for row in given_up:
        problem = NEVER_REPORTED.format(peer=row.ae_title, our_title=our_title)
        _change(connection, row.id, state="dead", problem=problem)
        outbox.enter(connection, row.id, LedgerEvent.NOT_DELIVERED, {"problem": problem}, now=now)
    return len(given_up)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A commitment that is asked for to see whether its report comes; no delivery waits for it.

    Attributes:
        id: Of the commitment.
        transaction_uid: TransactionUID, by which the peer answers.
        is_answered: Whether its report has come.
        kept: Of how many instances the peer said that it keeps them.
    """

    id: UUID
    transaction_uid: str
    is_answered: bool = False
    kept: int = 0


def begin_trial(connection: Connection, peer_id: UUID, *, now: datetime) -> Trial:
    """Begin to ask a peer; commit before asking, as it may answer at once."""
    transaction_uid = _new_transaction()
    whose = select(peers.c.institution_id).where(peers.c.id == peer_id).scalar_subquery()
    asked = {"peer_id": peer_id, "transaction_uid": transaction_uid, "asked_at": now, "answer_due_at": now}
    created: UUID = connection.execute(
        insert(commitments).values(institution_id=whose, **asked).returning(commitments.c.id)
    ).scalar_one()
    return Trial(id=created, transaction_uid=transaction_uid)


def get_trial(connection: Connection, trial_id: UUID) -> Trial | None:
    """How it stands."""
    row = connection.execute(select(commitments).where(commitments.c.id == trial_id)).one_or_none()
    if row is None:
        return None
    is_answered = row.state == "answered"
    return Trial(id=row.id, transaction_uid=row.transaction_uid, is_answered=is_answered, kept=row.kept or 0)


def end_trial(connection: Connection, trial_id: UUID) -> None:
    """A report that comes later is one that nobody asked for."""
    connection.execute(delete(commitments).where(commitments.c.id == trial_id))


def _new_transaction() -> str:
    return f"2.25.{uuid4().int}"


@dataclass(frozen=True, kw_only=True)
class _Awaiting:
    id: UUID
    uid: str
    attempts: int
    is_overtaken: bool


def _awaiting(connection: Connection, peer_id: UUID, uids: Sequence[str]) -> tuple[_Awaiting, ...]:
    """The peer's deliveries of these instances that await a commitment, locked."""
    rows = connection.execute(
        select(
            deliveries.c.id,
            result_files.c.sop_instance_uid.label("uid"),
            deliveries.c.attempts,
            is_overtaken().label("is_overtaken"),
        )
        .join_from(deliveries, result_files)
        .where(
            deliveries.c.peer_id == peer_id,
            deliveries.c.state == "sent",
            result_files.c.sop_instance_uid.in_(uids),
        )
        .with_for_update(of=deliveries)
    )
    return tuple(_Awaiting(**row) for row in rows.mappings())


def _change(connection: Connection, delivery_id: UUID, **values: object) -> None:
    connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(**values))

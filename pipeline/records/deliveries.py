"""Deliveries: the outbox. One row per DICOM result and receiving peer, committed together with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, and_, any_, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records import ledger, rules
from pipeline.records.destinations import is_open
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.standing import is_its_turn, is_overtaken
from pipeline.records.tables import (
    deliveries,
    destinations,
    instances,
    peers,
    reconstructions,
    result_files,
    result_sets,
    studies,
)
from pipeline.results import FileKind
from pipeline.rules import USUAL
from pipeline.rules_verdict import Decision, what_goes_to

CHANNEL: Final = "bonecraft_deliveries"
"""Of PostgreSQL's NOTIFY: something is to be delivered."""

CLAIMED_AT_ONCE: Final = 20
"""So many deliveries are claimed, and sent in one association."""


@dataclass(frozen=True, kw_only=True)
class DueDelivery:
    """A file to be sent now.

    Attributes:
        id: Of the delivery.
        attempts: How often it was tried, this time included.
        peer_ae_title: To whom.
        problem: Why the last attempt failed.
        blob_key: Where the file lies in the store.
    """

    id: UUID
    attempts: int
    peer_ae_title: str
    problem: str
    blob_key: str


def plan(connection: Connection, *, result_set_id: UUID) -> int:
    """Plan the delivery of a result set's DICOM files to each receiving peer of its institution.

    What a rule keeps from a peer is `left-out`, with the rule in its note; it can be sent by hand. Of optional kinds
    nothing is said to peers that no rule gives them.

    What was made from an image that somebody uploaded stays in the viewer until a device has sent the same image: the
    PACS does not know the upload, and its identity may have been typed. So does what was made from a replaced image.

    Returns:
        How many deliveries that makes, without those left out.
    """
    _hold_study(connection, result_set_id)
    candidates = (
        select(result_files, peers.c.id.label("peer_id"), peers.c.ae_title)
        .join_from(result_files, peers, peers.c.institution_id == result_files.c.institution_id)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .join(studies, studies.c.id == result_sets.c.study_id)
        .where(
            result_sets.c.id == result_set_id,
            studies.c.uploaded_by.is_(None),
            ~_made_from_what_no_device_sent(),
            result_files.c.kind.in_([kind.value for kind in FileKind if kind.is_dicom]),
            peers.c.receives,
        )
    )
    rows = connection.execute(candidates).all()
    if not rows:
        return 0
    ruled = rules.of_institution(connection, rows[0].institution_id)
    images = rules.images_of_result(connection, result_set_id)
    decided = [(row, what_goes_to(ruled, images, row.ae_title)) for row in rows]
    concerned = [(row, decision) for row, decision in decided if row.kind in (*USUAL, *decision.choice)]
    if not concerned:
        return 0
    planned = connection.execute(
        insert(deliveries)
        .values([_planned(row, decision) for row, decision in concerned])
        .on_conflict_do_nothing()
        .returning(deliveries.c.state)
    )
    wake(connection)
    return sum(state == "pending" for state in planned.scalars())


def wake(connection: Connection) -> None:
    """Tell whoever delivers, when the transaction commits, that there is something to do."""
    connection.execute(select(func.pg_notify(CHANNEL, "")))


def _planned(candidate: Row[Any], decision: Decision[tuple[str, ...]]) -> dict[str, object]:
    goes = candidate.kind in decision.choice
    return {
        "institution_id": candidate.institution_id,
        "result_file_id": candidate.id,
        "peer_id": candidate.peer_id,
        "state": "pending" if goes else "left-out",
        "note": "" if goes else decision.because,
    }


def plan_for_study(connection: Connection, study_id: UUID) -> int:
    """Plan the delivery of what the study has been given so far; gives how many deliveries that makes."""
    newest = (
        select(result_sets.c.id)
        .join_from(result_sets, reconstructions)
        .where(
            result_sets.c.study_id == study_id,
            result_sets.c.replaced_at.is_(None),
            reconstructions.c.state.in_(("reconstructed", "refused")),
        )
        .order_by(reconstructions.c.queued_at.desc())
        .limit(1)
    )
    result_set_id = connection.execute(newest).scalar_one_or_none()
    return 0 if result_set_id is None else plan(connection, result_set_id=result_set_id)


def _made_from_what_no_device_sent() -> ColumnElement[bool]:
    """SQL on `result_sets`: a radiograph of its reconstruction is only an upload, or not in use any more."""
    return (
        select(instances.c.id)
        .join_from(reconstructions, instances, instances.c.id == any_(reconstructions.c.instance_ids))
        .where(
            reconstructions.c.id == result_sets.c.reconstruction_id,
            or_(instances.c.superseded, instances.c.called_ae_title == ""),
        )
        .exists()
    )


def _hold_study(connection: Connection, result_set_id: UUID) -> None:
    """Whose study it is must not change until the plan is committed."""
    its_study = select(result_sets.c.study_id).where(result_sets.c.id == result_set_id).scalar_subquery()
    connection.execute(select(studies.c.id).where(studies.c.id == its_study).with_for_update())


def claim_due(
    connection: Connection,
    *,
    now: datetime,
    peer_id: UUID | None = None,
    limit: int = CLAIMED_AT_ONCE,
    lease: timedelta = timedelta(minutes=5),
) -> tuple[DueDelivery, ...]:
    """Take deliveries whose time has come, in the order they were planned; nobody else gets them before the lease ends.

    Those to a destination whose circuit is open are left alone. Commit right away: the lease, not the transaction,
    keeps others off. A sender that dies leaves its deliveries to be claimed again when the lease is over.
    """
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.state == "pending", deliveries.c.next_attempt_at <= now, is_open(now), is_its_turn())
        .where(true() if peer_id is None else deliveries.c.peer_id == peer_id)
        .order_by(deliveries.c.planned_at, deliveries.c.next_attempt_at)
        .limit(limit)
        .with_for_update(of=deliveries, skip_locked=True)
    )
    claimed = connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(due.scalar_subquery()))
        .values(next_attempt_at=now + lease, attempts=deliveries.c.attempts + 1)
        .returning(deliveries.c.id)
    ).scalars()
    return _read(connection, list(claimed))


def give_back(connection: Connection, delivery_ids: Sequence[UUID], *, problem: str, now: datetime) -> None:
    """It was not their turn after all: they are due again, and the attempt does not count."""
    ours = and_(deliveries.c.id.in_(delivery_ids), deliveries.c.state == "pending")
    untried = {"attempts": deliveries.c.attempts - 1, "next_attempt_at": now, "problem": problem}
    connection.execute(update(deliveries).where(ours).values(own_fault_since=None, **untried))


def give_up_older(connection: Connection, peer_id: UUID, *, than: datetime, now: datetime) -> int:
    """Make everything for that peer a dead letter that has waited for it since before `than`; gives how many.

    What waited for something else first, as a rejection note does for its turn, has not waited for the peer longer than
    that is away.
    """
    away = select(destinations.c.peer_id).where(destinations.c.peer_id == peer_id, destinations.c.down_since < than)
    old = and_(deliveries.c.peer_id == peer_id, deliveries.c.state == "pending", deliveries.c.planned_at < than)
    ids = connection.execute(select(deliveries.c.id).where(old, away.exists())).scalars().all()
    for delivery_id in ids:
        mark_failed(connection, delivery_id, problem=None, next_attempt_at=None, now=now)
    return len(ids)


def mark_delivered(
    connection: Connection,
    delivery_id: UUID,
    *,
    now: datetime,
    facts: Mapping[str, object] | None = None,
    note: str = "",
    awaits_commitment: bool = False,
) -> None:
    """The peer confirmed that it stored it, also of what was withdrawn meanwhile; others stay as they are.

    Args:
        connection: Open connection.
        delivery_id: Which.
        now: When.
        facts: How, for the ledger.
        note: What a person should know of it though it arrived.
        awaits_commitment: It counts as delivered only when the peer has committed itself to keep it.
    """
    state = "sent" if awaits_commitment else "delivered"
    arrived = {"state": state, "delivered_at": now, "problem": "", "note": note}
    if _update_open(connection, delivery_id, ("pending", "withdrawn"), **arrived):
        said = {**(facts or {}), **({"note": note} if note else {})}
        enter(connection, delivery_id, LedgerEvent.DELIVERED, said, now=now)


def mark_not_accepted(connection: Connection, delivery_id: UUID, *, problem: str, now: datetime) -> None:
    """The peer does not take such objects; it is not offered it again until somebody asks for that."""
    if _update_pending(connection, delivery_id, state="not-accepted", problem=problem):
        enter(connection, delivery_id, LedgerEvent.NOT_DELIVERED, {"problem": problem}, now=now)


def mark_failed(
    connection: Connection,
    delivery_id: UUID,
    *,
    problem: str | None,
    next_attempt_at: datetime | None,
    now: datetime | None = None,
) -> None:
    """The attempt failed (problem None: as was said of it before); no next one: it is a dead letter.

    One that is no longer pending stays as it is: a sender that outlived its lease knows less than who came after it.
    """
    said = {} if problem is None else {"problem": problem}
    if next_attempt_at is not None:
        _update_pending(connection, delivery_id, next_attempt_at=next_attempt_at, **said)
    elif _update_pending(connection, delivery_id, state="dead", **said):
        enter(connection, delivery_id, LedgerEvent.NOT_DELIVERED, said, now=now or datetime.now(UTC))


def resend(connection: Connection, delivery_id: UUID, *, now: datetime) -> bool:
    """Send (again), as if for the first time. False where there is none, or its result is replaced, or about to be."""
    return _resend(connection, deliveries.c.id == delivery_id, now=now) == 1


def resend_failed(connection: Connection, peer_id: UUID, *, now: datetime) -> int:
    """Send again what a peer was not given or did not take, but for what is replaced, or about to be."""
    failed = and_(deliveries.c.peer_id == peer_id, deliveries.c.state.in_(("dead", "not-accepted")))
    return _resend(connection, failed, now=now)


def send_left_out(connection: Connection, study_instance_uid: str, peer_id: UUID, *, now: datetime) -> int:
    """Send a peer what a rule kept from it of its institution's study; gives how much that is."""
    files = (
        select(result_files.c.id)
        .join_from(result_files, result_sets, result_sets.c.id == result_files.c.result_set_id)
        .join(studies, studies.c.id == result_sets.c.study_id)
        .where(studies.c.study_instance_uid == study_instance_uid)
    )
    kept = and_(deliveries.c.result_file_id.in_(files), deliveries.c.peer_id == peer_id)
    return _resend(connection, and_(kept, deliveries.c.state == "left-out"), now=now)


def _resend(connection: Connection, condition: ColumnElement[bool], *, now: datetime) -> int:
    times = {"planned_at": now, "next_attempt_at": now, "delivered_at": None, "committed_at": None}
    nothing_said = {"problem": "", "note": "", "commitment_id": None, "own_fault_since": None}
    wake(connection)
    # What was ever tried may have arrived: a rejection note must reach whoever may have it.
    again = {"state": "pending", "attempts": func.least(deliveries.c.attempts, 1), **nothing_said, **times}
    return connection.execute(update(deliveries).where(condition, _may_still_go()).values(**again)).rowcount


def _may_still_go() -> ColumnElement[bool]:
    """SQL on `deliveries`: nobody is sent what is replaced, or is just about to be; rejection notes always go.

    What such a note names is settled when its reconstruction begins: what left after that would stay.
    """
    return deliveries.c.result_file_id.in_(select(result_files.c.id).where(~is_overtaken(by=["running"])))


def source_blob_keys(connection: Connection, delivery_id: UUID) -> tuple[str, ...]:
    """Where the radiographs lie that a delivery's file was made from; none where retention has left only some."""
    sources = (
        select(instances.c.blob_key, instances.c.removed_at)
        .join_from(deliveries, result_files, result_files.c.id == deliveries.c.result_file_id)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .join(reconstructions, reconstructions.c.id == result_sets.c.reconstruction_id)
        .join(instances, instances.c.id == any_(reconstructions.c.instance_ids))
        .where(deliveries.c.id == delivery_id)
        .order_by(instances.c.sop_instance_uid)
    )
    rows = connection.execute(sources).all()
    return () if any(row.removed_at for row in rows) else tuple(row.blob_key for row in rows)


def _update_pending(connection: Connection, delivery_id: UUID, **values: object) -> bool:
    """Whether it still was pending."""
    return _update_open(connection, delivery_id, ("pending",), **values)


def _update_open(connection: Connection, delivery_id: UUID, states: Sequence[str], **values: object) -> bool:
    """Whether it was in one of the states."""
    is_it = and_(deliveries.c.id == delivery_id, deliveries.c.state.in_(states))
    changed = update(deliveries).where(is_it).values(own_fault_since=None, **values)
    return connection.execute(changed).rowcount == 1


def enter(
    connection: Connection, delivery_id: UUID, event: LedgerEvent, facts: Mapping[str, object], *, now: datetime
) -> None:
    """Tell the ledger of a delivery."""
    columns = (
        result_files.c.sop_instance_uid,
        result_files.c.digest,
        deliveries.c.institution_id,
        deliveries.c.attempts,
    )
    row = connection.execute(
        select(*columns, peers.c.ae_title, peers.c.host, peers.c.port)
        .join_from(deliveries, result_files)
        .join(peers, peers.c.id == deliveries.c.peer_id)
        .where(deliveries.c.id == delivery_id)
    ).one()
    to = {"peer": row.ae_title, "host": row.host, "port": row.port, "attempts": row.attempts, "digest": row.digest}
    entry = NewEntry(
        institution_id=row.institution_id,
        event=event,
        sop_instance_uid=row.sop_instance_uid or "",
        facts={**to, **facts},
        recorded_at=now,
    )
    ledger.write(connection, [entry])


def _read(connection: Connection, ids: list[UUID]) -> tuple[DueDelivery, ...]:
    rows = connection.execute(
        select(
            deliveries.c.id,
            deliveries.c.attempts,
            peers.c.ae_title.label("peer_ae_title"),
            deliveries.c.problem,
            result_files.c.blob_key,
        )
        .join_from(deliveries, peers)
        .join(result_files, result_files.c.id == deliveries.c.result_file_id)
        .where(deliveries.c.id.in_(ids))
        .order_by(deliveries.c.peer_id, deliveries.c.planned_at, result_files.c.path)
    )
    return tuple(DueDelivery(**row) for row in rows.mappings())

"""Deliveries: the outbox. One row per DICOM result and receiving peer, committed together with the result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, and_, any_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.tables import (
    called_ae_titles,
    deliveries,
    instances,
    peers,
    reconstructions,
    result_files,
    result_sets,
    studies,
)
from pipeline.results import FileKind


@dataclass(frozen=True, kw_only=True)
class DueDelivery:
    """A file to be sent now.

    Attributes:
        id: Of the delivery.
        attempts: How often it was tried, this time included.
        peer_id: To whom.
        peer_ae_title: The peer's AE title (called).
        host: The peer's host.
        port: The peer's port.
        tls: Whether it is called over TLS.
        calling_ae_title: The AE title the institution knows us by.
        sop_class_uid: Of the file.
        sop_instance_uid: Of the file.
        blob_key: Where the file lies in the store.
    """

    id: UUID
    attempts: int
    peer_id: UUID
    peer_ae_title: str
    host: str
    port: int
    tls: bool
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    blob_key: str


@dataclass(frozen=True, kw_only=True)
class DeliveryLine:
    """How far the delivery of one file to one peer is.

    Attributes:
        title: What a person would call the file.
        peer_ae_title: To whom.
        state: One of `DELIVERY_STATES`.
        attempts: How often it was tried.
        problem: Why the last attempt failed.
    """

    title: str
    peer_ae_title: str
    state: str
    attempts: int
    problem: str


def plan(connection: Connection, *, result_set_id: UUID) -> int:
    """Plan the delivery of a result set's DICOM files to each receiving peer of its institution.

    What somebody uploaded stays in the viewer: the PACS does not know that study, and nobody asked it to take one.

    Returns:
        How many deliveries that makes.
    """
    _hold_study(connection, result_set_id)
    wanted = (
        select(result_files.c.institution_id, result_files.c.id, peers.c.id, literal("pending"))
        .join_from(result_files, peers, peers.c.institution_id == result_files.c.institution_id)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .join(studies, studies.c.id == result_sets.c.study_id)
        .where(
            result_sets.c.id == result_set_id,
            studies.c.uploaded_by.is_(None),
            result_files.c.kind.in_([kind.value for kind in FileKind if kind.is_dicom]),
            peers.c.receives,
        )
    )
    columns = ["institution_id", "result_file_id", "peer_id", "state"]
    planned = connection.execute(
        insert(deliveries).from_select(columns, wanted).on_conflict_do_nothing().returning(deliveries.c.id)
    )
    return len(planned.all())


def plan_for_study(connection: Connection, study_id: UUID) -> int:
    """Plan the delivery of what the study has been given so far; gives how many deliveries that makes."""
    newest = (
        select(result_sets.c.id)
        .join_from(result_sets, reconstructions)
        .where(
            result_sets.c.study_id == study_id,
            result_sets.c.replaced_at.is_(None),
            reconstructions.c.state == "reconstructed",
        )
        .order_by(reconstructions.c.queued_at.desc())
        .limit(1)
    )
    result_set_id = connection.execute(newest).scalar_one_or_none()
    return 0 if result_set_id is None else plan(connection, result_set_id=result_set_id)


def _hold_study(connection: Connection, result_set_id: UUID) -> None:
    """Whose study it is must not change until the plan is committed."""
    its_study = select(result_sets.c.study_id).where(result_sets.c.id == result_set_id).scalar_subquery()
    connection.execute(select(studies.c.id).where(studies.c.id == its_study).with_for_update())


def claim_due(
    connection: Connection, *, now: datetime, limit: int = 20, lease: timedelta = timedelta(minutes=5)
) -> tuple[DueDelivery, ...]:
    """Take deliveries whose time has come; nobody else gets them before the lease ends.

    Commit right away: the lease, not the transaction, keeps others off. A sender that dies leaves its deliveries to
    be claimed again when the lease is over.
    """
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.state == "pending", deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(due.scalar_subquery()))
        .values(next_attempt_at=now + lease, attempts=deliveries.c.attempts + 1)
        .returning(deliveries.c.id)
    ).scalars()
    return _read(connection, list(claimed))


def mark_delivered(connection: Connection, delivery_id: UUID, *, now: datetime) -> None:
    """The peer confirmed it; one that is no longer pending stays as it is."""
    _update_pending(connection, delivery_id, state="delivered", delivered_at=now, problem="")


def mark_failed(connection: Connection, delivery_id: UUID, *, problem: str, next_attempt_at: datetime | None) -> None:
    """The attempt failed; None: there will be no other, it is a dead letter.

    One that is no longer pending stays as it is: a sender that outlived its lease knows less than who came after it.
    """
    if next_attempt_at is None:
        _update_pending(connection, delivery_id, state="dead", problem=problem)
    else:
        _update_pending(connection, delivery_id, next_attempt_at=next_attempt_at, problem=problem)


def resend(connection: Connection, delivery_id: UUID, *, now: datetime) -> bool:
    """Send (again): as if it had never been tried. False where there is no such delivery."""
    again = {"state": "pending", "attempts": 0, "problem": "", "next_attempt_at": now, "delivered_at": None}
    changed = connection.execute(update(deliveries).where(deliveries.c.id == delivery_id).values(**again))
    return changed.rowcount == 1


def source_blob_keys(connection: Connection, delivery_id: UUID) -> tuple[str, ...]:
    """Where the radiographs lie that a delivery's file was made from."""
    keys = (
        select(instances.c.blob_key)
        .join_from(deliveries, result_files, result_files.c.id == deliveries.c.result_file_id)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .join(reconstructions, reconstructions.c.id == result_sets.c.reconstruction_id)
        .join(instances, instances.c.id == any_(reconstructions.c.instance_ids))
        .where(deliveries.c.id == delivery_id)
        .order_by(instances.c.sop_instance_uid)
    )
    return tuple(connection.execute(keys).scalars())


def of_result_set(connection: Connection, result_set_id: UUID) -> tuple[DeliveryLine, ...]:
    """How far the delivery of a result set is, in the order of its files."""
    rows = connection.execute(
        select(
            result_files.c.title,
            peers.c.ae_title.label("peer_ae_title"),
            deliveries.c.state,
            deliveries.c.attempts,
            deliveries.c.problem,
        )
        .join_from(deliveries, result_files)
        .join(peers, peers.c.id == deliveries.c.peer_id)
        .where(result_files.c.result_set_id == result_set_id)
        .order_by(peers.c.ae_title, result_files.c.path)
    )
    return tuple(DeliveryLine(**row) for row in rows.mappings())


def _update_pending(connection: Connection, delivery_id: UUID, **values: object) -> None:
    is_it = and_(deliveries.c.id == delivery_id, deliveries.c.state == "pending")
    connection.execute(update(deliveries).where(is_it).values(**values))


def _read(connection: Connection, ids: list[UUID]) -> tuple[DueDelivery, ...]:
    our_title = (
        select(func.min(called_ae_titles.c.ae_title))
        .where(called_ae_titles.c.institution_id == deliveries.c.institution_id)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(
            deliveries.c.id,
            deliveries.c.attempts,
            deliveries.c.peer_id,
            peers.c.ae_title.label("peer_ae_title"),
            peers.c.host,
            peers.c.port,
            peers.c.tls,
            func.coalesce(our_title, "BONECRAFT").label("calling_ae_title"),
            result_files.c.sop_class_uid,
            result_files.c.sop_instance_uid,
            result_files.c.blob_key,
        )
        .join_from(deliveries, peers)
        .join(result_files, result_files.c.id == deliveries.c.result_file_id)
        .where(deliveries.c.id.in_(ids))
        .order_by(deliveries.c.peer_id, result_files.c.path)
    )
    return tuple(DueDelivery(**row) for row in rows.mappings())

"""Removal: rows go in one transaction with what the ledger says of it; their blobs are listed there, and go later."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, select, update

from pipeline.records import blobs, ledger
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.retention import ON_ITS_WAY, Due, Rule, What, due
from pipeline.records.tables import (
    deliveries,
    instances,
    quarantine,
    reconstructions,
    rejected_attempts,
    result_files,
    result_sets,
    studies,
)


def remove_due(
    connection: Connection, rule: Rule, due_id: UUID, *, now: datetime, given_up: bool = False
) -> Due | None:
    """Remove what the rule says is due, where nothing holds it back (any more).

    Args:
        connection: Of a transaction of its own: the study stays locked until its end.
        rule: Which.
        due_id: Of a `Due`.
        now: When.
        given_up: Also what was given up and could be tried again.

    Returns:
        What was removed; None where it stays, or somebody else is at it.
    """
    if not _is_locked(connection, rule, due_id):
        return None
    found = due(connection, rule, now=now, only=due_id)
    if not found or (found[0].held_back and not (given_up and found[0].given_up)):
        return None
    match rule.what:
        case What.IMAGES:
            _remove_images(connection, due_id, reason=rule.sentence, now=now)
        case What.RESULTS | What.REPLACED_RESULTS:
            _remove_result(connection, due_id, reason=rule.sentence, now=now)
        case What.QUARANTINE:
            remove_quarantined(connection, quarantine.c.id == due_id, reason=rule.sentence, now=now)
        case What.REJECTED_ATTEMPTS:
            old = rejected_attempts.c.last_at < rule.oldest_kept(now)
            connection.execute(delete(rejected_attempts).where(rejected_attempts.c.institution_id == due_id, old))
    return found[0]


def remove_quarantined(connection: Connection, which: ColumnElement[bool], *, reason: str, now: datetime) -> int:
    """Remove files from quarantine with their bytes; gives how many."""
    columns = (quarantine.c[name] for name in ("institution_id", "sop_instance_uid", "blob_key", "size"))
    gone = connection.execute(delete(quarantine).where(which).returning(*columns)).all()
    _tell(connection, gone, reason=reason, now=now)
    blobs.release(connection, [row.blob_key for row in gone])
    return len(gone)


def _is_locked(connection: Connection, rule: Rule, due_id: UUID) -> bool:
    """Whether the study it is about is ours until the end of the transaction; what is about none needs no lock."""
    match rule.what:
        case What.IMAGES:
            study = studies.c.id == due_id
        case What.RESULTS | What.REPLACED_RESULTS:
            study = studies.c.id == select(result_sets.c.study_id).where(result_sets.c.id == due_id).scalar_subquery()
        case _:
            return True
    return connection.execute(select(studies.c.id).where(study).with_for_update(skip_locked=True)).first() is not None


def _remove_images(connection: Connection, study_id: UUID, *, reason: str, now: datetime) -> None:
    """The rows stay, marked: the same images may come again, and what was made of them stays known."""
    is_here = (instances.c.study_id == study_id, instances.c.removed_at.is_(None))
    columns = (instances.c[name] for name in ("institution_id", "sop_instance_uid", "blob_key", "size"))
    gone = connection.execute(
        update(instances).where(*is_here).values(removed_at=now, attributes=None).returning(*columns)
    ).all()
    _tell(connection, gone, reason=reason, now=now)
    blobs.release(connection, [row.blob_key for row in gone])
    _forget_if_nothing_is_left(connection, study_id)


def _remove_result(connection: Connection, result_set_id: UUID, *, reason: str, now: datetime) -> None:
    its_files = result_files.c.result_set_id == result_set_id
    of_it = deliveries.c.result_file_id.in_(select(result_files.c.id).where(its_files))
    connection.execute(delete(deliveries).where(of_it))
    columns = (result_files.c[name] for name in ("institution_id", "sop_instance_uid", "blob_key", "size"))
    gone = connection.execute(delete(result_files).where(its_files).returning(*columns)).all()
    _tell(connection, [row for row in gone if row.sop_instance_uid], reason=reason, now=now)
    blobs.release(connection, [row.blob_key for row in gone])
    removed = delete(result_sets).where(result_sets.c.id == result_set_id).returning(result_sets.c.study_id)
    study_id = connection.execute(removed).scalar_one()
    connection.execute(update(studies).where(studies.c.id == study_id).values(results_removed_at=now))
    _forget_if_nothing_is_left(connection, study_id)


def _forget_if_nothing_is_left(connection: Connection, study_id: UUID) -> None:
    """A study without an image and without a result: whose it was is not kept either; the ledger has its UIDs."""
    has_image = exists().where(instances.c.study_id == study_id, instances.c.removed_at.is_(None))
    has_result = exists().where(result_sets.c.study_id == study_id)
    empty = select(studies.c.id).where(studies.c.id == study_id, studies.c.state.not_in(ON_ITS_WAY))
    if connection.execute(empty.where(~has_image, ~has_result)).first() is None:
        return
    for table in (instances, reconstructions):
        connection.execute(delete(table).where(table.c.study_id == study_id))
    connection.execute(delete(studies).where(studies.c.id == study_id))


def _tell(connection: Connection, gone: Iterable[Row[Any]], *, reason: str, now: datetime) -> None:
    """Tell the ledger of the instances whose bytes go; a blob's key ends with their digest."""
    ledger.write(
        connection,
        [
            NewEntry(
                institution_id=row.institution_id,
                event=LedgerEvent.REMOVED,
                sop_instance_uid=row.sop_instance_uid,
                facts={"reason": reason, "digest": row.blob_key.rpartition("/")[2], "size": row.size},
                recorded_at=now,
            )
            for row in gone
            if row.institution_id is not None
        ],
    )

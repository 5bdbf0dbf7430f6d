"""How the node is doing: queue, deliveries, dead letters. No patient data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, func, select

from pipeline.records import fetches, sources
from pipeline.records.commitment_reports import FailedReport, failed
from pipeline.records.destinations import Outage, outages
from pipeline.records.fetches import FetchLine
from pipeline.records.own_faults import OwnFault, own_faults
from pipeline.records.quarantine import QuarantineLine, newest
from pipeline.records.sources import SourceLine
from pipeline.records.tables import (
    deliveries,
    institutions,
    peers,
    quarantine,
    reconstructions,
    result_files,
    studies,
)


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """A study received lately; what it waits for is to be believed while it is `receiving`."""

    id: UUID
    state: str
    last_received_at: datetime
    waits_for: str
    wait_until: datetime | None


@dataclass(frozen=True, kw_only=True)
class FailedReconstruction:
    """A dead letter of the workers; run it again with `pipeline.jobs.rerun`."""

    id: UUID
    study_id: UUID
    attempts: int
    problem: str
    traceback: str
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class FailedDelivery:
    """A dead letter of the delivery; send it again with `pipeline.records.deliveries.resend`."""

    id: UUID
    institution: str
    peer: str
    sop_class_uid: str | None
    attempts: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class NotAccepted:
    """A kind of object that a peer (INSTITUTION/TITLE) does not take; `pipeline.records.deliveries.resend_failed`."""

    peer: str
    sop_class_uid: str | None
    files: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything at one moment. The mappings count rows by state; states without rows are missing.

    `to_rerun`: how many reconstructions failed, and no later one of their study took their place.
    """

    studies: Mapping[str, int]
    reconstructions: Mapping[str, int]
    deliveries: Mapping[str, int]
    quarantined: int
    oldest_queued_at: datetime | None
    last_studies: tuple[StudyLine, ...]
    to_rerun: int
    failed_reconstructions: tuple[FailedReconstruction, ...]
    failed_deliveries: tuple[FailedDelivery, ...]
    outages: tuple[Outage, ...]
    own_faults: tuple[OwnFault, ...]
    not_accepted: tuple[NotAccepted, ...]
    last_quarantined: tuple[QuarantineLine, ...]
    failed_commitment_reports: tuple[FailedReport, ...]
    fetches: tuple[FetchLine, ...]
    sources: tuple[SourceLine, ...]


def snapshot(connection: Connection, *, last: int = 10) -> Snapshot:
    """How the node is doing now, with its `last` studies and dead letters."""
    queued = select(func.min(reconstructions.c.queued_at)).where(reconstructions.c.state == "queued")
    return Snapshot(
        studies=_count_by(connection, studies.c.state),
        reconstructions=_count_by(connection, reconstructions.c.state),
        deliveries=_count_by(connection, deliveries.c.state),
        quarantined=int(connection.execute(select(func.count()).select_from(quarantine)).scalar_one()),
        oldest_queued_at=connection.execute(queued).scalar(),
        last_studies=_last_studies(connection, last),
        to_rerun=int(connection.execute(select(func.count()).where(*_is_to_be_rerun())).scalar_one()),
        failed_reconstructions=_failed_reconstructions(connection, last),
        failed_deliveries=_failed_deliveries(connection, last),
        outages=outages(connection),
        own_faults=own_faults(connection),
        not_accepted=_not_accepted(connection),
        last_quarantined=newest(connection, limit=last),
        failed_commitment_reports=failed(connection),
        fetches=fetches.lines(connection, last=last),
        sources=sources.lines(connection),
    )


def _count_by(connection: Connection, column: Column[Any]) -> dict[str, int]:
    table: Table = column.table
    rows = connection.execute(select(column, func.count()).select_from(table).group_by(column))
    return {state: int(count) for state, count in rows}


def _last_studies(connection: Connection, last: int) -> tuple[StudyLine, ...]:
    rows = connection.execute(
        select(*(studies.c[name] for name in StudyLine.__dataclass_fields__))
        .order_by(studies.c.last_received_at.desc())
        .limit(last)
    )
    return tuple(StudyLine(**row) for row in rows.mappings())


def _is_to_be_rerun() -> tuple[ColumnElement[bool], ...]:
    """SQL on `reconstructions`: it failed, and is its study's newest; no other can be run again."""
    newer = reconstructions.alias()
    later = and_(newer.c.study_id == reconstructions.c.study_id, newer.c.queued_at > reconstructions.c.queued_at)
    return reconstructions.c.state == "failed", ~select(newer.c.id).where(later).exists()


def _failed_reconstructions(connection: Connection, last: int) -> tuple[FailedReconstruction, ...]:
    rows = connection.execute(
        select(*(reconstructions.c[name] for name in FailedReconstruction.__dataclass_fields__))
        .where(*_is_to_be_rerun())
        .order_by(reconstructions.c.finished_at.desc())
        .limit(last)
    )
    return tuple(FailedReconstruction(**row) for row in rows.mappings())


def _failed_deliveries(connection: Connection, last: int) -> tuple[FailedDelivery, ...]:
    rows = connection.execute(
        select(
            deliveries.c.id,
            institutions.c.slug.label("institution"),
            peers.c.ae_title.label("peer"),
            result_files.c.sop_class_uid,
            deliveries.c.attempts,
            deliveries.c.problem,
        )
        .join_from(deliveries, peers)
        .join(institutions, institutions.c.id == peers.c.institution_id)
        .join(result_files, result_files.c.id == deliveries.c.result_file_id)
        .where(deliveries.c.state == "dead")
        .order_by(deliveries.c.next_attempt_at.desc())
        .limit(last)
    )
    return tuple(FailedDelivery(**row) for row in rows.mappings())


def _not_accepted(connection: Connection) -> tuple[NotAccepted, ...]:
    full_name = (institutions.c.slug + "/" + peers.c.ae_title).label("peer")
    kind = (full_name, result_files.c.sop_class_uid, deliveries.c.problem)
    rows = connection.execute(
        select(*kind, func.count().label("files"))
        .join_from(deliveries, peers)
        .join(institutions, institutions.c.id == peers.c.institution_id)
        .join(result_files, result_files.c.id == deliveries.c.result_file_id)
        .where(deliveries.c.state == "not-accepted")
        .group_by(*kind)
        .order_by(*kind)
    )
    return tuple(NotAccepted(**row) for row in rows.mappings())

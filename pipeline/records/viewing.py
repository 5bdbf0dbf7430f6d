"""What is only shown: whom one may register with, an institution's peers, where a study's results went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, select

from pipeline.records.directory import Peer, as_peer
from pipeline.records.studies import StudyScope, in_scope
from pipeline.records.tables import (
    deliveries,
    fetches,
    instances,
    institutions,
    peers,
    result_files,
    result_sets,
    studies,
)


@dataclass(frozen=True, kw_only=True)
class InstitutionChoice:
    """An institution by its name."""

    id: UUID
    slug: str
    name: str


@dataclass(frozen=True, kw_only=True)
class DeliveryLine:
    """How the delivery of one file to one peer stands.

    Attributes:
        title: What a person would call the file.
        peer: The peer's AE title.
        state: One of `DELIVERY_STATES`.
        problem: Why it is not there.
        note: What else is to be known of it though it is there.
    """

    title: str
    peer: str
    state: str
    problem: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Removals:
    """What of a study was removed, and when; None: nothing."""

    images_at: datetime | None
    results_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class EarlierStudy:
    """A study that was fetched to compare another one with; its date as DICOM writes it."""

    id: UUID
    study_date: str


def institution_choices(connection: Connection) -> tuple[InstitutionChoice, ...]:
    """All institutions, by name."""
    columns = (institutions.c.id, institutions.c.slug, institutions.c.name)
    rows = connection.execute(select(*columns).order_by(institutions.c.name)).mappings()
    return tuple(InstitutionChoice(**row) for row in rows)


def peers_of(connection: Connection, institution_id: UUID) -> tuple[Peer, ...]:
    """An institution's peers, by AE title."""
    query = select(peers).where(peers.c.institution_id == institution_id).order_by(peers.c.ae_title)
    return tuple(map(as_peer, connection.execute(query).mappings()))


def deliveries_of(connection: Connection, scope: StudyScope, study_id: UUID) -> tuple[DeliveryLine, ...]:
    """The deliveries of a study of the scope, the newest result's first."""
    its_own = (result_sets.c.study_id == study_id, in_scope(scope, result_sets.c.study_id))
    newest_first = (result_sets.c.created_at.desc(), peers.c.ae_title, result_files.c.title)
    return _lines(connection, _select_lines().where(*its_own).order_by(*newest_first))


def deliveries_of_result(connection: Connection, result_set_id: UUID) -> tuple[DeliveryLine, ...]:
    """The deliveries of a result set, in the order of its files."""
    in_order = (peers.c.ae_title, result_files.c.path)
    return _lines(connection, _select_lines().where(result_sets.c.id == result_set_id).order_by(*in_order))


def _select_lines() -> Select[Any]:
    columns = (result_files.c.title, peers.c.ae_title, *(deliveries.c[name] for name in ("state", "problem", "note")))
    joined = deliveries.join(peers).join(result_files, result_files.c.id == deliveries.c.result_file_id)
    return select(*columns).select_from(joined.join(result_sets, result_sets.c.id == result_files.c.result_set_id))


def _lines(connection: Connection, query: Select[Any]) -> tuple[DeliveryLine, ...]:
    return tuple(
        DeliveryLine(title=row.title, peer=row.ae_title, state=row.state, problem=row.problem, note=row.note)
        for row in connection.execute(query)
    )


def removals_of(connection: Connection, study_id: UUID) -> Removals:
    """What of a study was removed, because it had been kept long enough."""
    images = select(func.max(instances.c.removed_at)).where(instances.c.study_id == study_id)
    results = select(studies.c.results_removed_at).where(studies.c.id == study_id)
    return Removals(
        images_at=connection.execute(images).scalar_one(), results_at=connection.execute(results).scalar_one()
    )


def earlier_studies(connection: Connection, scope: StudyScope, study_id: UUID) -> tuple[EarlierStudy, ...]:
    """The studies of the scope that were fetched to compare this one with, the newest first."""
    fetched = (fetches.c.fetched_study_uid == studies.c.study_instance_uid) & (
        fetches.c.institution_id == studies.c.institution_id
    )
    rows = connection.execute(
        select(studies.c.id, studies.c.study_date)
        .join_from(fetches, studies, fetched)
        .where(fetches.c.study_id == study_id, scope.condition)
        .distinct()
        .order_by(studies.c.study_date.desc())
    )
    return tuple(EarlierStudy(**row) for row in rows.mappings())

"""What only the viewer asks: whom one may register with, an institution's peers, where a study's results went."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, select

from pipeline.records.directory import Peer
from pipeline.records.studies import StudyScope, in_scope
from pipeline.records.tables import deliveries, institutions, peers, result_files, result_sets


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


def institution_choices(connection: Connection) -> tuple[InstitutionChoice, ...]:
    """All institutions, by name."""
    columns = (institutions.c.id, institutions.c.slug, institutions.c.name)
    rows = connection.execute(select(*columns).order_by(institutions.c.name)).mappings()
    return tuple(InstitutionChoice(**row) for row in rows)


def peers_of(connection: Connection, institution_id: UUID) -> tuple[Peer, ...]:
    """An institution's peers, by AE title."""
    query = select(peers).where(peers.c.institution_id == institution_id).order_by(peers.c.ae_title)
    rows = connection.execute(query).mappings()
    return tuple(Peer(**{**row, "allow_from": tuple(row["allow_from"])}) for row in rows)


def deliveries_of(connection: Connection, scope: StudyScope, study_id: UUID) -> tuple[DeliveryLine, ...]:
    """The deliveries of a study of the scope, the newest result's first."""
    query = (
        select(
            result_files.c.title,
            peers.c.ae_title.label("peer"),
            deliveries.c.state,
            deliveries.c.problem,
            deliveries.c.note,
        )
        .join_from(deliveries, peers)
        .join(result_files, result_files.c.id == deliveries.c.result_file_id)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .where(result_sets.c.study_id == study_id, in_scope(scope, result_sets.c.study_id))
        .order_by(result_sets.c.created_at.desc(), peers.c.ae_title, result_files.c.title)
    )
    return tuple(DeliveryLine(**row) for row in connection.execute(query).mappings())

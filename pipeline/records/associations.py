"""Senders that are connected: a study that is still being sent is not quiet.

Each listener writes down the associations that it has, every few seconds. What a listener that died had is forgotten
when it has not been seen for a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, and_, delete, exists, insert, or_, select

from pipeline.records.tables import instances, institutions, open_associations

FORGOTTEN_AFTER: Final = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class OpenAssociation:
    """A peer that may send is connected.

    Attributes:
        id: Of its own.
        institution_id: Whose peer.
        calling_ae_title: Which.
        study_id: The study of the last image that came; None while none has come.
    """

    id: UUID
    institution_id: UUID
    calling_ae_title: str
    study_id: UUID | None


def write_down(
    connection: Connection, listener: UUID, associations: Iterable[OpenAssociation], *, now: datetime
) -> None:
    """Say what a listener has, in place of what it said before; forget what dead listeners said.

    An institution may be removed while its senders are connected: nobody waits for these any more.
    """
    of_dead = open_associations.c.seen_at < now - FORGOTTEN_AFTER
    connection.execute(delete(open_associations).where(or_(open_associations.c.listener == listener, of_dead)))
    known = frozenset(connection.execute(select(institutions.c.id)).scalars())
    rows = [
        {
            "id": each.id,
            "listener": listener,
            "institution_id": each.institution_id,
            "calling_ae_title": each.calling_ae_title,
            "study_id": each.study_id,
            "seen_at": now,
        }
        for each in associations
        if each.institution_id in known
    ]
    if rows:
        connection.execute(insert(open_associations), rows)


def forget(connection: Connection, association_id: UUID) -> None:
    """The association has ended."""
    connection.execute(delete(open_associations).where(open_associations.c.id == association_id))


def is_being_sent(connection: Connection, study_id: UUID, *, now: datetime) -> bool:
    """Whether one of the study's senders is connected, and sends to it or has not said yet to which study."""
    sent_to_it = exists().where(
        instances.c.study_id == study_id,
        instances.c.institution_id == open_associations.c.institution_id,
        instances.c.calling_ae_title == open_associations.c.calling_ae_title,
        instances.c.called_ae_title != "",
    )
    undecided = and_(open_associations.c.study_id.is_(None), sent_to_it)
    found = select(open_associations.c.id).where(
        open_associations.c.seen_at >= now - FORGOTTEN_AFTER,
        or_(open_associations.c.study_id == study_id, undecided),
    )
    return connection.execute(found.limit(1)).one_or_none() is not None

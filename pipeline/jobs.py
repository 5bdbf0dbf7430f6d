"""Jobs: how a study that is ready becomes work, in the same transaction that says so.

PgQueuer keeps the queue in the same PostgreSQL; `enqueue` runs its INSERT on our own connection, so the job exists if
and only if the reconstruction's row does. Its trigger then wakes a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from pgqueuer.ports.driver import SyncDriver
from pgqueuer.queries import SyncQueries
from psycopg import RawCursor
from psycopg.rows import dict_row
from sqlalchemy import Connection

from pipeline.records import instances, reconstructions, results, studies
from pipeline.records.instances import Instance
from pipeline.records.studies import LockedStudy
from pipeline.settling import NotYet, ReceivedView, StudyFacts, input_digest, is_ready

RECONSTRUCT: Final = "reconstruct"
"""The queue's name for our only kind of job; its payload is the reconstruction's ID."""

log = structlog.get_logger(__name__)


class _OurTransaction(SyncDriver):
    """PgQueuer's driver over a SQLAlchemy connection; its own insist on committing every statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run one statement in the open transaction."""
        raw: Any = self._connection.connection.driver_connection
        cursor = RawCursor(raw, row_factory=dict_row)
        cursor.execute(query.encode(), args or None)
        return cursor.fetchall()


def enqueue(connection: Connection, reconstruction_id: UUID) -> None:
    """Make a reconstruction a job; it exists when the caller commits."""
    SyncQueries(_OurTransaction(connection)).enqueue(RECONSTRUCT, str(reconstruction_id).encode())


def settle(connection: Connection, study: LockedStudy, *, now: datetime) -> UUID | None:
    """Queue the study's reconstruction if it is ready; the caller holds the study's lock.

    Returns:
        The new reconstruction; None while the study waits, and where this very input was queued before.
    """
    radiographs = instances.radiographs_of(connection, study.id)
    if isinstance(is_ready(_facts(study, radiographs), now), NotYet):
        return None
    digest = input_digest(radiograph.digest for radiograph in radiographs)
    created = reconstructions.queue(
        connection,
        institution_id=study.institution_id,
        study_id=study.id,
        input_digest=digest,
        instance_ids=[radiograph.id for radiograph in radiographs],
    )
    if created is None:
        studies.set_state(connection, study.id, reconstructions.state_for(connection, study.id, digest) or "queued")
        return None
    enqueue(connection, created)
    studies.set_state(connection, study.id, "queued")
    log.info("study_ready", study=str(study.id), reconstruction=str(created), views=len(radiographs))
    return created


def settle_due(connection: Connection, *, now: datetime) -> tuple[UUID, ...]:
    """Queue what has become ready by waiting; studies that another process is settling are left to it."""
    queued = (settle(connection, study, now=now) for study in studies.lock_due(connection, now=now))
    return tuple(created for created in queued if created is not None)


def rerun(connection: Connection, reconstruction_id: UUID) -> bool:
    """Run a failed or refused reconstruction again, with all its attempts.

    Returns:
        False where there is no such reconstruction, or it is queued, running or has succeeded.
    """
    reconstruction = reconstructions.lock(connection, reconstruction_id)
    if reconstruction is None or reconstruction.state not in ("failed", "refused"):
        return False
    results.discard(connection, reconstruction_id)
    reconstructions.reset(connection, reconstruction)
    enqueue(connection, reconstruction_id)
    return True


def _facts(study: LockedStudy, radiographs: Sequence[Instance]) -> StudyFacts:
    return StudyFacts(
        views=tuple(ReceivedView(view=r.facts.get("view", ""), side=r.facts.get("side", "")) for r in radiographs),
        last_received_at=study.last_received_at,
        quiet_time=timedelta(seconds=study.quiet_seconds),
    )

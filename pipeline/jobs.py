"""Jobs: how a study that is ready becomes work, in the same transaction that says so.

The institution's rules say whether it does, and how urgent it is. Urgent jobs get a head start in the queue, no more:
everybody's turn comes nearer with the time they wait, so that a job that waits for longer than an urgent one's head
start goes before it, however many urgent ones keep coming.

PgQueuer keeps the queue in the same PostgreSQL; `enqueue` runs its INSERT on our own connection, so the job exists if
and only if the reconstruction's row does. Its trigger then wakes a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from pgqueuer.ports.driver import SyncDriver
from pgqueuer.queries import SyncQueries
from psycopg import RawCursor
from psycopg.rows import dict_row
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from pipeline.errors import InputError
from pipeline.records import associations, fetches, instances, reconstructions, rules, studies
from pipeline.records.instances import Instance
from pipeline.records.studies import LockedStudy
from pipeline.rules import Priority, Rule
from pipeline.rules_verdict import ImageFacts, how_urgent, whether_to_process
from pipeline.settling import NotYet, ReceivedView, StudyFacts, input_digest, is_ready
from pipeline.waits import wait_for

RECONSTRUCT: Final = "reconstruct"
"""The queue's name for our only kind of job; its payload is the reconstruction's ID."""

LOOKED_AT_AGAIN: Final = timedelta(minutes=5)
"""So long after it could not be settled a study is looked at again."""

_BEGINNING: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Where places in the queue are counted from; seconds since then fit into 32 bits until 2088."""

FETCHED_TO_COMPARE: Final = "the node: it was fetched to compare a newer study with"
"""Nobody asked for results in a study that was read long ago."""

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


def enqueue(
    connection: Connection, reconstruction_id: UUID, *, priority: Priority, since: datetime | None = None
) -> None:
    """Make a reconstruction a job; it exists when the caller commits.

    Args:
        connection: Of the caller's transaction.
        reconstruction_id: Which.
        priority: How urgent.
        since: Since when it waits; None: from now on, by the clock of the database that all workers share.
    """
    waits_since = since or connection.execute(select(func.clock_timestamp())).scalar_one()
    place = place_in_queue(priority, waits_since)
    SyncQueries(_OurTransaction(connection)).enqueue(RECONSTRUCT, str(reconstruction_id).encode(), priority=place)


def place_in_queue(priority: Priority, since: datetime) -> int:
    """PgQueuer's priority, a 32-bit integer of which the largest is first: seconds, the earlier the larger."""
    return -int((since - priority.head_start - _BEGINNING).total_seconds())


def settle(connection: Connection, study: LockedStudy, *, now: datetime, is_being_sent: bool = False) -> UUID | None:
    """Queue the study's reconstruction if it is ready; the caller holds the study's lock.

    Args:
        connection: Open connection.
        study: A study that waits; it is written down as it is given.
        now: What time it is.
        is_being_sent: Somebody who sends to it is known to be connected.

    Returns:
        The new reconstruction; None while the study waits, where a rule leaves it out, and where this very input was
        queued before. A study of which retention removed images waits for all of them: what came of all is not replaced
        by what comes of some.
    """
    radiographs = instances.radiographs_if_kept(connection, study.id)
    if radiographs is None:
        studies.write_down(connection, study)
        studies.set_state(connection, study.id, reconstructions.newest_state(connection, study.id) or "out-of-scope")
        return None
    is_being_sent = is_being_sent or associations.is_being_sent(connection, study.id, now=now)
    verdict = is_ready(_facts(study, radiographs, is_being_sent=is_being_sent), now)
    if isinstance(verdict, NotYet):
        studies.wait(connection, study, verdict)
        return None
    studies.write_down(connection, study)
    ruled, images = rules.of_institution(connection, study.institution_id), rules.images_of_study(connection, study.id)
    because = _why_left_out(connection, study, ruled, images)
    if because and not rules.is_wanted(connection, study.id):
        rules.leave_out(connection, study.id, because)
        log.info("study_left_out", study=str(study.id), by=because)
        return None
    created = _queue(connection, study, radiographs, how_urgent(ruled, images).choice)
    if created is not None:
        log.info("study_ready", study=str(study.id), reconstruction=str(created), views=len(radiographs))
    return created


def _why_left_out(
    connection: Connection, study: LockedStudy, ruled: Sequence[Rule], images: Sequence[ImageFacts]
) -> str:
    """What keeps the study from being reconstructed; empty where nothing does."""
    if fetches.was_fetched_as_prior(connection, study.id):
        return FETCHED_TO_COMPARE
    decision = whether_to_process(ruled, images)
    return "" if decision.choice else decision.because


def _queue(
    connection: Connection, study: LockedStudy, radiographs: Sequence[Instance], priority: Priority
) -> UUID | None:
    """The new reconstruction, or None where this very input was queued before."""
    digest = input_digest(radiograph.digest for radiograph in radiographs)
    created = reconstructions.queue(
        connection,
        institution_id=study.institution_id,
        study_id=study.id,
        input_digest=digest,
        instance_ids=[radiograph.id for radiograph in radiographs],
        priority=priority,
    )
    if created is None:
        studies.set_state(connection, study.id, reconstructions.state_for(connection, study.id, digest) or "queued")
        return None
    enqueue(connection, created, priority=priority)
    studies.set_state(connection, study.id, "queued")
    return created


def settle_due(connection: Connection, *, now: datetime) -> tuple[UUID, ...]:
    """Queue what has become ready by waiting; studies that another process is settling are left to it."""
    queued = (_settle_alone(connection, study, now=now) for study in studies.lock_due(connection, now=now))
    return tuple(created for created in queued if created is not None)


def _settle_alone(connection: Connection, study: LockedStudy, *, now: datetime) -> UUID | None:
    """See `settle`; a study that cannot be settled keeps no other waiting, and is looked at again later."""
    try:
        with connection.begin_nested():
            return settle(connection, study, now=now)
    except (OperationalError, InterfaceError):
        raise  # the database went away
    except Exception as error:  # noqa: BLE001 - whatever one study holds; the text may hold a row
        log.error("study_not_settled", study=str(study.id), error=type(error).__name__)  # noqa: TRY400 - for that reason
        studies.look_again(connection, study.id, now + LOOKED_AT_AGAIN)
        return None


def settle_study(connection: Connection, study_id: UUID, *, now: datetime) -> UUID | None:
    """Look at one study that may be ready since its sender has finished; see `settle`."""
    study = studies.lock_waiting(connection, study_id)
    return None if study is None else settle(connection, study, now=now)


def process_anyway(connection: Connection, study_id: UUID, *, who: str) -> bool:
    """Reconstruct a study that a rule left out; later images of it will be taken, too.

    Returns:
        False where there is no such study, or no rule left it out.

    Raises:
        InputError: Retention has removed one of its images.
    """
    study = studies.lock(connection, study_id)
    if study is None or study.state != "left-out":
        return False
    _check_that_images_are_kept(connection, study.id)
    rules.want(connection, study.id, who=who)
    ruled, images = rules.of_institution(connection, study.institution_id), rules.images_of_study(connection, study.id)
    radiographs = instances.radiographs_of(connection, study.id)
    _queue(connection, study, radiographs, how_urgent(ruled, images).choice)
    return True


def rerun(connection: Connection, reconstruction_id: UUID) -> bool:
    """Run a reconstruction that has ended again, with all its attempts; what it had made stands until it ends anew.

    Args:
        connection: Open connection.
        reconstruction_id: Which; or a study, whose newest is meant.

    Returns:
        False where there is no such reconstruction, or it is queued or running, or the study has a newer one.

    Raises:
        InputError: Retention has removed an image that it was made from.
    """
    reconstruction = reconstructions.lock(connection, reconstruction_id) or reconstructions.lock_newest(
        connection, reconstruction_id
    )
    if reconstruction is None or reconstruction.state not in ("failed", "refused", "reconstructed"):
        return False
    if reconstructions.newest_id(connection, reconstruction.study_id) != reconstruction.id:
        return False
    _check_that_images_are_kept(connection, reconstruction.study_id)
    reconstructions.reset(connection, reconstruction)
    enqueue(connection, reconstruction.id, priority=Priority(reconstruction.priority))
    return True


def _check_that_images_are_kept(connection: Connection, study_id: UUID) -> None:
    if instances.any_removed(connection, study_id):
        raise InputError("its images were removed, as they were kept long enough: send all images of the study again")


def _facts(study: LockedStudy, radiographs: Sequence[Instance], *, is_being_sent: bool) -> StudyFacts:
    views = tuple(
        ReceivedView(
            view=radiograph.facts.get("view", ""),
            side=radiograph.facts.get("side", ""),
            body_part=radiograph.facts.get("body_part", ""),
        )
        for radiograph in radiographs
    )
    return StudyFacts(
        views=views,
        waiting_since=study.waiting_since,
        last_received_at=study.last_received_at,
        is_being_sent=is_being_sent,
        wait=wait_for(study.waits, {view.body_part for view in views}),
    )

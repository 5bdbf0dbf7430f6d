"""Storage commitments that peers ask us for: remembered with the request, reported until the peer has heard.

PS3.4 Annex J. What we answer is decided when we report: by then the bytes are read again, and hashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records import ledger
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.tables import commitment_reports, instances, peers

KEPT_FOR: Final = timedelta(days=7)
"""So long a report that was made stays here; the ledger keeps what it said."""


@dataclass(frozen=True, kw_only=True)
class DueReport:
    """A report to be made now.

    Attributes:
        id: Its row.
        institution_id: Whose peer asked.
        peer_id: The peer.
        transaction_uid: As the peer named its question.
        called_ae_title: As whom the peer asked us, so as whom we answer.
        instances: (SOPClassUID, SOPInstanceUID) of each.
        attempts: How often it was tried, this time included.
        requested_at: When the peer asked.
    """

    id: UUID
    institution_id: UUID
    peer_id: UUID
    transaction_uid: str
    called_ae_title: str
    instances: tuple[tuple[str, str], ...]
    attempts: int
    requested_at: datetime


@dataclass(frozen=True, kw_only=True)
class Holding:
    """An instance that the records say we keep."""

    sop_class_uid: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class FailedReport:
    """A peer that could not be told."""

    peer: str
    instances: int
    attempts: int
    problem: str
    is_given_up: bool


def add(
    connection: Connection,
    *,
    institution_id: UUID,
    peer_id: UUID,
    transaction_uid: str,
    called_ae_title: str,
    instances: Sequence[tuple[str, str]],
    now: datetime,
) -> None:
    """Remember what a peer asked; a question that it asks again is answered again."""
    asked = {"called_ae_title": called_ae_title, "instances": [list(pair) for pair in instances]}
    fresh = {"state": "pending", "attempts": 0, "problem": "", "requested_at": now, "next_attempt_at": now}
    statement = insert(commitment_reports).values(
        institution_id=institution_id, peer_id=peer_id, transaction_uid=transaction_uid, **asked, **fresh
    )
    key = [commitment_reports.c.peer_id, commitment_reports.c.transaction_uid]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_={**asked, **fresh}))


def peers_due(connection: Connection, *, now: datetime) -> tuple[UUID, ...]:
    """The peers that wait for a report."""
    is_due = (commitment_reports.c.state == "pending") & (commitment_reports.c.next_attempt_at <= now)
    return tuple(connection.execute(select(commitment_reports.c.peer_id).where(is_due).distinct()).scalars())


def claim_due(connection: Connection, peer_id: UUID, *, now: datetime, lease: timedelta) -> DueReport | None:
    """Take the peer's oldest report that is due; nobody else gets it before the lease ends. Commit right away."""
    columns = commitment_reports.c
    oldest = (
        select(columns.id)
        .where(columns.peer_id == peer_id, columns.state == "pending", columns.next_attempt_at <= now)
        .order_by(columns.requested_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = connection.execute(
        update(commitment_reports)
        .where(columns.id == oldest.scalar_subquery())
        .values(next_attempt_at=now + lease, attempts=columns.attempts + 1)
        .returning(commitment_reports)
    ).one_or_none()
    if row is None:
        return None
    named = {name: getattr(row, name) for name in DueReport.__dataclass_fields__ if name != "instances"}
    return DueReport(instances=tuple((pair[0], pair[1]) for pair in row.instances), **named)


def holdings(connection: Connection, institution_id: UUID, uids: Sequence[str]) -> dict[str, Holding]:
    """What the records say of these instances: of several under one UID, the one in use."""
    rows = connection.execute(
        select(instances.c.sop_instance_uid, instances.c.sop_class_uid, instances.c.digest).where(
            instances.c.institution_id == institution_id,
            instances.c.sop_instance_uid.in_(uids),
            ~instances.c.superseded,
            instances.c.removed_at.is_(None),
        )
    )
    return {row.sop_instance_uid: Holding(sop_class_uid=row.sop_class_uid, digest=row.digest) for row in rows}


def mark_reported(connection: Connection, report: DueReport, *, kept: Sequence[str], peer: str, now: datetime) -> None:
    """The peer has heard which instances we keep; the ledger remembers that for each, for good."""
    done = {"state": "reported", "reported_at": now, "problem": ""}
    connection.execute(update(commitment_reports).where(commitment_reports.c.id == report.id).values(**done))
    old = and_(commitment_reports.c.peer_id == report.peer_id, commitment_reports.c.reported_at < now - KEPT_FOR)
    connection.execute(delete(commitment_reports).where(old, commitment_reports.c.state == "reported"))
    known = frozenset(kept)
    ledger.write(
        connection,
        [
            NewEntry(
                institution_id=report.institution_id,
                event=LedgerEvent.COMMITMENT_GIVEN,
                sop_instance_uid=uid,
                facts={"peer": peer, "transaction": report.transaction_uid, "kept": uid in known},
                recorded_at=now,
            )
            for _, uid in report.instances
        ],
    )


def mark_failed(connection: Connection, report: DueReport, *, problem: str, next_attempt_at: datetime | None) -> None:
    """The peer could not be told; None: it was tried for long enough, and may ask again."""
    again = {"state": "dead"} if next_attempt_at is None else {"next_attempt_at": next_attempt_at}
    ours = commitment_reports.c.id == report.id
    connection.execute(update(commitment_reports).where(ours).values(problem=problem, **again))


def put_off(connection: Connection, report: DueReport, *, problem: str, until: datetime) -> None:
    """It could not be made ready, which is not the peer's fault: the attempt does not count."""
    columns = commitment_reports.c
    untried = {"attempts": columns.attempts - 1, "problem": problem, "next_attempt_at": until}
    connection.execute(update(commitment_reports).where(columns.id == report.id).values(**untried))


def failed(connection: Connection) -> tuple[FailedReport, ...]:
    """The reports that were given up, and those that wait for another attempt."""
    rows = connection.execute(
        select(
            peers.c.ae_title.label("peer"),
            func.jsonb_array_length(commitment_reports.c.instances).label("instances"),
            commitment_reports.c.attempts,
            commitment_reports.c.problem,
            (commitment_reports.c.state == "dead").label("is_given_up"),
        )
        .join_from(commitment_reports, peers)
        .where(commitment_reports.c.state != "reported", commitment_reports.c.problem != "")
        .order_by(commitment_reports.c.requested_at.desc())
        .limit(20)
    )
    return tuple(FailedReport(**row) for row in rows.mappings())

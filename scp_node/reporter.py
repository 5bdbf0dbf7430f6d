"""Tells peers that asked for storage commitment what we keep: on an association of our own, again until they heard."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import ConfigurationError, TransientError
from pipeline.records import commitment_reports
from pipeline.records.commitment_reports import DueReport, Holding
from pipeline.records.directory import get_peer
from pipeline.store import Store
from scp_node.backoff import wait
from scp_node.commitment import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE, Answer, report
from scp_node.peer import target_of
from scp_node.tls import TlsFiles

LEASE: Final = timedelta(minutes=5)
OWN_FAULT_PAUSE: Final = timedelta(minutes=1)
"""So long a report waits when our own store or records do not answer."""
LONGEST_PAUSE: Final = timedelta(minutes=15)
"""A modality that is switched on in the morning hears within about this."""
PATIENCE: Final = timedelta(days=7)
"""A peer that could not be told for so long is not told any more; it may ask again."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """Reports what is due.

    Attributes:
        database: The node's records.
        store: Where the bytes are.
        tls: The certificates for peers that are called over TLS.
        clock: What time it is.
    """

    database: Database
    store: Store
    tls: TlsFiles = field(default_factory=TlsFiles)
    clock: Clock = utc_now

    def peers_due(self) -> tuple[UUID, ...]:
        """The peers that wait for a report."""
        with self.database.begin() as connection:
            return commitment_reports.peers_due(connection, now=self.clock())

    def report_to(self, peer_id: UUID) -> int:
        """Make one report to a peer; gives how many that was."""
        with self.database.begin() as connection:
            due = commitment_reports.claim_due(connection, peer_id, now=self.clock(), lease=LEASE)
            peer = get_peer(connection, peer_id)
        if due is None or peer is None:
            return 0
        target = target_of(peer, self.tls)
        classes = {uid: sop_class for sop_class, uid in due.instances}
        try:
            answer = self.answer(due)
        except TransientError as problem:
            self._put_off(due, str(problem))
            return 1
        try:
            report(target, calling=due.called_ae_title, answer=answer, classes=classes)
        except (TransientError, ConfigurationError) as problem:
            self._note_failure(due, str(problem))
            return 1
        with self.database.begin() as connection:
            now = self.clock()
            commitment_reports.mark_reported(connection, due, kept=answer.kept, peer=peer.ae_title, now=now)
        log.info("commitment_given", peer=peer.ae_title, kept=len(answer.kept), not_kept=len(answer.failed))
        return 1

    def answer(self, due: DueReport) -> Answer:
        """What we keep of what was asked for; the bytes are read again and hashed.

        Raises:
            TransientError: Store or database do not answer.
        """
        with self.database.begin() as connection:
            uids = [uid for _, uid in due.instances]
            held = commitment_reports.holdings(connection, due.institution_id, uids)
        found = {uid: self._why_not(due, sop_class, held.get(uid)) for sop_class, uid in due.instances}
        return Answer(
            transaction_uid=due.transaction_uid,
            kept=tuple(uid for uid, reason in found.items() if not reason),
            failed={uid: reason for uid, reason in found.items() if reason},
        )

    def _why_not(self, due: DueReport, sop_class_uid: str, holding: Holding | None) -> int:
        """The FailureReason of an instance; 0 where we keep it."""
        if holding is None:
            return NO_SUCH_INSTANCE
        if holding.sop_class_uid != sop_class_uid:
            return CLASS_INSTANCE_CONFLICT
        return 0 if self.store.holds(due.institution_id, holding.digest) else PROCESSING_FAILURE

    def _put_off(self, due: DueReport, problem: str) -> None:
        """The fault is ours: the attempt does not count."""
        until = self.clock() + OWN_FAULT_PAUSE
        with self.database.begin() as connection:
            commitment_reports.put_off(connection, due, problem=problem, until=until)
        log.error("commitment_report_put_off", problem=problem, again=until.isoformat())

    def _note_failure(self, due: DueReport, problem: str) -> None:
        now, chance = self.clock(), random.random()  # noqa: S311 - spreads attempts, protects nothing
        is_over = now - due.requested_at > PATIENCE
        again = None if is_over else now + wait(due.attempts, longest=LONGEST_PAUSE, chance=chance)
        with self.database.begin() as connection:
            commitment_reports.mark_failed(connection, due, problem=problem, next_attempt_at=again)
        log.warning("commitment_report_failed", problem=problem, again=again and again.isoformat())

"""Results leave for the PACS, once each.

A delivery is marked when the peer has confirmed it, and counts when the peer has committed itself to keep it, where it
offers that. A postman that dies between the two sends the same instances again, under the same UIDs: the PACS then has
what it had.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import ConfigurationError, TransientError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import commitments, deliveries, destinations, own_faults
from pipeline.records.commitments import Ask
from pipeline.records.deliveries import DueDelivery
from pipeline.records.directory import Peer, first_called_ae_title, get_peer, slug_of
from pipeline.scratch import working_folder
from pipeline.store import Store
from scp_node.backoff import next_attempt, wait, wait_out
from scp_node.carriers import Carrier, by_dimse
from scp_node.commitment import NotNow
from scp_node.commitment_handlers import CommitmentHandlers
from scp_node.dicomweb import web_target_of
from scp_node.load import Item, Load
from scp_node.packing import NotReady, Packer, Unsound
from scp_node.peer import ConnectionProblem, target_of
from scp_node.sending import Fate, Outcome, OutgoingFile
from scp_node.stow import NO_COMMITMENT, by_stow
from scp_node.tls import TlsFiles

LEASE: Final = timedelta(minutes=2)
"""So long after a postman died another one takes its deliveries up."""

LONGEST_OUTAGE_WAIT: Final = timedelta(minutes=5)
"""A peer that is back waits no longer than about this for what it missed."""

PATIENCE: Final = timedelta(days=7)
"""What could not be sent for so long, because the peer could not be reached or we had trouble, is given up."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Line:
    """To a peer.

    Attributes:
        peer: Whom we call.
        institution: The slug of its institution.
        calling: As whom we call it.
    """

    peer: Peer
    institution: str
    calling: str

    @property
    def why_no_commitment(self) -> str:
        """Why the peer is never asked to commit itself to what it stored; empty: it is asked, where it can."""
        if self.peer.dicomweb_url:
            return NO_COMMITMENT
        is_never = self.peer.commitment == "never"
        return f"{self.peer.ae_title} stored it; no commitment is asked of it, as this peer is set" if is_never else ""


@dataclass(frozen=True, kw_only=True)
class Postman:
    """Sends what is due.

    Attributes:
        database: The node's records.
        store: Where results lie.
        scratch: Where they lie while they are sent.
        attempts: How often a delivery is tried before it becomes a dead letter.
        secrets: The credentials for peers that are called by DICOMweb.
        tls: The certificates for peers that are called over TLS.
        clock: What time it is.
        alone: Peers that took no further association at a time, so that one is all they get while this process lives.
    """

    database: Database
    store: Store
    scratch: Path
    attempts: int
    secrets: PeerSecrets
    tls: TlsFiles = field(default_factory=TlsFiles)
    clock: Clock = utc_now
    alone: set[UUID] = field(default_factory=set)

    def destinations_due(self) -> tuple[UUID, ...]:
        """The peers that something can be sent to now, or that are to be asked for a commitment."""
        now = self.clock()
        with self.database.begin() as connection:
            return destinations.with_something_due(connection, now=now, also=commitments.due(now))

    def deliver_to(self, peer_id: UUID) -> int:
        """Send a batch of what is due to a peer, in the order it was planned; gives how many deliveries were tried."""
        with self.database.begin() as connection:
            due = deliveries.claim_due(connection, now=self.clock(), peer_id=peer_id, lease=LEASE)
            peer = get_peer(connection, peer_id)
            if peer is None:
                return 0
            calling = first_called_ae_title(connection, peer.institution_id) or DEFAULT_AE_TITLE
            line = Line(peer=peer, institution=slug_of(connection, peer.institution_id), calling=calling)
        with ExitStack() as until_sent:
            self._visit(line, self._packed(due, until_sent))
        return len(due)

    def _visit(self, line: Line, load: Load) -> None:
        """One visit: send what waits, then ask for the commitments that are outstanding."""
        if reason := line.why_no_commitment:
            self._settle_commitments(line, lambda _: reason)
        if not load.files and not self._awaits_commitment(line.peer.id):
            return
        try:
            with self._open(line, load.files) as carrier:
                with self._helped(line, load):
                    self._send(carrier, load)
                self._settle_commitments(line, carrier.ask)
        except (ConnectionProblem, ConfigurationError) as problem:
            self._note_unreachable(line, [delivery.id for delivery, _ in load.left], str(problem))
        else:
            self._note_reached(line)

    def _open(self, line: Line, files: Sequence[OutgoingFile]) -> AbstractContextManager[Carrier]:
        """The road that is set for the peer.

        Raises:
            ConfigurationError: Its credentials cannot be read.
        """
        if line.peer.dicomweb_url:
            return by_stow(web_target_of(line.peer, line.institution, secrets=self.secrets, tls=self.tls))
        target, asks = target_of(line.peer, self.tls), not line.why_no_commitment
        handlers = CommitmentHandlers(database=self.database, clock=self.clock)
        return by_dimse(
            target,
            calling=line.calling,
            files=files,
            asks_commitment=asks,
            on_report=lambda event: handlers.on_report(event, line.peer),
        )

    @contextmanager
    def _helped(self, line: Line, load: Load) -> Iterator[None]:
        """Further associations send of the same load: an archive stores several in little more than one's time."""
        wanted = 1 if line.peer.id in self.alone else load.associations
        helpers = [threading.Thread(target=self._help, args=(line, load), daemon=True) for _ in range(wanted - 1)]
        for helper in helpers:
            helper.start()
        try:
            yield
        finally:
            for helper in helpers:
                helper.join()

    def _help(self, line: Line, load: Load) -> None:
        """Send what nobody else has taken; where that does not go, the first association still may."""
        try:
            with self._open(line, load.files) as carrier:
                self._send(carrier, load)
        except (ConnectionProblem, ConfigurationError) as problem:
            if isinstance(problem, ConnectionProblem) and problem.is_rejection:
                self.alone.add(line.peer.id)
            log.info("helping_association_ended", peer=line.peer.ae_title, problem=str(problem))
        except Exception as error:  # noqa: BLE001 - a thread's boundary: its file is sent again when its lease has ended
            log.warning("helping_association_broke", peer=line.peer.ae_title, error=type(error).__name__)

    def _send(self, carrier: Carrier, load: Load) -> None:
        """Send what waits.

        Raises:
            ConnectionProblem: The connection broke; what had no turn still waits.
        """
        while item := load.take():
            delivery, file = item
            try:
                outcome = carrier.store(file)
            except ConnectionProblem:
                load.put_back(item)
                raise
            self._note(delivery, outcome, awaits_commitment=carrier.commits)
            if not outcome.answer and not carrier.is_open:
                raise ConnectionProblem(outcome.problem or f"{delivery.peer_ae_title} closed the connection")

    def _awaits_commitment(self, peer_id: UUID) -> bool:
        now = self.clock()
        with self.database.begin() as connection:
            return commitments.has_due(connection, peer_id, now=now)

    def _settle_commitments(self, line: Line, ask: Callable[[Ask], str]) -> None:
        """Ask for every commitment that is outstanding; where the peer gives none, what it stored is delivered."""
        now = self.clock()
        with self.database.begin() as connection:
            self._give_up_commitments(connection, line, now=now)
        while wanted := self._claim_commitment(line.peer.id):
            try:
                reason = ask(wanted)
            except NotNow as problem:  # its time to answer goes by, and it is asked again
                log.warning("commitment_put_off", peer=line.peer.ae_title, problem=str(problem))
                continue
            if reason:
                with self.database.begin() as connection:
                    commitments.decline(connection, wanted, reason=reason, now=now)
            facts = {"peer": line.peer.ae_title, "instances": len(wanted.instances)}
            log.info("commitment_declined" if reason else "commitment_asked", **facts)

    @staticmethod
    def _give_up_commitments(connection: Connection, line: Line, *, now: datetime) -> int:
        """Those that the peer has not reported for too long."""
        too_old = now - PATIENCE
        return commitments.give_up_older(connection, line.peer.id, than=too_old, our_title=line.calling, now=now)

    def _claim_commitment(self, peer_id: UUID) -> Ask | None:
        with self.database.begin() as connection:
            return commitments.claim(connection, peer_id, now=self.clock())

    def _packed(self, due: Sequence[DueDelivery], until_sent: ExitStack) -> Load:
        """The deliveries whose files can be had; each is judged when its turn comes: none keeps another back."""
        if not due:
            return Load()
        try:
            folder = until_sent.enter_context(working_folder(self.scratch, prefix="delivery-"))
        except TransientError as problem:
            self._hold_back(due, str(problem))
            return Load()
        packer = Packer(database=self.database, store=self.store, attempts=self.attempts, folder=folder)
        packed: list[Item] = []
        for delivery in due:
            try:
                packed.append((delivery, packer.pack(delivery)))
            except (Unsound, NotReady) as problem:
                self._set_aside(delivery, problem)

        def may_leave(item: Item) -> bool:
            delivery, file = item
            try:
                packer.judge(delivery, file)
            except (Unsound, NotReady) as problem:
                self._set_aside(delivery, problem)
                return False
            return True

        return Load(packed, may_leave=may_leave)

    def _set_aside(self, delivery: DueDelivery, problem: Unsound | NotReady) -> None:
        """What cannot leave is buried, or held back until it can."""
        if isinstance(problem, Unsound):
            self._bury(delivery, str(problem))
        else:
            self._hold_back([delivery], str(problem))

    def _note(self, delivery: DueDelivery, outcome: Outcome, *, awaits_commitment: bool) -> None:
        match outcome.fate:
            case Fate.STORED:
                self._note_success(delivery, outcome, awaits_commitment=awaits_commitment)
            case Fate.NOT_ACCEPTED:
                with self.database.begin() as connection:
                    deliveries.mark_not_accepted(connection, delivery.id, problem=outcome.problem, now=self.clock())
                log.warning("delivery_not_accepted", delivery=str(delivery.id), problem=outcome.problem)
            case _:
                self._note_failure(delivery, outcome.problem)

    def _note_success(self, delivery: DueDelivery, outcome: Outcome, *, awaits_commitment: bool) -> None:
        facts = {"status": outcome.answer, "transfer_syntax": outcome.transfer_syntax_uid}
        with self.database.begin() as connection:
            deliveries.mark_delivered(
                connection,
                delivery.id,
                now=self.clock(),
                facts=facts,
                note=outcome.note,
                awaits_commitment=awaits_commitment,
            )
        log.info("delivered", delivery=str(delivery.id), peer=delivery.peer_ae_title)

    def _note_reached(self, line: Line) -> None:
        with self.database.begin() as connection:
            was_away = destinations.note_reached(connection, line.peer.id)
        if was_away:
            log.info("destination_back", peer=line.peer.ae_title)

    def _note_unreachable(self, line: Line, waiting: Sequence[UUID], problem: str) -> None:
        """Open the circuit; what had no turn is due again without losing an attempt, unless it has waited too long."""
        now, chance = self.clock(), random.random()  # noqa: S311 - spreads attempts, protects nothing
        with self.database.begin() as connection:
            deliveries.give_back(connection, waiting, problem=problem, now=now)
            again = destinations.note_unreachable(
                connection,
                line.peer.id,
                problem=problem,
                now=now,
                wait=lambda failures: wait(failures, longest=LONGEST_OUTAGE_WAIT, chance=chance),
            )
            given_up = deliveries.give_up_older(connection, line.peer.id, than=now - PATIENCE, now=now)
            given_up += self._give_up_commitments(connection, line, now=now)
        facts = {"peer": line.peer.ae_title, "problem": problem, "given_up": given_up}
        log.warning("destination_unreachable", again=again.isoformat(), **facts)

    def _note_failure(self, delivery: DueDelivery, problem: str) -> None:
        again = next_attempt(
            attempts=delivery.attempts,
            limit=self.attempts,
            now=self.clock(),
            chance=random.random(),  # noqa: S311 - spreads attempts, protects nothing
        )
        with self.database.begin() as connection:
            deliveries.mark_failed(connection, delivery.id, problem=problem, next_attempt_at=again, now=self.clock())
        log.warning("delivery_failed", delivery=str(delivery.id), problem=problem, again=again and again.isoformat())

    def _hold_back(self, due: Sequence[DueDelivery], problem: str) -> None:
        """The fault is ours: no delivery loses an attempt, and no peer counts as away."""
        now, chance = self.clock(), random.random()  # noqa: S311 - spreads attempts, protects nothing

        def pause(lasted: timedelta) -> timedelta | None:
            return None if lasted > PATIENCE else wait_out(lasted, longest=LONGEST_OUTAGE_WAIT, chance=chance)

        with self.database.begin() as connection:
            for delivery in due:
                own_faults.note(connection, delivery.id, problem=problem, now=now, wait=pause)
        log.error("delivery_held_back", deliveries=len(due), problem=problem)

    def _bury(self, delivery: DueDelivery, problem: str) -> None:
        """Sending again cannot help: a dead letter at once."""
        with self.database.begin() as connection:
            deliveries.mark_failed(connection, delivery.id, problem=problem, next_attempt_at=None, now=self.clock())
        log.error("delivery_refused", delivery=str(delivery.id), problem=problem)

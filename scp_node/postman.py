"""Results leave for the PACS, once each.

A delivery is marked when the peer has confirmed it. A postman that dies between the two sends the same instances again,
under the same UIDs: the PACS then has what it had.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.dicom_check import check_instance
from pipeline.errors import ConfigurationError, TransientError
from pipeline.records import deliveries
from pipeline.records.deliveries import DueDelivery
from pipeline.store import Store
from scp_node.backoff import next_attempt
from scp_node.peer import ConnectionProblem, Target
from scp_node.sending import OutgoingFile, send_files
from scp_node.tls import TlsFiles

PEERS_AT_ONCE: Final = 4
"""A peer that does not answer keeps its own thread waiting, not the others'."""

LEASE: Final = timedelta(minutes=2)
"""So long after a postman died another one takes its deliveries up."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Postman:
    """Sends what is due.

    Attributes:
        database: The node's records.
        store: Where results lie.
        attempts: How often a delivery is tried before it becomes a dead letter.
        tls: The certificates for peers that are called over TLS.
        clock: What time it is.
    """

    database: Database
    store: Store
    attempts: int
    tls: TlsFiles = field(default_factory=TlsFiles)
    clock: Clock = utc_now

    def deliver_due(self) -> int:
        """Send everything that is due now; gives how many deliveries were tried."""
        with self.database.begin() as connection:
            due = deliveries.claim_due(connection, now=self.clock(), lease=LEASE)
        by_peer = [list(group) for _, group in groupby(due, key=lambda delivery: delivery.peer_id)]
        with ThreadPoolExecutor(max_workers=PEERS_AT_ONCE, thread_name_prefix="delivery") as pool:
            for done in [pool.submit(self._deliver_to_peer, group) for group in by_peer]:
                # What went wrong for one peer stops no other; its deliveries come due again when their lease ends.
                if error := done.exception():
                    log.error("delivery_interrupted", exc_info=error)
        return len(due)

    def _deliver_to_peer(self, due: Sequence[DueDelivery]) -> None:
        first = due[0]
        tls = self.tls if first.tls else None
        target = Target(ae_title=first.peer_ae_title, host=first.host, port=first.port, tls=tls)
        with tempfile.TemporaryDirectory(prefix="bonecraft-delivery-") as folder:
            sound = list(self._sound(due, Path(folder)))
            self._send(sound, target, calling=first.calling_ae_title)

    def _sound(self, due: Iterable[DueDelivery], folder: Path) -> Iterator[tuple[DueDelivery, OutgoingFile]]:
        """The deliveries whose files may leave the house; the others become dead letters with the finding."""
        for number, delivery in enumerate(due):
            try:
                if problem := self._why_not(delivery, folder / f"{number}.dcm"):
                    self._bury(delivery, problem)
                else:
                    yield delivery, OutgoingFile.read(folder / f"{number}.dcm")
            except TransientError as error:
                self._note_failure(delivery, str(error))

    def _why_not(self, delivery: DueDelivery, path: Path) -> str:
        """Fetch the file to `path`; why it may not leave the house, empty where it may."""
        if delivery.attempts > self.attempts:
            return "every attempt was interrupted: see the log of the delivery"
        self.store.fetch(delivery.blob_key, path)
        try:
            dataset = dcmread(path)
        except InvalidDicomError:
            return "the stored result is no DICOM file any more: check the blob store"
        return " ".join(finding.sentence for finding in check_instance(dataset, sources=self._sources(delivery)))

    def _sources(self, delivery: DueDelivery) -> list[Dataset]:
        """The headers of the radiographs that a result was made from."""
        with self.database.begin() as connection:
            keys = deliveries.source_blob_keys(connection, delivery.id)
        return [_header(self.store, key) for key in keys]

    def _send(self, outgoing: Sequence[tuple[DueDelivery, OutgoingFile]], target: Target, *, calling: str) -> None:
        waiting = {file.path: delivery for delivery, file in outgoing}
        try:
            for outcome in send_files([file for _, file in outgoing], target, calling=calling):
                delivery = waiting.pop(outcome.file.path)
                if outcome.problem:
                    self._note_failure(delivery, outcome.problem)
                else:
                    self._note_success(delivery)
        except (ConnectionProblem, ConfigurationError) as problem:
            for delivery in waiting.values():
                self._note_failure(delivery, str(problem))

    def _note_success(self, delivery: DueDelivery) -> None:
        with self.database.begin() as connection:
            deliveries.mark_delivered(connection, delivery.id, now=self.clock())
        log.info("delivered", delivery=str(delivery.id), peer=delivery.peer_ae_title)

    def _note_failure(self, delivery: DueDelivery, problem: str) -> None:
        again = next_attempt(
            attempts=delivery.attempts,
            limit=self.attempts,
            now=self.clock(),
            chance=random.random(),  # noqa: S311 - spreads attempts, protects nothing
        )
        with self.database.begin() as connection:
            deliveries.mark_failed(connection, delivery.id, problem=problem, next_attempt_at=again)
        log.warning("delivery_failed", delivery=str(delivery.id), problem=problem, again=again and again.isoformat())

    def _bury(self, delivery: DueDelivery, problem: str) -> None:
        """Sending again cannot help: a dead letter at once."""
        with self.database.begin() as connection:
            deliveries.mark_failed(connection, delivery.id, problem=problem, next_attempt_at=None)
        log.error("delivery_refused", delivery=str(delivery.id), problem=problem)


def _header(store: Store, key: str) -> Dataset:
    with tempfile.TemporaryDirectory(prefix="bonecraft-source-") as folder:
        path = Path(folder) / "source.dcm"
        store.fetch(key, path)
        return dcmread(path, stop_before_pixels=True)

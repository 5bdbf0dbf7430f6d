"""One job: a queued reconstruction, begun, done in a child process, and its outcome committed.

Every step may happen twice, when a worker was thought dead and was not: the row's lock and the attempt's number decide
whose outcome counts, and the same inputs give the same result anyway.
"""

from __future__ import annotations

import traceback
from asyncio import to_thread
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.child_process import ChildProcess, ProgressLine, ReconstructionFailed
from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import TransientError
from pipeline.records import (
    blobs,
    deliveries,
    directory,
    instances,
    ledger,
    reconstructions,
    results,
    rules,
    supersession,
)
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.reconstructions import Reconstruction
from pipeline.records.results import StoredFile
from pipeline.results import FileKind, Report, ResultFile
from pipeline.rules import optional_kinds
from pipeline.scratch import working_folder
from pipeline.store import Store

FIRST_DELAY: Final = timedelta(seconds=5)
LONGEST_DELAY: Final = timedelta(minutes=10)
KEPT_AT_ONCE: Final = 8
"""Files of a result that are stored at the same time: each waits for the disk most of its time."""
LOST_WORKER: Final = "The worker itself ended in the middle of the reconstruction, each time it was tried."

log = structlog.get_logger(__name__)


def retry_delay(attempts: int, *, first: timedelta = FIRST_DELAY) -> timedelta:
    """How long to wait after that many attempts: three times longer each time, up to ten minutes."""
    factor: int = 3 ** min(attempts - 1, 10)
    return min(factor * first, LONGEST_DELAY)


def _as_failure(error: Exception) -> ReconstructionFailed:
    """Any error, with a sentence for people and the traceback for developers; call it while handling the error."""
    if isinstance(error, ReconstructionFailed):
        return error
    sentence = str(error) if isinstance(error, TransientError) else f"The worker failed: {type(error).__name__}."
    return ReconstructionFailed(sentence, traceback=traceback.format_exc())


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What the child is handed, and what is wanted of it.

    Attributes:
        radiographs: The study's.
        replaced: The instances of its earlier result that went out.
        answers_refusals: Whether a refusal is answered in the study.
        also: The optional kinds of results that some peer may get.
    """

    radiographs: list[Path]
    replaced: list[Path]
    answers_refusals: bool
    also: list[FileKind]


@dataclass(frozen=True, kw_only=True)
class ReconstructionJob:
    """Does jobs, one after the other.

    Attributes:
        database: The node's records.
        store: The node's blobs.
        child: How a study is reconstructed.
        scratch: Where the work is done; best on the store's file system, which then takes the files over by a link.
        attempts: After so many failures a reconstruction is a dead letter.
        first_delay: How long to wait after the first failure.
        now: The clock.
    """

    database: Database
    store: Store
    child: ChildProcess
    scratch: Path
    attempts: int
    first_delay: timedelta = FIRST_DELAY
    now: Clock = utc_now

    async def do(self, reconstruction_id: UUID) -> timedelta | None:
        """One attempt.

        Returns:
            How long to wait before the next attempt; None when nothing is left to do.

        Raises:
            TransientError: The outcome could not be recorded: do the job again.
        """
        begun = await to_thread(self._begin, reconstruction_id)
        if begun is None:
            return None
        log.info("reconstruction_begins", reconstruction=str(begun.id), attempt=begun.attempts)
        try:
            await self._reconstruct(begun)
        except Exception as error:  # noqa: BLE001 - process boundary: whatever it was must not lose the job
            return await to_thread(self._record_failure, begun, _as_failure(error))
        return None

    def _begin(self, reconstruction_id: UUID) -> Reconstruction | None:
        """Count the attempt; None where there is nothing (more) to do."""
        with self.database.begin() as connection:
            found = reconstructions.lock(connection, reconstruction_id)
            if found is None or found.is_final:
                return None
            if self._is_overtaken(connection, found):
                return None
            if found.attempts >= self.attempts:
                problem, trace = found.problem or LOST_WORKER, found.traceback
                self._give_up(connection, found, problem, trace)
                return None
            supersession.withdraw(connection, found.study_id)
            return reconstructions.begin(connection, found, now=self.now())

    def _is_overtaken(self, connection: Connection, found: Reconstruction) -> bool:
        """Whether the study has a newer reconstruction, which then is the one that counts, unless it failed."""
        if not reconstructions.is_overtaken(connection, found):
            return False
        reconstructions.finish(connection, found, "superseded", now=self.now(), problem="")
        return True

    def _give_up(self, connection: Connection, found: Reconstruction, problem: str, trace: str) -> None:
        """A dead letter; the study's earlier result stands."""
        reconstructions.fail(connection, found, now=self.now(), problem=problem, traceback=trace)
        supersession.reinstate(connection, found.study_id)

    async def _reconstruct(self, begun: Reconstruction) -> None:
        async def note(line: ProgressLine) -> None:
            await to_thread(self._note, begun.id, line)

        with working_folder(self.scratch, prefix="job-") as folder:
            asked = await to_thread(self._fetch, begun, folder)
            await self.child.reconstruct(
                asked.radiographs,
                folder / "out",
                note,
                replaced=asked.replaced,
                answers_refusals=asked.answers_refusals,
                also=asked.also,
            )
            await to_thread(self._commit, begun, folder / "out")

    def _fetch(self, begun: Reconstruction, folder: Path) -> _Asked:
        with self.database.begin() as connection:
            radiographs = [each.blob_key for each in instances.by_ids(connection, begun.instance_ids)]
            replaced = supersession.blob_keys_of_what_went_out(connection, begun.study_id)
            answers = directory.answers_refusals(connection, begun.institution_id)
            also = optional_kinds(rules.of_institution(connection, begun.institution_id))
        return _Asked(
            radiographs=self._fetch_all(radiographs, folder, "radiograph"),
            replaced=self._fetch_all(replaced, folder, "replaced"),
            answers_refusals=answers,
            also=[FileKind(kind) for kind in also],
        )

    def _fetch_all(self, keys: Sequence[str], folder: Path, name: str) -> list[Path]:
        paths = [folder / f"{name}_{number:02}.dcm" for number, _ in enumerate(keys, start=1)]
        for key, path in zip(keys, paths, strict=True):
            self.store.lend(key, path)
        return paths

    def _note(self, reconstruction_id: UUID, line: ProgressLine) -> None:
        with self.database.begin() as connection:
            reconstructions.note_progress(
                connection, reconstruction_id, stage=line.stage, percent=line.percent, sentence=line.sentence
            )

    def _commit(self, begun: Reconstruction, out: Path) -> None:
        """Files first; then result set, deliveries and state in one transaction."""
        report = Report.from_json((out / "report.json").read_text(encoding="utf-8"))
        with ThreadPoolExecutor(KEPT_AT_ONCE) as keepers:
            files = list(keepers.map(partial(self._keep, begun.institution_id, out), report.files))
        with self.database.begin() as connection:
            current = reconstructions.lock(connection, begun.id)
            if current is None or current.is_final or self._is_overtaken(connection, current):
                return
            replaced = supersession.make_room(connection, begun.study_id)
            self._hold(connection, begun.institution_id, out, files)
            created = results.add(
                connection,
                institution_id=begun.institution_id,
                study_id=begun.study_id,
                reconstruction_id=begun.id,
                report=report,
                files=files,
            )
            self._enter(connection, begun, report, files)
            deliveries.plan(connection, result_set_id=created)
            supersession.supersede(connection, replaced, by=created, now=self.now())
            sentence = report.refusal.sentence if report.refusal else ""
            reconstructions.finish(connection, current, report.status.value, now=self.now(), problem=sentence)
        log.info("reconstruction_ended", reconstruction=str(begun.id), state=report.status.value)

    def _enter(
        self, connection: Connection, begun: Reconstruction, report: Report, files: Sequence[StoredFile]
    ) -> None:
        """Tell the ledger what was made of what, and with what."""
        radiographs = instances.by_ids(connection, begun.instance_ids)
        uids = {file.described.sop_instance_uid: file for file in files if file.described.sop_instance_uid}
        made: dict[str, Any] = {"reconstruction": str(begun.id), "software": report.software_version}
        models = {model.name: f"{model.version}, SHA-256 {model.sha256}" for model in report.models}
        used = made | {"state": report.status.value, "models": models, "results": sorted(uids)}
        result = made | {"sources": [radiograph.sop_instance_uid for radiograph in radiographs]}
        happened = [
            *((LedgerEvent.USED, r.sop_instance_uid, used | {"digest": r.digest}) for r in radiographs),
            *((LedgerEvent.RESULT, uid, result | {"digest": f.digest, "size": f.size}) for uid, f in uids.items()),
        ]
        ledger.write(
            connection,
            [
                NewEntry(
                    institution_id=begun.institution_id,
                    event=event,
                    sop_instance_uid=uid,
                    facts=facts,
                    recorded_at=self.now(),
                )
                for event, uid, facts in happened
            ],
        )

    def _keep(self, institution_id: UUID, out: Path, described: ResultFile) -> StoredFile:
        blob = self.store.put_file(institution_id, out / described.path)
        return StoredFile(described=described, blob_key=blob.key, size=blob.size, digest=blob.digest)

    def _hold(self, connection: Connection, institution_id: UUID, out: Path, files: Sequence[StoredFile]) -> None:
        """Bytes that were here before may be on their way out, even if they were gone: see `pipeline.records.blobs`."""
        blobs.hold(connection, [file.blob_key for file in files])
        for file in files:
            if not self.store.has(file.blob_key):
                self.store.put_file(institution_id, out / file.described.path)

    def _record_failure(self, begun: Reconstruction, failure: ReconstructionFailed) -> timedelta | None:
        """Wait for another attempt, or make it a dead letter; another worker's later attempt is left alone."""
        problem, trace = failure.sentence, failure.traceback
        is_last = begun.attempts >= self.attempts or not failure.may_help_again
        with self.database.begin() as connection:
            current = reconstructions.lock(connection, begun.id)
            if current is None or current.is_final or current.attempts != begun.attempts:
                return None
            if is_last:
                self._give_up(connection, current, problem, trace)
            else:
                reconstructions.wait_again(connection, current, problem=problem, traceback=trace)
        log.warning("reconstruction_failed", reconstruction=str(begun.id), attempt=begun.attempts, problem=problem)
        return None if is_last else retry_delay(begun.attempts, first=self.first_delay)

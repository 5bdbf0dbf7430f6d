"""Pulling images from a peer: what it holds of a study, less what we have, taken in by the same door as all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast
from uuid import UUID

import structlog
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.disk_space import BYTES_PER_MEGABYTE, has_room
from pipeline.errors import BonecraftError
from pipeline.inbox import Accepted, Incoming, OutOfSpace, accept
from pipeline.records import fetches, quarantine
from pipeline.store import Store
from scp_node.handlers import received_file
from scp_node.incoming import IncomingFile, discard
from scp_node.peer import Target
from scp_node.query import FoundImage, FoundStudy, StudyQuestion, Wanted, find_images, find_studies
from scp_node.retrieve import OnProgress, Order, Retrieval
from scp_node.status import StoreStatus, status_of

RADIOGRAPHS: Final = ("CR", "DX", "RG")
"""Modalities of plain radiographs: what is pulled where nobody says otherwise."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Intake:
    """Where pulled images go: into the inbox, as from the peer that they were pulled from.

    Attributes:
        database: The node's records.
        store: Where the bytes go.
        folder: Where datasets lie while they come in.
        minimum_free_megabytes: With less, nothing is taken.
        maximum_dataset_megabytes: Of what is larger, only the beginning is kept, in quarantine.
        institution_id: Whose they are.
        from_title: The AE title that they are had from.
        to_title: The AE title that we ask as.
        address: Of that peer.
        clock: What time it is.
    """

    database: Database
    store: Store
    folder: Path
    minimum_free_megabytes: int
    maximum_dataset_megabytes: int
    institution_id: UUID
    from_title: str
    to_title: str
    address: str
    clock: Clock = utc_now

    @property
    def maximum_bytes(self) -> int:
        """What is larger is not taken."""
        return self.maximum_dataset_megabytes * BYTES_PER_MEGABYTE

    def take(
        self,
        path: Path,
        *,
        by: str,
        sop_class_uid: str | None = None,
        uid: str | None = None,
        cut_at: int | None = None,
    ) -> Accepted:
        """Take a file in.

        Args:
            path: The file; it stays, for the caller to remove.
            by: The service that brought it.
            sop_class_uid: What the service said it is, where it did.
            uid: The same.
            cut_at: Where the file is not whole: see `Incoming`.

        Raises:
            OutOfSpace: There is no room.
            BonecraftError: As `pipeline.inbox.accept`.
        """
        if not has_room(self.folder, minimum_free_megabytes=self.minimum_free_megabytes):
            raise OutOfSpace(f"less than {self.minimum_free_megabytes} MB free: add space to the data folder")
        incoming = Incoming(
            path=path,
            institution_id=self.institution_id,
            calling_ae_title=self.from_title,
            called_ae_title=self.to_title,
            received_from=self.address,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=uid,
            fetched_by=by,
            cut_at=cut_at,
        )
        return accept(self.database, self.store, incoming, now=self.clock())

    def take_stream(self, pieces: Iterable[bytes], *, by: str, uid: str) -> Accepted:
        """Take in a DICOM file that comes piece by piece; of one that is too large no more is asked for.

        Args:
            pieces: Its bytes.
            by: The service that brings it.
            uid: Its SOPInstanceUID, as the service says; empty where it does not.

        Raises:
            OutOfSpace: There is no room.
            BonecraftError: As `pipeline.inbox.accept`, and what the pieces raise.
        """
        try:
            file = IncomingFile(
                self.folder,
                minimum_free_megabytes=self.minimum_free_megabytes,
                maximum_bytes=self.maximum_bytes,
            )
        except OSError as error:
            raise _not_written(error) from error
        try:
            with closing(file):
                _write(file, pieces)
            if file.problem is not None:
                raise _not_written(file.problem) from file.problem
            return self.take(Path(file.name), by=by, uid=uid or None, cut_at=file.cut_at)
        finally:
            discard(Path(file.name))

    def held(self, images: Sequence[FoundImage]) -> set[str]:
        """Which of these we have."""
        with self.database.begin() as connection:
            return fetches.held(connection, self.institution_id, [image.sop_instance_uid for image in images])

    def too_large(self, images: Sequence[FoundImage]) -> set[str]:
        """Which of these came before and were too large, so that it is of no use to fetch them again."""
        uids = [image.sop_instance_uid for image in images]
        with self.database.begin() as connection:
            return quarantine.too_large(connection, self.institution_id, uids, maximum_bytes=self.maximum_bytes)

    def on_store(self, event: evt.Event) -> int:
        """Answer a C-STORE that C-GET brought."""
        request = cast("C_STORE", event.request)
        sop_class_uid, uid = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        try:
            file = received_file(request)
            self.take(Path(file.name), by="C-GET", sop_class_uid=sop_class_uid, uid=uid, cut_at=file.cut_at)
        except BonecraftError as error:
            log.warning("pulled_not_taken", reason=str(error), sop_instance_uid=uid)
            return status_of(error)
        except Exception as error:  # noqa: BLE001 - pynetdicom would answer without a word; values stay out of the log
            log.warning("pulled_not_taken", error=type(error).__name__, sop_instance_uid=uid)
            return StoreStatus.PROCESSING_FAILURE
        finally:
            _discard_dataset(request)
        return StoreStatus.SUCCESS


class Archive(Protocol):
    """Somebody who holds images and can be asked for them."""

    def studies(self, question: StudyQuestion) -> tuple[FoundStudy, ...]:
        """The studies that it has of what was asked for."""

    def images(self, study_instance_uid: str, wanted: Wanted) -> tuple[FoundImage, ...]:
        """The images of a study that it has and that are wanted."""

    def fetch(self, orders: Sequence[Order], intake: Intake, on_progress: OnProgress) -> None:
        """Have images taken in; what came is for the caller to see in the records."""


@dataclass(frozen=True, kw_only=True)
class DimseArchive:
    """A peer that is asked by C-FIND, and sends by C-GET or C-MOVE.

    Attributes:
        target: How it is called.
        calling: As whom.
        listener_port: Where our listener is.
        may_send: Whether it may send to our listener.
    """

    target: Target
    calling: str
    listener_port: int
    may_send: bool

    def studies(self, question: StudyQuestion) -> tuple[FoundStudy, ...]:
        """By C-FIND."""
        return find_studies(self.target, question, calling=self.calling)

    def images(self, study_instance_uid: str, wanted: Wanted) -> tuple[FoundImage, ...]:
        """By C-FIND."""
        return find_images(self.target, study_instance_uid, wanted, calling=self.calling)

    def fetch(self, orders: Sequence[Order], intake: Intake, on_progress: OnProgress) -> None:
        """By C-GET where it offers that, else by C-MOVE."""
        Retrieval(
            target=self.target,
            calling=self.calling,
            on_store=intake.on_store,
            on_progress=on_progress,
            listener_port=self.listener_port,
            may_send=self.may_send,
        ).retrieve(orders)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be pulled.

    Attributes:
        images: What the archive has that is wanted.
        had: What we have of it.
        too_large: What came of it before, and was too large.
    """

    images: tuple[FoundImage, ...]
    had: frozenset[str]
    too_large: frozenset[str] = frozenset()

    @property
    def missing(self) -> tuple[FoundImage, ...]:
        """What is to be fetched."""
        settled = self.had | self.too_large
        return tuple(image for image in self.images if image.sop_instance_uid not in settled)

    @property
    def orders(self) -> tuple[Order, ...]:
        """The same, series by series."""
        missing = _by_series(self.missing)
        there = _by_series(self.images)
        return tuple(Order(images=images, is_whole=images == there[uid]) for uid, images in missing.items())


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What came of a pull.

    Attributes:
        plan: What was to be done.
        fetched: What we have now that we had not.
        too_large: What came and is too large.
    """

    plan: Plan
    fetched: frozenset[str] = frozenset()
    too_large: frozenset[str] = frozenset()

    @property
    def lacking(self) -> int:
        """How many images did not come."""
        return len(self.plan.missing) - len(self.fetched | self.too_large)


def look(archive: Archive, intake: Intake, study_instance_uid: str, wanted: Wanted) -> Plan:
    """What would be pulled of a study.

    Raises:
        TransientError: The archive or the records could not be asked.
    """
    images = archive.images(study_instance_uid, wanted)
    had, too_large = frozenset(intake.held(images)), frozenset(intake.too_large(images))
    return Plan(images=images, had=had, too_large=too_large - had)


def pull(archive: Archive, intake: Intake, plan: Plan, on_progress: Callable[[int], None]) -> Pulled:
    """Fetch what is missing.

    Raises:
        TransientError: The archive or the records failed; what had come is kept.
    """
    if not plan.missing:
        return Pulled(plan=plan)
    archive.fetch(plan.orders, intake, on_progress)
    fetched, too_large = intake.held(plan.missing), intake.too_large(plan.missing)
    pulled = Pulled(plan=plan, fetched=frozenset(fetched), too_large=frozenset(too_large - fetched))
    log.info("pulled", peer=intake.from_title, images=len(pulled.fetched), lacking=pulled.lacking)
    return pulled


def _write(file: IncomingFile, pieces: Iterable[bytes]) -> None:
    """As much as the file takes."""
    for piece in pieces:
        file.write(piece)
        if file.problem is not None or file.cut_at is not None:
            return


def _not_written(error: OSError) -> OutOfSpace:
    return OutOfSpace(f"a fetched image cannot be written ({error.strerror}): look at the data folder")


def _discard_dataset(request: C_STORE) -> None:
    """Pynetdicom does that for a listener only."""
    file: IncomingFile | None = getattr(request, "_dataset_file", None)
    if file is not None:
        file.close()
        discard(Path(file.name))


def _by_series(images: Sequence[FoundImage]) -> Mapping[str, tuple[FoundImage, ...]]:
    uids = dict.fromkeys(image.series_instance_uid for image in images)
    return {uid: tuple(image for image in images if image.series_instance_uid == uid) for uid in uids}

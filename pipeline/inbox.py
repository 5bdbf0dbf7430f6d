"""Taking an instance in: whoever brings it (listener, upload), it is on disk and in the records before we say so.

`accept` returns only when file, folder and row survive a power failure; only then may the sender hear Success.
The same bytes again are a success and change nothing. What cannot be taken in goes to quarantine, and the sender hears
why; nothing is silently dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline import jobs
from pipeline.corrections import is_correction
from pipeline.database import Database
from pipeline.dicom_header import InstanceHeader, read_instance_header
from pipeline.disk_space import BYTES_PER_MEGABYTE
from pipeline.errors import InputError
from pipeline.records import blobs, deliveries, instances, ledger, quarantine, studies
from pipeline.records.instances import Addition, InstanceRole, NewInstance
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.records.quarantine import Quarantined, QuarantineProblem
from pipeline.store import Blob, OutOfSpace, Store, StoreUnavailable

__all__ = [
    "Accepted",
    "ForeignStudy",
    "IdentityMismatch",
    "Incoming",
    "OutOfSpace",
    "StoreUnavailable",
    "TooLarge",
    "UnreadableDataset",
    "accept",
]


FOREIGN: Final = "this study belongs to the institution: only its own staff can add to it"

log = structlog.get_logger(__name__)


class UnreadableDataset(InputError):  # noqa: N818 - says what is the matter
    """The dataset cannot be parsed or identified; it is in quarantine."""


class TooLarge(UnreadableDataset):
    """The dataset is larger than is taken; its first bytes are in quarantine."""


class IdentityMismatch(InputError):  # noqa: N818 - says what is the matter
    """Command and dataset name different instances or classes; the dataset is in quarantine."""


class ForeignStudy(InputError):  # noqa: N818 - says what is the matter
    """A person who may add only to studies of their own tried to add to another one; nothing was kept."""


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A received file and what is known of how it came.

    Attributes:
        path: The file, complete, on the store's file system; it stays there, for the caller to remove.
        digest: SHA-256 of its bytes, hexadecimal, where they were counted as they came; None: they are read again.
        institution_id: Whose it is.
        calling_ae_title: Who sent it (`WEB` for an upload).
        called_ae_title: As whom we were called.
        received_from: The sender's address.
        sop_class_uid: What the C-STORE command says it is; None where there was no command.
        sop_instance_uid: What the C-STORE command says it is; None where there was no command.
        uploaded_by: The person who uploaded it; None for the institution's own devices.
        own_studies_only: That person may add only to studies that they uploaded themselves.
        fetched_by: The service by which we fetched it (`C-GET`); empty where it was sent to us unasked.
        sender_is_connected: More may come on the same association.
        cut_at: So many bytes are taken, and it has more: the file holds the first ones alone; None: it is whole.
    """

    path: Path
    digest: str | None = None
    institution_id: UUID
    calling_ae_title: str
    called_ae_title: str = ""
    received_from: str = ""
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    uploaded_by: UUID | None = None
    own_studies_only: bool = False
    fetched_by: str = ""
    sender_is_connected: bool = False
    cut_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What became of an instance.

    Attributes:
        study_id: Its study.
        instance_id: Its row; a duplicate's is the first one's.
        outcome: New, duplicate, or same UID with other bytes.
        role: What it is to us.
        reconstruction_id: The reconstruction that became ready with it, if one did.
    """

    study_id: UUID
    instance_id: UUID
    outcome: Addition
    role: InstanceRole
    reconstruction_id: UUID | None


def accept(database: Database, store: Store, incoming: Incoming, *, now: datetime) -> Accepted:
    """Take an instance in.

    Raises:
        TooLarge: It is not whole; what there is of it is kept in quarantine.
        UnreadableDataset: It cannot be parsed or identified; kept in quarantine.
        IdentityMismatch: It is not what the command said; kept in quarantine.
        ForeignStudy: It belongs to a study that this person may not add to; not kept.
        OutOfSpace: There is no room; not kept.
        TransientError: Store or database do not answer; not kept, or not acknowledged: send it again.
    """
    try:
        header = identified(incoming)
    except (UnreadableDataset, IdentityMismatch) as error:
        blob = _put(store, incoming)
        with database.begin() as connection:
            _hold(connection, store, incoming, blob)
            _quarantine(connection, incoming, blob, error, now=now)
        raise
    if incoming.own_studies_only:
        _check_own(database, incoming, header)
    blob = _put(store, incoming)
    with database.begin() as connection:
        _hold(connection, store, incoming, blob)
        return _record(connection, store, incoming, header, blob, now=now)


def _put(store: Store, incoming: Incoming) -> Blob:
    return store.put_file(incoming.institution_id, incoming.path, digest=incoming.digest)


def _hold(connection: Connection, store: Store, incoming: Incoming, blob: Blob) -> None:
    """Bytes that were here before may be on their way out, even if they were gone: see `pipeline.records.blobs`."""
    blobs.hold(connection, [blob.key])
    if not store.has(blob.key):
        _put(store, incoming)


def _check_own(database: Database, incoming: Incoming, header: InstanceHeader) -> None:
    """Before anything is kept.

    Raises:
        ForeignStudy: The study is somebody else's.
    """
    with database.begin() as connection:
        is_known, uploader = studies.uploader(connection, incoming.institution_id, header.study.study_instance_uid)
    if is_known and uploader != incoming.uploaded_by:
        raise ForeignStudy(FOREIGN)


def identified(incoming: Incoming) -> InstanceHeader:
    """What it is; nothing is kept.

    Raises:
        TooLarge: It is not whole.
        UnreadableDataset: It cannot be parsed or identified.
        IdentityMismatch: It is not what the command said.
    """
    if incoming.cut_at is not None:
        raise TooLarge(f"larger than maximum_dataset_megabytes, {incoming.cut_at // BYTES_PER_MEGABYTE} MB")
    try:
        header = read_instance_header(incoming.path)
    except InputError as error:
        # The file's own name says nothing to the sender.
        raise UnreadableDataset(str(error).replace(incoming.path.name, "the dataset")) from error
    for named, found, keyword in (
        (incoming.sop_class_uid, header.sop_class_uid, "SOPClassUID"),
        (incoming.sop_instance_uid, header.sop_instance_uid, "SOPInstanceUID"),
    ):
        if named is not None and named != found:
            raise IdentityMismatch(f"the command and the dataset differ in {keyword}: correct it at the sender")
    return header


def _quarantine(connection: Connection, incoming: Incoming, blob: Blob, error: InputError, *, now: datetime) -> None:
    families = ((TooLarge, QuarantineProblem.TOO_LARGE), (IdentityMismatch, QuarantineProblem.IDENTITY_MISMATCH))
    problem = next((each for family, each in families if isinstance(error, family)), QuarantineProblem.UNREADABLE)
    entry = Quarantined(
        institution_id=incoming.institution_id,
        problem=problem,
        reason=str(error),
        sop_class_uid=_as_named(incoming.sop_class_uid),
        sop_instance_uid=_as_named(incoming.sop_instance_uid),
        calling_ae_title=incoming.calling_ae_title,
        called_ae_title=incoming.called_ae_title,
        received_from=incoming.received_from,
        blob_key=blob.key,
        size=blob.size,
        received_at=now,
        cut_at=incoming.cut_at,
    )
    if not quarantine.add(connection, entry):
        return  # the ledger has it, too
    facts = {"problem": str(entry.problem), "reason": entry.reason}
    uid = entry.sop_instance_uid
    ledger.write(connection, [_entry(incoming, LedgerEvent.QUARANTINED, uid, blob, facts, now=now)])


def _as_named(uid: str | None) -> str:
    """What a command says, however malformed; PostgreSQL cannot hold NUL."""
    return (uid or "").replace("\0", "")


def _record(
    connection: Connection, store: Store, incoming: Incoming, header: InstanceHeader, blob: Blob, *, now: datetime
) -> Accepted:
    """Instance, study and, where that completes it, the job: one transaction."""
    study = studies.lock_or_create(
        connection, institution_id=incoming.institution_id, header=header.study, uploaded_by=incoming.uploaded_by
    )
    if incoming.own_studies_only and study.uploaded_by != incoming.uploaded_by:
        raise ForeignStudy(FOREIGN)
    instance_id, outcome = instances.add(connection, _new_instance(incoming, header, blob, study.id, now=now))
    if outcome is Addition.SUPERSEDED and _is_corrected(connection, store, incoming, header, instance_id):
        studies.correct(connection, study.id, header.study)
        outcome = Addition.CORRECTED
    ledger.write(connection, [_received(incoming, header, blob, outcome, now=now)])
    is_radiograph = header.role is InstanceRole.RADIOGRAPH
    if is_radiograph and incoming.uploaded_by is None:
        if study.uploaded_by is not None:
            studies.claim_for_institution(connection, study.id, header.study)
        if outcome in (Addition.DUPLICATE, Addition.RESTORED) and _confirms_upload(connection, incoming, instance_id):
            deliveries.plan_for_study(connection, study.id)
    reconstruction_id = None
    if is_radiograph and outcome.is_in_use:
        waiting = studies.with_radiograph(study, now=now)
        reconstruction_id = jobs.settle(connection, waiting, now=now, is_being_sent=incoming.sender_is_connected)
    return Accepted(
        study_id=study.id,
        instance_id=instance_id,
        outcome=outcome,
        role=header.role,
        reconstruction_id=reconstruction_id,
    )


def _is_corrected(
    connection: Connection, store: Store, incoming: Incoming, header: InstanceHeader, instance_id: UUID
) -> bool:
    """Whether a device sent what is in use with the patient's data corrected; then it is used from now on.

    The study is locked meanwhile; that takes the time of reading two headers and, where the patient's data differ, of
    comparing two files, which happens to few images.
    """
    if incoming.uploaded_by is not None or header.role is not InstanceRole.RADIOGRAPH:
        return False
    earlier = instances.in_use(connection, incoming.institution_id, header.sop_instance_uid)
    try:
        with store.opened(earlier.blob_key) as held, incoming.path.open("rb") as came:
            corrects = is_correction(held, came)
    except InputError:  # its header could be read, its pixels cannot
        return False
    if corrects:
        instances.use_instead(connection, instance_id, of=earlier.id)
    return corrects


def _confirms_upload(connection: Connection, incoming: Incoming, instance_id: UUID) -> bool:
    titles = {"calling_ae_title": incoming.calling_ae_title, "called_ae_title": incoming.called_ae_title}
    return instances.confirm(connection, instance_id, **titles)


def _received(incoming: Incoming, header: InstanceHeader, blob: Blob, outcome: Addition, *, now: datetime) -> NewEntry:
    facts = {"outcome": str(outcome), "study": header.study.study_instance_uid, "class": header.sop_class_uid}
    return _entry(incoming, LedgerEvent.RECEIVED, header.sop_instance_uid, blob, facts, now=now)


def _entry(
    incoming: Incoming, event: LedgerEvent, uid: str, blob: Blob, facts: Mapping[str, str], *, now: datetime
) -> NewEntry:
    """What the ledger says of whoever brought it, and of its bytes."""
    origin = {
        "calling_ae_title": incoming.calling_ae_title,
        "called_ae_title": incoming.called_ae_title,
        "address": incoming.received_from,
        "digest": blob.digest,
        "size": blob.size,
    }
    if incoming.fetched_by:
        origin["fetched_by"] = incoming.fetched_by
    return NewEntry(
        institution_id=incoming.institution_id,
        event=event,
        sop_instance_uid=uid,
        facts={**origin, **facts},
        recorded_at=now,
    )


def _new_instance(
    incoming: Incoming, header: InstanceHeader, blob: Blob, study_id: UUID, *, now: datetime
) -> NewInstance:
    return NewInstance(
        institution_id=incoming.institution_id,
        study_id=study_id,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        series_instance_uid=header.series_instance_uid,
        transfer_syntax_uid=header.transfer_syntax_uid,
        digest=blob.digest,
        size=blob.size,
        blob_key=blob.key,
        role=header.role,
        facts=header.facts,
        calling_ae_title=incoming.calling_ae_title,
        called_ae_title=incoming.called_ae_title,
        received_from=incoming.received_from,
        received_at=now,
    )

"""Instances: every file that was received, what it is, and where its bytes lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, RowMapping, Select, and_, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.studies import StudyScope, in_scope
from pipeline.records.tables import instances


class InstanceRole(StrEnum):
    """What an instance is to us."""

    RADIOGRAPH = "radiograph"
    OUT_OF_SCOPE = "out-of-scope"
    OWN_RESULT = "own-result"


class Addition(StrEnum):
    """What became of an instance that was handed in."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """Same UID, same bytes: nothing to do."""
    SUPERSEDED = "superseded"
    """Same UID, other bytes: kept, but the first stays in use."""
    CORRECTED = "corrected"
    """Same UID and same pixels, from a device, with the patient's data corrected: kept, and in use instead."""
    REPLACES_UPLOAD = "replaces-upload"
    """Same UID, other bytes than somebody uploaded, from a device: kept, and in use instead of the upload."""
    REPLACES_REMOVED = "replaces-removed"
    """Same UID, other bytes than those in use, which retention had removed: kept, and in use instead."""
    RESTORED = "restored"
    """Same UID, same bytes as what retention had removed: they are here again."""

    @property
    def is_in_use(self) -> bool:
        """Whether the study has changed with it."""
        return self not in (Addition.DUPLICATE, Addition.SUPERSEDED)


@dataclass(frozen=True, kw_only=True)
class NewInstance:
    """An instance to be remembered.

    Attributes:
        institution_id: Whose.
        study_id: Of which study.
        sop_instance_uid: SOPInstanceUID.
        sop_class_uid: SOPClassUID.
        series_instance_uid: SeriesInstanceUID.
        transfer_syntax_uid: Of the stored file.
        digest: SHA-256 of the stored file, hexadecimal.
        size: In bytes.
        blob_key: Where in the store.
        role: What it is to us.
        facts: What settling and lists need: see `pipeline.dicom_header.Facts`.
        calling_ae_title: Who sent it ("WEB" for an upload).
        called_ae_title: As whom we were called; empty for an upload.
        received_from: The sender's address.
        received_at: When.
    """

    institution_id: UUID
    study_id: UUID
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    blob_key: str
    role: InstanceRole
    facts: Mapping[str, Any]
    calling_ae_title: str
    called_ae_title: str
    received_from: str
    received_at: datetime


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A remembered instance; the fields are those of `NewInstance`."""

    id: UUID
    study_id: UUID
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    blob_key: str
    role: InstanceRole
    facts: Mapping[str, Any]
    superseded: bool
    received_at: datetime


_HELD: Final = select(
    *(instances.c[name] for name in ("id", "digest", "removed_at", "superseded", "called_ae_title"))
).where(instances.c.institution_id == bindparam("whose"), instances.c.sop_instance_uid == bindparam("uid"))
"""What is held under a SOPInstanceUID. Built once: building a statement takes longer than PostgreSQL needs for it."""
_ADD: Final = insert(instances).returning(instances.c.id)


def add(connection: Connection, new: NewInstance) -> tuple[UUID, Addition]:
    """Remember an instance, once. The caller holds the study's lock, so no twin can slip in between.

    Returns:
        The ID of its row (a duplicate's is the first one's) and what became of it.
    """
    held = connection.execute(_HELD, {"whose": new.institution_id, "uid": new.sop_instance_uid}).all()
    twin = next((row for row in held if row.digest == new.digest), None)
    if twin is not None and twin.removed_at is None:
        return twin.id, Addition.DUPLICATE
    in_use = next((row for row in held if not row.superseded), None)
    outcome = _outcome(new, in_use)
    superseded = outcome is Addition.SUPERSEDED
    if in_use is not None and in_use is not twin and not superseded:
        connection.execute(update(instances).where(instances.c.id == in_use.id).values(superseded=True))
    if twin is not None:
        back = {"removed_at": None, "received_at": new.received_at, "superseded": superseded}
        connection.execute(update(instances).where(instances.c.id == twin.id).values(**back))
        return twin.id, Addition.RESTORED
    values = {name: getattr(new, name) for name in NewInstance.__dataclass_fields__ if name != "facts"}
    created: UUID = connection.execute(
        _ADD, {**values, "header": dict(new.facts), "superseded": superseded}
    ).scalar_one()
    return created, outcome


def in_use(connection: Connection, institution_id: UUID, sop_instance_uid: str) -> Instance:
    """The instance that is used of those with this UID."""
    conditions = (
        instances.c.institution_id == institution_id,
        instances.c.sop_instance_uid == sop_instance_uid,
        ~instances.c.superseded,
    )
    return _read(connection, *conditions)[0]


def use_instead(connection: Connection, instance_id: UUID, *, of: UUID) -> None:
    """Use an instance that is kept as superseded, in place of the one that is in use."""
    for each, superseded in ((of, True), (instance_id, False)):
        connection.execute(update(instances).where(instances.c.id == each).values(superseded=superseded))


def confirm(connection: Connection, instance_id: UUID, *, calling_ae_title: str, called_ae_title: str) -> bool:
    """A device sent the very bytes that somebody had uploaded: they are its own from now on.

    Returns:
        False where they were a device's already.
    """
    uploaded = and_(instances.c.id == instance_id, instances.c.called_ae_title == "")
    sent = {"calling_ae_title": calling_ae_title, "called_ae_title": called_ae_title}
    return connection.execute(update(instances).where(uploaded).values(**sent)).rowcount == 1


def _outcome(new: NewInstance, in_use: Row[Any] | None) -> Addition:
    """What bytes mean that are not those in use under their UID: a device's own go before what somebody uploaded."""
    if in_use is None:
        return Addition.NEW
    if in_use.removed_at is not None:
        return Addition.REPLACES_REMOVED
    is_only_an_upload = not in_use.called_ae_title
    return Addition.REPLACES_UPLOAD if new.called_ae_title and is_only_an_upload else Addition.SUPERSEDED


_PLAIN: Final = tuple(name for name in Instance.__dataclass_fields__ if name not in ("facts", "role"))
_USED: Final = (
    instances.c.study_id == bindparam("study"),
    instances.c.role == InstanceRole.RADIOGRAPH,
    ~instances.c.superseded,
)


def _selected(*conditions: Any) -> Select[Any]:  # noqa: ANN401 - SQL expressions
    return (
        select(*(instances.c[name] for name in _PLAIN), instances.c.role, instances.c.header)
        .where(*conditions)
        .order_by(instances.c.sop_instance_uid, instances.c.received_at)
    )


_RADIOGRAPHS: Final = _selected(*_USED, instances.c.removed_at.is_(None))
_WITH_REMOVED: Final = _selected(*_USED).add_columns(instances.c.removed_at)
_REMOVED: Final = select(instances.c.id).where(*_USED, instances.c.removed_at.is_not(None)).limit(1)


def radiographs_of(connection: Connection, study_id: UUID) -> tuple[Instance, ...]:
    """The radiographs of a study that are in use, in order of SOPInstanceUID."""
    return _instances(connection.execute(_RADIOGRAPHS, {"study": study_id}).mappings())


def radiographs_if_kept(connection: Connection, study_id: UUID) -> tuple[Instance, ...] | None:
    """As `radiographs_of`; None where retention has removed one of them, and it has not come again."""
    rows = connection.execute(_WITH_REMOVED, {"study": study_id}).mappings().all()
    return _instances(rows) if all(row["removed_at"] is None for row in rows) else None


def any_removed(connection: Connection, study_id: UUID) -> bool:
    """Whether a radiograph that the study used was removed by retention, and has not come again."""
    return connection.execute(_REMOVED, {"study": study_id}).one_or_none() is not None


def get_instance(connection: Connection, scope: StudyScope, instance_id: UUID) -> Instance | None:
    """One instance of the scope, or None."""
    is_here = instances.c.removed_at.is_(None)
    found = _read(connection, instances.c.id == instance_id, in_scope(scope, instances.c.study_id), is_here)
    return found[0] if found else None


def by_ids(connection: Connection, ids: Sequence[UUID]) -> tuple[Instance, ...]:
    """The instances with these IDs, in order of SOPInstanceUID."""
    return _read(connection, instances.c.id.in_(ids))


def _read(connection: Connection, *conditions: Any) -> tuple[Instance, ...]:  # noqa: ANN401 - SQL expressions
    return _instances(connection.execute(_selected(*conditions)).mappings())


def _instances(rows: Iterable[RowMapping]) -> tuple[Instance, ...]:
    return tuple(
        Instance(role=InstanceRole(row["role"]), facts=row["header"], **{name: row[name] for name in _PLAIN})
        for row in rows
    )

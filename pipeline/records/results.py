"""Result sets: what a reconstruction produced; the newest of a study supersedes the older ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.replacement import Replacement, replacement
from pipeline.records.studies import StudyScope, in_scope
from pipeline.records.tables import reconstructions, result_files, result_sets
from pipeline.results import FileKind, Report, ResultFile


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of a result folder, in the store."""

    described: ResultFile
    blob_key: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class ResultFileRow:
    """A stored result file as pages and downloads need it.

    Attributes:
        id: Its ID, for addresses.
        path: In the result folder; the `path`s in the report are these.
        kind: What it is for.
        media_type: For the Content-Type.
        title: What a person would call it.
        blob_key: Where in the store.
        size: In bytes.
        digest: SHA-256, hexadecimal.
    """

    id: UUID
    path: str
    kind: FileKind
    media_type: str
    title: str
    blob_key: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class ResultSet:
    """What one reconstruction produced from the radiographs `instance_ids`.

    `superseded_by` is the result of the study that took its place; None also where that was removed meanwhile.
    `replaced_at` says whether one did, `replaced_because` why, as long as it is kept.
    """

    id: UUID
    study_id: UUID
    reconstruction_id: UUID
    created_at: datetime
    replaced_at: datetime | None
    superseded_by: UUID | None
    replaced_because: Replacement | None
    instance_ids: tuple[UUID, ...]
    report: Report
    files: tuple[ResultFileRow, ...]


def add(
    connection: Connection,
    *,
    institution_id: UUID,
    study_id: UUID,
    reconstruction_id: UUID,
    report: Report,
    files: Sequence[StoredFile],
) -> UUID:
    """Remember a result set with its files; a reconstruction has one that is not replaced."""
    owner = {"institution_id": institution_id}
    created: UUID = connection.execute(
        insert(result_sets)
        .values(**owner, study_id=study_id, reconstruction_id=reconstruction_id, report=json.loads(report.to_json()))
        .returning(result_sets.c.id)
    ).scalar_one()
    if files:
        rows = [{**owner, "result_set_id": created, **_columns(file)} for file in files]
        connection.execute(insert(result_files), rows)
    return created


def latest(connection: Connection, scope: StudyScope, study_id: UUID) -> ResultSet | None:
    """The result set of a study of the scope that stands; None where none does (or the study is somebody else's)."""
    return standing(history(connection, scope, study_id))


def standing(sets: Sequence[ResultSet]) -> ResultSet | None:
    """Of a study's history the result that stands; None where retention has removed it and left older ones."""
    return next((each for each in sets if each.replaced_at is None), None)


def history(connection: Connection, scope: StudyScope, study_id: UUID) -> tuple[ResultSet, ...]:
    """All result sets of a study of the scope, the newest first.

    Newest is what was queued last: two workers may finish in any order.
    """
    rows = connection.execute(
        select(result_sets, reconstructions.c.instance_ids)
        .join_from(result_sets, reconstructions)
        .where(result_sets.c.study_id == study_id, in_scope(scope, result_sets.c.study_id))
        .order_by(reconstructions.c.queued_at.desc(), result_sets.c.replaced_at.desc().nulls_first())
    ).all()
    return tuple(
        ResultSet(
            id=row.id,
            study_id=row.study_id,
            reconstruction_id=row.reconstruction_id,
            created_at=row.created_at,
            replaced_at=row.replaced_at,
            superseded_by=row.superseded_by,
            replaced_because=replacement(connection, row.id, row.superseded_by) if row.superseded_by else None,
            instance_ids=tuple(row.instance_ids),
            report=Report.from_json(json.dumps(row.report)),
            files=_files(connection, result_files.c.result_set_id == row.id),
        )
        for row in rows
    )


def get_file(connection: Connection, scope: StudyScope, file_id: UUID) -> ResultFileRow | None:
    """One result file of the scope, or None."""
    visible_sets = select(result_sets.c.id).where(in_scope(scope, result_sets.c.study_id))
    found = _files(connection, result_files.c.id == file_id, result_files.c.result_set_id.in_(visible_sets))
    return found[0] if found else None


def _columns(file: StoredFile) -> dict[str, object]:
    return {
        "path": file.described.path,
        "kind": file.described.kind,
        "media_type": file.described.media_type,
        "title": file.described.title,
        "sop_class_uid": file.described.sop_class_uid,
        "sop_instance_uid": file.described.sop_instance_uid,
        "blob_key": file.blob_key,
        "size": file.size,
        "digest": file.digest,
    }


def _files(connection: Connection, *conditions: Any) -> tuple[ResultFileRow, ...]:  # noqa: ANN401 - SQL expressions
    names = [name for name in ResultFileRow.__dataclass_fields__ if name != "kind"]
    rows = connection.execute(select(result_files).where(*conditions).order_by(result_files.c.path)).mappings()
    return tuple(ResultFileRow(kind=FileKind(row["kind"]), **{name: row[name] for name in names}) for row in rows)

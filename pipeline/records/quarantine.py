"""Quarantine: what was received but could not be taken in, kept with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, delete, func, select, true
from sqlalchemy.dialects.postgresql import insert

from pipeline.errors import InputError
from pipeline.records.tables import institutions, quarantine


class QuarantineProblem(StrEnum):
    """What is the matter with a quarantined file."""

    UNREADABLE = "unreadable"
    IDENTITY_MISMATCH = "identity-mismatch"
    TOO_LARGE = "too-large"
    """Its first bytes are kept alone."""


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """A file in quarantine.

    Attributes:
        institution_id: Whose, where known.
        problem: What is the matter, for programs.
        reason: What is the matter, a sentence without patient data.
        sop_class_uid: As the command said; empty if unknown.
        sop_instance_uid: As the command said; empty if unknown.
        calling_ae_title: Who sent it.
        called_ae_title: As whom we were called.
        received_from: The sender's address.
        blob_key: Where its bytes lie.
        size: In bytes.
        received_at: When.
        cut_at: So many bytes are taken, and it had more; None: it is whole.
    """

    institution_id: UUID | None
    problem: QuarantineProblem
    reason: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    called_ae_title: str
    received_from: str
    blob_key: str
    size: int
    received_at: datetime
    cut_at: int | None = None


def add(connection: Connection, entry: Quarantined) -> bool:
    """Keep it; False where it lies here already, and was only sent again."""
    columns = quarantine.c
    values = {name: getattr(entry, name) for name in Quarantined.__dataclass_fields__}
    latest = {name: values[name] for name in ("reason", "sop_class_uid", "called_ae_title", "received_from", "cut_at")}
    kept = insert(quarantine).values(**values, last_received_at=entry.received_at)
    again = kept.on_conflict_do_update(
        index_elements=[columns.blob_key, columns.problem, columns.sop_instance_uid, columns.calling_ae_title],
        set_={**latest, "times": columns.times + 1, "last_received_at": entry.received_at},
    )
    return bool(connection.execute(again.returning(columns.times == 1)).scalar_one())


def too_large(
    connection: Connection, institution_id: UUID, sop_instance_uids: Iterable[str], *, maximum_bytes: int
) -> set[str]:
    """Which of these instances came before, and were larger than is taken still."""
    columns = quarantine.c
    rows = connection.execute(
        select(columns.sop_instance_uid).where(
            columns.institution_id == institution_id,
            columns.sop_instance_uid.in_(list(sop_instance_uids)),
            columns.problem == QuarantineProblem.TOO_LARGE,
            columns.cut_at >= maximum_bytes,
        )
    )
    return set(rows.scalars())


@dataclass(frozen=True, kw_only=True)
class QuarantineLine:
    """A file in quarantine as an administrator sees it; the other fields are those of `Quarantined`.

    Attributes:
        received_at: When it came for the first time.
        last_received_at: When it came last.
        times: How often it came.
        institution: The institution's slug; empty where it is not known.
    """

    id: UUID
    received_at: datetime
    last_received_at: datetime
    times: int
    institution: str
    problem: str
    reason: str
    sop_instance_uid: str
    calling_ae_title: str
    received_from: str
    size: int
    blob_key: str


def newest(
    connection: Connection, *, institution_id: UUID | None = None, limit: int = 100
) -> tuple[QuarantineLine, ...]:
    """The quarantine of one institution, or of all, what came last first."""
    whose = true() if institution_id is None else quarantine.c.institution_id == institution_id
    rows = connection.execute(_lines().where(whose).order_by(quarantine.c.last_received_at.desc()).limit(limit))
    return tuple(QuarantineLine(**row) for row in rows.mappings())


def find(
    connection: Connection, quarantined_id: UUID, *, institution_id: UUID | None = None
) -> tuple[QuarantineLine, Quarantined]:
    """One file, of one institution or of any: as it is shown, and all of it.

    Raises:
        InputError: There is none.
    """
    whose = true() if institution_id is None else quarantine.c.institution_id == institution_id
    is_it = (quarantine.c.id == quarantined_id, whose)
    shown = connection.execute(_lines().where(*is_it)).mappings().one_or_none()
    if shown is None:
        raise InputError(f"there is no {quarantined_id} in quarantine; `bonecraft quarantine` lists what there is")
    row = connection.execute(select(quarantine).where(*is_it)).mappings().one()
    whole = {name: row[name] for name in Quarantined.__dataclass_fields__}
    return QuarantineLine(**shown), Quarantined(**{**whole, "problem": QuarantineProblem(row["problem"])})


def take_out(connection: Connection, quarantined_id: UUID) -> None:
    """It is no longer in quarantine: it was taken in. Its bytes stay."""
    connection.execute(delete(quarantine).where(quarantine.c.id == quarantined_id))


def _lines() -> Select[Any]:
    names = [name for name in QuarantineLine.__dataclass_fields__ if name != "institution"]
    columns: list[Any] = [*(quarantine.c[name] for name in names)]
    slug = func.coalesce(institutions.c.slug, "").label("institution")
    return select(*columns, slug).select_from(quarantine.outerjoin(institutions))

"""Studies: what an institution received or somebody uploaded, and how far it has come.

A study's `state` follows its newest views: `receiving` from the first radiograph on (and again with each further one),
then whatever its newest reconstruction is, or `left-out` where a rule says so. Objects that are no radiographs never
change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, and_, bindparam, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records.tables import instances, institutions, reconstructions, studies
from pipeline.settling import NotYet
from pipeline.waits import PartWait, Waits

PAGE: Final = 50


@dataclass(frozen=True, kw_only=True)
class StudyScope:
    """Whose studies may be seen: an institution's, or of these only what one person uploaded."""

    institution_id: UUID
    uploaded_by: UUID | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """As SQL on `studies`."""
        own = studies.c.institution_id == self.institution_id
        return own if self.uploaded_by is None else and_(own, studies.c.uploaded_by == self.uploaded_by)


@dataclass(frozen=True, kw_only=True)
class StudyHeader:
    """What the first instance of a study says of it; patient data, never for logs or addresses."""

    study_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    accession_number: str = ""
    study_date: str = ""
    study_description: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far the newest reconstruction of a study is.

    Attributes:
        reconstruction_id: Which one.
        state: One of `RECONSTRUCTION_STATES`.
        stage: Name of the stage at work.
        percent: 0 to 100.
        sentence: What is being done.
        problem: Why it was refused or failed, for people.
        attempts: How often it was begun.
        priority: One of `PRIORITIES`.
    """

    reconstruction_id: UUID
    state: str
    stage: str
    percent: int
    sentence: str
    problem: str
    attempts: int
    priority: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as lists and pages show it; `left_out` names the rule where one left it out."""

    id: UUID
    institution_id: UUID
    header: StudyHeader
    uploaded_by: UUID | None
    state: str
    first_received_at: datetime
    last_received_at: datetime
    left_out: str
    waits_for: str
    wait_until: datetime | None
    radiographs: int
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class LockedStudy:
    """A study's row, locked until the end of the transaction."""

    id: UUID
    institution_id: UUID
    state: str
    uploaded_by: UUID | None
    last_received_at: datetime
    waiting_since: datetime
    waits: Waits


_CREATE: Final = insert(studies).on_conflict_do_nothing()
_CHANGE: Final = update(studies).where(studies.c.id == bindparam("which"))
_LOCKABLE: Final = select(
    *(studies.c[name] for name in ("id", "institution_id", "state", "uploaded_by", "last_received_at")),
    func.coalesce(studies.c.waiting_since, studies.c.last_received_at).label("waiting_since"),
    *(institutions.c[name] for name in ("quiet_seconds", "maximum_wait_seconds", "waits")),
).join_from(studies, institutions)
_LOCK_BY_UID: Final = _LOCKABLE.where(
    studies.c.institution_id == bindparam("whose"), studies.c.study_instance_uid == bindparam("uid")
).with_for_update(of=studies)
"""Of what every image needs. Built once: building a statement takes longer than PostgreSQL needs for it."""


def lock_or_create(
    connection: Connection, *, institution_id: UUID, header: StudyHeader, uploaded_by: UUID | None
) -> LockedStudy:
    """The institution's study with that StudyInstanceUID, made where there is none; others wait for our commit.

    A new study is `out-of-scope` until a radiograph arrives.
    """
    said = {name: getattr(header, name) for name in StudyHeader.__dataclass_fields__}
    whose = {"institution_id": institution_id, "uploaded_by": uploaded_by}
    connection.execute(_CREATE, {**said, **whose, "state": "out-of-scope"})
    found = connection.execute(_LOCK_BY_UID, {"whose": institution_id, "uid": header.study_instance_uid})
    return _locked_study(found.mappings().one())


def lock(connection: Connection, study_id: UUID) -> LockedStudy | None:
    """The study; others wait for our commit."""
    found = _locked(connection, studies.c.id == study_id)
    return found[0] if found else None


def lock_due(connection: Connection, *, now: datetime, limit: int = 20) -> tuple[LockedStudy, ...]:
    """Receiving studies that are to be looked at; those that somebody else holds are left to them."""
    is_due = and_(studies.c.state == "receiving", studies.c.look_at <= now)
    return _locked(connection, is_due, skip_locked=True, limit=limit)


def lock_waiting(connection: Connection, study_id: UUID) -> LockedStudy | None:
    """The study, if it waits for further views."""
    found = _locked(connection, and_(studies.c.id == study_id, studies.c.state == "receiving"))
    return found[0] if found else None


def _locked(
    connection: Connection, condition: ColumnElement[bool], *, skip_locked: bool = False, limit: int | None = None
) -> tuple[LockedStudy, ...]:
    rows = connection.execute(
        _LOCKABLE.where(condition)
        .order_by(studies.c.look_at, studies.c.last_received_at)
        .limit(limit)
        .with_for_update(of=studies, skip_locked=skip_locked)
    )
    return tuple(map(_locked_study, rows.mappings()))


def _locked_study(row: RowMapping) -> LockedStudy:
    waits = Waits(
        quiet_seconds=row["quiet_seconds"],
        maximum_wait_seconds=row["maximum_wait_seconds"],
        parts=tuple(PartWait(**part) for part in row["waits"]),
    )
    columns = (name for name in LockedStudy.__dataclass_fields__ if name != "waits")
    return LockedStudy(waits=waits, **{name: row[name] for name in columns})


def with_radiograph(study: LockedStudy, *, now: datetime) -> LockedStudy:
    """The study with a further radiograph: it waits again for more. Nothing is written yet."""
    since = study.waiting_since if study.state == "receiving" else now
    return replace(study, state="receiving", last_received_at=now, waiting_since=since)


def write_down(connection: Connection, study: LockedStudy) -> None:
    """How far the study has come."""
    connection.execute(_CHANGE, {"which": study.id, **_progress_of(study)})


def wait(connection: Connection, study: LockedStudy, verdict: NotYet) -> None:
    """How far the study has come, what it waits for, and until when."""
    values = {"waits_for": verdict.waits_for, "wait_until": verdict.until, "look_at": verdict.look_at}
    connection.execute(_CHANGE, {"which": study.id, **_progress_of(study), **values})


def _progress_of(study: LockedStudy) -> dict[str, object]:
    return {name: getattr(study, name) for name in ("state", "last_received_at", "waiting_since")}


def look_again(connection: Connection, study_id: UUID, at: datetime) -> None:
    """When the study is to be looked at next."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(look_at=at))


def look_at_waiting(connection: Connection, institution_id: UUID) -> None:
    """How long the institution waits has changed: what waits is to be looked at anew."""
    waiting = and_(studies.c.institution_id == institution_id, studies.c.state == "receiving")
    connection.execute(update(studies).where(waiting).values(look_at=func.now()))


def set_state(connection: Connection, study_id: UUID, state: str) -> None:
    """One of `STUDY_STATES`."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(state=state))


def follow(connection: Connection, study_id: UUID, state: str) -> None:
    """Take over the state of the newest reconstruction, unless newer views wait to be settled."""
    unsettled = studies.c.state == "receiving"
    connection.execute(update(studies).where(studies.c.id == study_id, ~unsettled).values(state=state))


def claim_for_institution(connection: Connection, study_id: UUID, header: StudyHeader) -> None:
    """The institution's own devices sent to it: it is the institution's from now on, and is as they say."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(uploaded_by=None))
    correct(connection, study_id, header)


def correct(connection: Connection, study_id: UUID, header: StudyHeader) -> None:
    """It is as this header says: what lists show of it, and what it is found by."""
    said = {name: getattr(header, name) for name in StudyHeader.__dataclass_fields__ if name != "study_instance_uid"}
    connection.execute(update(studies).where(studies.c.id == study_id).values(**said))


def uploader(connection: Connection, institution_id: UUID, study_instance_uid: str) -> tuple[bool, UUID | None]:
    """Whether the institution has that study, and who uploaded it (None: its own devices sent it)."""
    is_it = and_(studies.c.institution_id == institution_id, studies.c.study_instance_uid == study_instance_uid)
    row = connection.execute(select(studies.c.uploaded_by).where(is_it)).one_or_none()
    return (False, None) if row is None else (True, row.uploaded_by)


def list_studies(
    connection: Connection, scope: StudyScope, *, search: str = "", limit: int = PAGE, offset: int = 0
) -> tuple[Study, ...]:
    """A page of the scope's studies, the one received last first.

    Args:
        connection: Open connection.
        scope: Whose.
        search: Part of a patient's name or ID, an accession number or a description; any case.
        limit: Length of the page.
        offset: How many to leave out.
    """
    rows = connection.execute(
        _select_studies()
        .where(scope.condition, _matches(search))
        .order_by(studies.c.last_received_at.desc(), studies.c.id)
        .limit(limit)
        .offset(offset)
    )
    return tuple(map(_study, rows))


def count_studies(connection: Connection, scope: StudyScope, *, search: str = "") -> int:
    """How many studies `list_studies` has in all its pages."""
    counted = select(func.count()).select_from(studies).where(scope.condition, _matches(search))
    return int(connection.execute(counted).scalar_one())


def get_study(connection: Connection, scope: StudyScope, study_id: UUID) -> Study | None:
    """One study of the scope; None where there is none, also when it is somebody else's."""
    row = connection.execute(_select_studies().where(scope.condition, studies.c.id == study_id)).one_or_none()
    return None if row is None else _study(row)


def in_scope(scope: StudyScope, study_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """SQL: the study of that ID belongs to the scope."""
    return exists().where(studies.c.id == study_id, scope.condition)


def _matches(search: str) -> ColumnElement[bool]:
    texts = (studies.c.patient_name, studies.c.patient_id, studies.c.accession_number, studies.c.study_description)
    return or_(*(column.icontains(search.strip(), autoescape=True) for column in texts))


def _select_studies() -> Any:  # noqa: ANN401 - a SELECT of many columns has no short type
    newest = (
        select(reconstructions)
        .where(reconstructions.c.study_id == studies.c.id)
        .order_by(reconstructions.c.queued_at.desc())
        .limit(1)
        .lateral("newest")
    )
    radiographs = (
        select(func.count())
        .where(
            instances.c.study_id == studies.c.id,
            instances.c.role == "radiograph",
            ~instances.c.superseded,
            instances.c.removed_at.is_(None),
        )
        .scalar_subquery()
    )
    columns: Sequence[Any] = (
        newest.c.id.label("reconstruction_id"),
        newest.c.state.label("reconstruction_state"),
        *(newest.c[name] for name in ("stage", "fraction", "progress_sentence", "problem", "attempts", "priority")),
    )
    joined = studies.outerjoin(newest, newest.c.study_id == studies.c.id)
    return select(studies, radiographs.label("radiographs"), *columns).select_from(joined)


def _study(row: Row[Any]) -> Study:
    progress = None
    if row.reconstruction_id is not None:
        progress = Progress(
            reconstruction_id=row.reconstruction_id,
            state=row.reconstruction_state,
            stage=row.stage,
            percent=row.fraction,
            sentence=row.progress_sentence,
            problem=row.problem,
            attempts=row.attempts,
            priority=row.priority,
        )
    return Study(
        id=row.id,
        institution_id=row.institution_id,
        header=StudyHeader(
            study_instance_uid=row.study_instance_uid,
            patient_id=row.patient_id,
            patient_name=row.patient_name,
            accession_number=row.accession_number,
            study_date=row.study_date,
            study_description=row.study_description,
        ),
        uploaded_by=row.uploaded_by,
        state=row.state,
        first_received_at=row.first_received_at,
        last_received_at=row.last_received_at,
        left_out=row.left_out if row.state == "left-out" else "",
        waits_for=row.waits_for if row.state == "receiving" else "",
        wait_until=row.wait_until if row.state == "receiving" else None,
        radiographs=row.radiographs,
        progress=progress,
    )

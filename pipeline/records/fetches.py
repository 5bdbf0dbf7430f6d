"""What the node asks peers for by itself: views that a study lacks, and an earlier study to compare it with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, union, update
from sqlalchemy.dialects.postgresql import Insert, insert

from pipeline.records.tables import fetches, instances, ledger, peers, result_files, studies

MISSING_VIEWS: Final = "missing-views"
PRIOR: Final = "prior"

ASK_AFTER: Final = timedelta(seconds=10)
"""So long after its last image a study is asked for elsewhere: its sender seems done, and settling still waits."""
ASK_FOR: Final = timedelta(hours=1)
"""Nobody is asked about what came longer ago, as when a peer is set to be asked for the first time."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A study that a peer may be asked about, and has not been.

    Attributes:
        institution_id: Whose.
        study_id: Its row.
        peer_id: Whom to ask.
        wants_prior: Whether the peer is asked for earlier studies, too.
    """

    institution_id: UUID
    study_id: UUID
    peer_id: UUID
    wants_prior: bool


@dataclass(frozen=True, kw_only=True)
class DueFetch:
    """What a peer is to be asked for now.

    Attributes:
        id: Its row.
        institution_id: Whose.
        study_id: The study that lacks something.
        purpose: `missing-views` or `prior`.
        attempts: How often it was tried, with this time.
        planned_at: Since when it is wanted.
        fetched_study_uid: The earlier study that was begun to be fetched; empty where none was.
        study_instance_uid: Of that study.
        patient_id: Its patient; empty where nobody said.
        patient_name: The same.
        study_date: Its date, YYYYMMDD; empty where nobody said.
    """

    id: UUID
    institution_id: UUID
    study_id: UUID
    purpose: str
    attempts: int
    planned_at: datetime
    fetched_study_uid: str
    study_instance_uid: str
    patient_id: str
    patient_name: str
    study_date: str


@dataclass(frozen=True, kw_only=True)
class FetchLine:
    """How a fetch stands, for people. No patient data."""

    peer: str
    study_id: UUID
    purpose: str
    state: str
    attempts: int
    images: int
    problem: str
    planned_at: datetime
    next_attempt_at: datetime


def held(connection: Connection, institution_id: UUID, sop_instance_uids: Iterable[str]) -> set[str]:
    """Which of these instances the institution has, as received or as results of ours; not what retention removed."""
    wanted = list(sop_instance_uids)
    received = select(instances.c.sop_instance_uid).where(
        instances.c.institution_id == institution_id,
        instances.c.sop_instance_uid.in_(wanted),
        instances.c.removed_at.is_(None),
    )
    made = select(result_files.c.sop_instance_uid).where(
        result_files.c.institution_id == institution_id, result_files.c.sop_instance_uid.in_(wanted)
    )
    return set(connection.execute(union(received, made)).scalars())


def candidates(connection: Connection, *, now: datetime) -> tuple[Candidate, ...]:
    """Studies that have been quiet for a moment and that somebody may be asked about; not what was fetched itself."""
    is_asked = exists().where(
        fetches.c.study_id == studies.c.id,
        fetches.c.peer_id == peers.c.id,
        fetches.c.purpose == MISSING_VIEWS,
        fetches.c.planned_at >= studies.c.last_received_at,
    )
    rows = connection.execute(
        select(
            studies.c.institution_id,
            studies.c.id.label("study_id"),
            peers.c.id.label("peer_id"),
            (peers.c.asked_for == "priors").label("wants_prior"),
        )
        .join_from(studies, peers, peers.c.institution_id == studies.c.institution_id)
        .where(
            peers.c.asked_for != "nothing",
            studies.c.uploaded_by.is_(None),
            studies.c.state.not_in(("out-of-scope", "left-out")),
            studies.c.last_received_at.between(now - ASK_FOR, now - ASK_AFTER),
            ~is_asked,
            ~_is_prior(),
        )
        .order_by(studies.c.last_received_at)
    )
    return tuple(Candidate(**row) for row in rows.mappings())


def plan_missing(connection: Connection, candidate: Candidate, *, is_needed: bool, now: datetime) -> None:
    """Have the peer asked for the views that the study lacks as it is now, or note that it lacks none."""
    fresh = {
        "state": "pending" if is_needed else "nothing",
        "attempts": 0,
        "problem": "",
        "planned_at": now,
        "next_attempt_at": now,
        "finished_at": None if is_needed else now,
    }
    again = _row(candidate, MISSING_VIEWS, fresh).on_conflict_do_update(
        index_elements=[fetches.c.study_id, fetches.c.peer_id, fetches.c.purpose], set_=fresh
    )
    connection.execute(again)


def plan_prior(connection: Connection, candidate: Candidate, *, now: datetime) -> None:
    """Have the peer asked for an earlier study, once."""
    row = _row(candidate, PRIOR, {"planned_at": now, "next_attempt_at": now})
    connection.execute(row.on_conflict_do_nothing())


def _row(candidate: Candidate, purpose: str, values: Mapping[str, object]) -> Insert:
    key = {"study_id": candidate.study_id, "peer_id": candidate.peer_id, "purpose": purpose}
    return insert(fetches).values(institution_id=candidate.institution_id, **key, **values)


def peers_due(connection: Connection, *, now: datetime) -> tuple[UUID, ...]:
    """The peers that are to be asked for something now, the longest wait first."""
    rows = connection.execute(
        select(fetches.c.peer_id)
        .where(_is_due(now))
        .group_by(fetches.c.peer_id)
        .order_by(func.min(fetches.c.planned_at))
    )
    return tuple(rows.scalars())


def claim_due(connection: Connection, peer_id: UUID, *, now: datetime, lease: timedelta) -> DueFetch | None:
    """The next thing to ask a peer for; nobody else gets it until the lease ends."""
    names = ("id", "institution_id", "study_id", "purpose", "attempts", "planned_at", "fetched_study_uid")
    of_study = (studies.c[name] for name in ("study_instance_uid", "patient_id", "patient_name", "study_date"))
    row = (
        connection.execute(
            select(*(fetches.c[name] for name in names), *of_study)
            .join_from(fetches, studies)
            .where(fetches.c.peer_id == peer_id, _is_due(now))
            .order_by(fetches.c.attempts, fetches.c.planned_at)
            .limit(1)
            .with_for_update(of=fetches, skip_locked=True)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    due = DueFetch(**{**row, "attempts": row["attempts"] + 1})
    _change(connection, due.id, attempts=due.attempts, next_attempt_at=now + lease)
    return due


def mark_fetched(connection: Connection, fetch_id: UUID, *, images: int, study_uid: str, now: datetime) -> None:
    """So many images came; `study_uid` names the prior."""
    said = {"state": "fetched", "images": images, "fetched_study_uid": study_uid, "problem": ""}
    _change(connection, fetch_id, finished_at=now, **said)


def name_prior(connection: Connection, fetch_id: UUID, study_uid: str) -> None:
    """Which study is fetched, before its first image comes: so nobody asks for a prior of the prior."""
    _change(connection, fetch_id, fetched_study_uid=study_uid)


def mark_nothing(connection: Connection, fetch_id: UUID, *, again: datetime | None, now: datetime) -> None:
    """The peer has nothing that we lack; it is asked `again` or no more."""
    if again is not None:
        _change(connection, fetch_id, next_attempt_at=again, problem="")
    else:
        _change(connection, fetch_id, state="nothing", finished_at=now, problem="")


def mark_failed(connection: Connection, fetch_id: UUID, *, problem: str, again: datetime) -> None:
    """It went wrong, and is tried again."""
    _change(connection, fetch_id, problem=problem, next_attempt_at=again)


def give_up(connection: Connection, fetch_id: UUID, *, problem: str, now: datetime) -> None:
    """It went wrong, and is not tried again."""
    _change(connection, fetch_id, state="given-up", problem=problem, finished_at=now)


def postpone(connection: Connection, peer_id: UUID, *, until: datetime) -> None:
    """The peer could not be reached: nothing is asked of it before that time."""
    waiting = and_(fetches.c.peer_id == peer_id, fetches.c.state == "pending", fetches.c.next_attempt_at < until)
    connection.execute(update(fetches).where(waiting).values(next_attempt_at=until))


def lines(connection: Connection, *, last: int) -> tuple[FetchLine, ...]:
    """What is asked for, and what was given up lately."""
    names = ("study_id", "purpose", "state", "attempts", "images", "problem", "planned_at", "next_attempt_at")
    rows = connection.execute(
        select(peers.c.ae_title.label("peer"), *(fetches.c[name] for name in names))
        .join_from(fetches, peers)
        .where(or_(fetches.c.state == "pending", fetches.c.state == "given-up"))
        .order_by(fetches.c.planned_at.desc())
        .limit(last)
    )
    return tuple(FetchLine(**row) for row in rows.mappings())


def was_fetched_as_prior(connection: Connection, study_id: UUID) -> bool:
    """Whether the study is here only to compare a newer one with."""
    is_it = select(_is_prior()).select_from(studies).where(studies.c.id == study_id)
    return bool(connection.execute(is_it).scalar_one())


def _is_prior() -> ColumnElement[bool]:
    """Of a study: it was asked for as a prior, and nobody sent an image of it unasked.

    Not every archive says that C-MOVE brought an image (Move Originator is optional: PS3.7 9.1.1.1), so what the peer
    sends while it is asked counts as fetched, too.
    """
    asked = peers.alias()
    while_asked = and_(
        ledger.c.facts["calling_ae_title"].astext == asked.c.ae_title,
        ledger.c.recorded_at.between(fetches.c.planned_at, func.coalesce(fetches.c.finished_at, ledger.c.recorded_at)),
    )
    sent = (
        exists()
        .where(
            instances.c.study_id == studies.c.id,
            ledger.c.institution_id == instances.c.institution_id,
            ledger.c.sop_instance_uid == instances.c.sop_instance_uid,
            ledger.c.event == "received",
            ~ledger.c.facts.has_key("fetched_by"),
            ~while_asked,
        )
        .correlate(studies, fetches, asked)
    )
    return (
        exists()
        .where(
            fetches.c.institution_id == studies.c.institution_id,
            fetches.c.fetched_study_uid == studies.c.study_instance_uid,
            fetches.c.peer_id == asked.c.id,
            ~sent,
        )
        .correlate(studies)
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(fetches.c.state == "pending", fetches.c.next_attempt_at <= now)


def _change(connection: Connection, fetch_id: UUID, **values: object) -> None:
    connection.execute(update(fetches).where(fetches.c.id == fetch_id).values(**values))

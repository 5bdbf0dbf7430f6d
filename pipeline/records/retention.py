"""Retention in the tables: what an institution's settings say, what has been kept long enough, what holds it back.

The unit is a study for its images, a result with its files, a file in quarantine. `pipeline.records.removal` removes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Subquery,
    and_,
    cast,
    exists,
    false,
    func,
    literal,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.records.ledger import LedgerEvent
from pipeline.records.tables import (
    commitment_reports,
    deliveries,
    instances,
    institutions,
    ledger,
    quarantine,
    reconstructions,
    rejected_attempts,
    result_files,
    result_sets,
    settings_changes,
    studies,
)

ON_ITS_WAY: Final = ("receiving", "queued", "running")


class What(StrEnum):
    """What is kept for so long; `keep_…_days` of the institution says how long."""

    IMAGES = "images"
    RESULTS = "results"
    REPLACED_RESULTS = "replaced-results"
    QUARANTINE = "quarantine"
    REJECTED_ATTEMPTS = "rejected-attempts"

    @property
    def entry(self) -> str:
        """Of `InstitutionValue`."""
        return f"keep_{self.replace('-', '_')}_days"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How long an institution keeps one kind of thing.

    Attributes:
        institution_id: Whose.
        institution: Its slug.
        what: Of what.
        days: So long; 0: for ever.
        set_by: Who said so, and where; empty: nobody, it is the default.
        set_at: When; None where nobody did.
    """

    institution_id: UUID
    institution: str
    what: What
    days: int
    set_by: str
    set_at: datetime | None

    @property
    def sentence(self) -> str:
        """Why something was removed, for the ledger."""
        by = f", as set by {self.set_by}" if self.set_by else ""
        on = f" on {self.set_at:%Y-%m-%d}" if self.set_at else ""
        return f"by retention: {self.what.replace('-', ' ')} are kept for {self.days} days{by}{on}"

    def oldest_kept(self, now: datetime) -> datetime:
        """What is older has been kept long enough."""
        return now - timedelta(days=self.days)


@dataclass(frozen=True, kw_only=True)
class Due:
    """Something that was kept long enough.

    Attributes:
        id: Of the study, the result set, the file in quarantine, or the institution with its rejected attempts.
        files: How many it has.
        size: Of all of them, in bytes.
        since: From when it is.
        held_back: Why it stays all the same; empty: it may go.
        given_up: It stays only because something was given up that somebody may want to try again.
    """

    id: UUID
    files: int
    size: int
    since: datetime
    held_back: str
    given_up: bool


def rules(connection: Connection, *, institution: str | None = None) -> tuple[Rule, ...]:
    """All rules of one institution (its slug), or of all."""
    wanted = true() if institution is None else institutions.c.slug == institution
    rows = connection.execute(select(institutions).where(wanted).order_by(institutions.c.slug)).all()
    return tuple(_rule(connection, row, what) for row in rows for what in What)


def _rule(connection: Connection, row: Row[Any], what: What) -> Rule:
    days = getattr(row, what.entry)
    changes = settings_changes.c
    before, after = changes.before[what.entry].astext, changes.after[what.entry].astext
    set_so = (
        select(changes.who, changes.source, changes.changed_at)
        .where(changes.subject == f"institution {row.slug}", after == str(days), before.is_distinct_from(after))
        .order_by(changes.id.desc())
        .limit(1)
    )
    change = connection.execute(set_so).one_or_none() if days else None
    return Rule(
        institution_id=row.id,
        institution=row.slug,
        what=what,
        days=days,
        set_by=f"{change.who} ({change.source})" if change else "",
        set_at=change.changed_at if change else None,
    )


def due(connection: Connection, rule: Rule, *, now: datetime, only: UUID | None = None) -> tuple[Due, ...]:
    """What has been kept long enough by the rule, the oldest first; of `only` one, where that is given."""
    if not rule.days:
        return ()
    found = _DUE[rule.what](rule, rule.oldest_kept(now))
    query = select(found).where(true() if only is None else found.c.id == only).order_by(found.c.since)
    return tuple(_as_due(row, rule, now) for row in connection.execute(query))


def _as_due(row: Row[Any], rule: Rule, now: datetime) -> Due:
    held_back, given_up = _why_kept(row, rule, now)
    return Due(id=row.id, files=row.files, size=int(row.size), since=row.since, held_back=held_back, given_up=given_up)


def _why_kept(row: Row[Any], rule: Rule, now: datetime) -> tuple[str, bool]:
    """Why a study's images or results stay (empty: they do not), and whether only because something was given up."""
    if row.on_its_way:
        return "a reconstruction is on its way", False
    if row.waits:
        return "results wait to be delivered, or for their storage commitment", False
    if row.is_asked_for:
        return "a peer asks for storage commitment", False
    if row.promised_at is not None and row.promised_at > rule.oldest_kept(now):
        return f"storage commitment was given less than {rule.days} days ago", False
    if row.undelivered:
        return "results could not be delivered: bonecraft status says why", True
    return ("the reconstruction failed: bonecraft status says why", True) if row.failed else ("", False)


def _due_images(rule: Rule, oldest_kept: datetime) -> Subquery:
    last = func.max(instances.c.received_at)
    study_id = instances.c.study_id
    return (
        select(
            study_id.label("id"),
            func.count().label("files"),
            func.sum(instances.c.size).label("size"),
            last.label("since"),
            *_holds(study_id),
            _promised_at(study_id).label("promised_at"),
            _is_asked_for(study_id).label("is_asked_for"),
        )
        .where(instances.c.institution_id == rule.institution_id, instances.c.removed_at.is_(None))
        .group_by(study_id)
        .having(last < oldest_kept)
        .subquery()
    )


def _due_results(rule: Rule, oldest_kept: datetime) -> Subquery:
    """Results that are in use, by when they were made; replaced ones by when another took their place."""
    replaced_at = func.coalesce(result_sets.c.replaced_at, _next_one_at())
    is_replaced = rule.what is What.REPLACED_RESULTS
    since = replaced_at if is_replaced else result_sets.c.created_at
    files = result_files.c.result_set_id == result_sets.c.id
    return (
        select(
            result_sets.c.id,
            select(func.count()).where(files).scalar_subquery().label("files"),
            select(func.coalesce(func.sum(result_files.c.size), 0)).where(files).scalar_subquery().label("size"),
            since.label("since"),
            *_holds(result_sets.c.study_id),
            null().label("promised_at"),
            false().label("is_asked_for"),
        )
        .where(
            result_sets.c.institution_id == rule.institution_id,
            replaced_at.is_not(None) if is_replaced else replaced_at.is_(None),
            since < oldest_kept,
        )
        .subquery()
    )


def _next_one_at() -> ColumnElement[Any]:
    """When the next newer reconstruction of the study had a result; NULL where there is none."""
    newer_set, newer, own = result_sets.alias(), reconstructions.alias(), reconstructions.alias()
    return (
        select(func.min(newer_set.c.created_at))
        .select_from(newer_set.join(newer, newer.c.id == newer_set.c.reconstruction_id))
        .join(own, own.c.id == result_sets.c.reconstruction_id)
        .where(newer.c.study_id == result_sets.c.study_id, newer.c.queued_at > own.c.queued_at)
        .correlate(result_sets)
        .scalar_subquery()
    )


_NOTHING_HOLDS: Final = (
    *(false().label(name) for name in ("on_its_way", "failed", "waits", "undelivered", "is_asked_for")),
    null().label("promised_at"),
)
"""Of what belongs to no study."""


def _due_quarantine(rule: Rule, oldest_kept: datetime) -> Subquery:
    columns = quarantine.c
    counted = (literal(1).label("files"), columns.size, columns.last_received_at.label("since"))
    one = select(columns.id, *counted, *_NOTHING_HOLDS)
    return one.where(columns.institution_id == rule.institution_id, columns.last_received_at < oldest_kept).subquery()


def _due_rejected(rule: Rule, oldest_kept: datetime) -> Subquery:
    columns = rejected_attempts.c
    counted = (func.count().label("files"), literal(0).label("size"), func.min(columns.last_at).label("since"))
    old = and_(columns.institution_id == rule.institution_id, columns.last_at < oldest_kept)
    all_of_it = select(columns.institution_id.label("id"), *counted, *_NOTHING_HOLDS)
    return all_of_it.where(old).group_by(columns.institution_id).subquery()


_DUE: Final[Mapping[What, Callable[[Rule, datetime], Subquery]]] = {
    What.IMAGES: _due_images,
    What.RESULTS: _due_results,
    What.REPLACED_RESULTS: _due_results,
    What.QUARANTINE: _due_quarantine,
    What.REJECTED_ATTEMPTS: _due_rejected,
}


def _holds(study_id: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """What keeps anything of a study from being removed."""
    job = and_(reconstructions.c.study_id == study_id, reconstructions.c.state.in_(("queued", "running")))
    on_its_way = or_(exists().where(studies.c.id == study_id, studies.c.state.in_(ON_ITS_WAY)), exists().where(job))
    failed = exists().where(studies.c.id == study_id, studies.c.state == "failed")
    waits = _has_delivery(study_id, deliveries.c.state.in_(("pending", "sent")))
    nothing_there = and_(deliveries.c.state == "not-accepted", ~_peer_has_some())
    undelivered = _has_delivery(study_id, or_(deliveries.c.state == "dead", nothing_there))
    flags = {"on_its_way": on_its_way, "failed": failed, "waits": waits, "undelivered": undelivered}
    return tuple(flag.label(name) for name, flag in flags.items())


def _has_delivery(study_id: ColumnElement[Any], condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(deliveries.c.id)
        .join_from(deliveries, result_files)
        .join(result_sets, result_sets.c.id == result_files.c.result_set_id)
        .where(result_sets.c.study_id == study_id, condition)
        .correlate_except(deliveries, result_files, result_sets)
        .exists()
    )


def _peer_has_some() -> ColumnElement[bool]:
    """SQL on a delivery: its peer has other files of the same result: it takes some kinds of objects and others not."""
    other, other_file = deliveries.alias(), result_files.alias()
    return (
        select(other.c.id)
        .select_from(other.join(other_file, other_file.c.id == other.c.result_file_id))
        .where(
            other_file.c.result_set_id == result_files.c.result_set_id,
            other.c.peer_id == deliveries.c.peer_id,
            other.c.state == "delivered",
        )
        .correlate(deliveries, result_files)
        .exists()
    )


def _promised_at(study_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """When storage commitment was last given for an image of the study."""
    own = instances.alias()
    given = and_(
        ledger.c.event == str(LedgerEvent.COMMITMENT_GIVEN),
        ledger.c.facts["kept"].astext == "true",
        ledger.c.institution_id == own.c.institution_id,
    )
    promised = select(func.max(ledger.c.recorded_at)).select_from(
        own.join(ledger, and_(ledger.c.sop_instance_uid == own.c.sop_instance_uid, given))
    )
    return promised.where(own.c.study_id == study_id).correlate(instances).scalar_subquery()


def _is_asked_for(study_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a peer waits to hear whether we keep an image of the study."""
    own = instances.alias()
    asked = func.jsonb_array_elements(commitment_reports.c.instances).table_valued("value", name="asked")
    named = cast(asked.c.value, JSONB)[1].astext == own.c.sop_instance_uid
    waits = and_(commitment_reports.c.state == "pending", commitment_reports.c.institution_id == own.c.institution_id)
    return (
        select(own.c.id)
        .select_from(commitment_reports.join(asked, true()).join(own, named))
        .where(own.c.study_id == study_id, waits)
        .correlate(instances)
        .exists()
    )

"""An institution's rules and what they are held against: the facts of images; and what rules left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select, update

from pipeline.errors import ConfigurationError
from pipeline.records.directory import receiving_peers
from pipeline.records.instances import InstanceRole
from pipeline.records.tables import instances, peers, reconstructions, result_sets, rules, studies
from pipeline.rules import OTHERS, Rule
from pipeline.rules_preview import PastStudy, Preview, preview
from pipeline.rules_verdict import ImageFacts

_IN_USE: Final = (instances.c.role == InstanceRole.RADIOGRAPH, ~instances.c.superseded)
_COLUMNS: Final = (instances.c.header, instances.c.calling_ae_title, instances.c.called_ae_title)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A study that a rule left out; process it with `pipeline.jobs.process_anyway`.

    Attributes:
        study_instance_uid: StudyInstanceUID.
        last_received_at: When its last image came.
        sentence: Which rule left it out, and why.
    """

    study_instance_uid: str
    last_received_at: datetime
    sentence: str


def of_institution(connection: Connection, institution_id: UUID) -> tuple[Rule, ...]:
    """The institution's rules in their order."""
    stored = connection.execute(select(rules.c.in_order).where(rules.c.institution_id == institution_id)).scalar()
    return tuple(map(Rule.model_validate, stored or ()))


def check_peers(connection: Connection, institution_id: UUID, checked: Iterable[Rule]) -> None:
    """Whether there are the peers that rules name.

    Raises:
        ConfigurationError: There is one missing.
    """
    known = set(connection.execute(select(peers.c.ae_title).where(peers.c.institution_id == institution_id)).scalars())
    for rule in checked:
        for peer in sorted(set(rule.send) - known - {OTHERS}):
            raise ConfigurationError(
                f"rule {rule.name!r} sends to {peer!r}, which is no peer of the institution; "
                "`bonecraft peers list` shows them"
            )


def naming_peer(connection: Connection, institution_id: UUID, ae_title: str) -> tuple[str, ...]:
    """The names of the institution's rules that say what is sent to the peer."""
    return tuple(rule.name for rule in of_institution(connection, institution_id) if ae_title in rule.send)


def images_of_study(connection: Connection, study_id: UUID) -> tuple[ImageFacts, ...]:
    """The radiographs of a study that are in use."""
    return _images(connection, instances.c.study_id == study_id, *_IN_USE)


def images_of_result(connection: Connection, result_set_id: UUID) -> tuple[ImageFacts, ...]:
    """The radiographs that a result was made from."""
    made_from = (
        select(func.unnest(reconstructions.c.instance_ids))
        .join_from(result_sets, reconstructions)
        .where(result_sets.c.id == result_set_id)
    )
    return _images(connection, instances.c.id.in_(made_from))


def received_since(connection: Connection, institution_id: UUID, since: datetime) -> tuple[PastStudy, ...]:
    """The institution's studies with radiographs of which the last image came after `since`, the newest first."""
    columns = (studies.c.study_instance_uid, studies.c.wanted_by, *_COLUMNS)
    rows = connection.execute(
        select(*columns)
        .join_from(studies, instances)
        .where(studies.c.institution_id == institution_id, studies.c.last_received_at >= since, *_IN_USE)
        .order_by(studies.c.last_received_at.desc(), studies.c.id, instances.c.sop_instance_uid)
    )
    grouped = groupby(rows.mappings(), key=itemgetter("study_instance_uid", "wanted_by"))
    return tuple(
        PastStudy(study_instance_uid=uid, images=tuple(map(_image, of_study)), is_wanted=bool(wanted_by))
        for (uid, wanted_by), of_study in grouped
    )


def preview_of(
    connection: Connection, institution_id: UUID, after: Sequence[Rule], *, days: int, now: datetime
) -> Preview:
    """What other rules than the institution's present ones would have done with its studies of the last days.

    Raises:
        ConfigurationError: They name a peer that is not there.
    """
    check_peers(connection, institution_id, after)
    return preview(
        received_since(connection, institution_id, now - timedelta(days=days)),
        before=of_institution(connection, institution_id),
        after=after,
        peers=receiving_peers(connection, institution_id),
        days=days,
    )


def images_of_study_uid(
    connection: Connection, institution_id: UUID, study_instance_uid: str
) -> tuple[ImageFacts, ...] | None:
    """The radiographs in use of the institution's study; None where it has no such study."""
    is_it = (studies.c.institution_id == institution_id, studies.c.study_instance_uid == study_instance_uid)
    study_id = connection.execute(select(studies.c.id).where(*is_it)).scalar()
    return None if study_id is None else images_of_study(connection, study_id)


def study_ids(connection: Connection, study_instance_uid: str) -> tuple[UUID, ...]:
    """The studies of that StudyInstanceUID; two institutions may have the same one."""
    found = select(studies.c.id).where(studies.c.study_instance_uid == study_instance_uid)
    return tuple(connection.execute(found).scalars())


def leave_out(connection: Connection, study_id: UUID, because: str) -> None:
    """The study is kept, and not processed; `because` names the rule."""
    said = {"state": "left-out", "left_out": f"Left out by {because.rstrip('.')}."}
    connection.execute(update(studies).where(studies.c.id == study_id).values(**said))


def left_out(connection: Connection, institution_id: UUID, *, limit: int) -> tuple[LeftOut, ...]:
    """The institution's studies that rules leave out, the one received last first."""
    rows = connection.execute(
        select(studies.c.study_instance_uid, studies.c.last_received_at, studies.c.left_out.label("sentence"))
        .where(studies.c.institution_id == institution_id, studies.c.state == "left-out")
        .order_by(studies.c.last_received_at.desc())
        .limit(limit)
    )
    return tuple(LeftOut(**row) for row in rows.mappings())


def want(connection: Connection, study_id: UUID, *, who: str) -> None:
    """Somebody wants it processed, whatever rules say of it now and when further images come."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(wanted_by=who, left_out=""))


def is_wanted(connection: Connection, study_id: UUID) -> bool:
    """Whether somebody wants it processed, whatever rules say."""
    return bool(connection.execute(select(studies.c.wanted_by).where(studies.c.id == study_id)).scalar_one())


def _images(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[ImageFacts, ...]:
    rows = connection.execute(select(*_COLUMNS).where(*conditions).order_by(instances.c.sop_instance_uid))
    return tuple(map(_image, rows.mappings()))


def _image(row: RowMapping) -> ImageFacts:
    titles = {name: row[name] for name in ("calling_ae_title", "called_ae_title")}
    return ImageFacts.of(row["header"], **titles)

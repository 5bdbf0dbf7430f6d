"""An institution's rules and what they are held against: the facts of images; and what rules left out."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, select, update

from pipeline.records.instances import InstanceRole
from pipeline.records.tables import instances, reconstructions, result_sets, rules, studies
from pipeline.rules import Rule
from pipeline.rules_verdict import ImageFacts


def of_institution(connection: Connection, institution_id: UUID) -> tuple[Rule, ...]:
    """The institution's rules in their order."""
    stored = connection.execute(select(rules.c.in_order).where(rules.c.institution_id == institution_id)).scalar()
    return tuple(map(Rule.model_validate, stored or ()))


def images_of_study(connection: Connection, study_id: UUID) -> tuple[ImageFacts, ...]:
    """The radiographs of a study that are in use."""
    in_use = (instances.c.role == InstanceRole.RADIOGRAPH, ~instances.c.superseded)
    return _images(connection, instances.c.study_id == study_id, *in_use)


def images_of_result(connection: Connection, result_set_id: UUID) -> tuple[ImageFacts, ...]:
    """The radiographs that a result was made from."""
    made_from = (
        select(func.unnest(reconstructions.c.instance_ids))
        .join_from(result_sets, reconstructions)
        .where(result_sets.c.id == result_set_id)
    )
    return _images(connection, instances.c.id.in_(made_from))


def leave_out(connection: Connection, study_id: UUID, because: str) -> None:
    """The study is kept, and not processed; `because` names the rule."""
    said = {"state": "left-out", "left_out": f"Left out by {because.rstrip('.')}."}
    connection.execute(update(studies).where(studies.c.id == study_id).values(**said))


def want(connection: Connection, study_id: UUID, *, who: str) -> None:
    """Somebody wants it processed, whatever rules say of it now and when further images come."""
    connection.execute(update(studies).where(studies.c.id == study_id).values(wanted_by=who, left_out=""))


def is_wanted(connection: Connection, study_id: UUID) -> bool:
    """Whether somebody wants it processed, whatever rules say."""
    return bool(connection.execute(select(studies.c.wanted_by).where(studies.c.id == study_id)).scalar_one())


def _images(connection: Connection, *conditions: ColumnElement[bool]) -> tuple[ImageFacts, ...]:
    columns = (instances.c.header, instances.c.calling_ae_title, instances.c.called_ae_title)
    rows = connection.execute(select(*columns).where(*conditions).order_by(instances.c.sop_instance_uid))
    return tuple(
        ImageFacts.of(row.header, calling_ae_title=row.calling_ae_title, called_ae_title=row.called_ae_title)
        for row in rows
    )

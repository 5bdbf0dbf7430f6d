"""What other programs may search for and retrieve: an institution's radiographs and the newest results made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Subquery, and_, bindparam, func, literal, select, union_all, update
from sqlalchemy.dialects.postgresql import JSONB

from pipeline.dicom_json import tag_of
from pipeline.records.studies import StudyScope
from pipeline.records.tables import instances, reconstructions, result_files, result_sets, studies
from pipeline.results import FileKind

READ_AT_ONCE: Final = 500
"""So many files are looked into before a search is answered: all that is new, but for a node's first search."""

SERIES_UID: Final = tag_of("SeriesInstanceUID")
MODALITY: Final = tag_of("Modality")
_COLUMNS: Final = ("sop_class_uid", "sop_instance_uid", "blob_key", "size", "attributes")

Level = Literal["study", "series", "instance"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """An instance that may be retrieved.

    Attributes:
        study_instance_uid: Its study.
        series_instance_uid: Its series.
        sop_class_uid: Its class.
        sop_instance_uid: Its own UID.
        blob_key: Where its bytes lie.
        size: How many they are.
        attributes: What a search answers of it, in the DICOM JSON Model.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    blob_key: str
    size: int
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Unread:
    """An instance whose file nobody has looked into yet."""

    id: UUID
    is_result: bool
    blob_key: str


@dataclass(frozen=True, kw_only=True)
class Match:
    """What an attribute must be (PS3.4 C.2.2.2).

    Attributes:
        tag: `00100020`.
        of_person: It is a person's name: upper and lower case are the same.
        any_of: One of these; with `*` and `?` as wild cards where there is one value.
        since: Not before this; empty: however early.
        until: Not after what begins like this; empty: however late.
        somewhere_in_study: Some instance of the same study must match, not the very one.
    """

    tag: str
    of_person: bool = False
    any_of: tuple[str, ...] = ()
    since: str = ""
    until: str = ""
    somewhere_in_study: bool = False


def unread(connection: Connection, scope: StudyScope, study: str = "") -> tuple[Unread, ...]:
    """Instances whose attributes are not known yet, the newest studies' first; `READ_AT_ONCE` at the most.

    Args:
        connection: Open connection.
        scope: Whose studies may be seen.
        study: StudyInstanceUID of the only study that is looked at; empty: all.
    """
    served = _served(scope)
    of_study = [served.c.study_instance_uid == study] if study else []
    rows = connection.execute(
        select(served.c.id, served.c.is_result, served.c.blob_key)
        .where(served.c.attributes.is_(None), *of_study)
        .order_by(served.c.last_received_at.desc(), served.c.id)
        .limit(READ_AT_ONCE)
    )
    return tuple(Unread(**row) for row in rows.mappings())


def remember_attributes(connection: Connection, found: Sequence[tuple[Unread, Mapping[str, Any]]]) -> None:
    """Keep what the files say: their bytes never change. What was removed meanwhile is not written to."""
    for table, is_result in ((instances, False), (result_files, True)):
        is_unread = and_(table.c.attributes.is_(None), *([] if is_result else [instances.c.removed_at.is_(None)]))
        rows = [{"row": each.id, "said": said} for each, said in found if each.is_result is is_result]
        if rows:
            said = bindparam("said", type_=JSONB)
            this_row = table.c.id == bindparam("row")
            connection.execute(update(table).where(this_row, is_unread).values(attributes=said), rows)


def search(
    connection: Connection, scope: StudyScope, matches: Sequence[Match], *, level: Level, limit: int, offset: int
) -> tuple[tuple[Served, ...], ...]:
    """Studies, series or instances that match, the newest studies first: each with all of its instances.

    Args:
        connection: Open connection.
        scope: Whose studies may be seen.
        matches: All of them must hold.
        level: What is looked for.
        limit: So many at the most.
        offset: So many are left out.
    """
    served = _served(scope)
    keys = _keys(served, level)
    found = (
        select(*keys)
        .where(_text(served, SERIES_UID) != "", *(_condition(scope, served, match) for match in matches))
        .group_by(*keys, served.c.last_received_at)
        .order_by(served.c.last_received_at.desc(), *keys)
        .limit(limit)
        .offset(offset)
    )
    groups: dict[tuple[str, ...], list[Served]] = {tuple(row): [] for row in connection.execute(found)}
    inside = select(*_columns(served)).where(served.c.study_instance_uid.in_({key[0] for key in groups}))
    for row in connection.execute(inside.order_by(served.c.sop_instance_uid)).mappings():
        each = Served(**row)
        key = (each.study_instance_uid, each.series_instance_uid, each.sop_instance_uid)[: len(keys)]
        if key in groups:
            groups[key].append(each)
    return tuple(map(tuple, groups.values()))


def retrieve(
    connection: Connection, scope: StudyScope, study: str, series: str = "", instance: str = ""
) -> tuple[Served, ...]:
    """What is kept of a study, or of a series or an instance of it, by UID; nothing where it is somebody else's.

    Args:
        connection: Open connection.
        scope: Whose studies may be seen.
        study: StudyInstanceUID.
        series: SeriesInstanceUID; empty: every series.
        instance: SOPInstanceUID; empty: every instance.
    """
    served = _served(scope)
    wanted = zip(_keys(served, "instance"), (study, series, instance), strict=True)
    conditions = [column == uid for column, uid in wanted if uid]
    rows = connection.execute(
        select(*_columns(served))
        .where(_text(served, SERIES_UID) != "", *conditions)
        .order_by(*_keys(served, "instance"))
    )
    return tuple(Served(**row) for row in rows.mappings())


def _keys(served: Subquery, level: Level) -> tuple[ColumnElement[str], ...]:
    all_levels = (served.c.study_instance_uid, _text(served, SERIES_UID), served.c.sop_instance_uid)
    return all_levels[: ("study", "series", "instance").index(level) + 1]


def _columns(served: Subquery) -> tuple[ColumnElement[Any], ...]:
    series = _text(served, SERIES_UID).label("series_instance_uid")
    return (served.c.study_instance_uid, series, *(served.c[name] for name in _COLUMNS))


def _text(served: Subquery, tag: str, *component: str) -> ColumnElement[str]:
    """SQL: the first value of an attribute as text, empty where there is none."""
    return func.coalesce(func.jsonb_extract_path_text(served.c.attributes, tag, "Value", "0", *component), "")


def _condition(scope: StudyScope, served: Subquery, match: Match) -> ColumnElement[bool]:
    if not match.somewhere_in_study:
        return _holds(served, match)
    others = _served(scope)
    return served.c.study_instance_uid.in_(select(others.c.study_instance_uid).where(_holds(others, match)))


def _holds(served: Subquery, match: Match) -> ColumnElement[bool]:
    """SQL: the attribute of the row is as wanted."""
    text = _text(served, match.tag, *(["Alphabetic"] if match.of_person else []))
    if match.since or match.until:
        low = text >= match.since
        return and_(text != "", low, text <= f"{match.until}~") if match.until else and_(text != "", low)
    [only, *others] = match.any_of
    if others:
        return text.in_(match.any_of)
    pattern = _pattern(only)
    return text.ilike(pattern, escape="/") if match.of_person else text.like(pattern, escape="/")


def _pattern(value: str) -> str:
    """DICOM's wild cards as SQL's."""
    for sign in "/%_":
        value = value.replace(sign, f"/{sign}")
    return value.replace("*", "%").replace("?", "_")


def _served(scope: StudyScope) -> Subquery:
    """SQL: radiographs in use, and the files of each study's newest result, of the scope."""
    of_study = (studies.c.study_instance_uid, studies.c.last_received_at)
    radiographs = (
        select(instances.c.id, literal(value=False).label("is_result"), *(instances.c[n] for n in _COLUMNS), *of_study)
        .join_from(instances, studies)
        .where(scope.condition, instances.c.role == "radiograph", ~instances.c.superseded)
        .where(instances.c.removed_at.is_(None))
    )
    newest_first = func.row_number().over(
        partition_by=result_sets.c.study_id, order_by=reconstructions.c.queued_at.desc()
    )
    ranked = (
        select(result_sets.c.id, newest_first.label("place"))
        .join_from(result_sets, reconstructions)
        .where(result_sets.c.institution_id == scope.institution_id, result_sets.c.replaced_at.is_(None))
        .subquery()
    )
    newest = select(ranked.c.id).where(ranked.c.place == 1)
    results = (
        select(
            result_files.c.id, literal(value=True).label("is_result"), *(result_files.c[n] for n in _COLUMNS), *of_study
        )
        .join_from(result_files, result_sets)
        .join(studies, studies.c.id == result_sets.c.study_id)
        .where(scope.condition, result_files.c.result_set_id.in_(newest), result_files.c.sop_instance_uid.is_not(None))
        .where(result_files.c.kind != FileKind.REJECTION_NOTE)  # what it rejects is not served
    )
    return union_all(radiographs, results).subquery()

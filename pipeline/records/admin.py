"""What administrators set, and the history of every change: institutions, called AE titles, peers, rules, users' roles.

One door for the command line, the web and `site.toml`: `change` reads what is there, writes what shall be there and
records both, so that `undo` can put it back. An undo is itself a change, which names the one that it undoes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from pipeline.errors import ConfigurationError
from pipeline.records import tables
from pipeline.records.site_rows import remove_value, values_of_institution, write_value
from pipeline.site_values import InstitutionValue, Subject, SubjectKind, Value

_LOCK: Final = 0x42_4F_4E_45  # any number that no other advisory lock of this database uses: "BONE"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One recorded change.

    Attributes:
        id: Counts up.
        subject: What was changed.
        before: What was set; None: nothing, it was added.
        after: What is set since; None: nothing, it was removed.
        who: `admin@example.org`, `root@host`, `site.toml`.
        source: `site.toml`, `command line`, `web`.
        undoes: The change that this one takes back.
        changed_at: When, with a zone.
    """

    id: int
    subject: Subject
    before: Value | None
    after: Value | None
    who: str
    source: str
    undoes: int | None
    changed_at: datetime


def lock_changes(connection: Connection) -> None:
    """Let one transaction at a time change settings: what it compares with is then what it replaces."""
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def current_values(connection: Connection, *, institution: str | None = None) -> dict[Subject, Value]:
    """All that is set, of one institution (its slug) or of all."""
    found: dict[Subject, Value] = {}
    for row in connection.execute(select(tables.institutions.c.slug).order_by(tables.institutions.c.slug)):
        if institution in (None, row.slug):
            found |= values_of_institution(connection, row.slug)
    return found


def current_value(connection: Connection, subject: Subject) -> Value | None:
    """What is set for `subject`; None: there is no such thing."""
    return values_of_institution(connection, subject.institution).get(subject)


def change(connection: Connection, subject: Subject, after: Value | None, *, who: str, source: str) -> Change | None:
    """Set `subject` to `after` (None: remove it) and record it; None when that is what is set already.

    Raises:
        ConfigurationError: Something stands in the way; the message says what, and what to do.
    """
    lock_changes(connection)
    return _change(connection, subject, after, who=who, source=source, undoes=None)


def undo(connection: Connection, change_id: int, *, who: str, source: str) -> Change:
    """Take a change back, recorded as a change of its own.

    Raises:
        ConfigurationError: There is no such change, it was undone before, or a later one came on top.
    """
    lock_changes(connection)
    row = connection.execute(select(_CHANGES).where(_CHANGES.c.id == change_id)).one_or_none()
    if row is None:
        raise ConfigurationError(f"there is no change {change_id}; `bonecraft changes list` shows them")
    undone = _from_row(row)
    if current_value(connection, undone.subject) != undone.after:
        raise ConfigurationError(
            f"{undone.subject} was changed again after change {change_id}; undo the later change first, or set it anew"
        )
    made = _change(connection, undone.subject, undone.before, who=who, source=source, undoes=change_id)
    if made is None:
        raise ConfigurationError(f"change {change_id} changed nothing")
    return made


def list_changes(connection: Connection, *, institution: str | None = None, limit: int = 50) -> tuple[Change, ...]:
    """The newest changes first, of one institution (its slug) or of all."""
    query = select(_CHANGES).order_by(_CHANGES.c.id.desc()).limit(limit)
    if institution is not None:
        after_the_kind = func.split_part(_CHANGES.c.subject, " ", 2)
        query = query.where(func.split_part(after_the_kind, "/", 1) == institution)
    return tuple(_from_row(row) for row in connection.execute(query))


def seeded_values(connection: Connection) -> dict[Subject, Value]:
    """What `site.toml` last said of each subject that it seeded."""
    return {
        (subject := Subject.parse(row.subject)): subject.value(row.seeded)
        for row in connection.execute(select(tables.settings_seeds))
    }


def remember_seed(connection: Connection, subject: Subject, value: Value | None) -> None:
    """Remember what `site.toml` says of `subject`; None: nothing any more."""
    seeds = tables.settings_seeds
    if value is None:
        connection.execute(delete(seeds).where(seeds.c.subject == str(subject)))
        return
    said = {"seeded": value.to_json(), "seeded_at": func.now()}
    statement = upsert(seeds).values(subject=str(subject), **said)
    connection.execute(statement.on_conflict_do_update(index_elements=[seeds.c.subject], set_=said))


_CHANGES: Final = tables.settings_changes


def _change(
    connection: Connection, subject: Subject, after: Value | None, *, who: str, source: str, undoes: int | None
) -> Change | None:
    before = current_value(connection, subject)
    if before == after:
        return None
    _check_that_the_institution_is_there(connection, subject, after)
    try:
        with connection.begin_nested():
            if after is None:
                remove_value(connection, subject)
            else:
                write_value(connection, subject, after, is_new=before is None)
    except IntegrityError as error:
        raise ConfigurationError(_obstacle(subject, after)) from error
    row = connection.execute(
        insert(_CHANGES)
        .values(
            subject=str(subject),
            before=before.to_json() if before else None,
            after=after.to_json() if after else None,
            who=who,
            source=source,
            undoes=undoes,
        )
        .returning(_CHANGES)
    ).one()
    return _from_row(row)


def _from_row(row: Row[Any]) -> Change:
    subject = Subject.parse(row.subject)
    return Change(
        id=row.id,
        subject=subject,
        before=None if row.before is None else subject.value(row.before),
        after=None if row.after is None else subject.value(row.after),
        who=row.who,
        source=row.source,
        undoes=row.undoes,
        changed_at=row.changed_at,
    )


def _check_that_the_institution_is_there(connection: Connection, subject: Subject, after: Value | None) -> None:
    if subject.kind is SubjectKind.INSTITUTION or after is None:
        return
    if current_value(connection, Subject.of_institution(subject.institution)) is None:
        raise ConfigurationError(
            f"there is no institution {subject.institution!r}; add it first: "
            f"bonecraft institutions add --slug {subject.institution} --name NAME"
        )


def _obstacle(subject: Subject, after: Value | None) -> str:
    """What a broken constraint of the tables means to an administrator."""
    if after is None and subject.kind is SubjectKind.INSTITUTION:
        rest = "peers, rules, users, sources and tokens"
        return f"{subject} still has {rest}, or studies, and cannot be removed; remove {rest} first"
    if after is None:
        return f"{subject} is still in use and cannot be removed"
    if isinstance(after, InstitutionValue):
        titles = ", ".join(after.called_ae_titles)
        return f"{subject}: one of the called AE titles {titles} belongs to another institution; choose another title"
    return f"{subject.name} belongs to another institution already; remove it there first"

"""What the administrator's commands share: the way to the database, who is asking, and how a change is shown."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from pipeline.database import open_database
from pipeline.errors import ConfigurationError
from pipeline.migrations import upgrade
from pipeline.records import admin
from pipeline.records.admin import Change
from pipeline.settings import load_settings
from pipeline.site_values import Subject, SubjectKind, Value, differences, shown

SOURCE: Final = "command line"
"""As the source of a recorded change."""

Config = Annotated[Path | None, typer.Option("--config", help="The node's settings, node.toml.")]
Institution = Annotated[str, typer.Option("--institution", help="The institution's slug.")]
OneInstitution = Annotated[str | None, typer.Option("--institution", help="Only this institution (its slug).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the change and make none.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


@contextmanager
def transaction(config: Path | None, *, with_tables: bool = False) -> Iterator[Connection]:
    """One transaction on the node's database; committed where the block ends without an error.

    Args:
        config: node.toml.
        with_tables: Make the tables first, or bring them up to date, as the node does at its start.

    Raises:
        ConfigurationError: The settings are wrong, or no node has set the database up yet.
    """
    database = open_database(load_settings(config))
    try:
        if with_tables:
            upgrade(database.engine)
        with database.begin() as connection:
            yield connection
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != "42P01":  # undefined_table
            raise
        raise ConfigurationError("the database has no tables yet; start the node once: bonecraft serve") from error
    finally:
        database.close()


def who() -> str:
    """Whose change it is, for the history; a container's user may have a number and no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # which of the two depends on Python's version
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def set_value(
    config: Path | None, subject: Subject, edit: Callable[[Value | None], Value | None], *, dry_run: bool
) -> None:
    """Change what is set for `subject`, show the difference and say how to take it back."""
    with transaction(config) as connection:
        admin.lock_changes(connection)
        before = admin.current_value(connection, subject)
        after = edit(before)
        if dry_run:
            show_difference(f"would change {subject}" if before != after else f"no change to {subject}", before, after)
            return
        show_change(admin.change(connection, subject, after, who=who(), source=SOURCE), subject)


def added(subject: Subject, value: Value) -> Callable[[Value | None], Value]:
    """The edit that adds `value`; refuses where there is one."""

    def edit(before: Value | None) -> Value:
        if before is not None:
            raise ConfigurationError(f"{subject} is there already; change it with `set`")
        return value

    return edit


def edited(subject: Subject, said: Mapping[str, object]) -> Callable[[Value | None], Value]:
    """The edit that replaces the entries that were said (None: was not) and keeps the others."""

    def edit(before: Value | None) -> Value:
        if before is None:
            raise no_such(subject)
        return subject.value(before.to_json() | {entry: value for entry, value in said.items() if value is not None})

    return edit


def removed(subject: Subject) -> Callable[[Value | None], None]:
    """The edit that removes; refuses where there is nothing."""

    def edit(before: Value | None) -> None:
        if before is None:
            raise no_such(subject)

    return edit


def no_such(subject: Subject) -> ConfigurationError:
    """There is nothing to change or remove."""
    return ConfigurationError(f"there is no {subject}; `bonecraft {subject.kind}s list` shows what there is")


def show_change(change: Change | None, subject: Subject) -> None:
    """Show a change that was made; None: there was nothing to change."""
    if change is None:
        Console().print(f"{subject} is set so already; nothing changed", highlight=False, markup=False)
        return
    show_difference(f"{verb(change)} {change.subject}", change.before, change.after)
    show_way_back(change)


def show_way_back(change: Change) -> None:
    """How to undo it."""
    back = f"recorded as change {change.id}; take it back with: bonecraft changes undo {change.id}"
    Console().print(Text(back, style="dim"), soft_wrap=True)


def verb(change: Change) -> str:
    """What was done, in a word."""
    if change.before is None:
        return "added"
    return "removed" if change.after is None else "changed"


def show_difference(headline: str, before: Value | None, after: Value | None) -> None:
    """A headline and the difference below it, red what goes and green what comes."""
    show_lines((headline, *(f"  {line}" for line in differences(before, after))))


def show_lines(lines: Sequence[str]) -> None:
    """A headline and the lines of a difference below it."""
    console = Console()
    headline, *rest = lines
    console.print(Text(headline, style="bold"), soft_wrap=True)
    for line in rest:
        console.print(Text(line, style=_COLOURS.get(line.lstrip()[:2], "")), soft_wrap=True)


_COLOURS: Final = {"- ": "red", "+ ": "green"}


def options(**given: object) -> dict[str, object]:
    """The options of a command that were given."""
    return {entry: value for entry, value in given.items() if value is not None}


def show_kind(kind: SubjectKind, institution: str | None, config: Config, *, as_json: bool) -> None:
    """All values of one kind, of one institution or of all."""
    with transaction(config) as connection:
        current = admin.current_values(connection, institution=institution)
    show_values({s: v for s, v in current.items() if s.kind is kind}, f"{kind}s", as_json=as_json)


def show_values(found: Mapping[Subject, Value], title: str, *, as_json: bool) -> None:
    """All values of one kind as a table, or as JSON."""
    if as_json:
        typer.echo(json.dumps({str(subject): value.to_json() for subject, value in found.items()}, indent=1))
        return
    if not found:
        typer.echo(f"no {title} yet")
        return
    table = Table(title=title, title_justify="left")
    first = next(iter(found))
    for column in (*_NAMES[first.kind], *found[first].to_json()):
        table.add_column(column.replace("_", " "), overflow="fold")
    for subject, value in found.items():
        names = (subject.institution, subject.name)[: len(_NAMES[subject.kind])]
        table.add_row(*names, *map(_cell, value.to_json().values()))
    Console().print(table)


_NAMES: Final = {
    SubjectKind.INSTITUTION: ("slug",),
    SubjectKind.PEER: ("institution", "AE title"),
    SubjectKind.USER: ("institution", "e-mail"),
    SubjectKind.SOURCE: ("institution", "name"),
    SubjectKind.TOKEN: ("institution", "program"),
}
"""Headings of what a subject is called by."""


def _cell(plain: object) -> str:
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if isinstance(plain, list):
        return "\n".join(each if isinstance(each, str) else shown(each) for each in plain)
    return str(plain)


def local_time(moment: datetime) -> str:
    """A moment as the reader's clock shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

"""`bonecraft peers rejected` and `bonecraft peers admit`: who was turned away, and let in with one command."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection

from pipeline.admission import plan_admission
from pipeline.cli.administration import (
    SOURCE,
    AsJson,
    Config,
    DryRun,
    OneInstitution,
    show_change,
    show_difference,
    transaction,
    who,
)
from pipeline.errors import ConfigurationError
from pipeline.records import admin
from pipeline.records.admin import Change
from pipeline.records.rejected import Rejected, forget, get_rejected, list_rejected
from pipeline.site_values import Subject, Value

Number = Annotated[int, typer.Argument(metavar="ID", help="As `bonecraft peers rejected` shows it.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")]
Belongs = Annotated[
    str | None,
    typer.Option("--institution", help="Who shall answer to a called AE title that nobody answers to (its slug)."),
]
ListensAt = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="Where we call it; a new peer's is 104 otherwise.")
]


def show_rejected(
    institution: OneInstitution = None, limit: Limit = 50, config: Config = None, as_json: AsJson = False
) -> None:
    """List who was turned away: from where, what they wanted, why, how often, and when last."""
    with transaction(config) as connection:
        found = list_rejected(connection, institution=institution, limit=limit)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=1, default=str))
        return
    if not found:
        typer.echo("nobody was turned away")
        return
    _show_table(found)


def admit(
    rejected: Number,
    institution: Belongs = None,
    port: ListensAt = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Let in who was turned away: add or change the peer so that the next attempt succeeds."""
    with transaction(config) as connection:
        admin.lock_changes(connection)
        attempt = get_rejected(connection, rejected)
        if attempt is None:
            raise ConfigurationError(f"there is no rejected attempt {rejected}; `bonecraft peers rejected` shows them")
        current = admin.current_values(connection)
        wanted = plan_admission(attempt, current, institution=institution, port=port)
        if dry_run:
            _show_plan(current, wanted)
            return
        changes = _change(connection, wanted)
        forget(connection, rejected)
    for change in changes:
        show_change(change, change.subject)
    if not changes:
        typer.echo("what is set admits it already; it has nothing to wait for")


def _show_plan(current: dict[Subject, Value], wanted: dict[Subject, Value]) -> None:
    for subject, value in wanted.items():
        if current.get(subject) != value:
            show_difference(f"would change {subject}", current.get(subject), value)


def _change(connection: Connection, wanted: dict[Subject, Value]) -> list[Change]:
    made = [admin.change(connection, subject, value, who=who(), source=SOURCE) for subject, value in wanted.items()]
    return [change for change in made if change is not None]


def _show_table(found: Iterable[Rejected]) -> None:
    table = Table(title="rejected attempts", title_justify="left")
    for heading in ("ID", "times", "last", "from", "calling → called", "wanted", "why"):
        table.add_column(heading, overflow="fold")
    for each in found:
        titles = f"{each.calling_ae_title or '?'} → {each.called_ae_title or '?'}"
        cells = (str(each.id), str(each.times), _local(each.last_at), each.address, titles, each.wanted, each.sentence)
        table.add_row(*map(Text, cells))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text("let one in with: bonecraft peers admit ID", style="dim"), soft_wrap=True)


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

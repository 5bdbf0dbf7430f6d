"""`bonecraft quarantine`: what was received but could not be taken in, and what to do with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.cli.administration import AsJson, Config, local_time, transaction, who
from pipeline.clock import utc_now
from pipeline.database import open_database
from pipeline.errors import InputError
from pipeline.quarantine import take_in_again
from pipeline.records.quarantine import QuarantineLine, find, newest
from pipeline.records.removal import remove_quarantined
from pipeline.records.tables import quarantine as rows
from pipeline.retention import remove_blobs
from pipeline.scratch import scratch_folder
from pipeline.settings import load_settings
from pipeline.store import open_store

app = typer.Typer(add_completion=False, help="What was received but could not be taken in, kept with the reason.")

Last = Annotated[int, typer.Option("--last", min=1, help="So many at the most.")]
Id = Annotated[UUID, typer.Argument(metavar="ID", help="As `bonecraft quarantine` shows it.")]


@app.callback(invoke_without_command=True)
def quarantine(context: typer.Context, config: Config = None, last: Last = 100, as_json: AsJson = False) -> None:
    """List what was received but could not be taken in, the newest first, with the reason."""
    if context.invoked_subcommand is None:
        list_quarantine(config=config, last=last, as_json=as_json)


@app.command("list")
def list_quarantine(config: Config = None, last: Last = 100, as_json: AsJson = False) -> None:
    """List what was received but could not be taken in, the newest first, with the reason."""
    with transaction(config) as connection:
        kept = newest(connection, limit=last)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(line) for line in kept], indent=1, default=str))
        return
    if not kept:
        typer.echo("nothing is in quarantine")
    show_quarantine(Console(highlight=False), kept)


@app.command()
def show(quarantined: Id, config: Config = None) -> None:
    """Show everything that is known of one file."""
    with transaction(config) as connection:
        line, _ = find(connection, quarantined)
    console = Console(highlight=False)
    for name, value in dataclasses.asdict(line).items():
        console.print(Text(f"{name.replace('_', ' '):<18} {value}"), soft_wrap=True)


@app.command()
def export(
    quarantined: Id,
    out: Annotated[Path, typer.Option("--out", help="A new file. It may hold patient data, whole or in pieces.")],
    config: Config = None,
) -> None:
    """Write one file as it was received, for whoever looks into its sender."""
    with transaction(config) as connection:
        line, _ = find(connection, quarantined)
    if out.exists():
        raise InputError(f"{out} is there already: name a new file")
    open_store(load_settings(config)).fetch(line.blob_key, out)
    typer.echo(f"{out}: {line.size} bytes")


@app.command()
def retry(quarantined: Id, config: Config = None) -> None:
    """Take one file in as if it had been sent again: after an update that can read it, say."""
    settings = load_settings(config)
    with closing(open_database(settings)) as database:
        accepted = take_in_again(
            database, open_store(settings), quarantined, scratch=scratch_folder(settings), now=utc_now()
        )
    typer.echo(f"taken in: {accepted.outcome}, {accepted.role}; study {accepted.study_id}")


@app.command()
def remove(
    quarantined: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    config: Config = None,
) -> None:
    """Remove one file for good; the ledger keeps that it was here, and who removed it."""
    if not yes:
        typer.confirm("It cannot be brought back. Remove it?", abort=True)
    settings = load_settings(config)
    with transaction(config) as connection:
        find(connection, quarantined)
        remove_quarantined(connection, rows.c.id == quarantined, reason=f"by hand: {who()}", now=utc_now())
    with closing(open_database(settings)) as database:
        remove_blobs(database, open_store(settings))
    typer.echo("removed")


def show_quarantine(console: Console, kept: Sequence[QuarantineLine]) -> None:
    """As a table; nothing where there is none."""
    if not kept:
        return
    headings = ("last received", "times", "institution", "from", "problem", "reason", "ID")
    table = Table(*headings, title="Quarantine", title_justify="left", box=None)
    for line in kept:
        sender = f"{line.calling_ae_title} {line.received_from}".strip()
        came = (local_time(line.last_received_at), str(line.times))
        table.add_row(*came, line.institution, sender, line.problem, line.reason, str(line.id))
    console.print(table)

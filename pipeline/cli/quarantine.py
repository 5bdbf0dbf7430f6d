"""`bonecraft quarantine`: what was received but could not be taken in."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.cli.administration import AsJson, Config, local_time, transaction
from pipeline.records.quarantine import QuarantineLine, newest

app = typer.Typer(add_completion=False)

Last = Annotated[int, typer.Option("--last", min=1, help="So many at the most.")]


@app.command()
def quarantine(config: Config = None, last: Last = 100, as_json: AsJson = False) -> None:
    """List what was received but could not be taken in, the newest first, with the reason.

    The bytes are kept: `blob_key` in the JSON says where in the blob store.
    """
    with transaction(config) as connection:
        kept = newest(connection, limit=last)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(line) for line in kept], indent=1, default=str))
        return
    if not kept:
        typer.echo("nothing is in quarantine")
    show_quarantine(Console(highlight=False), kept)


def show_quarantine(console: Console, kept: Sequence[QuarantineLine]) -> None:
    """As a table; nothing where there is none."""
    if not kept:
        return
    table = Table(
        "received", "institution", "from", "problem", "reason", title="Quarantine", title_justify="left", box=None
    )
    for line in kept:
        sender = f"{line.calling_ae_title} {line.received_from}".strip()
        table.add_row(local_time(line.received_at), line.institution, sender, line.problem, line.reason)
    console.print(table)

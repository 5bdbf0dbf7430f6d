"""`bonecraft status`, `rerun` and `resend`: how the node is doing, and another try for what failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import jobs
from pipeline.cli.administration import AsJson, Config, transaction
from pipeline.errors import ConfigurationError
from pipeline.records import deliveries
from pipeline.records.status import FailedDelivery, FailedReconstruction, Snapshot, StudyLine, snapshot

app = typer.Typer(add_completion=False)
rerun_app = typer.Typer(add_completion=False)
resend_app = typer.Typer(add_completion=False)

Last = Annotated[int, typer.Option("--last", min=1, help="So many studies and dead letters at the most.")]
Tracebacks = Annotated[bool, typer.Option("--tracebacks", help="With the traceback of each failed reconstruction.")]
Id = Annotated[UUID, typer.Argument(metavar="ID", help="As `bonecraft status` shows it.")]


@app.command()
def status(config: Config = None, last: Last = 10, tracebacks: Tracebacks = False, as_json: AsJson = False) -> None:
    """Show the queue, the last studies, the deliveries, and what ended as a dead letter."""
    with transaction(config) as connection:
        now = snapshot(connection, last=last)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(now), indent=1, default=str))
        return
    console = Console(highlight=False)
    _show_counts(console, now)
    _show_studies(console, now.last_studies)
    _show_failed_reconstructions(console, now.failed_reconstructions, tracebacks=tracebacks)
    _show_failed_deliveries(console, now.failed_deliveries)


@rerun_app.command()
def rerun(reconstruction: Id, config: Config = None) -> None:
    """Reconstruct a study again that failed or was refused."""
    with transaction(config) as connection:
        if not jobs.rerun(connection, reconstruction):
            raise ConfigurationError(f"no failed or refused reconstruction {reconstruction}: see bonecraft status")
    typer.echo(f"{reconstruction} is queued again")


@resend_app.command()
def resend(delivery: Id, config: Config = None) -> None:
    """Send a result again that could not be delivered."""
    with transaction(config) as connection:
        if not deliveries.resend(connection, delivery, now=datetime.now(UTC)):
            raise ConfigurationError(f"there is no delivery {delivery}: see bonecraft status")
    typer.echo(f"{delivery} will be sent again")


def _show_counts(console: Console, now: Snapshot) -> None:
    table = Table("", "state", "number", title="Now", title_justify="left", box=None)
    for name, counts in (
        ("studies", now.studies),
        ("reconstructions", now.reconstructions),
        ("deliveries", now.deliveries),
        ("quarantine", {"kept": now.quarantined}),
    ):
        for number, (state, count) in enumerate((counts or {"none": 0}).items()):
            table.add_row("" if number else name, state, str(count))
    console.print(table)
    if now.oldest_queued_at is not None:
        console.print(f"The oldest study in the queue has waited since {_local(now.oldest_queued_at)}.")


def _show_studies(console: Console, studies: Iterable[StudyLine]) -> None:
    table = Table("study", "state", "last image", title="Last studies", title_justify="left", box=None)
    for study in studies:
        table.add_row(str(study.id), study.state, _local(study.last_received_at))
    if table.rows:
        console.print(table)


def _show_failed_reconstructions(console: Console, failed: Iterable[FailedReconstruction], *, tracebacks: bool) -> None:
    for letter in failed:
        console.print(Text(f"failed reconstruction {letter.id} after {letter.attempts} attempts", style="red"))
        console.print(Text(f"  {letter.problem}"), soft_wrap=True)
        console.print(Text(f"  again: bonecraft rerun {letter.id}", style="dim"), soft_wrap=True)
        if tracebacks:
            console.print(Text(letter.traceback), soft_wrap=True)


def _show_failed_deliveries(console: Console, failed: Iterable[FailedDelivery]) -> None:
    for letter in failed:
        console.print(
            Text(f"failed delivery {letter.id} to {letter.peer} after {letter.attempts} attempts", style="red")
        )
        console.print(Text(f"  {letter.problem}"), soft_wrap=True)
        console.print(Text(f"  again: bonecraft resend {letter.id}", style="dim"), soft_wrap=True)


def _local(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

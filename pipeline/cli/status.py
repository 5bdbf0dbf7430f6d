"""`bonecraft status`, `rerun` and `resend`: how the node is doing, and another try for what failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import jobs
from pipeline.certificates import Validity, node_certificates
from pipeline.cli.administration import AsJson, Config, local_time, transaction
from pipeline.cli.fetching import show_fetching
from pipeline.cli.quarantine import show_quarantine
from pipeline.errors import ConfigurationError
from pipeline.records import deliveries
from pipeline.records.arrivals import silent_senders
from pipeline.records.directory import named_peer
from pipeline.records.status import FailedDelivery, FailedReconstruction, Snapshot, StudyLine, snapshot
from pipeline.settings import load_settings

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
        silent = silent_senders(connection, now=datetime.now(UTC))
    certificates = _certificates(config)
    if as_json:
        also = {"certificates": certificates, "silent_senders": [dataclasses.asdict(sender) for sender in silent]}
        typer.echo(json.dumps(dataclasses.asdict(now) | also, indent=1, default=str))
        return
    console = Console(highlight=False)
    _show_counts(console, now)
    for sender in silent:
        console.print(Text(f"{sender.institution}: {sender.sentence}", style="yellow"), soft_wrap=True)
    for sentence in certificates:
        console.print(Text(sentence, style="red"), soft_wrap=True)
    _show_studies(console, now.last_studies)
    _show_failed_reconstructions(console, now.failed_reconstructions, tracebacks=tracebacks)
    _show_failed_deliveries(console, now.failed_deliveries)
    _show_destinations(console, now)
    show_fetching(console, now)
    show_quarantine(console, now.last_quarantined)


def _certificates(config: Path | None) -> list[str]:
    """What the node's certificates need; nothing where they are valid for long."""
    now = datetime.now(UTC)
    try:
        found = list(node_certificates(load_settings(config)))
    except ConfigurationError as error:
        return [str(error)]
    return [each.sentence(now) for each in found if each.validity(now) is not Validity.VALID]


@rerun_app.command()
def rerun(reconstruction: Id, config: Config = None) -> None:
    """Reconstruct a study again, after a failure or with newer models; the new result replaces the old."""
    with transaction(config) as connection:
        if not jobs.rerun(connection, reconstruction):
            raise ConfigurationError(
                f"nothing that has ended and is the newest of its study under {reconstruction}: see bonecraft status"
            )
    typer.echo(f"{reconstruction} is queued again")


@resend_app.command()
def resend(
    delivery: Annotated[UUID | None, typer.Argument(metavar="ID", help="As `bonecraft status` shows it.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="AE", help="Everything that this peer (INSTITUTION/AE) did not get.")
    ] = None,
    config: Config = None,
) -> None:
    """Send results again that could not be delivered, or that the peer did not take: one, or all for a peer."""
    if (delivery is None) == (to is None):
        raise ConfigurationError("say which: bonecraft resend ID, or bonecraft resend --to AE")
    now = datetime.now(UTC)
    with transaction(config) as connection:
        if delivery is not None and not deliveries.resend(connection, delivery, now=now):
            raise ConfigurationError(
                f"there is no delivery {delivery}, or a newer result has its place or is made: see bonecraft status"
            )
        sent = 1 if to is None else deliveries.resend_failed(connection, named_peer(connection, to).id, now=now)
    typer.echo(f"{delivery or f'{sent} deliveries to {to}'} will be sent again")


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
    if now.studies.get("left-out"):
        console.print("What rules left out: bonecraft rules left-out")
    if now.oldest_queued_at is not None:
        console.print(f"The oldest study in the queue has waited since {local_time(now.oldest_queued_at)}.")


def _show_studies(console: Console, studies: Iterable[StudyLine]) -> None:
    table = Table("study", "state", "last image", "", title="Last studies", title_justify="left", box=None)
    for study in studies:
        table.add_row(str(study.id), study.state, local_time(study.last_received_at), _wait(study))
    if table.rows:
        console.print(table)


def _wait(study: StudyLine) -> str:
    """What a study waits for and until when: `waits for a lateral view of the left knee until 12:03:10`."""
    if study.state != "receiving" or study.wait_until is None:
        return ""
    return f"waits for {study.waits_for} until {study.wait_until.astimezone():%H:%M:%S}"


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
            Text(
                f"failed delivery {letter.id} to {letter.institution}/{letter.peer} after {letter.attempts} attempts",
                style="red",
            )
        )
        console.print(Text(f"  {letter.problem}"), soft_wrap=True)
        console.print(Text(f"  again: bonecraft resend {letter.id}", style="dim"), soft_wrap=True)


def _show_destinations(console: Console, now: Snapshot) -> None:
    """What is the matter here, who cannot be reached, and what somebody does not take."""
    for fault in now.own_faults:
        since, again = local_time(fault.since), local_time(fault.next_attempt_at)
        here = f"this node itself cannot send {fault.waiting} results since {since}"
        console.print(Text(here, style="red"), soft_wrap=True)
        console.print(Text(f"  {fault.problem}"), soft_wrap=True)
        console.print(Text(f"  no attempt is lost; next at {again}", style="dim"), soft_wrap=True)
    for outage in now.outages:
        since, again = local_time(outage.down_since), local_time(outage.next_attempt_at)
        waits = f"{outage.institution}/{outage.peer} cannot be reached since {since}: {outage.waiting} results wait"
        console.print(Text(waits, style="red"), soft_wrap=True)
        console.print(Text(f"  {outage.problem}"), soft_wrap=True)
        console.print(Text(f"  tried {outage.failures} times; next at {again}", style="dim"), soft_wrap=True)
    for kind in now.not_accepted:
        console.print(Text(f"{kind.files} results were not offered to {kind.peer}", style="yellow"), soft_wrap=True)
        console.print(Text(f"  {kind.problem}"), soft_wrap=True)
        console.print(Text(f"  then: bonecraft resend --to {kind.peer}", style="dim"), soft_wrap=True)
    for report in now.failed_commitment_reports:
        told = f"{report.peer} could not be told that we keep {report.instances} images, {report.attempts} times"
        console.print(Text(told, style="red"), soft_wrap=True)
        console.print(Text(f"  {report.problem}"), soft_wrap=True)
        then = "given up: let it ask again" if report.is_given_up else "it is tried again by itself"
        console.print(Text(f"  {then}", style="dim"), soft_wrap=True)

"""`bonecraft retention`: how long what is kept, what would go, and its removal."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from pipeline.cli.administration import (
    AsJson,
    Config,
    DryRun,
    Institution,
    OneInstitution,
    edited,
    local_time,
    options,
    set_value,
    transaction,
)
from pipeline.clock import utc_now
from pipeline.database import open_database
from pipeline.disk_space import BYTES_PER_MEGABYTE
from pipeline.records.retention import Due, What
from pipeline.retention import Outlook, outlooks, run
from pipeline.settings import load_settings
from pipeline.site_values import Subject
from pipeline.store import open_store

app = typer.Typer(add_completion=False, no_args_is_help=True, help="How long what is kept; nothing goes undelivered.")

Days = Annotated[int | None, typer.Option(min=0, help="So many days; 0: for ever.")]
THINGS: Final = {
    What.IMAGES: "studies' images",
    What.RESULTS: "results",
    What.REPLACED_RESULTS: "replaced results",
    What.QUARANTINE: "files in quarantine",
    What.REJECTED_ATTEMPTS: "list of rejected attempts",
}


@app.command("set")
def set_retention(
    institution: Institution,
    images: Days = None,
    results: Days = None,
    replaced_results: Days = None,
    quarantine: Days = None,
    rejected_attempts: Days = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Set how many days what is kept. The node acts on it a day later: until then it can be taken back."""
    subject = Subject.of_institution(institution)
    days = options(
        keep_images_days=images,
        keep_results_days=results,
        keep_replaced_results_days=replaced_results,
        keep_quarantine_days=quarantine,
        keep_rejected_attempts_days=rejected_attempts,
    )
    set_value(config, subject, edited(subject, days), dry_run=dry_run)


@app.command()
def preview(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show what would go now, and what stays and why; nothing is removed."""
    with transaction(config) as connection:
        found = outlooks(connection, now=utc_now(), institution=institution)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], indent=1, default=str))
        return
    console = Console(highlight=False)
    for outlook in found:
        _show_outlook(console, outlook)


@app.command("run")
def run_now(
    institution: OneInstitution = None,
    given_up: Annotated[
        bool, typer.Option("--given-up", help="Also what was given up: dead deliveries, failed reconstructions.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    config: Config = None,
) -> None:
    """Remove what has been kept long enough, now; it cannot be brought back."""
    settings, now = load_settings(config), utc_now()
    with transaction(config) as connection:
        found = outlooks(connection, now=now, institution=institution)
    going = [due for outlook in found for due in (*outlook.going, *(_given_up(outlook) if given_up else ()))]
    if not going:
        typer.echo("nothing has been kept long enough to go")
        return
    if not yes:
        typer.confirm(f"Remove {_sum(going)} for good?", abort=True)
    with closing(open_database(settings)) as database:
        done = run(database, open_store(settings), now=now, institution=institution, given_up=given_up)
    for removed in done:
        typer.echo(f"{removed.rule.institution}: removed {THINGS[removed.rule.what]}: {_sum(removed.items)}")


def _given_up(outlook: Outlook) -> Iterable[Due]:
    return (due for due in outlook.held_back if due.given_up)


def _show_outlook(console: Console, outlook: Outlook) -> None:
    rule = outlook.rule
    kept = f"kept for {rule.days} days" if rule.days else "kept for ever"
    by = f", as set by {rule.set_by} on {rule.set_at:%Y-%m-%d}" if rule.set_at else ""
    console.print(Text(f"{rule.institution}: {THINGS[rule.what]} are {kept}{by}", style="bold"), soft_wrap=True)
    if not rule.days:
        return
    console.print(f"  go now: {_sum(outlook.going)}", soft_wrap=True)
    for reason, number in Counter(due.held_back for due in outlook.held_back).most_common():
        held = [due for due in outlook.held_back if due.held_back == reason]
        console.print(Text(f"  stay, {number}: {reason}; {_sum(held)}", style="yellow"), soft_wrap=True)


def _sum(found: Sequence[Due]) -> str:
    if not found:
        return "nothing"
    files, megabytes = sum(due.files for due in found), sum(due.size for due in found) / BYTES_PER_MEGABYTE
    first, last = (local_time(end(due.since for due in found))[:10] for end in (min, max))
    return f"{len(found)} with {files} files, {megabytes:.1f} MB, of {first} to {last}"

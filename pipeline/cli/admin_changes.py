"""`bonecraft changes` and `bonecraft site`: the history of what administrators set, and the file it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.administration import (
    SOURCE,
    Config,
    DryRun,
    OneInstitution,
    show_change,
    show_difference,
    show_lines,
    transaction,
    verb,
    who,
)
from pipeline.records import admin
from pipeline.records.admin import Change
from pipeline.site import apply_site, preview_site
from pipeline.site_file import load_site
from pipeline.site_values import SubjectKind

changes = typer.Typer(add_completion=False, no_args_is_help=True, help="The history of institutions, peers and users.")
site = typer.Typer(
    add_completion=False, no_args_is_help=True, help="The file that institutions, peers and users start from."
)


@changes.command("list")
def list_changes(
    institution: OneInstitution = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 20,
    config: Config = None,
) -> None:
    """List the newest changes: what, by whom, when, and what it was before."""
    with transaction(config) as connection:
        found = admin.list_changes(connection, institution=institution, limit=limit)
    if not found:
        typer.echo("no changes yet")
    for change in found:
        show_difference(_headline(change), change.before, change.after)


def _headline(change: Change) -> str:
    undone = f" (takes back {change.undoes})" if change.undoes else ""
    when = f"{change.changed_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{change.id}  {when}  {verb(change)} {change.subject}{undone}, by {change.who}, {change.source}"


@changes.command("undo")
def undo_change(
    number: Annotated[int, typer.Argument(help="The change's number, as `bonecraft changes list` shows it.")],
    config: Config = None,
) -> None:
    """Take a change back; that is recorded as a change of its own."""
    with transaction(config) as connection:
        change = admin.undo(connection, number, who=who(), source=SOURCE)
    show_change(change, change.subject)
    if change.subject.kind is SubjectKind.USER and change.before is None:
        typer.echo("the user has no password any more; let them in with: bonecraft users set … --login-link")


@site.callback()
def _site() -> None:
    """Keep `apply` a word of its own: Typer would drop the name of an only command."""


@site.command("apply")
def apply(
    file: Annotated[Path, typer.Argument(help="The site file, site.toml.")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite what was changed by hand.")] = False,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Bring what a site file says into the database, new or in use; what was changed by hand is kept, and told."""
    wanted = load_site(file)
    with transaction(config, with_tables=not dry_run) as connection:
        if dry_run:
            steps = preview_site(connection, wanted, force=force)
        else:
            steps = apply_site(connection, wanted, who=who(), force=force)
    for step in steps:
        show_lines(step.lines())
    if not steps:
        typer.echo(f"the database holds what {file} says")

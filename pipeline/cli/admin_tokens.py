"""`bonecraft tokens`: by which programs read and store by DICOMweb. A token is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.administration import (
    SOURCE,
    AsJson,
    Config,
    DryRun,
    Institution,
    OneInstitution,
    added,
    edited,
    local_time,
    no_such,
    options,
    removed,
    set_value,
    show_change,
    show_kind,
    transaction,
    who,
)
from pipeline.clock import utc_now
from pipeline.records import admin, tokens
from pipeline.records.directory import institution_of
from pipeline.site_values import Subject, SubjectKind

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Tokens of programs that read and store by DICOMweb."
)

For = Annotated[str, typer.Option("--for", help="The program, in a word: a-z, 0-9 and hyphens.")]
Read = Annotated[bool | None, typer.Option("--read/--no-read", help="May search and retrieve.")]
Store = Annotated[bool | None, typer.Option("--store/--no-store", help="May store radiographs.")]


@app.command("list")
def list_tokens(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the tokens: what each may do, and when it was used last."""
    show_kind(SubjectKind.TOKEN, institution, config, as_json=as_json)
    if as_json:
        return
    with transaction(config) as connection:
        for each in tokens.uses(connection):
            if institution in (None, each.institution):
                last = f"used last {local_time(each.used_at)}" if each.used_at else "never used"
                typer.echo(f"{each.institution}/{each.name}: made {local_time(each.made_at)}, {last}")


@app.command("add")
def add_token(
    institution: Institution,
    program: For,
    read: Read = None,
    store: Store = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Make a token and show it, once."""
    subject = Subject.of_token(institution, program)
    edit = added(subject, subject.value(options(may_read=read, may_store=store)))
    if dry_run:
        set_value(config, subject, edit, dry_run=True)
        return
    with transaction(config) as connection:
        admin.lock_changes(connection)
        value = edit(admin.current_value(connection, subject))
        change = admin.change(connection, subject, value, who=who(), source=SOURCE)
        secret = tokens.renew(connection, institution_of(connection, institution), program, now=utc_now())
    show_change(change, subject)
    _show(secret)


@app.command("set")
def set_token(
    institution: Institution,
    program: For,
    read: Read = None,
    store: Store = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Change what a token may do."""
    subject = Subject.of_token(institution, program)
    set_value(config, subject, edited(subject, options(may_read=read, may_store=store)), dry_run=dry_run)


@app.command("renew")
def renew_token(institution: Institution, program: For, config: Config = None) -> None:
    """Make a program's token anew; the one before is worth nothing from now on."""
    subject = Subject.of_token(institution, program)
    with transaction(config) as connection:
        if admin.current_value(connection, subject) is None:
            raise no_such(subject)
        secret = tokens.renew(connection, institution_of(connection, institution), program, now=utc_now())
    _show(secret)


@app.command("revoke")
def revoke_token(institution: Institution, program: For, config: Config = None, dry_run: DryRun = False) -> None:
    """Let a token in no more, from now on; undone, it is worth what it was."""
    subject = Subject.of_token(institution, program)
    set_value(config, subject, edited(subject, {"revoked": True}), dry_run=dry_run)


@app.command("remove")
def remove_token(institution: Institution, program: For, config: Config = None, dry_run: DryRun = False) -> None:
    """Forget a token; undone, it needs to be made anew."""
    subject = Subject.of_token(institution, program)
    set_value(config, subject, removed(subject), dry_run=dry_run)


def _show(secret: str) -> None:
    """To standard output alone: nothing keeps it."""
    typer.echo(f"the token, shown this once: {secret}")
    typer.echo("programs send it as `Authorization: Bearer TOKEN`, or as the password of any user")

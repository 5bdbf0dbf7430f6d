"""`bonecraft sources`: the Orthanc servers whose change feed is watched for radiographs."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.administration import (
    AsJson,
    Config,
    DryRun,
    Institution,
    OneInstitution,
    added,
    edited,
    options,
    removed,
    set_value,
    show_kind,
)
from pipeline.site_values import Subject, SubjectKind

sources = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Orthanc servers whose change feed is watched for radiographs."
)

Name = Annotated[str, typer.Option("--name", help="What it is called here: a-z, 0-9 and hyphens.")]
Url = Annotated[str | None, typer.Option("--url", help="Where its REST API answers: http://HOST:8042.")]
UserName = Annotated[str | None, typer.Option("--user-name", help="As whom we ask; empty: without a login.")]
PasswordFile = Annotated[
    str | None, typer.Option("--password-file", help="Its password: a file's name in peer_secrets_folder/INSTITUTION.")
]
CaFile = Annotated[str | None, typer.Option("--ca-file", help="The CA of its certificate: a file's name there, too.")]
History = Annotated[
    bool | None, typer.Option("--history/--no-history", help="Take what it holds from before we watched, too.")
]


@sources.command("list")
def list_sources(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the sources; `bonecraft status` says how far each was read."""
    show_kind(SubjectKind.SOURCE, institution, config, as_json=as_json)


@sources.command("add")
def add_source(
    institution: Institution,
    name: Name,
    url: Url = None,
    user_name: UserName = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    history: History = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Watch an Orthanc server."""
    subject = Subject.of_source(institution, name)
    said = options(url=url, user_name=user_name, password_file=password_file, ca_file=ca_file, history=history)
    set_value(config, subject, added(subject, subject.value(said)), dry_run=dry_run)


@sources.command("set")
def set_source(
    institution: Institution,
    name: Name,
    url: Url = None,
    user_name: UserName = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    history: History = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Change what is said of a source; it is read on from where it was."""
    subject = Subject.of_source(institution, name)
    said = options(url=url, user_name=user_name, password_file=password_file, ca_file=ca_file, history=history)
    set_value(config, subject, edited(subject, said), dry_run=dry_run)


@sources.command("remove")
def remove_source(institution: Institution, name: Name, config: Config = None, dry_run: DryRun = False) -> None:
    """Watch a source no longer; what came from it stays."""
    subject = Subject.of_source(institution, name)
    set_value(config, subject, removed(subject), dry_run=dry_run)

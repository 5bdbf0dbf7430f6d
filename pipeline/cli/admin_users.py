"""`bonecraft users`: who may look at an institution's studies, and how they come in."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from pipeline.cli.administration import (
    SOURCE,
    AsJson,
    Config,
    DryRun,
    Institution,
    OneInstitution,
    added,
    edited,
    no_such,
    removed,
    set_value,
    show_change,
    show_values,
    transaction,
    who,
)
from pipeline.errors import ConfigurationError
from pipeline.records import admin
from pipeline.records import users as accounts
from pipeline.records.users import LOGIN_LINK_LENGTH, Role
from pipeline.settings import load_settings
from pipeline.site_file import read_password
from pipeline.site_values import Subject, SubjectKind, UserValue

users = typer.Typer(add_completion=False, no_args_is_help=True, help="An institution's users.")

Email = Annotated[str, typer.Option("--email", help="The user's e-mail address, with which they log in.")]
PasswordFile = Annotated[Path | None, typer.Option("--password-file", help="A file that holds the password.")]
AskPassword = Annotated[bool, typer.Option("--ask-password", help="Ask for the password, unseen.")]
LoginLink = Annotated[bool, typer.Option("--login-link", help="Print a one-time login link.")]


@users.command("list")
def list_users(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the users."""
    with transaction(config) as connection:
        current = admin.current_values(connection, institution=institution)
    show_values({s: v for s, v in current.items() if s.kind is SubjectKind.USER}, "users", as_json=as_json)


@users.command("add")
def add_user(
    institution: Institution,
    email: Email,
    role: Annotated[Role, typer.Option("--role", help="What they may do.")],
    password_file: PasswordFile = None,
    ask_password: AskPassword = False,
    config: Config = None,
) -> None:
    """Add a user; without a password a one-time login link is printed."""
    password = _password(password_file, ask=ask_password)
    subject = Subject.of_user(institution, email)
    with transaction(config) as connection:
        before = admin.current_value(connection, subject)
        value = added(subject, UserValue(role=role))(before)
        show_change(admin.change(connection, subject, value, who=who(), source=SOURCE), subject)
        _let_in(connection, subject, password, config, link=password is None)


@users.command("set")
def set_user(
    institution: Institution,
    email: Email,
    role: Annotated[Role | None, typer.Option("--role", help="What they may do.")] = None,
    verified: Annotated[bool | None, typer.Option("--verify", help="Let in who registered themselves.")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Shut out, or let in again.")] = None,
    password_file: PasswordFile = None,
    ask_password: AskPassword = False,
    login_link: LoginLink = False,
    config: Config = None,
) -> None:
    """Change a user's role, let them in or shut them out, set their password or print a one-time login link."""
    password = _password(password_file, ask=ask_password)
    subject = Subject.of_user(institution, email)
    said = {"role": role, "verified": verified, "disabled": disabled}
    with transaction(config) as connection:
        before = admin.current_value(connection, subject)
        value = edited(subject, said)(before)
        if any(entry is not None for entry in said.values()):
            show_change(admin.change(connection, subject, value, who=who(), source=SOURCE), subject)
        _let_in(connection, subject, password, config, link=login_link)


@users.command("remove")
def remove_user(institution: Institution, email: Email, config: Config = None, dry_run: DryRun = False) -> None:
    """Remove a user who has uploaded nothing; disable the others."""
    subject = Subject.of_user(institution, email)
    set_value(config, subject, removed(subject), dry_run=dry_run)


def _password(file: Path | None, *, ask: bool) -> str | None:
    if file is not None and ask:
        raise ConfigurationError("give the password by --password-file or by --ask-password, not by both")
    if ask:
        answer: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return answer
    return None if file is None else read_password(file)


def _let_in(connection: Connection, subject: Subject, password: str | None, config: Path | None, *, link: bool) -> None:
    """Set the password where there is one, print a login link where one is wanted."""
    user = accounts.find_user(connection, email=subject.name)
    if user is None:
        raise no_such(subject)
    if password is not None:
        accounts.set_password(connection, user_id=user.id, password=password)
        typer.echo(f"set the password of {subject}")
    if link:
        token = accounts.create_login_link(connection, user.id, now=datetime.now(UTC))
        minutes = round(LOGIN_LINK_LENGTH.total_seconds() / 60)
        typer.echo(f"one-time login, good for {minutes} minutes: {load_settings(config).origin}/login/once#{token}")

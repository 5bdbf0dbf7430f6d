"""People: who they are, how they prove it, and the sessions that proof opens.

Secrets (session tokens, login links) are kept as SHA-256 digests only: who reads the database cannot log in with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from pipeline.errors import InputError
from pipeline.passwords import digest_of_token, hash_password, password_matches
from pipeline.records import login_attempts
from pipeline.records.tables import institutions, login_links, sessions, users

SESSION_LENGTH: Final = timedelta(hours=12)
"""A working day: nobody is logged out in the middle of a list, nobody stays logged in overnight."""
LOGIN_LINK_LENGTH: Final = timedelta(minutes=30)
EMAIL: Final = re.compile(r"[^@\s/]+@[^@\s/]+")
"""One `@`; no `/`, which separates an institution from its user where a setting is named."""


class Role(StrEnum):
    """What a person is to an institution."""

    ADMIN = "admin"
    RADIOLOGIST = "radiologist"
    TECHNOLOGIST = "technologist"
    SPECIALIST = "specialist"


class LoginProblem(StrEnum):
    """Why a login was refused; the value is the sentence for the person."""

    WRONG = "E-mail address or password is wrong."
    LOCKED = "Too many failed attempts. Wait fifteen minutes, or ask an administrator for a one-time link."
    NOT_VERIFIED = "Your registration waits for an administrator of the institution to verify it."
    DISABLED = "This account is disabled. Ask an administrator of your institution."


@dataclass(frozen=True, kw_only=True)
class User:
    """A person with an account."""

    id: UUID
    institution_id: UUID
    institution_slug: str
    institution_name: str
    email: str
    role: Role
    verified: bool
    disabled: bool


@dataclass(frozen=True, kw_only=True)
class OpenedSession:
    """A session just opened; the only moment at which its token is known."""

    token: str
    csrf_token: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class LiveSession:
    """A session that a request presented."""

    user: User
    csrf_token: str


def add_user(
    connection: Connection,
    *,
    institution_id: UUID,
    email: str,
    role: Role,
    password: str | None = None,
    verified_at: datetime | None,
) -> UUID:
    """Add a person.

    Args:
        connection: Of the caller's transaction.
        institution_id: Where they belong.
        email: Their name here; upper and lower case are the same.
        role: What they may do.
        password: None: they come in by a one-time link until they have one.
        verified_at: None: an administrator of the institution must verify them first.

    Raises:
        InputError: The address is no address or taken, or the password is too short.
    """
    address = normal_email(email)
    row = {
        "institution_id": institution_id,
        "email": address,
        "role": role,
        "password_hash": hash_password(secrets.token_urlsafe(32) if password is None else password),
        "verified_at": verified_at,
    }
    try:
        with connection.begin_nested():
            user_id: UUID = connection.execute(insert(users).values(row).returning(users.c.id)).scalar_one()
    except IntegrityError as error:
        raise InputError(f"{address} already has an account, or the institution does not exist") from error
    return user_id


def normal_email(email: str) -> str:
    """The address as it is kept.

    Raises:
        InputError: It is no address.
    """
    address = email.strip().lower()
    if not EMAIL.fullmatch(address) or len(address) > 254 or not address.isprintable():
        raise InputError("this is not an e-mail address: write it as name@example.org")
    return address


def find_user(connection: Connection, *, email: str) -> User | None:
    """The person with this address."""
    row = connection.execute(_users().where(users.c.email == email.strip().lower())).one_or_none()
    return _user(row) if row else None


def find_user_by_id(connection: Connection, *, user_id: UUID, institution_id: UUID) -> User | None:
    """The person with this id, if the institution is theirs."""
    query = _users().where(users.c.id == user_id, users.c.institution_id == institution_id)
    row = connection.execute(query).one_or_none()
    return _user(row) if row else None


def list_users(connection: Connection, *, institution_id: UUID) -> Sequence[User]:
    """An institution's people, those who wait for verification first."""
    query = _users().where(users.c.institution_id == institution_id)
    rows = connection.execute(query.order_by(users.c.verified_at.is_not(None), users.c.email))
    return [_user(row) for row in rows]


def verify_user(connection: Connection, *, user_id: UUID, now: datetime) -> None:
    """Let a registered person in."""
    connection.execute(
        update(users).where(users.c.id == user_id, users.c.verified_at.is_(None)).values(verified_at=now)
    )


def disable_user(connection: Connection, *, user_id: UUID, now: datetime) -> None:
    """Shut a person out, at once: their sessions end."""
    connection.execute(update(users).where(users.c.id == user_id).values(disabled_at=now))
    close_sessions(connection, user_id=user_id)


def enable_user(connection: Connection, *, user_id: UUID) -> None:
    """Let a person in again who was disabled, or failed too often."""
    enable = update(users).where(users.c.id == user_id).values(disabled_at=None).returning(users.c.email)
    login_attempts.forget(connection, email=connection.execute(enable).scalar_one())


def set_role(connection: Connection, *, user_id: UUID, role: Role) -> None:
    """Change what a person may do."""
    connection.execute(update(users).where(users.c.id == user_id).values(role=role))


def set_password(connection: Connection, *, user_id: UUID, password: str) -> None:
    """Give a person another password; their sessions end.

    Raises:
        InputError: The password is too short.
    """
    connection.execute(update(users).where(users.c.id == user_id).values(password_hash=hash_password(password)))
    close_sessions(connection, user_id=user_id)


def remove_user(connection: Connection, *, user_id: UUID) -> None:
    """Remove a person who has uploaded nothing.

    Raises:
        InputError: Studies name them as their uploader.
    """
    try:
        with connection.begin_nested():
            connection.execute(delete(users).where(users.c.id == user_id))
    except IntegrityError as error:
        raise InputError("this person has uploaded studies: disable the account instead") from error


def check_login(
    connection: Connection, *, email: str, password: str, source: str, now: datetime
) -> User | LoginProblem:
    """Whether this is the person; attempts are counted, so the caller commits whatever the answer is.

    Args:
        connection: Of the caller's transaction.
        email: As it was typed.
        password: As it was typed.
        source: The caller's network address.
        now: When.
    """
    if not login_attempts.count(connection, email=email, source=source, now=now):
        return LoginProblem.LOCKED
    row = connection.execute(_users().where(users.c.email == email.strip().lower())).one_or_none()
    if not password_matches(password, row.password_hash if row else None) or row is None:
        return LoginProblem.WRONG
    login_attempts.forget(connection, email=email, source=source)
    return _admitted(_user(row))


def _admitted(user: User) -> User | LoginProblem:
    if user.disabled:
        return LoginProblem.DISABLED
    return user if user.verified else LoginProblem.NOT_VERIFIED


def open_session(connection: Connection, *, user_id: UUID, now: datetime) -> OpenedSession:
    """Open a session for a person who has just proved who they are; forgets expired ones."""
    opened = OpenedSession(
        token=secrets.token_urlsafe(32), csrf_token=secrets.token_urlsafe(32), expires_at=now + SESSION_LENGTH
    )
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    connection.execute(
        insert(sessions).values(
            token_digest=digest_of_token(opened.token),
            user_id=user_id,
            csrf_token=opened.csrf_token,
            expires_at=opened.expires_at,
        )
    )
    return opened


def find_session(connection: Connection, *, token: str, now: datetime) -> LiveSession | None:
    """The session behind a token, unless it expired or its person may no longer come in."""
    query = (
        _users()
        .add_columns(sessions.c.csrf_token)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.token_digest == digest_of_token(token), sessions.c.expires_at > now)
    )
    row = connection.execute(query).one_or_none()
    if row is None or isinstance(_admitted(_user(row)), LoginProblem):
        return None
    return LiveSession(user=_user(row), csrf_token=row.csrf_token)


def close_session(connection: Connection, *, token: str) -> None:
    """Log out."""
    connection.execute(delete(sessions).where(sessions.c.token_digest == digest_of_token(token)))


def close_sessions(connection: Connection, *, user_id: UUID) -> None:
    """End all sessions of a person."""
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id))


def create_login_link(connection: Connection, user_id: UUID, *, now: datetime) -> str:
    """The token of a link that logs this person in once: `<origin>/login/once#<token>`.

    After the `#` a browser sends it to nobody, so that it stays out of logs.
    """
    token = secrets.token_urlsafe(32)
    row = {"token_digest": digest_of_token(token), "user_id": user_id, "expires_at": now + LOGIN_LINK_LENGTH}
    connection.execute(insert(login_links).values(row))
    return token


def use_login_link(connection: Connection, *, token: str, now: datetime) -> User | None:
    """Whom a one-time link lets in; None if it was used, expired, never given, or the person may not come in."""
    spend = (
        update(login_links)
        .where(
            login_links.c.token_digest == digest_of_token(token),
            login_links.c.used_at.is_(None),
            login_links.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(login_links.c.user_id)
    )
    user_id = connection.execute(spend).scalar_one_or_none()
    if user_id is None:
        return None
    user = _user(connection.execute(_users().where(users.c.id == user_id)).one())
    return None if isinstance(_admitted(user), LoginProblem) else user


def _users() -> Select[Any]:
    return select(
        users, institutions.c.slug.label("institution_slug"), institutions.c.name.label("institution_name")
    ).join(institutions, institutions.c.id == users.c.institution_id)


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        institution_id=row.institution_id,
        institution_slug=row.institution_slug,
        institution_name=row.institution_name,
        email=row.email,
        role=Role(row.role),
        verified=row.verified_at is not None,
        disabled=row.disabled_at is not None,
    )

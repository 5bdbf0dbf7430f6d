"""Tokens: by which programs come in at the DICOMweb door. Each belongs to one institution.

What a token may do is a setting, changed, recorded and undone like every other (`pipeline.records.admin`); the token
itself is known at the moment it is made, and afterwards its SHA-256 alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, select, update

from pipeline.passwords import digest_of_token
from pipeline.records.tables import institutions, tokens

PREFIX: Final = "bonecraft_"
"""By which people, and programs that look for leaked secrets, know one when they see it."""
USE_NOTED_AFTER: Final = timedelta(minutes=1)
"""A program that asks a hundred times a second writes its row no more often than this."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a token that was shown allows.

    Attributes:
        institution_id: Whose it is.
        name: For which program it was made.
        may_read: Search and retrieve.
        may_store: Store radiographs.
    """

    institution_id: UUID
    name: str
    may_read: bool
    may_store: bool


@dataclass(frozen=True, kw_only=True)
class TokenUse:
    """When a token was made, and used last."""

    institution: str
    name: str
    made_at: datetime
    used_at: datetime | None


def new_secret() -> str:
    """A token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def renew(connection: Connection, institution_id: UUID, name: str, *, now: datetime) -> str:
    """Give a token another secret, which this returns; the one before is worth nothing any more.

    Raises:
        LookupError: There is no such token.
    """
    secret = new_secret()
    is_it = (tokens.c.institution_id == institution_id) & (tokens.c.name == name)
    said = {"token_digest": digest_of_token(secret), "made_at": now, "used_at": None}
    if connection.execute(update(tokens).where(is_it).values(**said)).rowcount != 1:
        raise LookupError(f"there is no token {name!r}")
    return secret


def find(connection: Connection, secret: str, *, now: datetime) -> Grant | None:
    """What the token allows; None where there is none, or it was revoked."""
    is_it = tokens.c.token_digest == digest_of_token(secret)
    row = connection.execute(select(tokens).where(is_it, ~tokens.c.revoked)).mappings().one_or_none()
    if row is None:
        return None
    if row["used_at"] is None or row["used_at"] + USE_NOTED_AFTER <= now:
        connection.execute(update(tokens).where(is_it).values(used_at=now))
    return Grant(**{name: row[name] for name in Grant.__dataclass_fields__})


def uses(connection: Connection) -> tuple[TokenUse, ...]:
    """When each token was made and used last, by institution and name."""
    rows = connection.execute(
        select(institutions.c.slug.label("institution"), tokens.c.name, tokens.c.made_at, tokens.c.used_at)
        .join_from(tokens, institutions)
        .order_by(institutions.c.slug, tokens.c.name)
    )
    return tuple(TokenUse(**row) for row in rows.mappings())

"""Who asks at the DICOMweb door: a program with a token, or a person with the page's session."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from starlette import status

from pipeline.records import tokens
from pipeline.records.studies import StudyScope
from viewer_api.deps import SessionDep, WebDep, authenticated
from viewer_api.permissions import Permission, may, visible_studies

CHALLENGE: Final = {"www-authenticate": 'Bearer realm="Bonecraft"'}


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who asks, and what they may do.

    Attributes:
        name: What the program's token was made for; `WEB` for a person.
        scope: Whose studies they see.
        may_read: Search and retrieve.
        may_store: Store radiographs.
        user_id: The person; None for a program.
    """

    name: str
    scope: StudyScope
    may_read: bool
    may_store: bool
    user_id: UUID | None = None


def client_of(request: Request, web: WebDep, session: SessionDep) -> Client:
    """By the token that was shown, else by the session.

    Raises:
        HTTPException: 401 without either; 403 where a session's unsafe request lacks the CSRF token.
    """
    secret = _shown(request.headers.get("authorization", ""))
    if secret is not None:
        with web.database.begin() as connection:
            grant = tokens.find(connection, secret, now=web.clock())
        if grant is None:
            raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This token lets nobody in.", CHALLENGE)
        scope = StudyScope(institution_id=grant.institution_id)
        return Client(name=grant.name, scope=scope, may_read=grant.may_read, may_store=grant.may_store)
    if session is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Show a token: bonecraft tokens add makes one.", CHALLENGE)
    user = authenticated(request, session)
    return Client(
        name="WEB",
        scope=visible_studies(user),
        may_read=may(user, Permission.SEE_OWN_STUDIES),
        may_store=may(user, Permission.UPLOAD),
        user_id=user.id,
    )


def _shown(header: str) -> str | None:
    """The token in an Authorization header: as Bearer (RFC 6750), or as the password of any user (RFC 7617)."""
    kind, _, credentials = header.partition(" ")
    if kind.lower() == "bearer":
        return credentials.strip()
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


ClientDep = Annotated[Client, Depends(client_of)]


def reader(client: ClientDep) -> Client:
    """Who may search and retrieve; 403 otherwise."""
    if not client.may_read:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This token may not read.")
    return client


def storer(client: ClientDep) -> Client:
    """Who may store; 403 otherwise."""
    if not client.may_store:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This token may not store.")
    return client


ReaderDep = Annotated[Client, Depends(reader)]
StorerDep = Annotated[Client, Depends(storer)]

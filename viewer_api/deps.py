"""What routes are handed: the node, and the person who asks, if they may.

A route says what it needs with `require(Permission.…)`; nothing else looks at roles. Unsafe methods also need the
session's CSRF token in a header, which no other site can read or send.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from sqlalchemy import Connection
from starlette import status

from pipeline.clock import Clock
from pipeline.database import Database
from pipeline.records import studies
from pipeline.records.studies import Study
from pipeline.records.users import LiveSession, User, find_session
from pipeline.settings import NodeSettings
from pipeline.store import Store
from viewer_api.permissions import Permission, may, visible_studies

SAFE_METHODS: Final = ("GET", "HEAD")
CSRF_HEADER: Final = "x-csrf-token"
NOT_FOUND: Final = "There is nothing here."


@dataclass(frozen=True, kw_only=True)
class Web:
    """What every route stands on.

    Attributes:
        settings: The node's.
        database: Open.
        store: Open.
        clock: What time it is.
    """

    settings: NodeSettings
    database: Database
    store: Store
    clock: Clock

    @property
    def is_https(self) -> bool:
        """Whether people type an https address."""
        return self.settings.origin.startswith("https://")

    @property
    def cookie_name(self) -> str:
        """A `__Host-` cookie is bound to this very host and to https (RFC 6265bis, 4.1.3.2)."""
        return "__Host-bonecraft" if self.is_https else "bonecraft"


def web_of(request: Request) -> Web:
    """The node, as `create_app` was handed it."""
    web: Web = request.app.state.web
    return web


WebDep = Annotated[Web, Depends(web_of)]


def token_of(request: Request, web: WebDep) -> str | None:
    """The session token that the browser sent."""
    return request.cookies.get(web.cookie_name)


def session_of(web: WebDep, token: Annotated[str | None, Depends(token_of)]) -> LiveSession | None:
    """The session that the request belongs to, if it is alive."""
    if token is None:
        return None
    with web.database.begin() as connection:
        return find_session(connection, token=token, now=web.clock())


def source_of(request: Request) -> str:
    """The network address that a request comes from."""
    return request.client.host if request.client else ""


SourceDep = Annotated[str, Depends(source_of)]
SessionDep = Annotated[LiveSession | None, Depends(session_of)]


def authenticated(request: Request, session: SessionDep) -> User:
    """The person who asks.

    Raises:
        HTTPException: 401 without a session, 403 where an unsafe request lacks the CSRF token.
    """
    if session is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "Your session has ended. Log in again.")
    if request.method not in SAFE_METHODS:
        given = request.headers.get(CSRF_HEADER, "")
        if not secrets.compare_digest(given.encode(), session.csrf_token.encode()):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "The request did not come from this page. Reload it.")
    return session.user


UserDep = Annotated[User, Depends(authenticated)]


def require(permission: Permission) -> Callable[[User], User]:
    """A dependency: the person who asks, if the policy allows them `permission`; 403 otherwise."""

    def allowed(user: UserDep) -> User:
        if not may(user, permission):
            raise HTTPException(status.HTTP_403_FORBIDDEN, "Your role does not allow this.")
        return user

    return allowed


ViewerDep = Annotated[User, Depends(require(Permission.SEE_OWN_STUDIES))]
UploaderDep = Annotated[User, Depends(require(Permission.UPLOAD))]
AdministratorDep = Annotated[User, Depends(require(Permission.ADMINISTER))]
UserManagerDep = Annotated[User, Depends(require(Permission.MANAGE_USERS))]


def visible_study(connection: Connection, user: User, study_id: UUID) -> Study:
    """The study, if the person may see it.

    Raises:
        HTTPException: 404, also where the study exists but belongs to others: nobody learns that it is there.
    """
    study = studies.get_study(connection, visible_studies(user), study_id)
    if study is None:
        raise not_found()
    return study


def not_found() -> HTTPException:
    """404 in the same words for whatever is missing or somebody else's."""
    return HTTPException(status.HTTP_404_NOT_FOUND, NOT_FOUND)

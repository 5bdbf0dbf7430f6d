"""Logging in and out, by password or by one-time link, and who is logged in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette import status

from pipeline.passwords import MAXIMUM_LENGTH
from pipeline.records.users import (
    SESSION_LENGTH,
    LoginProblem,
    User,
    check_login,
    close_session,
    open_session,
    use_login_link,
)
from pipeline.results import DISCLAIMER, SHAPE_ONLY
from viewer_api.deps import SessionDep, SourceDep, UserDep, Web, WebDep, token_of
from viewer_api.permissions import POLICY, Permission

router = APIRouter(prefix="/api/session")


class Credentials(BaseModel):
    """What a person types."""

    email: Annotated[str, Field(max_length=254)]
    password: Annotated[str, Field(max_length=MAXIMUM_LENGTH)]


class OneTimeToken(BaseModel):
    """What stood after the # of a one-time link."""

    token: Annotated[str, Field(max_length=200)]


@dataclass(frozen=True, kw_only=True)
class ShownUser:
    """The person who is logged in."""

    email: str
    role: str
    institution: str


@dataclass(frozen=True, kw_only=True)
class ShownSession:
    """What the page needs to know first."""

    user: ShownUser | None
    csrf_token: str
    permissions: tuple[Permission, ...]
    disclaimer: str = DISCLAIMER
    shape_only: str = SHAPE_ONLY
    version: str = version("bonecraft")


NOBODY = ShownSession(user=None, csrf_token="", permissions=())


@router.get("")
def who_is_logged_in(session: SessionDep) -> ShownSession:
    """The session of the request; nobody's without one."""
    return NOBODY if session is None else _shown(session.user, session.csrf_token)


@router.post("")
def log_in(credentials: Credentials, response: Response, web: WebDep, source: SourceDep) -> ShownSession:
    """Open a session by password."""
    with web.database.begin() as connection:
        answer = check_login(
            connection, email=credentials.email, password=credentials.password, source=source, now=web.clock()
        )
        if isinstance(answer, User):
            return _enter(connection, answer, response, web)
    raise _refused(answer)


@router.post("/once")
def log_in_once(once: OneTimeToken, response: Response, web: WebDep) -> ShownSession:
    """Open a session by a one-time link."""
    with web.database.begin() as connection:
        user = use_login_link(connection, token=once.token, now=web.clock())
        if user is not None:
            return _enter(connection, user, response, web)
    raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This link was used, or its time is over. Ask for a new one.")


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
def log_out(_user: UserDep, web: WebDep, token: Annotated[str | None, Depends(token_of)], response: Response) -> None:
    """End the session."""
    if token is not None:
        with web.database.begin() as connection:
            close_session(connection, token=token)
    response.delete_cookie(web.cookie_name, path="/", secure=web.is_https, httponly=True, samesite="strict")


def _refused(problem: LoginProblem) -> HTTPException:
    locked = problem is LoginProblem.LOCKED
    return HTTPException(status.HTTP_429_TOO_MANY_REQUESTS if locked else status.HTTP_401_UNAUTHORIZED, problem.value)


def _enter(connection: Connection, user: User, response: Response, web: Web) -> ShownSession:
    opened = open_session(connection, user_id=user.id, now=web.clock())
    response.set_cookie(
        web.cookie_name,
        opened.token,
        max_age=int(SESSION_LENGTH.total_seconds()),
        path="/",
        secure=web.is_https,
        httponly=True,
        samesite="strict",
    )
    return _shown(user, opened.csrf_token)


def _shown(user: User, csrf_token: str) -> ShownSession:
    shown = ShownUser(email=user.email, role=user.role, institution=user.institution_name)
    return ShownSession(user=shown, csrf_token=csrf_token, permissions=tuple(sorted(POLICY[user.role])))

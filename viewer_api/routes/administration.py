"""What is set for an institution: each change is shown as a difference first, recorded, and can be undone.

Peers can be called; tokens are made, and shown once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Connection
from starlette import status

from pipeline.errors import ConfigurationError
from pipeline.records import admin, checks, directory, sources, tokens
from pipeline.records.admin import Change
from pipeline.records.directory import Peer
from pipeline.records.users import User
from pipeline.records.viewing import peers_of
from pipeline.site_values import (
    InstitutionValue,
    SourceValue,
    Subject,
    SubjectKind,
    TokenValue,
    Value,
    differences,
)
from pipeline.waits import PartWait
from viewer_api.agreement import check_agreed
from viewer_api.deps import AdministratorDep, WebDep, not_found

router = APIRouter(prefix="/api/administration")

SOURCE: Final = "web"


class Wanted(BaseModel):
    """A change as the page proposes it.

    Attributes:
        subject: What is changed.
        name: The peer's AE title, the source's name or the token's program; empty for the institution.
        value: What shall be set, added to what is set already; None removes it.
        agreed: The difference that the person has seen; it is not made where it would be another one by now.
    """

    subject: Literal["institution", "peer", "source", "token"]
    name: str = ""
    value: dict[str, Any] | None
    agreed: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ShownSource:
    """A server whose change feed is watched, and how that goes.

    Attributes:
        name: What it is called here.
        value: What is set.
        taken: How many images came from there.
        problem: Why it cannot be read; empty where it can.
    """

    name: str
    value: SourceValue
    taken: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class ShownToken:
    """A program that comes in at the DICOMweb door; never its token."""

    program: str
    value: TokenValue
    made_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class MadeToken:
    """A token, this once."""

    token: str


@dataclass(frozen=True, kw_only=True)
class ShownChange:
    """A line of the history."""

    id: int
    subject: str
    lines: tuple[str, ...]
    who: str
    source: str
    changed_at: datetime
    undoable: bool


@dataclass(frozen=True, kw_only=True)
class ShownAdministration:
    """What is set, and how it came to be."""

    institution: str
    called_ae_titles: tuple[str, ...]
    quiet_seconds: int
    maximum_wait_seconds: int
    waits: tuple[PartWait, ...]
    answers_refusals: bool
    peers: tuple[Peer, ...]
    sources: tuple[ShownSource, ...]
    tokens: tuple[ShownToken, ...]
    changes: tuple[ShownChange, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a change would change: lines that begin with - go, lines that begin with + come."""

    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AskedCheck:
    """A connection check that was asked for."""

    id: UUID


@dataclass(frozen=True, kw_only=True)
class ShownCheck:
    """How a connection check stands."""

    finished: bool
    ok: bool | None
    sentence: str


@router.get("")
def get_administration(web: WebDep, administrator: AdministratorDep) -> ShownAdministration:
    """What is set for the institution, and the history of changes."""
    slug = administrator.institution_slug
    with web.database.begin() as connection:
        value, current = _institution(connection, administrator), admin.current_values(connection, institution=slug)
        return ShownAdministration(
            institution=value.name,
            called_ae_titles=value.called_ae_titles,
            quiet_seconds=value.quiet_seconds,
            maximum_wait_seconds=value.maximum_wait_seconds,
            waits=value.waits,
            answers_refusals=value.answers_refusals,
            peers=peers_of(connection, administrator.institution_id),
            sources=_shown_sources(connection, current, slug),
            tokens=_shown_tokens(connection, current, slug),
            changes=_shown_changes(admin.list_changes(connection, institution=slug), current),
        )


@router.post("/preview")
def preview_change(wanted: Wanted, web: WebDep, administrator: AdministratorDep) -> Difference:
    """What a change would change; nothing is changed."""
    with web.database.begin() as connection:
        subject, after = _change(connection, wanted, administrator)
        return Difference(lines=differences(admin.current_value(connection, subject), after))


@router.post("/changes", status_code=status.HTTP_201_CREATED)
def apply_change(wanted: Wanted, web: WebDep, administrator: AdministratorDep) -> Difference:
    """Change it, and record that."""
    with web.database.begin() as connection:
        admin.lock_changes(connection)
        subject, after = _change(connection, wanted, administrator)
        check_agreed(wanted.agreed, differences(admin.current_value(connection, subject), after))
        made = admin.change(connection, subject, after, who=administrator.email, source=SOURCE)
    return Difference(lines=differences(made.before, made.after) if made else ())


@router.post("/changes/{change_id}/undo", status_code=status.HTTP_201_CREATED)
def undo_change(change_id: int, web: WebDep, administrator: AdministratorDep) -> Difference:
    """Take a change of the administrator's institution back."""
    with web.database.begin() as connection:
        known = admin.list_changes(connection, institution=administrator.institution_slug, limit=1000)
        if change_id not in {each.id for each in known}:
            raise not_found()
        made = admin.undo(connection, change_id, who=administrator.email, source=SOURCE)
    return Difference(lines=differences(made.before, made.after))


@router.post("/tokens/{program}/secret", status_code=status.HTTP_201_CREATED)
def make_token(program: str, web: WebDep, administrator: AdministratorDep) -> MadeToken:
    """Make a program's token anew and show it, this once; the one before is worth nothing from now on."""
    with web.database.begin() as connection:
        if admin.current_value(connection, Subject.of_token(administrator.institution_slug, program)) is None:
            raise not_found()
        return MadeToken(token=tokens.renew(connection, administrator.institution_id, program, now=web.clock()))


@router.post("/peers/{peer_id}/checks", status_code=status.HTTP_201_CREATED)
def ask_for_check(peer_id: UUID, web: WebDep, administrator: AdministratorDep) -> AskedCheck:
    """Have the peer called (C-ECHO). The DICOM door does it; this one only asks and reads the answer."""
    with web.database.begin() as connection:
        peer = directory.get_peer(connection, peer_id)
        if peer is None or peer.institution_id != administrator.institution_id:
            raise not_found()
        return AskedCheck(id=checks.request_check(connection, peer_id))


@router.get("/checks/{check_id}")
def get_check(check_id: UUID, web: WebDep, administrator: AdministratorDep) -> ShownCheck:
    """What came of a check."""
    with web.database.begin() as connection:
        check = checks.get_check(connection, check_id, institution_id=administrator.institution_id)
    if check is None:
        raise not_found()
    return ShownCheck(finished=check.finished_at is not None, ok=check.ok, sentence=check.sentence)


def _institution(connection: Connection, administrator: User) -> InstitutionValue:
    value = admin.current_value(connection, Subject.of_institution(administrator.institution_slug))
    if not isinstance(value, InstitutionValue):
        raise not_found()
    return value


def _change(connection: Connection, wanted: Wanted, administrator: User) -> tuple[Subject, Value | None]:
    """The subject, always of the administrator's own institution, and what it would be.

    Raises:
        ConfigurationError: The name or a value is not well formed; the message says which.
    """
    slug = administrator.institution_slug
    if wanted.subject != "institution":
        subject = Subject(kind=SubjectKind(wanted.subject), institution=slug, name=wanted.name)
        if wanted.value is None:
            return subject, None
        before = admin.current_value(connection, subject)
        return subject, subject.value({**(before.to_json() if before else {}), **wanted.value})
    if wanted.value is None:
        raise ConfigurationError("an institution is not removed here; use `bonecraft institutions remove`")
    subject = Subject.of_institution(slug)
    return subject, subject.value({**_institution(connection, administrator).to_json(), **wanted.value})


def _shown_sources(connection: Connection, current: Mapping[Subject, Value], slug: str) -> tuple[ShownSource, ...]:
    lines = {line.name: line for line in sources.lines(connection) if line.institution == slug}
    return tuple(
        ShownSource(
            name=subject.name, value=value, taken=lines[subject.name].taken, problem=lines[subject.name].problem
        )
        for subject, value in current.items()
        if isinstance(value, SourceValue)
    )


def _shown_tokens(connection: Connection, current: Mapping[Subject, Value], slug: str) -> tuple[ShownToken, ...]:
    uses = {use.name: use for use in tokens.uses(connection) if use.institution == slug}
    return tuple(
        ShownToken(
            program=subject.name, value=value, made_at=uses[subject.name].made_at, used_at=uses[subject.name].used_at
        )
        for subject, value in current.items()
        if isinstance(value, TokenValue)
    )


def _shown_changes(changes: Iterable[Change], current: dict[Subject, Value]) -> tuple[ShownChange, ...]:
    """Only what nothing came on top of can be undone."""
    return tuple(
        ShownChange(
            id=each.id,
            subject=str(each.subject),
            lines=differences(each.before, each.after),
            who=each.who,
            source=each.source,
            changed_at=each.changed_at,
            undoable=current.get(each.subject) == each.after,
        )
        for each in changes
    )

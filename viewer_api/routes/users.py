"""An institution's people: its administrators verify, disable and enable them. Every change can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from fastapi import APIRouter, HTTPException
from starlette import status

from pipeline.records import admin
from pipeline.records.users import Role, User, find_user_by_id, list_users
from pipeline.site_values import Subject, UserValue
from viewer_api.deps import UserManagerDep, WebDep, not_found

router = APIRouter(prefix="/api/users")


class Action(StrEnum):
    """What an administrator does to an account."""

    VERIFY = "verify"
    DISABLE = "disable"
    ENABLE = "enable"


_WANTED: Final = {
    Action.VERIFY: {"verified": True},
    Action.DISABLE: {"disabled": True},
    Action.ENABLE: {"disabled": False},
}


@dataclass(frozen=True, kw_only=True)
class ShownPerson:
    """A line of the list of people."""

    id: UUID
    email: str
    role: Role
    verified: bool
    disabled: bool
    you: bool


@router.get("")
def list_people(web: WebDep, manager: UserManagerDep) -> list[ShownPerson]:
    """The people of the administrator's institution."""
    with web.database.begin() as connection:
        people = list_users(connection, institution_id=manager.institution_id)
    return [_shown(person, manager) for person in people]


@router.post("/{user_id}/{action}")
def change_account(user_id: UUID, action: Action, web: WebDep, manager: UserManagerDep) -> ShownPerson:
    """Verify, disable or enable a person of the administrator's institution."""
    if user_id == manager.id:
        raise HTTPException(status.HTTP_409_CONFLICT, "Nobody changes their own account; ask another administrator.")
    with web.database.begin() as connection:
        person = find_user_by_id(connection, user_id=user_id, institution_id=manager.institution_id)
        if person is None:
            raise not_found()
        value = UserValue(role=person.role, verified=person.verified, disabled=person.disabled)
        subject = Subject.of_user(manager.institution_slug, person.email)
        wanted = value.model_copy(update=_WANTED[action])
        admin.change(connection, subject, wanted, who=manager.email, source="web")
        changed = find_user_by_id(connection, user_id=user_id, institution_id=manager.institution_id) or person
    return _shown(changed, manager)


def _shown(person: User, manager: User) -> ShownPerson:
    return ShownPerson(
        id=person.id,
        email=person.email,
        role=person.role,
        verified=person.verified,
        disabled=person.disabled,
        you=person.id == manager.id,
    )

"""Individual specialists register themselves; an administrator of the institution verifies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from starlette import status

from pipeline.passwords import MAXIMUM_LENGTH, hash_password
from pipeline.records.users import Role, add_user, find_user, list_users, normal_email
from pipeline.records.viewing import institution_choices
from viewer_api.deps import WebDep

router = APIRouter(prefix="/api")

MOST_WAITING: Final = 50
"""Beyond this many unverified people nobody else may register: somebody is playing."""


class Registration(BaseModel):
    """What a specialist types."""

    institution: Annotated[str, Field(max_length=63)]
    email: Annotated[str, Field(max_length=254)]
    password: Annotated[str, Field(max_length=MAXIMUM_LENGTH)]


@dataclass(frozen=True, kw_only=True)
class ShownInstitution:
    """An institution that one can register with."""

    slug: str
    name: str


@router.get("/institutions")
def list_institutions(web: WebDep) -> list[ShownInstitution]:
    """Those that one can register with."""
    with web.database.begin() as connection:
        return [ShownInstitution(slug=each.slug, name=each.name) for each in institution_choices(connection)]


@router.post("/registrations", status_code=status.HTTP_202_ACCEPTED)
def register(registration: Registration, web: WebDep) -> None:
    """Add an unverified specialist. The answer is the same for an address that has an account already."""
    address = normal_email(registration.email)
    with web.database.begin() as connection:
        chosen = [each for each in institution_choices(connection) if each.slug == registration.institution]
        if not chosen:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, "Choose an institution.")
        waiting = [user for user in list_users(connection, institution_id=chosen[0].id) if not user.verified]
        if len(waiting) >= MOST_WAITING:
            raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, "Too many registrations wait. Try again later.")
        if find_user(connection, email=address) is not None:
            hash_password(registration.password)  # takes as long, and objects to the same passwords
            return
        add_user(
            connection,
            institution_id=chosen[0].id,
            email=address,
            role=Role.SPECIALIST,
            password=registration.password,
            verified_at=None,
        )

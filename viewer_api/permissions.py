"""What people may do: one enumeration, one table, asked in one place (`viewer_api.deps.require`)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pipeline.records.studies import StudyScope
from pipeline.records.users import Role, User


class Permission(StrEnum):
    """One thing that somebody may do within their institution."""

    SEE_INSTITUTION_STUDIES = "see-institution-studies"
    SEE_OWN_STUDIES = "see-own-studies"
    """Only what they uploaded themselves."""
    UPLOAD = "upload"
    ADMINISTER = "administer"
    """AE titles and peers."""
    MANAGE_USERS = "manage-users"


_STAFF: Final = frozenset({Permission.SEE_INSTITUTION_STUDIES, Permission.SEE_OWN_STUDIES, Permission.UPLOAD})

POLICY: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.ADMIN: _STAFF | {Permission.ADMINISTER, Permission.MANAGE_USERS},
        Role.RADIOLOGIST: _STAFF,
        Role.TECHNOLOGIST: _STAFF,
        Role.SPECIALIST: frozenset({Permission.SEE_OWN_STUDIES, Permission.UPLOAD}),
    }
)


def may(user: User, permission: Permission) -> bool:
    """Whether the policy allows it."""
    return permission in POLICY[user.role]


def visible_studies(user: User) -> StudyScope:
    """Whose studies a person sees: their institution's, or of these only what they uploaded."""
    everything = may(user, Permission.SEE_INSTITUTION_STUDIES)
    return StudyScope(institution_id=user.institution_id, uploaded_by=None if everything else user.id)

"""Rules in the administration: each change is shown with what it would have done to past studies, then made.

Changes are recorded with the others and undone like them (`viewer_api.routes.administration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette import status

from pipeline.clock import Clock
from pipeline.errors import ConfigurationError
from pipeline.records import admin
from pipeline.records import rules as records
from pipeline.records.directory import receiving_peers
from pipeline.records.users import User
from pipeline.rules import KINDS, USUAL, Priority
from pipeline.rules_edit import Edit, added, changed, moved, removed, rule_of
from pipeline.site_values import RulesValue, Subject, differences
from viewer_api.agreement import check_agreed
from viewer_api.deps import AdministratorDep, WebDep

router = APIRouter(prefix="/api/administration/rules")

SOURCE = "web"


class WantedEdit(BaseModel):
    """An edit of one rule, as the page proposes it.

    Attributes:
        action: What is done with the rule.
        name: Of the rule.
        rule: What it shall be: for `add` and `change`.
        position: Where it shall be, from 1: for `move`; for `add`, where it is not to be the last.
        days: The change is tried on the studies of so many days.
        agreed: The difference that the person has seen; it is not made where it would be another one by now.
    """

    action: Literal["add", "change", "move", "remove"]
    name: str
    rule: dict[str, Any] = {}
    position: int | None = None
    days: Annotated[int, Field(ge=1, le=3650)] = 7
    agreed: tuple[str, ...] | None = None

    def edit(self) -> Edit:
        """As the house knows it.

        Raises:
            ConfigurationError: The rule cannot be meant, or the position is missing.
        """
        match self.action:
            case "add":
                return added(rule_of(self.rule), position=self.position)
            case "change":
                rule = rule_of(self.rule)
                return changed(self.name, lambda _: rule)
            case "move":
                if self.position is None:
                    raise ConfigurationError("say where the rule shall go")
                return moved(self.name, self.position)
            case "remove":
                return removed(self.name)


@dataclass(frozen=True, kw_only=True)
class ShownRule:
    """A rule: its entries, and the whole in words."""

    entries: dict[str, Any]
    words: str


@dataclass(frozen=True, kw_only=True)
class ShownRules:
    """The rules in their order, and what can be said in one."""

    rules: tuple[ShownRule, ...]
    peers: tuple[str, ...]
    kinds: tuple[str, ...]
    usual: tuple[str, ...]
    priorities: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownEdit:
    """What a change changes, and what it would have done to past studies."""

    lines: tuple[str, ...]
    notes: tuple[str, ...]


@router.get("")
def get_rules(web: WebDep, administrator: AdministratorDep) -> ShownRules:
    """The institution's rules."""
    with web.database.begin() as connection:
        ruled = records.of_institution(connection, administrator.institution_id)
        peers = receiving_peers(connection, administrator.institution_id)
    return ShownRules(
        rules=tuple(ShownRule(entries=rule.model_dump(mode="json"), words=str(rule)) for rule in ruled),
        peers=peers,
        kinds=KINDS,
        usual=USUAL,
        priorities=tuple(Priority),
    )


@router.post("/preview")
def preview_edit(wanted: WantedEdit, web: WebDep, administrator: AdministratorDep) -> ShownEdit:
    """What an edit would change; nothing is changed."""
    with web.database.begin() as connection:
        return _shown(connection, wanted, administrator, web.clock)


@router.post("/changes", status_code=status.HTTP_201_CREATED)
def apply_edit(wanted: WantedEdit, web: WebDep, administrator: AdministratorDep) -> ShownEdit:
    """Make an edit that the person has seen, and record it."""
    with web.database.begin() as connection:
        admin.lock_changes(connection)
        shown = _shown(connection, wanted, administrator, web.clock)
        check_agreed(wanted.agreed, shown.lines)
        after = wanted.edit()(_present(connection, administrator))
        admin.change(connection, _subject(administrator), after, who=administrator.email, source=SOURCE)
    return shown


def _shown(connection: Connection, wanted: WantedEdit, administrator: User, clock: Clock) -> ShownEdit:
    before = _present(connection, administrator)
    after = wanted.edit()(before)
    tried = records.preview_of(
        connection, administrator.institution_id, after.rules if after else (), days=wanted.days, now=clock()
    )
    return ShownEdit(lines=differences(before, after), notes=tried.lines())


def _present(connection: Connection, administrator: User) -> RulesValue | None:
    value = admin.current_value(connection, _subject(administrator))
    return value if isinstance(value, RulesValue) else None


def _subject(administrator: User) -> Subject:
    return Subject.of_rules(administrator.institution_slug)

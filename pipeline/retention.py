"""Retention: what is kept for how long, shown before it is done; done every hour by the node itself, or by command.

Crash-safe in this order: rows and ledger in a transaction for each study, then the blobs that no row refers to. What a
crash leaves on the list of blobs is removed the next time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection

from pipeline.database import Database
from pipeline.records import blobs, removal, retention
from pipeline.records.retention import Due, Rule
from pipeline.store import Store

TIME_TO_UNDO: Final = timedelta(days=1)
"""So long after somebody set a rule the node does not act on it by itself: what was removed cannot be brought back."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a rule would do now.

    Attributes:
        rule: Which.
        going: What would go.
        held_back: What has been kept long enough, but stays.
    """

    rule: Rule
    going: tuple[Due, ...]
    held_back: tuple[Due, ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What a run removed by a rule."""

    rule: Rule
    items: tuple[Due, ...]


def outlooks(connection: Connection, *, now: datetime, institution: str | None = None) -> tuple[Outlook, ...]:
    """What each rule would do now, of one institution (its slug) or of all."""
    return tuple(_outlook(connection, rule, now) for rule in retention.rules(connection, institution=institution))


def _outlook(connection: Connection, rule: Rule, now: datetime) -> Outlook:
    found = retention.due(connection, rule, now=now)
    return Outlook(
        rule=rule,
        going=tuple(each for each in found if not each.held_back),
        held_back=tuple(each for each in found if each.held_back),
    )


def run(
    database: Database, store: Store, *, now: datetime, institution: str | None = None, given_up: bool = False
) -> tuple[Removed, ...]:
    """Remove what has been kept long enough, and the blobs that nothing refers to any more.

    Args:
        database: The node's records.
        store: The node's blobs.
        now: The time.
        institution: Only this one (its slug).
        given_up: Also studies of which something was given up: a delivery or a reconstruction.

    Raises:
        TransientError: Database or store do not answer; what was done until then is done.
    """
    with database.begin() as connection:
        rules = retention.rules(connection, institution=institution)
    done = tuple(_apply(database, rule, now=now, given_up=given_up) for rule in rules)
    remove_blobs(database, store)
    return tuple(each for each in done if each.items)


def run_by_itself(database: Database, store: Store, *, now: datetime) -> None:
    """What the node does without being told: only by rules that there was time to take back.

    Raises:
        TransientError: Database or store do not answer.
    """
    with database.begin() as connection:
        rules = retention.rules(connection)
    for rule in rules:
        if rule.set_at is None or rule.set_at <= now - TIME_TO_UNDO:
            _apply(database, rule, now=now, given_up=False)
    remove_blobs(database, store)


def _apply(database: Database, rule: Rule, *, now: datetime, given_up: bool) -> Removed:
    removed = Removed(rule=rule, items=tuple(_remove_each(database, rule, now=now, given_up=given_up)))
    if removed.items:
        facts = {"what": str(rule.what), "institution": rule.institution, "files": sum(d.files for d in removed.items)}
        log.info("retention_removed", **facts)
    return removed


def _remove_each(database: Database, rule: Rule, *, now: datetime, given_up: bool) -> Iterator[Due]:
    """One transaction for each: a long run holds nobody up."""
    with database.begin() as connection:
        found: list[UUID] = [each.id for each in retention.due(connection, rule, now=now)]
    for due_id in found:
        with database.begin() as connection:
            removed = removal.remove_due(connection, rule, due_id, now=now, given_up=given_up)
        if removed is not None:
            yield removed


def remove_blobs(database: Database, store: Store) -> None:
    """Remove the blobs whose rows were removed, unless others refer to them.

    Raises:
        TransientError: Database or store do not answer; the rest stays listed.
    """
    taken = 1
    while taken:
        with database.begin() as connection:
            taken, unneeded = blobs.take(connection)
            store.remove(unneeded)

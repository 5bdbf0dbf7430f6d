"""`site.toml` applied: what the file says, compared three ways with what the database holds.

The file seeds institutions, peers, rules and users; afterwards they are data that administrators change by command
line and web. So each subject has three versions: what the file said last time (the seed), what it says now, and what
the database holds. A difference between seed and file is an edit of the file, and is applied; a difference between
seed and database is a change by hand, and is kept, with a word about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from pipeline.errors import BonecraftError, ConfigurationError
from pipeline.records import admin, users
from pipeline.site_file import Site, read_password
from pipeline.site_values import Subject, SubjectKind, Value, differences

SOURCE: Final = "site.toml"
"""As the source of a recorded change."""


class Verdict(StrEnum):
    """What becomes of a subject."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One difference between file and database, and what becomes of it.

    Attributes:
        subject: What differs.
        verdict: What is done.
        before: What the database holds.
        after: What the file wants; where `verdict` is KEPT, what it would have set.
        reason: Why it is kept, and what to do about it.
    """

    subject: Subject
    verdict: Verdict
    before: Value | None
    after: Value | None
    reason: str = ""

    def lines(self) -> tuple[str, ...]:
        """For people: a headline and the difference."""
        headline = f"{self.verdict} {self.subject}" + (f": {self.reason}" if self.reason else "")
        return headline, *(f"  {line}" for line in differences(self.before, self.after))


def plan(
    *,
    wanted: Mapping[Subject, Value],
    seeded: Mapping[Subject, Value],
    current: Mapping[Subject, Value],
    force: bool = False,
) -> tuple[Step, ...]:
    """What to do about each difference between file and database, in an order that can be carried out.

    Args:
        wanted: What the file says.
        seeded: What it said when it was applied last.
        current: What the database holds.
        force: Overwrite what was changed by hand.
    """
    steps = (
        _step(subject, wanted.get(subject), seeded.get(subject), current.get(subject), force=force)
        for subject in {**wanted, **seeded}
    )
    found = [step for step in steps if step is not None]
    renewed = {step.subject.institution for step in found if step.subject.kind is SubjectKind.RULES and step.after}
    return tuple(sorted(found, key=lambda step: _turn(step, renewed)))


def _step(
    subject: Subject, wanted: Value | None, seeded: Value | None, current: Value | None, *, force: bool
) -> Step | None:
    if wanted == current:
        return None
    step = Step(subject=subject, verdict=_verdict(current, wanted), before=current, after=wanted)
    if force or current == seeded:
        return step
    return replace(step, verdict=Verdict.KEPT, reason=_why_kept(wanted, seeded, current))


def _verdict(current: Value | None, wanted: Value | None) -> Verdict:
    if current is None:
        return Verdict.ADDED
    return Verdict.REMOVED if wanted is None else Verdict.UPDATED


def _why_kept(wanted: Value | None, seeded: Value | None, current: Value | None) -> str:
    if current is None:
        found = "was removed by hand"
    elif seeded is None:
        found = "was set by hand before the file named it"
    else:
        found = "was changed by hand"
    also = ", and the file was edited too" if seeded is not None and wanted != seeded else ""
    return (
        f"it {found}{also}; write what shall hold into the file, or overwrite with `bonecraft site apply --force FILE`"
    )


def _turn(step: Step, renewed: set[str]) -> tuple[bool, bool, int, Subject]:
    """What leaves goes first, the inner before the outer; what comes follows, the outer before the inner.

    A peer of an institution whose rules are `renewed` leaves last: the former ones may send to it.
    """
    rank = tuple(SubjectKind).index(step.subject.kind)
    leaves = step.after is None
    is_last = leaves and step.subject.kind is SubjectKind.PEER and step.subject.institution in renewed
    return is_last, not leaves, -rank if leaves else rank, step.subject


def preview_site(connection: Connection, site: Site, *, force: bool = False) -> tuple[Step, ...]:
    """What `apply_site` would do."""
    seeded, current = admin.seeded_values(connection), admin.current_values(connection)
    return plan(wanted=site.wanted, seeded=seeded, current=current, force=force)


def apply_site(connection: Connection, site: Site, *, who: str, force: bool = False) -> tuple[Step, ...]:
    """Bring what `site.toml` says into the database; applying it again changes nothing.

    Args:
        connection: Of the caller's transaction, which the caller commits.
        site: The file.
        who: Whose doing it is, for the history.
        force: Overwrite what was changed by hand.

    Returns:
        Every difference that was found and what became of it.

    Raises:
        ConfigurationError: Something the file wants cannot be; the message says what, and what to do.
    """
    admin.lock_changes(connection)
    done = tuple(_carry_out(connection, site, step, who=who) for step in preview_site(connection, site, force=force))
    _remember(connection, site, kept={step.subject for step in done if step.verdict is Verdict.KEPT})
    return done


def _carry_out(connection: Connection, site: Site, step: Step, *, who: str) -> Step:
    if step.verdict is Verdict.KEPT:
        return step
    try:
        with connection.begin_nested():
            admin.change(connection, step.subject, step.after, who=who, source=SOURCE)
    except BonecraftError as error:
        if step.verdict is not Verdict.REMOVED:
            raise ConfigurationError(f"{site.path}: {error}") from error
        return replace(step, verdict=Verdict.KEPT, reason=str(error))
    if step.verdict is Verdict.ADDED and step.subject in site.password_files:
        _set_first_password(connection, step.subject, site.password_files[step.subject])
    return step


def _set_first_password(connection: Connection, subject: Subject, file: Path) -> None:
    user = users.find_user(connection, email=subject.name)
    if user is not None:
        users.set_password(connection, user_id=user.id, password=read_password(file))


def _remember(connection: Connection, site: Site, *, kept: set[Subject]) -> None:
    """Remember what the file says, but for what was kept against it: that is to be told again next time."""
    seeded = admin.seeded_values(connection)
    for subject in {**site.wanted, **seeded}:
        if subject not in kept and site.wanted.get(subject) != seeded.get(subject):
            admin.remember_seed(connection, subject, site.wanted.get(subject))

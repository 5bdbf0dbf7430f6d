"""Who was turned away is written down, for an administrator to see and to admit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydicom.uid import UID
from pynetdicom.association import Association

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import TransientError
from pipeline.records.rejected import Attempt, note

NAMED: Final = 3
"""So many of the SOP classes and transfer syntaxes that somebody wanted are named; the others are counted."""
LONGEST: Final = 200
"""Characters of a name or reason that come from outside."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Rejections:
    """Writes rejected attempts down.

    Attributes:
        database: The node's records.
        clock: What time it is.
    """

    database: Database
    clock: Clock = utc_now

    def note(self, attempt: Attempt) -> None:
        """Log the attempt and keep it; where the database is away, the log has it alone."""
        log.warning(
            "rejected",
            why=attempt.reason.value,
            called=attempt.called_ae_title,
            calling=attempt.calling_ae_title,
            address=attempt.address,
            reason=attempt.sentence,
        )
        try:
            with self.database.begin() as connection:
                note(connection, attempt, now=self.clock())
        except TransientError as error:
            log.warning("rejection_not_kept", reason=str(error))


def wanted_by(association: Association) -> str:
    """What an association's requestor proposed, in words."""
    return name_some(list(_proposed(association)))


def not_taken(association: Association) -> str:
    """The SOP classes of which no context was accepted, with the transfer syntaxes that were offered; empty: none."""
    taken = {str(context.abstract_syntax) for context in association.accepted_contexts}
    left = {each: syntaxes for each, syntaxes in _proposed(association).items() if each not in taken}
    named = [f"{name_some([each])} as {name_some(syntaxes)}" for each, syntaxes in left.items()]
    return "; ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")


def _proposed(association: Association) -> dict[str, list[str]]:
    """SOP classes with the transfer syntaxes that an association's requestor proposed for each."""
    request = association.requestor.primitive
    proposed: dict[str, list[str]] = {}
    for context in request.presentation_context_definition_list if request is not None else []:
        known = proposed.setdefault(str(context.abstract_syntax), [])
        known += [str(syntax) for syntax in context.transfer_syntax if str(syntax) not in known]
    return proposed


def name_some(uids: Sequence[str]) -> str:
    """The first few SOP classes or transfer syntaxes by their names, and how many more."""
    names = [printable(UID(each).name) for each in uids[:NAMED]]
    more = len(uids) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def printable(text: str) -> str:
    """What came from outside, short and without characters that terminals and databases act upon."""
    return "".join(character if character.isprintable() else "?" for character in text[:LONGEST])

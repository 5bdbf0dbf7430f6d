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
"""So many of the SOP classes that somebody wanted are named; the others are counted."""
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
    request = association.requestor.primitive
    proposed = request.presentation_context_definition_list if request is not None else []
    return name_some(list(dict.fromkeys(str(context.abstract_syntax) for context in proposed)))


def name_some(sop_classes: Sequence[str]) -> str:
    """The first few SOP classes by their names, and how many more."""
    names = [printable(UID(each).name) for each in sop_classes[:NAMED]]
    more = len(sop_classes) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def printable(text: str) -> str:
    """What came from outside, short and without characters that terminals and databases act upon."""
    return "".join(character if character.isprintable() else "?" for character in text[:LONGEST])

"""Which DIMSE status answers which problem (PS3.4 Table B.2-1 for storage, PS3.7 Annex C for all services).

Senders repeat what got A7xx later and give up on Cxxx, so a status says whether sending again can help.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pydicom.dataset import Dataset

from pipeline.errors import BonecraftError, InputError, TransientError
from pipeline.inbox import IdentityMismatch, OutOfSpace, TooLarge, UnreadableDataset


class StoreStatus(IntEnum):
    """What the node answers to C-STORE."""

    SUCCESS = 0x0000
    """PS3.7 C.1.1: stored for good."""
    PROCESSING_FAILURE = 0x0110
    """PS3.7 C.5.11: a fault of this program; the log has it. Nothing was acknowledged."""
    NOT_AUTHORIZED = 0x0124
    """PS3.7 C.5.13: this peer may associate but not send."""
    OUT_OF_RESOURCES = 0xA700
    """PS3.4 Table B.2-1, A7xx Refused: no space left. Nothing was kept; send again later."""
    RECORDS_UNREACHABLE = 0xA701
    """PS3.4 Table B.2-1, A7xx Refused: the database cannot be reached. Nothing was acknowledged; send again later."""
    DOES_NOT_MATCH_SOP_CLASS = 0xA900
    """PS3.4 Table B.2-1, A9xx Error: command and dataset name different instances or classes. In quarantine."""
    CANNOT_UNDERSTAND = 0xC000
    """PS3.4 Table B.2-1, Cxxx Error: the dataset cannot be parsed. In quarantine."""
    TOO_LARGE = 0xC001
    """PS3.4 Table B.2-1, Cxxx Error: the dataset is larger than is taken. Not A7xx: sending it again cannot help."""


ANSWERS: Final[tuple[tuple[type[BonecraftError], StoreStatus], ...]] = (
    (OutOfSpace, StoreStatus.OUT_OF_RESOURCES),
    (IdentityMismatch, StoreStatus.DOES_NOT_MATCH_SOP_CLASS),
    (TooLarge, StoreStatus.TOO_LARGE),
    (UnreadableDataset, StoreStatus.CANNOT_UNDERSTAND),
    (TransientError, StoreStatus.RECORDS_UNREACHABLE),
    (InputError, StoreStatus.CANNOT_UNDERSTAND),
)
"""Errors of the house and their answers; the first family that fits wins."""


def status_of(error: BonecraftError) -> StoreStatus:
    """The answer to a C-STORE that failed with `error`."""
    return next((status for family, status in ANSWERS if isinstance(error, family)), StoreStatus.RECORDS_UNREACHABLE)


COMMENT_CHARACTERS: Final = 64
"""Of the value representation LO (PS3.5 Table 6.2-1)."""


def refusal(status: StoreStatus, reason: str) -> Dataset:
    """The answer to a C-STORE that failed, with the beginning of why for the sender's log (PS3.7 9.3.1.2)."""
    answer = Dataset()
    answer.Status = int(status)
    answer.ErrorComment = reason.encode("ascii", "replace").decode()[:COMMENT_CHARACTERS].replace("\\", "/")
    return answer

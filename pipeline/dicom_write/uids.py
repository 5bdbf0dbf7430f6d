"""Deterministic UIDs: the same inputs, models and settings always give the same instances.

A UID is `2.25.` followed by a UUID as a whole number (PS3.5 B.2). The UUID is of version 8, free for such uses
(RFC 9562, 5.8): 90 bits are a digest of what the object was made from, the last 32 bits are a seal over the others.
The seal tells our own objects when they come back, even where a PACS has rewritten every other attribute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER: Final = "Bonecraft"
MODEL_NAME: Final = "Bonecraft bone reconstruction"

RESULT_VERSION: Final = 4
"""Raise it when the same inputs and models are made into something else: a UID names one content."""

_PREFIX: Final = "2.25."
_SEAL_BITS: Final = 32
_VERSION_AND_VARIANT: Final = (0x8 << 76) | (0b10 << 62)
_VERSION_AND_VARIANT_MASK: Final = (0xF << 76) | (0b11 << 62)


def derive_uid(kind: str, parts: Sequence[str]) -> str:
    """The UID of an object, derived from what it was made from.

    Args:
        kind: What the object is: `series/surface`, `frame-of-reference`, ...
        parts: Everything that decides its content; the order matters.

    Returns:
        A UID of at most 44 characters that `is_own_uid` recognises.
    """
    text = json.dumps([MANUFACTURER, RESULT_VERSION, kind, list(parts)])
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    body = (digest & ~_VERSION_AND_VARIANT_MASK) | _VERSION_AND_VARIANT
    body = body >> _SEAL_BITS << _SEAL_BITS
    return f"{_PREFIX}{body | _seal(body)}"


def is_own_uid(uid: str) -> bool:
    """Whether `uid` was made by `derive_uid`, by whichever installation (wrong for one foreign UID in 2^38)."""
    number = uid.removeprefix(_PREFIX)
    if number == uid or not (number.isascii() and number.isdigit()) or len(number) > 39:
        return False
    value = int(number)
    body = value >> _SEAL_BITS << _SEAL_BITS
    return value & _VERSION_AND_VARIANT_MASK == _VERSION_AND_VARIANT and value == body | _seal(body)


def recognise_own(dataset: Dataset) -> bool:
    """Whether an instance is a result of ours, which must never be processed or sent again.

    Args:
        dataset: An instance's header; it needs SOP and series instance UID, Manufacturer and ManufacturerModelName.
    """
    uids = (str(dataset.get(keyword) or "") for keyword in ("SOPInstanceUID", "SeriesInstanceUID"))
    maker = (dataset.get("Manufacturer"), dataset.get("ManufacturerModelName"))
    return maker == (MANUFACTURER, MODEL_NAME) or any(map(is_own_uid, uids))


def _seal(body: int) -> int:
    """A digest of a UUID's leading bits, of `_SEAL_BITS` bits."""
    digest = hashlib.sha256(f"{MANUFACTURER} {body}".encode()).digest()
    return int.from_bytes(digest[: _SEAL_BITS // 8], "big")

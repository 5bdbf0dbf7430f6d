"""A change is made as it was shown, or not at all."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import HTTPException
from starlette import status

CHANGED_MEANWHILE = "Somebody else has changed this meanwhile. Look at the change again."


def check_agreed(agreed: Sequence[str] | None, lines: Sequence[str]) -> None:
    """Compare what a person has seen and agreed to (None: nobody was shown anything) with what would be changed now.

    Raises:
        HTTPException: 409, it is something else by now.
    """
    if agreed is not None and tuple(agreed) != tuple(lines):
        raise HTTPException(status.HTTP_409_CONFLICT, CHANGED_MEANWHILE)

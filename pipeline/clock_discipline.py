"""Whether something keeps this machine's clock in step with the world's, as its kernel says."""

from __future__ import annotations

import ctypes
from typing import Final

_ROOM: Final = 1024
"""More than `struct timex` has on any platform; all zeros: only read, change nothing."""
_NOT_IN_STEP: Final = 5
"""TIME_ERROR of adjtimex(2): nobody has synchronised the clock."""


def is_kept_in_step() -> bool | None:
    """Whether chrony, systemd-timesyncd or the like keep the clock in step; None where the kernel does not say."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_ROOM))
    except (OSError, AttributeError):  # no Linux
        return None
    return None if state < 0 else state != _NOT_IN_STEP

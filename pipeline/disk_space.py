"""Whether there is room for more: what is taken in must never fill the disk that the database may lie on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

BYTES_PER_MEGABYTE: Final = 1_000_000


def has_room(folder: Path, *, minimum_free_megabytes: int) -> bool:
    """Whether the folder's file system has more than the minimum left."""
    return shutil.disk_usage(folder).free >= minimum_free_megabytes * BYTES_PER_MEGABYTE

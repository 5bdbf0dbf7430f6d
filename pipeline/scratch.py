"""Scratch: folders in the data folder where files lie for as long as a piece of work takes.

The system's folder for such things is everybody's, and often in memory; this one has the node's own room and rights,
and the store takes files over from it by a link. Who is killed leaves a folder behind: each role sweeps at its start.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipeline.settings import NodeSettings
from pipeline.store import storage_errors

LOCK: Final = ".in-use"
"""The file that whoever works in a folder holds locked: a process that ends, however it does, lets go of it."""
JUST_MADE_SECONDS: Final = 60.0
"""A younger folder may not have its lock yet."""
FORGOTTEN_SECONDS: Final = 86_400.0
"""Where locks cannot be had a folder is left behind when it is as old as that: no work takes so long."""


def scratch_folder(settings: NodeSettings) -> Path:
    """Where a node's working folders are."""
    return settings.data_folder.absolute() / "scratch"


@contextmanager
def working_folder(scratch: Path, *, prefix: str) -> Iterator[Path]:
    """A new folder, removed with what is in it at the end of the block; nobody sweeps it before.

    Raises:
        OutOfSpace: There is no room for it.
        StoreUnavailable: It cannot be made.
    """
    with ExitStack() as stack:
        with storage_errors():
            scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = TemporaryDirectory(dir=scratch, prefix=prefix, ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
            lock = stack.enter_context((folder / LOCK).open("w"))
        with suppress(OSError):  # no locks on this file system: its age tells
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def sweep(scratch: Path, *, now: float | None = None) -> int:
    """Remove the folders that killed processes left behind; gives how many.

    Args:
        scratch: Where they are.
        now: Seconds since the epoch; None: the system's clock.
    """
    at = time.time() if now is None else now
    left_behind = [folder for folder in scratch.glob("*/") if _is_left_behind(folder, now=at)]
    for folder in left_behind:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left_behind)


def _is_left_behind(folder: Path, *, now: float) -> bool:
    try:
        age = now - folder.stat().st_mtime
    except FileNotFoundError:
        return False
    try:
        with (folder / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > FORGOTTEN_SECONDS
    return age > JUST_MADE_SECONDS

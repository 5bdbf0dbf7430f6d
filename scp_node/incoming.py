"""Where a dataset is while it comes in: a file on the store's file system, thrown away unless it was accepted.

pynetdicom writes each dataset to a `NamedTemporaryFile`. `receive_into` gives it one of ours instead, which lies in the
data folder (so that the store takes it over by a link) and which survives a full disk: pynetdicom would abort the
association without a word, the sender deserves 0xA700.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from pynetdicom import _config, dimse_messages

from pipeline.disk_space import BYTES_PER_MEGABYTE, has_room
from pipeline.settings import NodeSettings
from scp_node.direct_file import DirectFile

SUFFIX: Final = ".incoming"
LOOK_EVERY_BYTES: Final = 4 << 20
"""So many bytes of a dataset are written between two looks at the space that is left."""
CHUNK_BYTES: Final = 1 << 18
"""So much of a file that comes by HTTP is held in memory at a time."""
HEAD_BYTES: Final = 1 << 20
"""So much of a dataset that is too large is kept: enough to see what it was."""
ABANDONED_SECONDS: Final = 600
"""An association that is silent for a tenth of that is closed, so no living one leaves its file alone for so long."""


class IncomingFile:
    """A dataset on its way in.

    Attributes:
        problem: Why a write has failed; the rest of the dataset was dropped.
        cut_at: So many bytes are taken, and there were more: the file keeps the first `HEAD_BYTES`; None: it is whole.
    """

    def __init__(self, folder: Path, *, minimum_free_megabytes: int = 0, maximum_bytes: int | None = None) -> None:
        """Create an empty file in `folder`; it stops growing where less than the minimum would be left of the disk."""
        self._maximum_bytes, self._size = maximum_bytes, 0
        self.cut_at: int | None = None
        self._folder, self._minimum_free_megabytes = folder, minimum_free_megabytes
        self._unlooked = 0
        self._file = DirectFile(folder, suffix=SUFFIX)
        self.problem: OSError | None = None

    @property
    def name(self) -> str:
        """Its path."""
        return str(self._file.path)

    @property
    def file(self) -> IncomingFile:
        """What pynetdicom calls `flush()` on."""
        return self

    @property
    def digest(self) -> str | None:
        """SHA-256 of everything, hexadecimal, once it is closed; None where not all of it was kept."""
        return self._file.digest() if self.cut_at is None else None

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, unless a write has failed before, or there is too much of it."""
        rest = memoryview(data)
        while rest:
            room = self.room()
            piece, rest = rest[: len(room)], rest[len(room) :]
            room[: len(piece)] = piece
            self.took(len(piece))
        return len(data)

    def room(self) -> memoryview:
        """Where the next bytes may be put, at least one; `took` appends them."""
        return self._file.room()

    def took(self, count: int) -> None:
        """Append that many bytes, which were put into `room()`, unless a write has failed, or there is too much."""
        self._size += count
        if self.problem is not None or self.cut_at is not None:
            return
        try:
            self._look_for_room(count)
            self._file.took(count)
        except OSError as problem:
            self._give_up(problem)
            return
        if self._maximum_bytes is not None and self._size > self._maximum_bytes:
            self.cut_at = self._maximum_bytes
            self._keep(HEAD_BYTES)

    def _look_for_room(self, size: int) -> None:
        """Now and then, so that one huge dataset cannot fill the disk that the database needs.

        Raises:
            OSError: There is too little left.
        """
        self._unlooked += size
        if self._unlooked < LOOK_EVERY_BYTES:
            return
        self._unlooked = 0
        if not has_room(self._folder, minimum_free_megabytes=self._minimum_free_megabytes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _give_up(self, problem: OSError) -> None:
        """What came so far is of no use any more: its space is free again at once."""
        self.problem = problem
        self._keep(0)

    def _keep(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self._file.truncate(size)

    def flush(self) -> None:
        """Do nothing: the store flushes and syncs the whole file once."""

    def tell(self) -> int:
        """Position, for the writer of the file meta information."""
        return self._file.tell()

    def close(self) -> None:
        """Hand everything to the operating system; a full disk shows here at the latest."""
        try:
            self._file.close()
        except OSError as problem:
            self.problem = self.problem or problem


def receive_into(folder: Path, settings: NodeSettings) -> None:
    """Make pynetdicom stream datasets to files in `folder`, within the limits of the settings."""
    folder.mkdir(parents=True, exist_ok=True)
    _config.STORE_RECV_CHUNKED_DATASET = True

    def create(**_options: object) -> IncomingFile:
        return IncomingFile(
            folder,
            minimum_free_megabytes=settings.minimum_free_megabytes,
            maximum_bytes=settings.maximum_dataset_megabytes * BYTES_PER_MEGABYTE,
        )

    vars(dimse_messages)["NamedTemporaryFile"] = create


def sweep(folder: Path, *, now: float) -> int:
    """Remove what senders or listeners that died left half-written: nothing of it was acknowledged.

    Args:
        folder: Where datasets come in; several listeners may share it.
        now: Seconds since the epoch.

    Returns:
        The number of files removed.
    """
    leftovers = [path for path in folder.glob(f"*{SUFFIX}") if _is_abandoned(path, now)]
    for path in leftovers:
        discard(path)
    return len(leftovers)


def _is_abandoned(path: Path, now: float) -> bool:
    try:
        return now - path.stat().st_mtime > ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def discard(path: Path) -> None:
    """Remove a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()

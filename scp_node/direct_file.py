"""A file whose bytes go to the disk as they come, past the operating system's page cache.

What is synced before it is acknowledged gains nothing from the cache: every byte would be copied into it, and the sync
at the end would wait for all of them at once. Measured in docs/adr/0017-datasets-past-the-protocol-stack.md.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
from pathlib import Path
from tempfile import mkstemp
from typing import Final

CLOSED: Final = -1
BUFFER_BYTES: Final = 2 << 20
"""So much is written at a time: as many bytes as a huge page has."""
BLOCK_BYTES: Final = 4096
"""What goes past the cache is a multiple of this, as every usual disk's block is a part of it."""


class DirectFile:
    """A new file that is only appended to.

    Whole blocks go past the cache (`O_DIRECT`, open(2)), where the file system can do that; the rest, at the end, takes
    the usual way.

    Attributes:
        path: Where it is.
    """

    def __init__(self, folder: Path, *, suffix: str) -> None:
        """Create it, empty, under a name of its own."""
        self._descriptor, name = mkstemp(dir=folder, suffix=suffix)
        self.path = Path(name)
        self._buffer = memoryview(_pages(BUFFER_BYTES))
        self._filled = self._written = 0
        self._hashed = hashlib.sha256()
        self._is_direct = False
        self._pass_cache(True)

    def digest(self) -> str:
        """SHA-256 of what has been written out, hexadecimal: of everything, once it is closed."""
        return self._hashed.hexdigest()

    def tell(self) -> int:
        """Bytes that were appended."""
        return self._written + self._filled

    def room(self) -> memoryview:
        """Where the next bytes may be put, at least one; `took` appends them.

        Raises:
            OSError: It has been closed.
        """
        if self._descriptor == CLOSED:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._buffer[self._filled :]

    def took(self, count: int) -> None:
        """Append that many bytes, which were put into `room()`.

        Raises:
            OSError: The disk is full, or broken.
        """
        self._filled += count
        if self._filled == BUFFER_BYTES:
            self._write_out()

    def truncate(self, size: int) -> None:
        """Keep the first bytes, or what there is; nothing is appended any more.

        Raises:
            OSError: The disk is broken.
        """
        with contextlib.suppress(OSError):  # of what cannot be written nothing is kept
            self._write_out()
        self._filled = 0
        os.ftruncate(self._descriptor, min(size, self._written))

    def close(self) -> None:
        """Write out the rest.

        Raises:
            OSError: The disk is full, or broken.
        """
        if self._descriptor == CLOSED:
            return
        try:
            self._write_out()
        finally:
            os.close(self._descriptor)
            self._descriptor = CLOSED

    def _write_out(self) -> None:
        rest, self._filled = self._buffer[: self._filled], 0
        self._hashed.update(rest)
        while rest:
            if len(rest) < BLOCK_BYTES:
                self._pass_cache(False)
            piece = rest[: len(rest) - len(rest) % BLOCK_BYTES] if self._is_direct else rest
            count = self._write_some(piece)
            self._written += count
            rest = rest[count:]
            if count < len(piece):
                self._pass_cache(False)  # what is left does not begin at a block any more

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._is_direct:
                raise
            self._pass_cache(False)  # a file system that promises more than it can do
            return os.write(self._descriptor, data)

    def _pass_cache(self, wished: bool) -> None:
        if wished == self._is_direct:
            return
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wished else flags & ~os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return
        self._is_direct = wished


def _pages(count: int) -> mmap.mmap:
    """So many bytes that start at a page, as O_DIRECT wants it: one huge page, where there is one, is had at once."""
    pages = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages

"""The beginning of a file, in memory: pydicom asks at each element where it is, which of a file is a system call."""

from __future__ import annotations

import io
from typing import BinaryIO, Final

PIECE_BYTES: Final = 1 << 14
"""So much is read at a time: more than most headers have."""


class Head(io.BytesIO):
    """A file that lies in memory as far as it was read; its end is not known before it is reached."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin where the file is now; nobody else reads it meanwhile."""
        super().__init__()
        self._file = file
        self._here = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file does."""
        place, is_all = self.tell(), size is None or size < 0
        missing = 0 if size is None else place + size - self._here
        if is_all or missing > 0:
            self.seek(0, io.SEEK_END)
            self._here += self.write(self._file.read(-1 if is_all else max(missing, PIECE_BYTES)))
            self.seek(place)
        return super().read(size)

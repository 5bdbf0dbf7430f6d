"""Fragments of a dataset, many with one system call: received where they lie in the file, without their headers.

Senders put one fragment into each PDU (PS3.8 9.3.5.1) and fill it, so that PDU after PDU begins with the same twelve
bytes, until the last. What comes is therefore expected to go on as it has begun; where it does not, it is put back, and
read again one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from scp_node.incoming import IncomingFile
from scp_node.waiting import Line

MOST_AT_ONCE: Final = 128
"""Fragments; the kernel takes 1,024 pieces, headers among them (readv(2), IOV_MAX)."""


@dataclass(frozen=True, kw_only=True)
class Alike:
    """PDUs of one fragment each, which are all of one length.

    Attributes:
        header: What each begins with, PDU header and fragment header.
        size: Bytes of the dataset in each.
    """

    header: bytes
    size: int

    def receive(self, line: Line, file: IncomingFile, missing: int, until: float) -> tuple[int, bool]:
        """Put the next bytes of a fragment into the file, and what comes behind it as long as that is alike.

        Args:
            line: Where it comes from.
            file: Where it belongs.
            missing: Bytes that the fragment wants still, at least one.
            until: On the monotonic clock, when something has to have come.

        Returns:
            How many bytes are missing now, and whether that is of another fragment.

        Raises:
            OSError: Nothing came in time, or the caller hung up.
        """
        pieces = self._pieces(file.room(), missing)
        headers = [memoryview(bytearray(len(self.header))) for _ in pieces[1:]]
        views = [pieces[0], *(view for pair in zip(headers, pieces[1:], strict=True) for view in pair)]
        came, taken, begun = line.recv_into_all(views, until), 0, 0
        while True:
            count = min(came, len(pieces[begun]))
            came, taken, missing = came - count, taken + count, missing - count
            if not came:
                break
            if came < len(self.header) or headers[begun] != self.header:
                line.put_back(_first(came, views[2 * begun + 1 :]))
                break
            came, missing, begun = came - len(self.header), self.size, begun + 1
        file.took(taken)
        return missing, begun > 0

    def _pieces(self, room: memoryview, missing: int) -> list[memoryview]:
        """What of the room each fragment is to fill, the first of which wants less."""
        pieces, rest = [room[:missing]], room[missing:]
        while rest and len(pieces) < MOST_AT_ONCE:
            pieces.append(rest[: self.size])
            rest = rest[self.size :]
        return pieces


def _first(count: int, views: Iterable[memoryview]) -> bytes:
    """So many bytes of what the views hold together."""
    found = bytearray()
    for view in views:
        found += view[: count - len(found)]
    return bytes(found)

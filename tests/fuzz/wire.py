"""PDUs as bytes (PS3.8 9.3): framing, the few that are needed, and what an answer means."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 0x01, 0x02
"""Bits of a fragment's control header (Annex E.2)."""
RELEASE: Final = struct.pack(">BxLL", RELEASE_RQ, 4, 0)

AFFECTED_CLASS, COMMAND_FIELD, MESSAGE_ID, RESPONDED_TO = 0x0002, 0x0100, 0x0110, 0x0120
PRIORITY, DATASET_TYPE, STATUS, AFFECTED_INSTANCE = 0x0700, 0x0800, 0x0900, 0x1000
C_STORE_RQ: Final = 0x0001
C_STORE_RSP: Final = 0x8001
ACCEPTED_CONTEXT: Final = 0x21
"""Item type of a presentation context in an A-ASSOCIATE-AC."""


def pdu(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxL", kind, len(content)) + content


def pdus_of(stream: bytes) -> tuple[bytes, ...]:
    """A recorded stream, cut at its PDUs."""
    cut, start = [], 0
    while start < len(stream):
        (length,) = struct.unpack_from(">L", stream, start + 2)
        cut.append(stream[start : start + 6 + length])
        start += 6 + length
    return tuple(cut)


def fragment(context: int, control: int, data: bytes) -> bytes:
    """A presentation data value item (9.3.5.1)."""
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def message(context: int, command: bytes, dataset: bytes | None, *, size: int = 16000) -> Iterator[bytes]:
    """P-DATA-TF PDUs of a command and, where there is one, its dataset."""
    yield pdu(P_DATA, fragment(context, COMMAND | LAST, command))
    if dataset is None:
        return
    pieces = [dataset[start : start + size] for start in range(0, len(dataset), size)] or [b""]
    for number, piece in enumerate(pieces, 1):
        yield pdu(P_DATA, fragment(context, LAST if number == len(pieces) else 0, piece))


def command(values: Mapping[int, bytes]) -> bytes:
    """A command set: group 0000 in Implicit VR Little Endian with its group length (PS3.7 6.3.1)."""
    rest = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in sorted(values.items()))
    return struct.pack("<HHLL", 0, 0, 4, len(rest)) + rest


def store_command(sop_class: bytes, sop_instance: bytes) -> dict[int, bytes]:
    """What a C-STORE request says (PS3.7 9.3.1.1)."""
    return {
        AFFECTED_CLASS: padded(sop_class),
        COMMAND_FIELD: struct.pack("<H", C_STORE_RQ),
        MESSAGE_ID: struct.pack("<H", 1),
        PRIORITY: struct.pack("<H", 0),
        DATASET_TYPE: struct.pack("<H", 0x0001),
        AFFECTED_INSTANCE: padded(sop_instance),
    }


def padded(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def read_pdu(connection: socket.socket) -> bytes | None:
    """The next PDU; None where the connection has ended.

    Raises:
        TimeoutError: Nothing came.
    """
    header = _read(connection, 6)
    if len(header) < 6:
        return None
    content = _read(connection, struct.unpack(">L", header[2:])[0])
    return header + content


def _read(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        try:
            piece = connection.recv(count - len(received))
        except ConnectionError:
            return b""
        if not piece:
            return b""
        received += piece
    return received


def accepted_context(answer: bytes) -> int | None:
    """The first presentation context that an A-ASSOCIATE-AC accepts (9.3.3)."""
    at = 6 + 68
    while at + 4 <= len(answer):
        kind, length = answer[at], struct.unpack_from(">H", answer, at + 2)[0]
        if kind == ACCEPTED_CONTEXT and answer[at + 6] == 0:
            return answer[at + 4]
        at += 4 + length
    return None


def status_in(answer: bytes) -> tuple[int, int] | None:
    """Command field and status of a response that is one P-DATA-TF; None where it is none."""
    if answer[0] != P_DATA or not answer[11] & COMMAND:
        return None
    found, at = {}, 12
    while at + 8 <= len(answer):
        _, element, length = struct.unpack_from("<HHL", answer, at)
        found[element] = answer[at + 8 : at + 8 + length]
        at += 8 + length
    if COMMAND_FIELD not in found or STATUS not in found:
        return None
    return int.from_bytes(found[COMMAND_FIELD], "little"), int.from_bytes(found[STATUS], "little")

"""The cases: each is a number, from which everything in it is drawn, and what became of it."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from scp_node.listener import SILENCE_SECONDS
from tests.factories import stable_uid
from tests.fuzz import wire
from tests.fuzz.mutations import elements_of, encode, spoil, spoil_deflated, spoil_elements
from tests.fuzz.seeds import Seed

ANSWER_SECONDS: Final = 90
"""Longer than the listener lets any connection be silent."""
CASES_IN_AN_ASSOCIATION: Final = 25
SILENT_SECONDS: Final = SILENCE_SECONDS / 3
"""An association that nothing was said on for so long may have been closed by now: it is left, not used again."""

DATASETS: Final = ("explicit", "explicit", "implicit", "big-endian", "deflated", "rle", "jpeg", "jpeg-ls")

Case = Callable[["Line", Random], str]


@dataclass
class Line:
    """A connection to the listener, opened again where a case ended it.

    Attributes:
        port: Where the listener is.
        seeds: What may be said.
    """

    port: int
    seeds: Mapping[str, Seed]
    _open: dict[str, tuple[socket.socket, int]] = field(default_factory=dict)
    _used: Counter[str] = field(default_factory=Counter)
    _spoke: dict[str, float] = field(default_factory=dict)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_SECONDS)

    def association(self, name: str) -> tuple[socket.socket, int]:
        """An open association as that seed asks for it, and its context; shared by several cases."""
        if self._is_silent(name):
            self.drop(name)
        elif self._used[name] >= CASES_IN_AN_ASSOCIATION:
            self.release(name)
        if name not in self._open:
            self._used[name] = 0
            self._open[name] = self.associate(self.seeds[name])
        self._used[name] += 1
        self._spoke[name] = time.monotonic()
        return self._open[name]

    def _is_silent(self, name: str) -> bool:
        return name in self._open and time.monotonic() - self._spoke[name] > SILENT_SECONDS

    def associate(self, seed: Seed) -> tuple[socket.socket, int]:
        connection = self.connect()
        connection.sendall(seed.pdus[0])
        answer = wire.read_pdu(connection)
        if answer is None or answer[0] != wire.ASSOCIATE_AC:
            raise RuntimeError(f"a sound association request was answered by {(answer or b'nothing')[:10]!r}")
        return connection, wire.accepted_context(answer) or 1

    def release(self, name: str) -> None:
        connection, _ = self._open.pop(name)
        with connection:
            connection.sendall(wire.RELEASE)
            answer = wire.read_pdu(connection)
        if answer is None or answer[0] != wire.RELEASE_RP:
            raise RuntimeError("a release was not answered")

    def drop(self, name: str) -> None:
        """The listener ended it, or would soon."""
        self._open.pop(name)[0].close()

    def close(self) -> None:
        for name in list(self._open):
            if self._is_silent(name):
                self.drop(name)
            else:
                self.release(name)


def outcome_of(answer: bytes | None) -> str:
    """What a PDU of the listener says, in a word."""
    if answer is None:
        return "closed"
    if answer[0] == wire.P_DATA:
        found = wire.status_in(answer)
        if found is None:
            return "another message"
        command, status = found
        return f"C-STORE 0x{status:04X}" if command == wire.C_STORE_RSP else f"0x{command:04X} 0x{status:04X}"
    names = {wire.ASSOCIATE_AC: "accepted", wire.ASSOCIATE_RJ: "rejected", wire.ABORT: "aborted"}
    return names.get(answer[0], "released")


def say(connection: socket.socket, pdus: Sequence[bytes]) -> None:
    """Say everything; the listener may hang up meanwhile."""
    try:
        for each in pdus:
            connection.sendall(each)
    except ConnectionError:
        return


def store(line: Line, name: str, pdus: Callable[[int], Sequence[bytes]]) -> str:
    """One request on a shared association; every other way of ending than an answer ends the association too."""
    connection, context = line.association(name)
    say(connection, pdus(context))
    answer = wire.read_pdu(connection)
    if answer is None or answer[0] != wire.P_DATA:
        line.drop(name)
    return outcome_of(answer)


def a_dataset(line: Line, chance: Random) -> str:
    """A sound command with a dataset that is not."""
    name = chance.choice(DATASETS)
    sound = line.seeds["explicit" if name == "deflated" else name]  # it is deflated after it was spoilt
    instance, dataset = _renamed(sound, chance)
    command = wire.command(wire.store_command(sound.sop_class, instance))
    spoilt = _spoilt(name, dataset, chance)
    return store(line, name, lambda context: list(wire.message(context, command, spoilt)))


def _renamed(seed: Seed, chance: Random) -> tuple[bytes, bytes]:
    """SOP instance UID and dataset of another instance, of some other study: or all would be one and the same."""
    if chance.random() < 0.1:
        return seed.sop_instance, seed.dataset
    study, instance = (
        stable_uid(chance.random()).encode().ljust(64, b"1")[: len(each)] for each in (seed.study, seed.sop_instance)
    )
    return instance, seed.dataset.replace(seed.study, study).replace(seed.sop_instance, instance)


def _spoilt(name: str, dataset: bytes, chance: Random) -> bytes:
    if name == "deflated":
        return spoil_deflated(dataset, chance)
    if name in ("implicit", "big-endian") or chance.random() < 0.3:
        return spoil(dataset, chance)
    return encode(spoil_elements(elements_of(dataset), chance))


def a_command(line: Line, chance: Random) -> str:
    """A command that is not sound, with a sound dataset, or without one."""
    seed = line.seeds["explicit"]
    values = wire.store_command(seed.sop_class, seed.sop_instance)
    for _ in range(chance.randint(1, 2)):
        element = chance.choice((*values, wire.STATUS, wire.RESPONDED_TO, 0x1031, 0x0999))
        way = chance.randrange(4)
        if way == 0:
            values.pop(element, None)
        elif way == 1:
            values[element] = spoil(values.get(element, b"\0\0"), chance)
        else:
            values[element] = chance.choice(
                (b"", b"\xff\xff", b"\0\0", b"\x01\x01", b"1." + b"9" * 80, chance.randbytes(3))
            )
    encoded = wire.command(values)
    if chance.random() < 0.2:
        encoded = spoil(encoded, chance)
    dataset = seed.dataset if chance.random() < 0.9 else None
    return alone(line, seed, lambda context: list(wire.message(context, encoded, dataset)))


def other_requests(line: Line, chance: Random) -> str:
    """Other services' requests and responses where C-STORE was negotiated."""
    seed = line.seeds[chance.choice(("explicit", "echo"))]
    values = wire.store_command(seed.sop_class or b"1.2.840.10008.1.1", seed.sop_instance)
    fields = (
        0x8001,
        0x0010,
        0x0020,
        0x8020,
        0x0021,
        0x0030,
        0x0FFF,
        0x0100,
        0x0110,
        0x0120,
        0x0130,
        0x0140,
        0x0150,
        0xABCD,
    )
    values[wire.COMMAND_FIELD] = struct.pack("<H", chance.choice(fields))
    values[wire.RESPONDED_TO] = b"\x01\x00"
    if chance.random() < 0.5:
        values[wire.DATASET_TYPE] = b"\x01\x01"
    return alone(line, seed, lambda context: list(wire.message(context, wire.command(values), seed.dataset)))


def fragments(line: Line, chance: Random) -> str:
    """A sound request whose PDUs and fragments are cut, mixed or said wrongly."""
    seed = line.seeds[chance.choice(("explicit", "implicit", "jpeg"))]
    command = wire.command(wire.store_command(seed.sop_class, seed.sop_instance))

    def pdus(context: int) -> list[bytes]:
        whole = list(wire.message(context, command, seed.dataset, size=chance.choice((1, 40, 700, 16000))))
        for _ in range(chance.randint(1, 3)):
            whole = chance.choice(REARRANGEMENTS)(whole, chance)
        return whole

    return alone(line, seed, pdus)


def shuffled(pdus: list[bytes], chance: Random) -> list[bytes]:
    return chance.sample(pdus, len(pdus))


def one_missing(pdus: list[bytes], chance: Random) -> list[bytes]:
    at = chance.randrange(len(pdus)) if pdus else 0
    return pdus[:at] + pdus[at + 1 :]


def one_twice(pdus: list[bytes], chance: Random) -> list[bytes]:
    at = chance.randrange(len(pdus)) if pdus else 0
    return pdus[: at + 1] + pdus[at:]


def one_spoilt(pdus: list[bytes], chance: Random) -> list[bytes]:
    at = chance.randrange(len(pdus)) if pdus else 0
    return [*pdus[:at], *(spoil(each, chance) for each in pdus[at : at + 1]), *pdus[at + 1 :]]


def header_spoilt(pdus: list[bytes], chance: Random) -> list[bytes]:
    """The fragment's length, context and control header."""
    at = chance.randrange(len(pdus)) if pdus else 0
    return [*pdus[:at], *(spoil(each[:12], chance) + each[12:] for each in pdus[at : at + 1]), *pdus[at + 1 :]]


def put_between(pdus: list[bytes], chance: Random) -> list[bytes]:
    """A PDU that may not come now, or nothing that is one."""
    at = chance.randint(0, len(pdus))
    abort = wire.pdu(wire.ABORT, bytes(4))
    empty = wire.pdu(wire.P_DATA, b"")
    odd = wire.pdu(wire.P_DATA, wire.fragment(255, chance.randrange(256), chance.randbytes(20)))
    accept = wire.pdu(wire.ASSOCIATE_AC, bytes(68))
    new = (
        abort,
        empty,
        odd,
        accept,
        wire.RELEASE,
        wire.pdu(chance.randrange(256), chance.randbytes(9)),
        chance.randbytes(40),
    )
    return [*pdus[:at], chance.choice(new), *pdus[at:]]


def in_one(pdus: list[bytes], chance: Random) -> list[bytes]:
    """All fragments in one PDU."""
    return [wire.pdu(wire.P_DATA, b"".join(each[6:] for each in pdus))]


REARRANGEMENTS: Final[tuple[Callable[[list[bytes], Random], list[bytes]], ...]] = (
    shuffled, one_missing, one_twice, one_spoilt, header_spoilt, header_spoilt, put_between, in_one,
)  # fmt: skip


def a_stream(line: Line, chance: Random) -> str:
    """What a program said after its association request, spoilt anywhere."""
    seed = line.seeds[chance.choice([name for name, each in line.seeds.items() if len(each.pdus) > 1])]
    rest = b"".join(seed.pdus[1:])
    return alone(line, seed, lambda _: [spoil(rest, chance)])


def a_request(line: Line, chance: Random) -> str:
    """An association request that is spoilt, and all that came after it at once."""
    seed = line.seeds[chance.choice(list(line.seeds))]
    request = seed.pdus[0]
    kept = chance.choice((0, 6, 74))  # the whole, all but the PDU's header, only the items
    spoilt = request[:kept] + spoil(request[kept:], chance)
    if chance.random() < 0.6:
        spoilt = spoilt[:2] + struct.pack(">L", len(spoilt) - 6) + spoilt[6:] if len(spoilt) > 6 else spoilt
    with line.connect() as connection:
        return last_word(connection, [spoilt, *seed.pdus[1:]])


def alone(line: Line, seed: Seed, pdus: Callable[[int], Sequence[bytes]]) -> str:
    """On an association of its own, that the caller then hangs up."""
    connection, context = line.associate(seed)
    with connection:
        return last_word(connection, pdus(context))


def last_word(connection: socket.socket, pdus: Sequence[bytes]) -> str:
    """Say everything and hang up; the answer that says most of what came until the end."""
    say(connection, pdus)
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return "closed"
    heard = [outcome_of(answer) for answer in _until_closed(connection)]
    stored = [each for each in heard if each.startswith("C-STORE")]
    return (stored or heard or ["closed"])[-1]


def _until_closed(connection: socket.socket) -> Iterator[bytes]:
    while (answer := wire.read_pdu(connection)) is not None:
        yield answer


KINDS: Final[tuple[tuple[str, Case, int], ...]] = (
    ("datasets", a_dataset, 62),
    ("commands", a_command, 8),
    ("other services", other_requests, 4),
    ("fragments", fragments, 12),
    ("streams", a_stream, 8),
    ("association requests", a_request, 6),
)
"""What is spoilt, how, and how many of a hundred cases."""


def run_case(line: Line, *, seed: int, number: int) -> tuple[str, str]:
    """What was spoilt in that case, and what became of it.

    Raises:
        TimeoutError: Nothing: neither an answer nor an end.
    """
    chance = Random(f"{seed} {number}")
    ((kind, case, _),) = chance.choices(KINDS, [weight for *_, weight in KINDS])
    return kind, case(line, chance)

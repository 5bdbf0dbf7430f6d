"""Fragments received with one call lie in the file without their headers; what comes behind them is not lost."""

import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from scp_node.direct_file import BUFFER_BYTES
from scp_node.fragments import MOST_AT_ONCE, Alike
from scp_node.incoming import IncomingFile
from scp_node.waiting import Line

HEADER = b"twelve bytes"
BEHIND = b"what comes behind the dataset"
PATIENCE_SECONDS = 10

Connected = tuple[socket.socket, Line]


@pytest.fixture
def connected() -> Iterator[Connected]:
    """A sender's end of a connection, and ours."""
    sender, ours = socket.socketpair()
    with sender, ours:
        line = Line(Association(AE(), "acceptor"), ours)
        yield sender, line
        line.wakeup.close()


def streamed(data: bytes, size: int) -> bytes:
    """The data in fragments, behind the first one's header."""
    return HEADER.join(data[start : start + size] for start in range(0, len(data), size)) + BEHIND


def receive(line: Line, file: IncomingFile, size: int) -> int:
    """Receive a fragment, and those that come with it; how many calls that took."""
    alike, missing, calls = Alike(header=HEADER, size=size), size, 0
    while missing:
        missing, _ = alike.receive(line, file, missing, time.monotonic() + PATIENCE_SECONDS)
        calls += 1
    return calls


def content(file: IncomingFile) -> bytes:
    file.close()
    return Path(file.name).read_bytes()


@pytest.mark.parametrize(("size", "count"), [(1, 5), (1000, 3), (300, MOST_AT_ONCE), (7000, 10)])
def test_one_call_takes_all_that_has_come(connected: Connected, tmp_path: Path, size: int, count: int) -> None:
    sender, line = connected
    data, file = np.random.default_rng(0).bytes(size * count), IncomingFile(tmp_path)
    sender.sendall(streamed(data, size))
    assert receive(line, file, size) == 1
    assert content(file) == data
    assert line.recv(len(BEHIND)) == BEHIND


@pytest.mark.parametrize(("seed", "size"), [(1, 40_000), (2, 131_060), (3, 999_983), (4, BUFFER_BYTES), (5, 3_000_000)])
def test_wherever_what_comes_is_interrupted_it_arrives_whole(
    connected: Connected, tmp_path: Path, seed: int, size: int
) -> None:
    sender, line = connected
    random, file = np.random.default_rng(seed), IncomingFile(tmp_path)
    data = random.bytes(12 * size)
    stream = streamed(data, size)
    cuts = sorted({0, len(stream), *map(int, random.integers(0, len(stream), 40))})
    sending = Thread(target=lambda: [sender.sendall(stream[start:end]) for start, end in pairwise(cuts)])
    sending.start()
    header = bytearray(HEADER)
    while header == HEADER:
        receive(line, file, size)
        header = line.recv(len(HEADER))
    sending.join()
    assert content(file) == data
    assert header + line.recv(len(BEHIND) - len(header)) == BEHIND


def test_a_caller_who_hangs_up_within_a_fragment_is_noticed(connected: Connected, tmp_path: Path) -> None:
    sender, line = connected
    sender.sendall(b"half")
    sender.close()
    with pytest.raises(ConnectionResetError):
        receive(line, IncomingFile(tmp_path), 1000)

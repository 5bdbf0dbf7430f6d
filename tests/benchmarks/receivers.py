"""What receives in `make bench-ingest`: the node's listener, dcmtk's storescp, Orthanc; each on free ports."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from tests.listener_process import NODE_AE_TITLE, ListenerProcess, listener_process
from tests.peers import free_port, running_orthanc
from tests.scp_node.senders import takes_connections

START_SECONDS = 30
BIG_PDU = "131072"
SENDER = "BENCH"


class Counter(Protocol):
    """Counts what a receiver holds."""

    def count(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """Where to send, and how many instances have arrived for good.

    Attributes:
        called: Its AE title.
        port: Where it listens on loopback.
        arrived: Counts.
        node: The node's listener; None: another receiver.
    """

    called: str
    port: int
    arrived: Counter
    node: ListenerProcess | None = None


@dataclass(frozen=True)
class FilesIn:
    """The files of a folder."""

    folder: Path

    def count(self) -> int:
        return sum(1 for path in self.folder.iterdir() if path.is_file())


@dataclass(frozen=True)
class RowsIn:
    """The instances that the node has committed."""

    listener: ListenerProcess

    def count(self) -> int:
        return self.listener.instances


@dataclass(frozen=True)
class InstancesOf:
    """What Orthanc says it holds."""

    url: str

    def count(self) -> int:
        return int(httpx.get(f"{self.url}/statistics", timeout=60).json()["CountInstances"])


@contextmanager
def node(folder: Path) -> Iterator[Receiver]:
    """The listener as `bonecraft serve` runs it, with an embedded PostgreSQL; nothing reconstructs meanwhile."""
    with listener_process(folder, sender=SENDER) as listener:
        yield Receiver(called=NODE_AE_TITLE, port=listener.port, arrived=RowsIn(listener), node=listener)


@contextmanager
def storescp(folder: Path) -> Iterator[Receiver]:
    """dcmtk's storescp as it comes: parses and rewrites each dataset, no fsync, no database."""
    with _storescp(folder, []) as receiver:
        yield receiver


@contextmanager
def storescp_at_its_best(folder: Path) -> Iterator[Receiver]:
    """dcmtk's storescp that writes the bytes as they come, in big PDUs; no fsync, no database."""
    with _storescp(folder, ["--bit-preserving", "--max-pdu", BIG_PDU]) as receiver:
        yield receiver


@contextmanager
def _storescp(folder: Path, options: list[str]) -> Iterator[Receiver]:
    received, port = folder / "received", free_port()
    received.mkdir()
    command = ["/usr/bin/storescp", "--fork", *options, "--output-directory", str(received), str(port)]
    with _process(command, folder / "storescp.log", port, dict(os.environ)):
        yield Receiver(called="STORESCP", port=port, arrived=FilesIn(received))


@contextmanager
def orthanc(folder: Path) -> Iterator[Receiver]:
    """Orthanc with its own SQLite index and no fsync of the files."""
    with running_orthanc(folder) as peer:
        yield Receiver(called=peer.ae_title, port=peer.dicom_port, arrived=InstancesOf(peer.url))


@contextmanager
def _process(command: list[str], log: Path, port: int, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(process, port, log)
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not takes_connections(port):
        if process.poll() is not None or time.monotonic() > give_up:
            raise SystemExit(f"{process.args} did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)

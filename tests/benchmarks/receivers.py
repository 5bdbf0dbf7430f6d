"""What receives in `make bench-ingest`: the node's listener, dcmtk's storescp, Orthanc; each on free ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx
from sqlalchemy import func, select

from pipeline.database import Database, open_url
from pipeline.embedded_postgres import EmbeddedPostgres
from pipeline.migrations import upgrade
from pipeline.records import admin, tables
from pipeline.site_values import ANYWHERE, MOST_ASSOCIATIONS, InstitutionValue, PeerValue, Subject
from tests.peers import free_port, running_orthanc

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
        pid: Its process, where that is one.
    """

    called: str
    port: int
    arrived: Counter
    pid: int | None = None


@dataclass(frozen=True)
class FilesIn:
    """The files of a folder."""

    folder: Path

    def count(self) -> int:
        return sum(1 for path in self.folder.iterdir() if path.is_file())


@dataclass(frozen=True)
class RowsIn:
    """The instances that the node has committed."""

    database: Database

    def count(self) -> int:
        with self.database.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.instances)).scalar_one())


@dataclass(frozen=True)
class InstancesOf:
    """What Orthanc says it holds."""

    url: str

    def count(self) -> int:
        return int(httpx.get(f"{self.url}/statistics", timeout=60).json()["CountInstances"])


@contextmanager
def node(folder: Path) -> Iterator[Receiver]:
    """The listener as `bonecraft serve` runs it, with an embedded PostgreSQL; nothing reconstructs meanwhile."""
    postgres = EmbeddedPostgres(folder)
    database = open_url(postgres.start())
    port = free_port()
    try:
        upgrade(database.engine)
        _admit_everybody(database)
        environment = os.environ | {
            "BONECRAFT_DATA_FOLDER": str(folder),
            "BONECRAFT_DATABASE_URL": database.url,
            "BONECRAFT_DICOM_HOST": "127.0.0.1",
            "BONECRAFT_DICOM_PORT": str(port),
        }
        command = [sys.executable, "-m", "scp_node.listener"]
        with _process(command, folder / "listener.log", port, environment) as process:
            yield Receiver(called="BONECRAFT", port=port, arrived=RowsIn(database), pid=process.pid)
    finally:
        database.close()
        postgres.stop()


def _admit_everybody(database: Database) -> None:
    limits = {"allow_from": ANYWHERE, "maximum_associations": MOST_ASSOCIATIONS}
    peer = PeerValue.model_validate({"host": "127.0.0.1", "port": 104, "sends": True, **limits})
    values = {
        Subject.of_institution("bench"): InstitutionValue(name="Benchmark", called_ae_titles=("BONECRAFT",)),
        Subject.of_peer("bench", SENDER): peer,
    }
    with database.begin() as connection:
        for subject, value in values.items():
            admin.change(connection, subject, value, who="benchmark", source="command line")


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
def _process(
    command: list[str], log: Path, port: int, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(process, port, log)
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"{process.args} did not start:\n{log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.1)
        else:
            return

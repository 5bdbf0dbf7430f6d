"""The listener in a process of its own with an embedded PostgreSQL, as `bonecraft serve` runs it; nothing else runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from pipeline.database import Database, open_url
from pipeline.embedded_postgres import EmbeddedPostgres
from pipeline.migrations import upgrade
from pipeline.records import admin, tables
from pipeline.settings import NodeSettings
from pipeline.site_values import ANYWHERE, MOST_ASSOCIATIONS, InstitutionValue, PeerValue, Subject
from pipeline.store import Store, open_store
from tests.peers import free_port
from tests.scp_node.senders import takes_connections

NODE_AE_TITLE = "BONECRAFT"
START_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class ListenerProcess:
    """A running listener.

    Attributes:
        pid: Its process.
        port: Where it listens.
        data_folder: Where its blobs and its log are.
        database: Its records.
        store: Its blobs.
    """

    pid: int
    port: int
    data_folder: Path
    database: Database
    store: Store

    @property
    def instances(self) -> int:
        """How many it has committed."""
        with self.database.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.instances)).scalar_one())

    @property
    def log(self) -> Path:
        """What it says."""
        return self.data_folder / "listener.log"

    @property
    def resident_megabytes(self) -> float:
        """What of it lies in memory."""
        return self._status("VmRSS") / 1024

    @property
    def most_resident_megabytes(self) -> float:
        """The most of it that ever lay in memory."""
        return self._status("VmHWM") / 1024

    @property
    def threads(self) -> int:
        """How many it has."""
        return self._status("Threads")

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def listener_process(folder: Path, *, sender: str) -> Iterator[ListenerProcess]:
    """A listener that takes everything from `sender`; its data lies in `folder`, whose path is short."""
    postgres = EmbeddedPostgres(folder)
    database = open_url(postgres.start())
    settings = NodeSettings(data_folder=folder, dicom_host="127.0.0.1", dicom_port=free_port())
    try:
        upgrade(database.engine)
        _admit(database, sender)
        environment = os.environ | {
            "BONECRAFT_DATA_FOLDER": str(folder),
            "BONECRAFT_DATABASE_URL": database.url,
            "BONECRAFT_DICOM_HOST": settings.dicom_host,
            "BONECRAFT_DICOM_PORT": str(settings.dicom_port),
        }
        with _process(environment, folder / "listener.log", settings.dicom_port) as pid:
            yield ListenerProcess(
                pid=pid,
                port=settings.dicom_port,
                data_folder=folder,
                database=database,
                store=open_store(settings),
            )
    finally:
        database.close()
        postgres.stop()


def _admit(database: Database, sender: str) -> None:
    limits = {"allow_from": ANYWHERE, "maximum_associations": MOST_ASSOCIATIONS}
    peer = PeerValue.model_validate({"host": "127.0.0.1", "port": 104, "sends": True, **limits})
    values = {
        Subject.of_institution("bench"): InstitutionValue(name="Benchmark", called_ae_titles=(NODE_AE_TITLE,)),
        Subject.of_peer("bench", sender): peer,
    }
    with database.begin() as connection:
        for subject, value in values.items():
            admin.change(connection, subject, value, who="benchmark", source="command line")


@contextmanager
def _process(environment: dict[str, str], log: Path, port: int) -> Iterator[int]:
    with log.open("wb") as output:
        command = [sys.executable, "-m", "scp_node.listener"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        give_up = time.monotonic() + START_SECONDS
        while not takes_connections(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the listener did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(START_SECONDS)

"""A whole node, as an administrator starts it: `bonecraft serve` with a data folder, ports and a site of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from pipeline.embedded_postgres import EmbeddedPostgresNotRunning, embedded_url
from tests.peers import free_port
from tests.processes import children_of, command_of

START_SECONDS = 120
STOP_SECONDS = 60
NODE_AE_TITLE = "BONECRAFT"
MODALITY_AE_TITLE = "MODALITY"
PROGRAMS = {
    "listener": "scp_node.listener",
    "worker": "pipeline.worker",
    "delivery": "scp_node.delivery",
    "web": "viewer_api",
    "postgres": "pipeline.keep_postgres",
}
"""The module that each program of the supervisor runs."""


@dataclass(frozen=True, kw_only=True)
class NodePeer:
    """A peer as `site.toml` names it."""

    ae_title: str
    port: int
    sends: bool = False
    receives: bool = False
    tls: bool = False


MODALITY = NodePeer(ae_title=MODALITY_AE_TITLE, port=104, sends=True)


@dataclass
class RunningNode:
    """A node in processes of its own.

    Attributes:
        folder: Settings and logs.
        data: Its data folder.
        dicom_port: Where the listener is.
        web_port: Where the viewer is.
        environment: Variables that its processes have besides our own.
        process: The supervisor.
    """

    folder: Path
    data: Path
    dicom_port: int
    web_port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def config(self) -> Path:
        """Its `node.toml`."""
        return self.folder / "node.toml"

    @property
    def viewer(self) -> str:
        """The viewer's address."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def log(self) -> Path:
        """What supervisor and processes said, but for the embedded PostgreSQL's own log."""
        return self.folder / "node.log"

    def start(self) -> None:
        """Start it and wait until its doors are open."""
        command = [sys.executable, "-m", "pipeline.cli", "serve"]
        command += ["--config", str(self.config), "--site", str(self.folder / "site.toml")]
        with self.log.open("ab") as output:
            begin = output.tell()
            environment = _own_environment() | dict(self.environment)
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        give_up = time.monotonic() + START_SECONDS
        while b"is running" not in self.log.read_bytes()[begin:]:
            if self.process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"the node did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def stop(self) -> int:
        """SIGTERM, and wait; gives the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self, program: str) -> int:
        """`kill -9` one of its processes by its name (`listener`, `worker`, ...); gives the process that died.

        Raises:
            ProcessLookupError: It does not run at the moment.
        """
        pid = self.pid_of(program)
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_postgres(self) -> int:
        """`kill -9` the postmaster of the embedded PostgreSQL; gives the process that died."""
        pid = self.postmaster()
        os.kill(pid, signal.SIGKILL)
        return pid

    def postmaster(self) -> int:
        """The embedded PostgreSQL's first process.

        Raises:
            OSError: It does not run at the moment.
        """
        pid = int((self.data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
        # The file outlives a server that was killed, and its number may be another process's by now.
        if str(self.data) not in " ".join(command_of(pid)):
            raise ProcessLookupError("PostgreSQL does not run")
        return pid

    def pid_of(self, program: str) -> int:
        """The living process of this name.

        Raises:
            ProcessLookupError: It does not run at the moment.
        """
        for pid in children_of(self.process.pid):
            if PROGRAMS[program] in command_of(pid):
                return pid
        raise ProcessLookupError(f"no {program} runs")

    def events(self) -> list[dict[str, object]]:
        """What is in the log as JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, object]]:
        """Rows of the node's database."""
        url = embedded_url(self.data).replace("+psycopg", "", 1)
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(sql, parameters).fetchall()

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 180, pause: float = 0.1) -> None:
        """Until the condition holds; PostgreSQL may be away meanwhile."""
        give_up = time.monotonic() + seconds
        while not _holds(condition):
            if time.monotonic() > give_up or self.process.poll() is not None:
                pytest.fail(f"waited in vain:\n{self.log.read_text()[-6000:]}")
            time.sleep(pause)


@contextmanager
def running_node(
    *peers: NodePeer, data: Path | None = None, environment: Mapping[str, str] | None = None, **settings: object
) -> Iterator[RunningNode]:
    """A node with these peers that lives as long as the `with` block.

    Args:
        peers: Of its one institution.
        data: Its data folder; None: one that is removed at the end.
        environment: Variables that its processes have besides our own.
        settings: As in `node.toml`.
    """
    folder = Path(tempfile.mkdtemp(prefix="bonecraft-node-"))  # short: the path of a socket holds 107 bytes
    node = RunningNode(
        folder=folder,
        data=data or folder / "data",
        dicom_port=free_port(),
        web_port=free_port(),
        environment=environment or {},
    )
    _write_settings(node, peers, settings)
    node.start()
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.stop()
        shutil.rmtree(folder)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except (psycopg.OperationalError, EmbeddedPostgresNotRunning, OSError):
        return False


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("BONECRAFT_")}


def _write_settings(node: RunningNode, peers: Sequence[NodePeer], settings: dict[str, object]) -> None:
    values = {
        "data_folder": str(node.data),
        "dicom_host": "127.0.0.1",
        "dicom_port": node.dicom_port,
        "web_port": node.web_port,
        "minimum_free_megabytes": 10,
        **settings,
    }
    node.config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    site = f'[[institutions]]\nslug = "demo"\nname = "Demo Hospital"\ncalled_ae_titles = ["{NODE_AE_TITLE}"]\n'
    for peer in peers:
        site += (
            f'[[institutions.peers]]\nae_title = "{peer.ae_title}"\nhost = "127.0.0.1"\nport = {peer.port}\n'
            f'allow_from = ["127.0.0.0/8"]\nsends = {json.dumps(peer.sends)}\nreceives = {json.dumps(peer.receives)}\n'
            f"tls = {json.dumps(peer.tls)}\n"
        )
    (node.folder / "site.toml").write_text(site)

"""A hospital in a folder: a node, a PACS and the settings that introduce them, all on loopback.

Used by `bonecraft demo`. The PACS is Orthanc where it is installed or one that the caller names, else a small archive.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.errors import ConfigurationError, TransientError

NODE_AE_TITLE: Final = DEFAULT_AE_TITLE
MODALITY_AE_TITLE: Final = "MODALITY"
PACS_AE_TITLE: Final = "PACS"
ADMIN_EMAIL: Final = "admin@example.org"
START_TIMEOUT_SECONDS: Final = 60
STOP_TIMEOUT_SECONDS: Final = 60
ORTHANC_PROGRAMS: Final = ("Orthanc", "/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")


@dataclass(frozen=True, kw_only=True)
class Pacs:
    """Where results go.

    Attributes:
        description: For people: what it is and where.
        ae_title: Its AE title.
        host: Its address.
        port: Its DICOM port.
    """

    description: str
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """Where everything of a demonstration is.

    Attributes:
        folder: Its data.
        config: The node's `node.toml`.
        pacs: Where results go.
        dicom_port: The node's DICOM port.
        web_port: The viewer's port.
    """

    folder: Path
    config: Path
    pacs: Pacs
    dicom_port: int
    web_port: int

    @property
    def viewer(self) -> str:
        """The viewer's address."""
        return f"http://127.0.0.1:{self.web_port}"


def parse_pacs(text: str) -> Pacs:
    """The PACS that somebody names as `AE@host:port`.

    Raises:
        ConfigurationError: It is not written like that.
    """
    ae_title, at, address = text.partition("@")
    host, colon, port = address.rpartition(":")
    if not (at and colon and ae_title and host and port.isdecimal()):
        raise ConfigurationError(f"{text!r} names no PACS: write AE@host:port, for example PACS@127.0.0.1:4242")
    return Pacs(description=f"{ae_title} at {host}:{port}", ae_title=ae_title, host=host, port=int(port))


def free_port(preferred: int) -> int:
    """`preferred` if nobody listens there, else one that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            number: int = probe.getsockname()[1]
            return number
    raise TransientError("no free port on this machine")


@contextmanager
def running_pacs(folder: Path, named: Pacs | None, node_port: int) -> Iterator[Pacs]:
    """The PACS of a demonstration: the named one, else Orthanc, else a small archive; ours stop at the end."""
    if named is not None:
        yield named
        return
    program = next((found for name in ORTHANC_PROGRAMS if (found := shutil.which(name))), None)
    start = _orthanc(program, folder / "orthanc", node_port) if program else _archive(folder / "archive")
    command, pacs = start
    with _running(command, log=folder / "pacs.log"):
        _wait_for_port(pacs.port, "the PACS")
        yield pacs


def _orthanc(program: str, folder: Path, node_port: int) -> tuple[list[str], Pacs]:
    folder.mkdir(parents=True, exist_ok=True)
    port, web = free_port(4242), free_port(8042)
    config = folder / "orthanc.json"
    config.write_text(
        json.dumps(
            {
                "Name": "Demo PACS",
                "StorageDirectory": str(folder),
                "IndexDirectory": str(folder),
                "DicomAet": PACS_AE_TITLE,
                "DicomPort": port,
                "HttpPort": web,
                "RemoteAccessAllowed": False,
                "DicomAlwaysAllowStore": True,
                "DicomModalities": {"node": [NODE_AE_TITLE, "127.0.0.1", node_port]},
            }
        )
    )
    description = f"Orthanc, {PACS_AE_TITLE} at 127.0.0.1:{port}, to be looked at on http://127.0.0.1:{web}"
    return [program, str(config)], Pacs(description=description, ae_title=PACS_AE_TITLE, host="127.0.0.1", port=port)


def _archive(folder: Path) -> tuple[list[str], Pacs]:
    port = free_port(4242)
    command = [sys.executable, "-m", "scp_node.archive", "--ae-title", PACS_AE_TITLE]
    command += ["--port", str(port), "--folder", str(folder)]
    description = (
        f"no Orthanc is installed: a small archive, {PACS_AE_TITLE} at 127.0.0.1:{port}, keeps files in {folder}"
    )
    return command, Pacs(description=description, ae_title=PACS_AE_TITLE, host="127.0.0.1", port=port)


@contextmanager
def running_demonstration(folder: Path, named_pacs: Pacs | None = None) -> Iterator[Demonstration]:
    """A node and its PACS, ready to be sent to; both stop at the end.

    Raises:
        TransientError: One of them did not start; the message names its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dicom_port, web_port = free_port(11112), free_port(8080)
    with running_pacs(folder, named_pacs, dicom_port) as pacs:
        config, site = _write_settings(folder, pacs, dicom_port, web_port)
        demonstration = Demonstration(folder=folder, config=config, pacs=pacs, dicom_port=dicom_port, web_port=web_port)
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--config", str(config), "--site", str(site)]
        with _running(command, log=folder / "node.log") as node:
            _wait_until_ready(demonstration, node)
            yield demonstration


def _write_settings(folder: Path, pacs: Pacs, dicom_port: int, web_port: int) -> tuple[Path, Path]:
    """`node.toml` and `site.toml` of the demonstration."""
    password = folder / "secrets" / "admin"
    if not password.exists():
        password.parent.mkdir(mode=0o700, exist_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24))
    config, site = folder / "node.toml", folder / "site.toml"
    config.write_text(
        f'data_folder = "{folder}"\ndicom_host = "127.0.0.1"\ndicom_port = {dicom_port}\nweb_port = {web_port}\n'
    )
    site.write_text(
        f"""[[institutions]]
slug = "demo"
name = "Demo Hospital"
called_ae_titles = ["{NODE_AE_TITLE}"]

[[institutions.peers]]
ae_title = "{MODALITY_AE_TITLE}"
host = "127.0.0.1"
port = 11113
allow_from = ["127.0.0.1/32"]
sends = true
receives = false

[[institutions.peers]]
ae_title = "{pacs.ae_title}"
host = "{pacs.host}"
port = {pacs.port}
allow_from = ["127.0.0.1/32"]
sends = true
receives = true

[[institutions.users]]
email = "{ADMIN_EMAIL}"
role = "admin"
password_file = "secrets/admin"
"""
    )
    return config, site


@contextmanager
def _running(command: list[str], *, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`command` in the background, writing to `log`; told to stop at the end, and killed where it does not."""
    with log.open("ab") as output:
        # A group of its own: Ctrl-C reaches the demonstration alone, which then stops the others in order.
        process = subprocess.Popen(  # noqa: S603 - our own programs
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0, env=dict(os.environ)
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_port(port: int, what: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while not _listens(port):
        if time.monotonic() > deadline:
            raise TransientError(f"{what} did not open port {port} within {START_TIMEOUT_SECONDS} s")
        time.sleep(0.1)


def _wait_until_ready(demonstration: Demonstration, node: subprocess.Popen[bytes]) -> None:
    """Until the listener takes connections and the viewer says it is well."""
    deadline, log = time.monotonic() + START_TIMEOUT_SECONDS, demonstration.folder / "node.log"
    while not (_listens(demonstration.dicom_port) and _is_well(demonstration.viewer)):
        if node.poll() is not None:
            raise TransientError(f"the node did not start: see {log}")
        if time.monotonic() > deadline:
            raise TransientError(f"the node was not ready within {START_TIMEOUT_SECONDS} s: see {log}")
        time.sleep(0.2)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_well(viewer: str) -> bool:
    try:
        with urllib.request.urlopen(f"{viewer}/healthz", timeout=2) as answer:  # noqa: S310 - loopback http
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False

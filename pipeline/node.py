"""The whole node on one machine: database, tables, site, and a supervised process for each role."""

from __future__ import annotations

import functools
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import text

from pipeline.database import Database, DatabaseUnavailable, open_database
from pipeline.embedded_postgres import EmbeddedPostgresNotRunning, embedded_url
from pipeline.errors import ConfigurationError, TransientError
from pipeline.migrations import upgrade
from pipeline.records.directory import called_ae_titles_by_institution
from pipeline.settings import NodeSettings
from pipeline.site import Step, apply_site
from pipeline.site_file import Site
from pipeline.supervisor import Program, Supervisor

DATABASE_SECONDS: Final = 90
READY_SECONDS: Final = 90
PORT_SECONDS: Final = 10


class Role(StrEnum):
    """What one process of the node does."""

    LISTENER = "listener"
    WORKER = "worker"
    DELIVERY = "delivery"
    WEB = "web"


MODULES: Final = {
    Role.LISTENER: "scp_node.listener",
    Role.WORKER: "pipeline.worker",
    Role.DELIVERY: "scp_node.delivery",
    Role.WEB: "viewer_api",
}
"""Named, not imported: the house does not know its doors, it only opens them."""


def role_command(module: str, config: Path | None) -> list[str]:
    """How the process of a role is started."""
    return [sys.executable, "-P", "-m", module, *(["--config", str(config)] if config else [])]


def prepare_role(settings: NodeSettings) -> None:
    """What one role alone stands on: a database that answers, with the tables of this version.

    Raises:
        TransientError: The database does not answer.
    """
    database = open_database(settings)
    try:
        give_up = time.monotonic() + DATABASE_SECONDS
        while not _answers_queries(database):
            if time.monotonic() > give_up:
                raise TransientError("the database does not answer: start it, or correct database_url")
            time.sleep(1)
        upgrade(database.engine)
    finally:
        database.close()


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the node stands on before its doors open.

    Attributes:
        steps: What applying the site changed or kept.
        called_ae_titles: AE titles that each institution (its name) answers to.
    """

    steps: Sequence[Step]
    called_ae_titles: Mapping[str, Sequence[str]]


class Node:
    """Starts the node's processes in their order, and stops them.

    Args:
        settings: The node's settings.
        config: The file they came from, for the children.
        log_folder: A file for each process's log in there; None: all logs go to our stderr.
    """

    def __init__(self, settings: NodeSettings, *, config: Path | None, log_folder: Path | None) -> None:
        self._settings = settings
        self._config = config
        self._log_folder = log_folder
        self._files = ExitStack()
        self._environment = dict(os.environ)
        self._supervisor = Supervisor()

    def prepare(self, site: Site | None) -> Prepared | None:
        """Bring up the database with its tables, and apply the site; None when a signal came meanwhile.

        Args:
            site: What `site.toml` says, where there is one.

        Raises:
            ConfigurationError: A port is taken, or the site wants something impossible.
            TransientError: The database does not come up.
        """
        self._check_ports()
        self._settings.data_folder.mkdir(parents=True, exist_ok=True)
        if not self._settings.database_url:
            self._start_postgres()
        database = self._wait_for_database()
        if database is None:
            return None
        try:
            upgrade(database.engine)
            with database.begin() as connection:
                steps = apply_site(connection, site, who="bonecraft serve") if site is not None else ()
                return Prepared(steps=steps, called_ae_titles=called_ae_titles_by_institution(connection))
        finally:
            database.close()

    def open_doors(self) -> bool:
        """Start the process of every role and wait until both doors take connections; False when they do not."""
        for role, module in MODULES.items():
            count = self._settings.workers if role is Role.WORKER else 1
            for number in range(1, count + 1):
                self._add(f"{role}-{number}" if count > 1 else role.value, module)
        closed = _doors(self._settings)
        return self._supervisor.wait_until(lambda: not _still_closed(closed), seconds=READY_SECONDS)

    @property
    def is_stopping(self) -> bool:
        """Whether SIGTERM or SIGINT has come."""
        return self._supervisor.is_stopping

    def run(self) -> None:
        """Keep everything up until SIGTERM or SIGINT."""
        self._supervisor.run()

    def stop(self) -> None:
        """Let everybody finish what is in hand; the database stops last."""
        self._supervisor.drain()
        self._files.close()

    def _check_ports(self) -> None:
        """A port that somebody else holds would make a child fall again and again: say so at once.

        Processes of a node that was killed may still be letting go of theirs: they get a little time.

        Raises:
            ConfigurationError: Which, and which setting to change.
        """
        for door in _doors(self._settings):
            free = functools.partial(lambda door: not _why_taken(door), door)
            if not self._supervisor.wait_until(free, seconds=PORT_SECONDS) and (reason := _why_taken(door)):
                raise ConfigurationError(
                    f"cannot listen at {door.host}:{door.port} ({reason}): stop who does, or change {door.setting}"
                )

    def _start_postgres(self) -> None:
        self._add("postgres", "pipeline.keep_postgres", stop_last=True)
        folder = self._settings.data_folder
        if self._supervisor.wait_until(lambda: _is_up(folder), seconds=DATABASE_SECONDS):
            self._environment["BONECRAFT_DATABASE_URL"] = embedded_url(folder)

    def _wait_for_database(self) -> Database | None:
        """The database, once it answers; None when a signal came."""
        settings = self._settings
        url = self._environment.get("BONECRAFT_DATABASE_URL", settings.database_url)
        if url:
            database = open_database(settings.model_copy(update={"database_url": url}))
            if self._supervisor.wait_until(lambda: _answers_queries(database), seconds=DATABASE_SECONDS):
                return database
            database.close()
        if self._supervisor.is_stopping:
            return None
        raise TransientError("the database does not answer: see the log of postgres, or correct database_url")

    def _add(self, name: str, module: str, *, stop_last: bool = False) -> None:
        output = None
        if self._log_folder is not None:
            self._log_folder.mkdir(parents=True, exist_ok=True)
            output = self._files.enter_context((self._log_folder / f"{name}.jsonl").open("ab"))
        command = role_command(module, self._config)
        program = Program(
            name=name, command=command, environment=dict(self._environment), output=output, stop_last=stop_last
        )
        self._supervisor.add(program)


def _is_up(data_folder: Path) -> bool:
    try:
        embedded_url(data_folder)
    except EmbeddedPostgresNotRunning:
        return False
    return True


def _answers_queries(database: Database) -> bool:
    try:
        with database.begin() as connection:
            connection.execute(text("SELECT 1"))
    except DatabaseUnavailable:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class _Door:
    """Where one of the node's doors is to be, and the setting that says so."""

    setting: str
    host: str
    port: int


def _doors(settings: NodeSettings) -> list[_Door]:
    dicom = [("dicom_port", settings.dicom_port)] if settings.dicom_plain else []
    dicom += [("dicom_tls_port", settings.dicom_tls_port)] if settings.tls_certificate else []
    return [
        *(_Door(setting=setting, host=settings.dicom_host, port=port) for setting, port in dicom),
        _Door(setting="web_port", host=settings.web_host, port=settings.web_port),
    ]


def _why_taken(door: _Door) -> str:
    """Why nobody can listen at a door; empty where somebody can."""
    with socket.socket(socket.AF_INET6 if ":" in door.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((door.host, door.port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _still_closed(doors: list[_Door]) -> list[_Door]:
    """Take the doors that open from `doors` (each is knocked at until it opens once); gives what is left."""
    doors[:] = [door for door in doors if not _takes_connections(door)]
    return doors


def _takes_connections(door: _Door) -> bool:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(door.host, door.host)  # noqa: S104 - where we listen on all
    try:
        socket.create_connection((reachable, door.port), timeout=1).close()
    except OSError:
        return False
    return True

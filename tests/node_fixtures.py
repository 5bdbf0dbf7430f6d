"""A real PostgreSQL for the tests: one embedded server per session, one migrated database per test."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from pipeline.database import Database, open_url
from pipeline.embedded_postgres import ROLE, EmbeddedPostgres
from pipeline.migrations import upgrade
from pipeline.settings import NodeSettings
from pipeline.store import Store, open_store
from tests.node_helpers import Hospital, add_demo_hospital


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL whose own database is migrated and otherwise empty."""
    folder = Path(tempfile.mkdtemp(prefix="bonecraft-postgres-"))  # short: the path of a socket holds 107 bytes
    server = EmbeddedPostgres(folder)
    try:
        template = open_url(server.start())
        set_fsync(server, "off")  # nothing here has to outlive the machine; what must survive has servers of its own
        upgrade(template.engine)
        template.close()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def set_fsync(server: EmbeddedPostgres, word: str) -> None:
    """Switch it `on` or `off` for the whole server."""
    with psycopg.connect(server.superuser_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET fsync = {}").format(word))
        connection.execute("SELECT pg_reload_conf()")
        while connection.execute("SHOW fsync").fetchone() != (word,):
            time.sleep(0.01)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new, migrated database that belongs to this test alone."""
    name = f"test_{uuid4().hex}"
    admin_url = postgres.superuser_url.replace("+psycopg", "", 1)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*map(sql.Identifier, (name, ROLE, ROLE)))
        )
        yield postgres.superuser_url.replace("://postgres@/postgres", f"://{ROLE}@/{name}", 1)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open, migrated, empty database that belongs to this test alone."""
    opened = open_url(database_url)
    yield opened
    opened.close()


@pytest.fixture
def institution_id(database: Database) -> UUID:
    """An institution, "Demo Hospital" (`demo`), called as BONECRAFT."""
    return add_demo_hospital(database)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A data folder with a short path, for an embedded PostgreSQL of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="bonecraft-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty blob store in a local folder."""
    return open_store(NodeSettings(data_folder=tmp_path / "data"))


@pytest.fixture
def hospital(database: Database, store: Store, institution_id: UUID, tmp_path: Path) -> Hospital:
    """The institution, with a modality that sends."""
    return Hospital(database, store, institution_id, tmp_path)

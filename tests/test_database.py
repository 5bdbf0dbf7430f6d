from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from alembic import command
from sqlalchemy import create_engine, make_url, text

from pipeline.database import Database, DatabaseUnavailable, open_database, open_url
from pipeline.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresNotRunning, embedded_url
from pipeline.errors import ConfigurationError
from pipeline.migrations import alembic_config, upgrade
from pipeline.settings import NodeSettings

KEEPER = (
    "import sys; from pathlib import Path; from pipeline.embedded_postgres import run_embedded_postgres;"
    "sys.exit(run_embedded_postgres(Path(sys.argv[1]), lambda url: print(url, flush=True)))"
)


@contextmanager
def running_keeper(data_folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(data_folder)], stdout=subprocess.PIPE, text=True
    ) as keeper:
        try:
            assert any(line.startswith("postgresql+psycopg://bonecraft@/bonecraft?host=") for line in keeper.stdout)
            yield keeper
        finally:
            keeper.terminate()


def postmaster_pid(data_folder: Path) -> int:
    return int((data_folder / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def test_the_product_is_no_superuser_and_owns_its_database(database: Database) -> None:
    with database.begin() as connection:
        assert connection.execute(text("SELECT current_setting('is_superuser')")).scalar() == "off"
        connection.execute(text("CREATE TABLE scratch (a int)"))


def test_no_free_connection_is_told_as_a_passing_trouble(database: Database) -> None:
    engine = create_engine(database.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    small = Database(url=database.url, engine=engine)
    in_use = pytest.raises(DatabaseUnavailable, match="every connection to PostgreSQL is in use")
    with small.begin(), in_use, small.begin():
        pass
    small.close()


def test_a_connection_that_postgresql_has_ended_costs_nobody_an_error(database: Database) -> None:
    with database.begin() as connection:
        number = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with psycopg.connect(database.libpq_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [number])
    with database.begin() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize(("set_for_all", "used"), [("off", "on"), ("local", "local")])
def test_the_node_waits_for_the_disk_also_where_others_do_not(
    postgres: EmbeddedPostgres, database_url: str, set_for_all: str, used: str
) -> None:
    name = make_url(database_url).database
    with psycopg.connect(postgres.superuser_url.replace("+psycopg", "", 1), autocommit=True) as superuser:
        superuser.execute(f"ALTER DATABASE {name} SET synchronous_commit = {set_for_all}")
    opened = open_url(f"{database_url}&options=-c%20work_mem%3D5MB")
    with suppress(ZeroDivisionError), opened.begin():
        raise ZeroDivisionError  # what is rolled back takes no setting with it
    with opened.begin() as connection:
        found = connection.execute(text("SELECT current_setting('synchronous_commit'), current_setting('work_mem')"))
        assert tuple(found.one()) == (used, "5MB")
    opened.close()


def test_tables_and_migrations_agree(database: Database) -> None:
    with database.engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.check(config)


def test_processes_that_migrate_at_once_wait_for_each_other(database: Database, database_url: str) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))

    def migrate(_process: int) -> None:
        opened = open_url(database_url)
        upgrade(opened.engine)
        opened.close()

    with ThreadPoolExecutor() as processes:
        list(processes.map(migrate, range(3)))  # raises what any of them raised
    with database.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM studies")).scalar() == 0


def test_a_constraint_of_the_same_name_in_another_schema_does_not_stop_a_migration(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        connection.execute(text("CREATE SCHEMA kept"))
        connection.execute(text("CREATE TABLE kept.ledger (event text CONSTRAINT ck_ledger_event CHECK (event = 'x'))"))
    upgrade(database.engine)
    allowed = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'public.ledger'::regclass"
    with database.begin() as connection:
        (event,) = connection.execute(text(f"{allowed} AND conname = 'ck_ledger_event'")).scalars()
    assert "'removed'" in event
    assert "'received'" in event


QUARANTINED_THREE_TIMES = """
    INSERT INTO quarantine (problem, reason, calling_ae_title, called_ae_title, sop_instance_uid, blob_key, size,
                            received_at)
    SELECT 'unreadable', 'no DICOM', 'CR1', 'BONECRAFT', uid, 'key', 15, '2026-01-02 12:00+00'::timestamptz + minute
    FROM (VALUES ('1.2', interval '2 min'), ('1.2', '0 min'), ('1.2', '1 min'), ('1.3', '5 min')) AS came (uid, minute)
"""


def test_what_was_quarantined_again_and_again_becomes_one_row_when_it_is_updated(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        connection.execute(text(QUARANTINED_THREE_TIMES))
    upgrade(database.engine)
    kept = "SELECT sop_instance_uid, times, last_received_at - received_at FROM quarantine ORDER BY 1"
    with database.begin() as connection:
        rows = [tuple(row) for row in connection.execute(text(kept))]
    assert rows == [("1.2", 3, timedelta(minutes=2)), ("1.3", 1, timedelta())]


def test_another_process_finds_the_server_of_a_data_folder_and_it_survives_kill_9(short_folder: Path) -> None:
    with running_keeper(short_folder) as keeper:
        database = open_database(NodeSettings(data_folder=short_folder))
        with database.begin() as connection:
            connection.execute(text("CREATE TABLE remembered AS SELECT 42 AS answer"))
        os.kill(postmaster_pid(short_folder), signal.SIGKILL)
        assert keeper.wait(30) == 1
    with pytest.raises(EmbeddedPostgresNotRunning, match="bonecraft serve"):
        embedded_url(short_folder)
    with running_keeper(short_folder) as keeper:
        with database.begin() as connection:  # the same pool: its dead connections are replaced
            assert connection.execute(text("SELECT answer FROM remembered")).scalar() == 42
        database.close()
        keeper.terminate()
        assert keeper.wait(30) == 0


def test_a_server_whose_keeper_was_killed_ends_and_a_new_keeper_takes_its_place(short_folder: Path) -> None:
    with running_keeper(short_folder) as keeper:
        keeper.kill()
    with running_keeper(short_folder) as keeper:
        assert embedded_url(short_folder)
        keeper.terminate()
        assert keeper.wait(30) == 0


def test_a_creation_that_was_killed_half_way_does_not_stop_the_next_start(short_folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KEEPER, str(short_folder)], stdout=subprocess.DEVNULL) as keeper:
        while not any(short_folder.glob("*/PG_VERSION")) and keeper.poll() is None:
            time.sleep(0.005)
        keeper.kill()
    leftover = short_folder / "postgres.new-of-long-ago"
    (leftover / "base").mkdir(parents=True)
    with running_keeper(short_folder):
        assert embedded_url(short_folder)
    assert not leftover.exists()


def test_a_data_folder_too_deep_for_a_socket_works_too(short_folder: Path) -> None:
    deep = short_folder / ("x" * 60) / ("y" * 60)
    with running_keeper(deep):
        database = open_database(NodeSettings(data_folder=deep))
        with database.begin() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        database.close()


def test_a_server_that_does_not_answer_is_a_transient_problem_in_plain_words() -> None:
    nobody = open_url("postgresql://bonecraft@127.0.0.1:9/bonecraft")
    with pytest.raises(DatabaseUnavailable, match="is it running"), nobody.begin():
        pass


@pytest.mark.parametrize("url", ["sqlite:///x.db", "localhost/bonecraft"])
def test_a_url_that_is_not_postgresqls_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigurationError, match="postgresql://user:password@host/name"):
        open_database(NodeSettings(database_url=url))

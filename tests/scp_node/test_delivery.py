"""The delivery process: everything that it looks after is done without anybody asking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from pipeline.database import Database
from pipeline.records import deliveries, proof, tables
from pipeline.records.checks import get_check, request_check
from pipeline.settings import NodeSettings
from scp_node import delivery
from scp_node.wakeup import Wakeup
from tests.node_helpers import Hospital
from tests.peers import free_port
from tests.scp_node.senders import wait_until
from tests.scp_node.test_postman import Outbox, archive


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path) -> Outbox:
    outbox = Outbox(hospital, tmp_path / "results", free_port())
    with hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(next_attempt_at=func.now(), planned_at=func.now()))
    return outbox


def test_results_leave_the_ledger_is_sealed_and_connections_are_checked(
    outbox: Outbox, database_url: str, tmp_path: Path
) -> None:
    database = outbox.hospital.database
    peer = outbox.rows()[0]
    stop = threading.Event()
    settings = NodeSettings(data_folder=tmp_path / "data", database_url=database_url)
    with archive(tmp_path / "archive", port_of(outbox)):
        process = threading.Thread(target=delivery.run, args=(settings, stop))
        process.start()
        with database.begin() as connection:
            check = request_check(connection, peer["peer_id"])

        def is_done() -> bool:
            with database.begin() as connection:
                verdict = proof.verify(connection)
                answered = get_check(connection, check, institution_id=outbox.hospital.institution_id)
            assert not verdict.broken
            return outbox.states() == {"delivered"} and verdict.sealed == 5 and answered.ok is True

        wait_until(is_done)
        stop.set()
        process.join()


def test_an_unexpected_error_stops_nothing_for_good(hospital: Hospital, database_url: str, tmp_path: Path) -> None:
    hospital.send("AP")
    stop = threading.Event()
    settings = NodeSettings(data_folder=tmp_path / "data", database_url=database_url)
    with rename(hospital, "ledger_seals", "elsewhere"), capture_logs() as logs:
        process = threading.Thread(target=delivery.run, args=(settings, stop))
        process.start()
        wait_until(lambda: any(line.get("error") == "ProgrammingError" for line in logs))
    wait_until(lambda: sealed(hospital) == 1)
    stop.set()
    process.join()


def test_whoever_does_not_end_is_not_waited_for_longer_than_all_together_may_take() -> None:
    go_on = threading.Event()
    hanging = [threading.Thread(target=go_on.wait, daemon=True) for _ in range(3)]
    for thread in hanging:
        thread.start()
    delivery.drain(hanging, seconds=0.1)
    assert all(thread.is_alive() for thread in hanging)
    go_on.set()
    delivery.drain(hanging)
    assert not any(thread.is_alive() for thread in hanging)


@contextmanager
def rename(hospital: Hospital, table: str, to: str) -> Iterator[None]:
    """For a while the table has another name."""
    with hospital.database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {to}"))
    yield
    with hospital.database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {to} RENAME TO {table}"))


def sealed(hospital: Hospital) -> int:
    with hospital.database.begin() as connection:
        return proof.verify(connection).sealed


def port_of(outbox: Outbox) -> int:
    with outbox.hospital.database.begin() as connection:
        port: int = connection.execute(select(tables.peers.c.port)).scalar_one()
    return port


def test_whoever_delivers_is_woken_when_something_is_planned(database: Database) -> None:
    wakeup, stop = Wakeup(database), threading.Event()
    listening = threading.Thread(target=wakeup.listen_until, args=(stop,))
    listening.start()
    woken = threading.Event()

    def wait() -> None:
        wakeup.wait(3600)
        woken.set()

    threading.Thread(target=wait, daemon=True).start()
    wait_until(lambda: _call(database) or woken.is_set())
    stop.set()
    listening.join(10)
    assert not listening.is_alive()


def _call(database: Database) -> None:
    with database.begin() as connection:
        deliveries.wake(connection)

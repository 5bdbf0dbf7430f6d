"""Waking up when something is to be delivered, instead of looking again and again."""

from __future__ import annotations

import threading
from typing import Final

import psycopg

from pipeline.database import Database
from pipeline.records.deliveries import CHANNEL

LISTEN_SECONDS: Final = 1.0
"""So often it is looked whether to stop."""
RECONNECT_SECONDS: Final = 2.0


class Wakeup:
    """Waits for PostgreSQL's NOTIFY, on a connection and a thread of its own; the pauses end early when one comes.

    Nothing depends on it: who does not hear one looks after the pause.
    """

    def __init__(self, database: Database) -> None:
        self._url = database.libpq_url
        self._called = threading.Event()

    def wait(self, seconds: float) -> None:
        """A pause, or less where somebody called since the last one."""
        self._called.wait(seconds)
        self._called.clear()

    def listen_until(self, stop: threading.Event) -> None:
        """Listen; connect again where PostgreSQL went away."""
        while not stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}".encode())
                    self._listen(connection, stop)
            except psycopg.OperationalError:
                stop.wait(RECONNECT_SECONDS)

    def _listen(self, connection: psycopg.Connection, stop: threading.Event) -> None:
        while not stop.is_set():
            for _ in connection.notifies(timeout=LISTEN_SECONDS, stop_after=1):
                self._called.set()

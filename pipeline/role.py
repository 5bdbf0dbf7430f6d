"""What every process of the node does first: arguments, logs, settings, signals."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import structlog

from pipeline.errors import BonecraftError, ConfigurationError
from pipeline.logs import configure_logs
from pipeline.settings import NodeSettings, load_settings

log = structlog.get_logger(__name__)

EXIT_WRONG_SETTINGS = 2
EXIT_TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h."""


def run_role(role: str, body: Callable[[NodeSettings, threading.Event], None]) -> None:
    """Run `body(settings, stop)` as the process of a role; `stop` is set by SIGTERM or SIGINT.

    Exits 0 when `body` returns, 2 for wrong settings, 75 when something around us failed (start it again).
    """
    parser = argparse.ArgumentParser(description=f"Bonecraft's {role}.")
    parser.add_argument("--config", type=Path, help="node.toml; BONECRAFT_… in the environment wins over it")
    given = parser.parse_args()
    configure_logs(role)
    try:
        body(load_settings(given.config), _stop_on_signal())
    except BonecraftError as error:
        log.error("ended", reason=str(error))  # noqa: TRY400 - the sentence names cause and fix
        sys.exit(EXIT_WRONG_SETTINGS if isinstance(error, ConfigurationError) else EXIT_TRY_AGAIN)


def _stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set.

    Not by the handler itself: it runs in the main thread, which may be inside `Event.wait` and hold the lock that
    `Event.set` needs. `SimpleQueue.put` is made for that place.
    """
    stop = threading.Event()
    signals: SimpleQueue[int] = SimpleQueue()

    def relay() -> None:
        signals.get()
        stop.set()

    threading.Thread(target=relay, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _frame: signals.put(received))
    return stop

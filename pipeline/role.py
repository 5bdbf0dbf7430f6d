"""What every process of the node does first: arguments, logs, settings, signals."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

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

    Not through a Python handler: that runs in the main thread, at the latest when `Event.wait` there ends, and a signal
    that comes just before the wait begins would be heard only at its end. The interpreter writes the signal's number
    to the wake-up descriptor at once, whatever the main thread does, and a thread of its own reads it.
    """
    stop = threading.Event()
    heard, told = socket.socketpair()
    told.setblocking(False)

    def relay() -> None:
        with heard, told:
            while heard.recv(16):
                stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=relay, name="signals", daemon=True).start()
    return stop

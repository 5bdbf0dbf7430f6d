"""Runs the node's processes: starts them, starts the fallen again, stops them all on SIGTERM.

A child that dies never takes another down. It is started again at once the first time, then after longer and longer
waits while it keeps dying; once it has lived for `STEADY_SECONDS` its past is forgiven. One that ends because what it
stands on is away (the database) is not to blame: it is tried every `TRY_AGAIN_SECONDS`, to be back when that is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, Final

import structlog

from pipeline.role import EXIT_TRY_AGAIN

FIRST_DELAY_SECONDS: Final = 0.25
LONGEST_DELAY_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 10.0
"""Starting takes two seconds: who has lived for ten has done work, and who depends on it waits."""
TRY_AGAIN_SECONDS: Final = 2.0
DRAIN_SECONDS: Final = 45.0
POLL_SECONDS: Final = 0.05
PR_SET_PDEATHSIG: Final = 1
"""prctl(2)"""

log = structlog.get_logger(__name__)


def restart_delay(falls: int) -> float:
    """Seconds to wait before starting a child again that fell `falls` times in a row."""
    return 0.0 if falls <= 1 else min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(falls - 2, 16))


def after_fall(status: int, *, lived: float, falls: int) -> tuple[int, float]:
    """What follows from the end of a child.

    Args:
        status: Its exit status.
        lived: Seconds.
        falls: How often it had fallen in a row before.

    Returns:
        How often it has fallen in a row now, and the seconds until it is started again.
    """
    was_steady = lived > STEADY_SECONDS
    if status == EXIT_TRY_AGAIN:
        return 0 if was_steady else falls, 0.0 if was_steady else TRY_AGAIN_SECONDS
    falls = 1 if was_steady else falls + 1
    return falls, restart_delay(falls)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run.

    Attributes:
        name: For the log: `listener`, `worker-2`.
        command: Argument vector.
        environment: The whole environment of the process.
        output: Where its stdout and stderr go; None: to ours.
        stop_last: Whether it is stopped only when all others have ended (the database).
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    output: IO[bytes] | None = None
    stop_last: bool = False


class Child:
    """One supervised process through all its lives."""

    def __init__(self, program: Program) -> None:
        """Prepare it; `tend` starts it."""
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._falls = 0
        self._started = 0.0
        self._start_at = 0.0

    @property
    def pid(self) -> int | None:
        """Its process, None while it is down."""
        return None if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def tend(self, now: float) -> None:
        """Notice its death, and start it when its time has come.

        Args:
            now: Monotonic seconds.
        """
        if self.is_running:
            return
        if self._process is not None:
            self._note_fall(self._process.returncode, now)
        if now >= self._start_at:
            self._start(now)

    def ask_to_stop(self) -> None:
        """SIGTERM: finish what is in hand and end."""
        if self._process is not None and self.is_running:
            self._process.terminate()

    def kill(self) -> None:
        """SIGKILL, for one that does not end, and wait for it."""
        if self._process is not None and self.is_running:
            log.error("killed", program=self.program.name, pid=self._process.pid)
            self._process.kill()
            self._process.wait()

    def _start(self, now: float) -> None:
        output = self.program.output
        self._process = subprocess.Popen(  # noqa: S603 - commands of our own
            list(self.program.command),
            env=dict(self.program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal is for the supervisor alone
            preexec_fn=_end_with_parent,
        )
        self._started = now
        log.info("started", program=self.program.name, pid=self._process.pid)

    def _note_fall(self, status: int, now: float) -> None:
        self._falls, delay = after_fall(status, lived=now - self._started, falls=self._falls)
        self._start_at, self._process = now + delay, None
        log.error("fell", program=self.program.name, exit_status=status, falls=self._falls, restart_in_seconds=delay)


class Supervisor:
    """All children of one node."""

    def __init__(self) -> None:
        """Start with none, and listen for SIGTERM and SIGINT."""
        self._children: list[Child] = []
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_signal)

    @property
    def is_stopping(self) -> bool:
        """Whether SIGTERM or SIGINT has come."""
        return self._stopping

    def add(self, program: Program) -> None:
        """Start one more child."""
        child = Child(program)
        self._children.append(child)
        child.tend(time.monotonic())

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> bool:
        """Tend the children until `ready()`; False when that takes too long or a signal comes."""
        give_up = time.monotonic() + seconds
        while not ready():
            if self._stopping or time.monotonic() > give_up:
                return False
            self._tend()
        return True

    def run(self) -> None:
        """Tend the children until SIGTERM or SIGINT."""
        while not self._stopping:
            self._tend()

    def drain(self) -> None:
        """Stop everybody, the database last; who does not end in `DRAIN_SECONDS` is killed."""
        log.info("draining")
        for is_last in (False, True):
            _stop([child for child in self._children if child.program.stop_last is is_last])
        log.info("drained")

    def _tend(self) -> None:
        now = time.monotonic()
        for child in self._children:
            child.tend(now)
        time.sleep(POLL_SECONDS)

    def _note_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _stop(children: Sequence[Child]) -> None:
    for child in children:
        child.ask_to_stop()
    give_up = time.monotonic() + DRAIN_SECONDS
    while any(child.is_running for child in children) and time.monotonic() < give_up:
        time.sleep(POLL_SECONDS)
    for child in children:
        child.kill()


def _end_with_parent() -> None:
    """Have Linux send SIGTERM to this child if the supervisor is killed: no orphan keeps a port or the database."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

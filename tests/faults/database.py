"""The database is away for a minute: it does not run, or it does not answer."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.modalities import Mix
from tests.faults.row import Row, Say
from tests.faults.stage import Stage, seconds_to_next_acknowledgement, staged
from tests.node_process import RunningNode
from tests.processes import children_of

AWAY_SECONDS = 60
LEAD_SECONDS = 15
LOAD = Mix(seconds_between_films=20)
Way = Callable[[RunningNode], AbstractContextManager[None]]


def lose_the_database(*, seed: int, say: Say) -> list[Row]:
    """A minute without, twice; a row for each way."""
    with staged(seed=seed) as stage:
        return [
            _lose(stage, say, f"PostgreSQL is down for {AWAY_SECONDS} s", _down),
            _lose(stage, say, f"PostgreSQL hangs for {AWAY_SECONDS} s", _hung),
        ]


def _lose(stage: Stage, say: Say, fault: str, way: Way) -> Row:
    say(fault)
    with stage.senders(mix=LOAD) as senders:
        time.sleep(LEAD_SECONDS)
        with way(stage.node):
            time.sleep(AWAY_SECONDS)
        recovery = seconds_to_next_acknowledgement(senders)
    stage.settle()
    account = stage.reckon(senders)
    return Row(fault=fault, faults=1, account=account, recovery=f"{recovery:.1f} s")


@contextmanager
def _down(node: RunningNode) -> Iterator[None]:
    """Killed, and the one who would start it again is stopped meanwhile."""
    keeper = node.pid_of("postgres")
    os.kill(keeper, signal.SIGSTOP)
    node.kill_postgres()
    yield
    os.kill(keeper, signal.SIGCONT)


@contextmanager
def _hung(node: RunningNode) -> Iterator[None]:
    """Every process of it is stopped: connections are taken by the kernel and nobody answers."""
    postmaster = node.postmaster()
    stopped = [postmaster, *children_of(postmaster)]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in reversed(stopped):
        os.kill(pid, signal.SIGCONT)

"""kill -9 at random points, under load: listener, worker, delivery, PostgreSQL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from random import Random
from statistics import median

from tests.faults.line import line_to
from tests.faults.modalities import Called, Mix
from tests.faults.reckoning import Account, Head, head_of, not_led_through
from tests.faults.row import Row, Say
from tests.faults.stage import AWAY, Stage, seconds_until, staged
from tests.node_process import RunningNode
from tests.processes import children_of, command_of, connections

FROM_MODALITIES = 300_000.0
TO_PACS = 2_000_000.0
"""Bytes per second and connection: slow lines, so that there is much time to be hit in."""
STEERED = 0.85
"""The share of kills that wait for something to hit; the others come whenever."""
AIM_SECONDS = 3.0
PATIENCE_SECONDS = 30.0
"""So long a kill waits for its victim to be in the middle of something, and then for any other."""
LONGEST_GAP_SECONDS = 0.8
KILLS_BETWEEN_RESULTS = 20
"""Then the worker is left alone until it has made something, which the delivery can be hit with."""
WHENEVER_SECONDS = 0.3
BACKEND_SHARE = 0.3
"""Of the kills of PostgreSQL: one of its backends, which makes it drop all connections and recover."""
POSTGRES = "PostgreSQL"
ROLES = ("listener", "worker", "delivery")
LOAD = Mix(seconds_between_films=30, seconds_between_pictures=12, pause=0.8)


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One of them.

    Attributes:
        program: What was killed.
        at: When.
        hit: What it was in the middle of; empty: of nothing.
    """

    program: str
    at: datetime
    hit: str


@dataclass(frozen=True, kw_only=True)
class Victim:
    """A program that is killed.

    Attributes:
        name: What it is called.
        weight: How often it is chosen.
        busy_with: What it is in the middle of; empty: of nothing.
        process: Which of its processes is killed.
    """

    name: str
    weight: float
    busy_with: Callable[[Stage], str]
    process: Callable[[RunningNode, Random], int]


def _receiving(stage: Stage) -> str:
    return "an open association" if connections(at=stage.node.dicom_port) else ""


def _working(stage: Stage) -> str:
    """The worker's one child does the job."""
    try:
        return "a running job" if children_of(stage.node.pid_of("worker")) else ""
    except ProcessLookupError:
        return ""


def _delivering(stage: Stage) -> str:
    return "an open association" if connections(to=stage.line.port) else ""


def _receiving_or_working(stage: Stage) -> str:
    return _receiving(stage) or _working(stage)


def _part_of_postgres(node: RunningNode, chance: Random) -> int:
    postmaster = node.postmaster()
    if chance.random() < BACKEND_SHARE:
        backends = [pid for pid in children_of(postmaster) if "bonecraft" in " ".join(command_of(pid))]
        return chance.choice(backends or [postmaster])
    return postmaster


VICTIMS = (
    Victim(name="worker", weight=3, busy_with=_working, process=lambda node, _chance: node.pid_of("worker")),
    Victim(name="delivery", weight=2, busy_with=_delivering, process=lambda node, _chance: node.pid_of("delivery")),
    Victim(name="listener", weight=3, busy_with=_receiving, process=lambda node, _chance: node.pid_of("listener")),
    Victim(name=POSTGRES, weight=2, busy_with=_receiving_or_working, process=_part_of_postgres),
)
"""Those that are busy seldom come first."""


@dataclass(frozen=True, kw_only=True)
class Rampage:
    """All that was killed.

    Attributes:
        kills: One after the other.
        heads: The ends of the ledger's chain that were seen between them.
        seconds_without_database: After each kill of PostgreSQL.
    """

    kills: Sequence[Kill]
    heads: Sequence[Head]
    seconds_without_database: Sequence[float]


def kill_at_random(count: int, *, seed: int, say: Say) -> list[Row]:
    """So many kills, one after the other without waiting for the last one's recovery; a row for each program."""
    with staged(seed=seed, bytes_per_second=TO_PACS) as stage:
        with (
            line_to(stage.node.dicom_port, bytes_per_second=FROM_MODALITIES) as line,
            stage.senders(mix=LOAD, called=Called(port=line.port)) as senders,
        ):
            rampage = _rampage(stage, count, Random(seed), say)
        say("all killed; waiting until everything is reconstructed and sent")
        settled = stage.settle()
        account = stage.reckon(senders)
        account = replace(account, lost=(*account.lost, *not_led_through(stage.node, rampage.heads)))
        seconds = {name: _seconds_until_ready(stage.node, rampage.kills, name) for name in ROLES}
    seconds[POSTGRES] = list(rampage.seconds_without_database)
    rows = [_row_of(name, rampage.kills, seconds[name]) for name in seconds]
    return [*rows, _row_of_all(rampage.kills, account, settled)]


def _rampage(stage: Stage, count: int, chance: Random, say: Say) -> Rampage:
    kills: list[Kill] = []
    heads: list[Head] = []
    with ThreadPoolExecutor() as watchers:
        watched: list[Future[float]] = []
        for kill in islice(_strikes(stage, chance), count):
            kills.append(kill)
            say(f"kill {len(kills)} of {count}: {kill.program}, in the middle of {kill.hit or 'nothing'}")
            if kill.program == POSTGRES:
                watched.append(watchers.submit(_seconds_without_database, stage.node))
            with suppress(*AWAY):
                heads.append(head_of(stage.node))
            if len(kills) % KILLS_BETWEEN_RESULTS == 0:
                stage.wait_for_result()
    return Rampage(kills=kills, heads=heads, seconds_without_database=[one.result() for one in watched])


def _row_of(program: str, kills: Sequence[Kill], seconds: Sequence[float]) -> Row:
    of_it = [kill for kill in kills if kill.program == program]
    recovery = f"median {median(seconds):.1f} s, longest {max(seconds):.1f} s" if seconds else "—"
    return Row(fault=f"kill -9 of {program}", faults=len(of_it), share_hit=_share_hit(of_it), recovery=recovery)


def _row_of_all(kills: Sequence[Kill], account: Account, settled: float) -> Row:
    return Row(
        fault="all kills together",
        faults=len(kills),
        share_hit=_share_hit(kills),
        account=account,
        recovery=f"all reconstructed and sent {settled:.0f} s after the last kill",
    )


def _share_hit(kills: Sequence[Kill]) -> float | None:
    """The share that was in the middle of something."""
    return sum(bool(kill.hit) for kill in kills) / len(kills) if kills else None


def _strikes(stage: Stage, chance: Random) -> Iterator[Kill]:
    """Kill after kill. What is hit is looked at while the victim is stopped, so that it cannot end meanwhile."""
    while True:
        time.sleep(chance.uniform(0, LONGEST_GAP_SECONDS))
        victim = chance.choices(VICTIMS, weights=[victim.weight for victim in VICTIMS])[0]
        if chance.random() < STEERED:
            victim = _busy(stage, [victim], AIM_SECONDS) or _busy(stage, VICTIMS, PATIENCE_SECONDS) or victim
        time.sleep(chance.uniform(0, WHENEVER_SECONDS))
        try:
            pid = victim.process(stage.node, chance)
            os.kill(pid, signal.SIGSTOP)
            hit = victim.busy_with(stage)
            os.kill(pid, signal.SIGKILL)
        except OSError:  # it is down at the moment
            continue
        yield Kill(program=victim.name, at=datetime.now(UTC), hit=hit)


def _busy(stage: Stage, victims: Sequence[Victim], seconds: float) -> Victim | None:
    """One of these that is in the middle of something, as soon as there is one."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        for victim in victims:
            if victim.busy_with(stage):
                return victim
        time.sleep(0.02)
    return None


def _seconds_until_ready(node: RunningNode, kills: Sequence[Kill], role: str) -> list[float]:
    """For each kill of a program the seconds until it said that it is ready again."""
    ready = [
        datetime.fromisoformat(str(event["timestamp"]))
        for event in node.events()
        if event.get("event") == "ready" and event.get("role") == role
    ]
    return [
        (next(moment for moment in ready if moment > kill.at) - kill.at).total_seconds()
        for kill in kills
        if kill.program == role
    ]


def _seconds_without_database(node: RunningNode) -> float:
    def answers() -> bool:
        try:
            return bool(node.query("SELECT 1"))
        except AWAY:
            return False

    return seconds_until(answers)

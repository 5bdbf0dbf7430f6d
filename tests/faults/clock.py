"""The node's clock is set, by an hour and more: through `clock.c`, as the machine's own is everybody's."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from tests.faults.modalities import Mix, Senders
from tests.faults.row import Row, Say
from tests.faults.stage import Stage, seconds_to_next_acknowledgement, staged

SOURCE = Path(__file__).with_name("clock.c")
STEPS = {"an hour ahead": 3600, "two hours back": -3600, "to the right time": 0}
"""What each step does, and how many seconds the node's clock is ahead then."""
BETWEEN_SECONDS = 25
LOAD = Mix(seconds_between_films=15)
FAULT = "clock set an hour ahead, two hours back, and right"


def step_the_clock(*, seed: int, say: Say) -> list[Row]:
    """One row for all steps."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return [Row(fault=FAULT, skipped="gcc is not installed (Debian package g++ brings it)")]
    with tempfile.TemporaryDirectory(prefix="bonecraft-clock-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's own user reads it, too
        library, ahead = folder / "clock.so", folder / "ahead"
        subprocess.run([compiler, "-O2", "-Wall", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        ahead.write_bytes(bytes(8))
        environment = {"LD_PRELOAD": str(library), "CLOCK_AHEAD_FILE": str(ahead)}
        with staged(seed=seed, environment=environment) as stage:
            return [_step(stage, ahead, say)]


def _step(stage: Stage, ahead: Path, say: Say) -> Row:
    with stage.senders(mix=LOAD) as senders:
        time.sleep(BETWEEN_SECONDS)
        recoveries = [_set_and_wait(ahead, seconds, senders, say, words) for words, seconds in STEPS.items()]
    settled = stage.settle()
    return Row(
        fault=FAULT,
        faults=len(STEPS),
        account=stage.reckon(senders),
        recovery=f"at most {max(recoveries):.1f} s until the next image was taken, {settled:.0f} s for every result",
    )


def _set_and_wait(ahead: Path, seconds: int, senders: Senders, say: Say, words: str) -> float:
    say(f"the clock is set {words}")
    _set(ahead, seconds)
    recovery = seconds_to_next_acknowledgement(senders)
    time.sleep(BETWEEN_SECONDS)
    return recovery


def _set(ahead: Path, seconds: int) -> None:
    """In place: processes hold the file mapped."""
    with ahead.open("r+b") as file:
        file.write(struct.pack("q", seconds))

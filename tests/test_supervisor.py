"""Supervised processes: the fallen get up again, nobody takes another down, SIGTERM stops all in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.role import EXIT_TRY_AGAIN
from pipeline.supervisor import LONGEST_DELAY_SECONDS, STEADY_SECONDS, TRY_AGAIN_SECONDS, after_fall, restart_delay

SUPERVISOR = """
import os, sys
from pathlib import Path
from pipeline.supervisor import Program, Supervisor

folder = Path(sys.argv[1])
supervisor = Supervisor()
for name in ("database", "listener", "worker"):
    command = [sys.executable, "-c", (folder / "child.py").read_text(), name, str(folder)]
    supervisor.add(Program(name=name, command=command, environment=os.environ, stop_last=name == "database"))
supervisor.run()
supervisor.drain()
"""

CHILD = """
import os, signal, sys, time
from pathlib import Path

name, folder = sys.argv[1], Path(sys.argv[2])

def stop(number, frame):
    time.sleep(0.3 if name != "database" else 0.0)
    with (folder / "ended").open("a") as ended:
        ended.write(name + "\\n")
    sys.exit(0)

signal.signal(signal.SIGTERM, stop)
new = folder / f"{name}.new"
new.write_text(str(os.getpid()))
new.rename(folder / name)
while True:
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "child.py").write_text(CHILD)
    return tmp_path


@pytest.fixture
def supervisor(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(folder)]) as process:
        wait_until(lambda: all((folder / name).exists() for name in ("database", "listener", "worker")))
        yield process
        process.kill()


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.02)


def pid_of(folder: Path, name: str) -> int:
    return int((folder / name).read_text())


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended but was not waited for (a zombie) does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize(("falls", "seconds"), [(0, 0.0), (1, 0.0), (2, 0.25), (3, 0.5), (5, 2.0), (100, 30.0)])
def test_who_keeps_falling_waits_longer(falls: int, seconds: float) -> None:
    assert restart_delay(falls) == seconds <= LONGEST_DELAY_SECONDS


def test_who_has_worked_for_a_while_is_forgiven() -> None:
    assert after_fall(-signal.SIGKILL, lived=STEADY_SECONDS + 1, falls=7) == (1, 0.0)
    assert after_fall(-signal.SIGKILL, lived=1, falls=7) == (8, restart_delay(8))


def test_who_waits_for_the_database_is_tried_often_and_not_blamed() -> None:
    assert after_fall(EXIT_TRY_AGAIN, lived=1, falls=7) == (7, TRY_AGAIN_SECONDS)
    assert after_fall(EXIT_TRY_AGAIN, lived=STEADY_SECONDS + 1, falls=7) == (0, 0.0)


def test_a_killed_child_is_started_again_and_the_others_go_on(
    folder: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    before = {name: pid_of(folder, name) for name in ("database", "listener", "worker")}
    for _ in range(2):
        killed = pid_of(folder, "worker")
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda killed=killed: pid_of(folder, "worker") != killed)
    assert pid_of(folder, "listener") == before["listener"]
    assert pid_of(folder, "database") == before["database"]
    assert is_alive(before["listener"])
    assert is_alive(before["database"])


def test_sigterm_lets_all_finish_and_the_database_last(folder: Path, supervisor: subprocess.Popen[bytes]) -> None:
    supervisor.terminate()
    assert supervisor.wait(20) == 0
    ended = (folder / "ended").read_text().split()
    assert sorted(ended[:2]) == ["listener", "worker"]
    assert ended[2:] == ["database"]


def test_no_child_outlives_a_killed_supervisor(folder: Path, supervisor: subprocess.Popen[bytes]) -> None:
    pids = [pid_of(folder, name) for name in ("database", "listener", "worker")]
    supervisor.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))

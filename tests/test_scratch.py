"""Working folders: gone when the work is done, swept when whoever worked there was killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.scratch import FORGOTTEN_SECONDS, JUST_MADE_SECONDS, scratch_folder, sweep, working_folder
from pipeline.settings import NodeSettings
from pipeline.store import StoreUnavailable
from scp_node.delivery import run

WORKS_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from pipeline.scratch import working_folder
with working_folder(Path(sys.argv[1]), prefix="killed-") as folder:
    (folder / "patient.dcm").write_bytes(b"somebody's")
    print(folder, flush=True)
    time.sleep(60)
"""


def in_a_while(seconds: float = JUST_MADE_SECONDS + 1) -> float:
    return time.time() + seconds


def left_behind(scratch: Path) -> Path:
    """A folder whose process was killed with kill -9."""
    command = [sys.executable, "-c", WORKS_UNTIL_KILLED, scratch]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        folder = Path(process.stdout.readline().strip())
        assert sweep(scratch, now=in_a_while()) == 0, "it is in use"
        process.send_signal(signal.SIGKILL)
    assert (folder / "patient.dcm").exists()
    return folder


def test_a_folder_is_gone_when_the_work_is_done(tmp_path: Path) -> None:
    with working_folder(tmp_path / "scratch", prefix="work-") as folder:
        (folder / "file").write_bytes(b"bytes")
        assert folder.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_is_in_use_is_not(tmp_path: Path) -> None:
    folder = left_behind(tmp_path)
    with working_folder(tmp_path, prefix="work-") as in_use:
        assert sweep(tmp_path) == 0, "just made"
        assert sweep(tmp_path, now=in_a_while()) == 1
        assert in_use.exists()
    assert not folder.exists()


def test_where_nobody_could_lock_age_tells(tmp_path: Path) -> None:
    (tmp_path / "unlocked").mkdir()
    assert sweep(tmp_path, now=in_a_while()) == 0
    assert sweep(tmp_path, now=in_a_while(FORGOTTEN_SECONDS + 1)) == 1


def test_a_folder_that_cannot_be_made_is_a_passing_trouble(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("no folder")
    with (
        pytest.raises(StoreUnavailable, match="look at the data folder"),
        working_folder(tmp_path / "scratch", prefix=""),
    ):
        pass


def test_the_delivery_sweeps_when_it_starts(tmp_path: Path, database_url: str) -> None:
    settings = NodeSettings(data_folder=tmp_path, database_url=database_url)
    folder = scratch_folder(settings) / "delivery-of-an-earlier-life"
    folder.mkdir(parents=True)
    (folder / "0.dcm").write_bytes(b"somebody's")
    long_ago = time.time() - 2 * FORGOTTEN_SECONDS
    os.utime(folder, (long_ago, long_ago))
    stop = threading.Event()
    stop.set()
    run(settings, stop)
    assert not folder.exists()

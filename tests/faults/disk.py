"""A full disk: the data folder lies on a small tmpfs that something else fills."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.modalities import Mix, Senders
from tests.faults.row import Row, Say
from tests.faults.stage import Stage, seconds_to_next_acknowledgement, staged

DISK_MEGABYTES = 700
WATERMARK_MEGABYTES = 60
FULL_SECONDS = 30
LEAD_SECONDS = 15
MEGABYTE = 1_000_000
CHUNK = bytes(MEGABYTE)
OUT_OF_RESOURCES = "Refused: OutOfResources"
LOAD = Mix(seconds_between_films=20)
BELOW = "disk below its watermark"
FULL = "disk full to its last byte (ENOSPC)"


def fill_the_disk(*, seed: int, say: Say) -> list[Row]:
    """First below `minimum_free_megabytes`, then to the last byte; a row for each."""
    with tempfile.TemporaryDirectory(prefix="bonecraft-disk-") as name:
        disk = Path(name)
        if problem := _mount(disk):
            return [Row(fault=fault, skipped=problem) for fault in (BELOW, FULL)]
        try:
            with staged(seed=seed, data=disk / "data", minimum_free_megabytes=WATERMARK_MEGABYTES) as stage:
                half = WATERMARK_MEGABYTES * MEGABYTE // 2
                return [_fill(stage, disk, say, BELOW, leave=half), _fill(stage, disk, say, FULL, leave=0)]
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)


def _mount(disk: Path) -> str:
    """Mount a small tmpfs; why that cannot be done, empty where it could."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=755", "tmpfs", disk]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"a small tmpfs cannot be mounted ({done.stderr.strip()})" if done.returncode != 0 else ""


def _fill(stage: Stage, disk: Path, say: Say, fault: str, *, leave: int) -> Row:
    say(fault)
    with stage.senders(mix=LOAD) as senders:
        time.sleep(LEAD_SECONDS)
        with _filled(disk, leave=leave):
            time.sleep(FULL_SECONDS)
        recovery = seconds_to_next_acknowledgement(senders)
    refused = _refused(senders)
    stage.settle()
    return Row(
        fault=fault,
        faults=1,
        account=stage.reckon(senders),
        recovery=f"{recovery:.1f} s",
        met=refused,
        remark=f"0xA700 was answered {refused} times",
    )


@contextmanager
def _filled(disk: Path, *, leave: int) -> Iterator[None]:
    """The disk with so many bytes left, as if somebody else had filled it; then they have room again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while _free(disk) > leave:
            file.write(CHUNK[: min(MEGABYTE, _free(disk) - leave)])
    yield
    filler.unlink()


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def _refused(senders: Senders) -> int:
    return sum(modality.log.said.read_text(errors="replace").count(OUT_OF_RESOURCES) for modality in senders.modalities)

"""`make bench-soak`: a day's small instances, one after another as fast as four senders can: latency, memory, losses.

A latency is the time from the C-STORE request to its response as the sender sees it: file synced and row committed.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from rich.progress import Progress
from sqlalchemy import select

from pipeline.records import tables
from tests.benchmarks.results import publish
from tests.factories import make_dx
from tests.listener_process import NODE_AE_TITLE, ListenerProcess, listener_process

SENDER = "BENCH"
SENDERS = 4
IMAGES_IN_A_STUDY = 4
IMAGES_IN_AN_ASSOCIATION = 50
LOOKS = (0.1, 0.5, 1.0)
"""Shares of all instances after which memory is looked at."""
ROWS, COLUMNS = 64, 48
MEGABYTES_MORE = 20
"""So much more memory than halfway may be held at the end, or it is not flat."""


def main() -> None:
    """Send everything, count what is there, and show or keep the figures."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bonecraft-soak-", dir=options.folder))
    try:
        with listener_process(folder, sender=SENDER) as listener, Progress(transient=True) as progress:
            task = progress.add_task("instances", total=options.instances)
            soak = Soak(listener, options.instances, on_progress=lambda: progress.advance(task))
            began = time.perf_counter()
            latencies = np.asarray(soak.run()) * 1000
            seconds = time.perf_counter() - began
            rows, blobs = listener.instances, blobs_of(listener)
    finally:
        shutil.rmtree(folder)
    lost = len(latencies) - min(rows, blobs)
    publish(
        "soak",
        columns=["figure", "value"],
        rows=[
            ["instances acknowledged", f"{len(latencies)}"],
            ["rows, files with their digest", f"{rows}, {blobs}"],
            ["instances a second", f"{len(latencies) / seconds:.0f}"],
            *([f"C-STORE latency, {name}", f"{value:.0f} ms"] for name, value in _percentiles(latencies)),
            *([f"resident memory after {share:.0%}", f"{soak.megabytes[share]:.0f} MB"] for share in LOOKS),
        ],
        remarks=[
            f"{SENDERS} senders at a time, {ROWS} × {COLUMNS} pixels, {IMAGES_IN_A_STUDY} instances in a study, "
            f"{IMAGES_IN_AN_ASSOCIATION} in an association; {seconds:.0f} s.",
            "Senders, listener and database share the machine.",
        ],
        write=options.write and not lost,
    )
    if lost or len(latencies) != options.instances:
        raise SystemExit(f"{options.instances} sent, {len(latencies)} acknowledged, {rows} rows, {blobs} files")
    if soak.megabytes[1.0] > soak.megabytes[0.5] + MEGABYTES_MORE:
        raise SystemExit(f"memory is not flat: {soak.megabytes}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=20_000, help="how many (default: 20000)")
    parser.add_argument("--folder", type=Path, default=None, help="on whose disk (default: the temporary folder)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    return parser.parse_args()


def _percentiles(latencies: np.ndarray) -> list[tuple[str, float]]:
    names = (("median", 50), ("95 %", 95), ("99 %", 99), ("longest", 100))
    return [(name, float(np.percentile(latencies, percent))) for name, percent in names]


class Soak:
    """Several senders that share the instances out among themselves."""

    def __init__(self, listener: ListenerProcess, instances: int, *, on_progress: Callable[[], None]) -> None:
        self._listener, self._instances, self._on_progress = listener, instances, on_progress
        self._numbers, self._acknowledged, self._lock = count(), count(1), threading.Lock()
        self.megabytes: dict[float, float] = {}

    def run(self) -> list[float]:
        """Seconds that each acknowledged instance took."""
        with ThreadPoolExecutor(SENDERS) as pool:
            sending = [pool.submit(self._send, sender) for sender in range(SENDERS)]
            return [seconds for each in sending for seconds in each.result()]

    def _send(self, sender: int) -> list[float]:
        taken: list[float] = []
        dataset = make_dx(study=f"soak {sender}", rows=ROWS, columns=COLUMNS)
        ae = AE(SENDER)
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        while more := self._share():
            association = ae.associate("127.0.0.1", self._listener.port, ae_title=NODE_AE_TITLE)
            for number in range(more):
                _renew(dataset, is_new_study=number % IMAGES_IN_A_STUDY == 0)
                began = time.perf_counter()
                status = association.send_c_store(dataset)
                if status.Status != 0:
                    raise RuntimeError(f"answered 0x{status.Status:04X}")
                taken.append(time.perf_counter() - began)
                self._note()
            association.release()
        return taken

    def _share(self) -> int:
        """How many for the next association."""
        with self._lock:
            begun = next(self._numbers) * IMAGES_IN_AN_ASSOCIATION
        return max(min(IMAGES_IN_AN_ASSOCIATION, self._instances - begun), 0)

    def _note(self) -> None:
        with self._lock:
            acknowledged = next(self._acknowledged)
        for share in LOOKS:
            if acknowledged == round(share * self._instances):
                self.megabytes[share] = self._listener.resident_megabytes
        self._on_progress()


def _renew(dataset: Dataset, *, is_new_study: bool) -> None:
    """Another instance; of another study, now and then."""
    if is_new_study:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()


def blobs_of(listener: ListenerProcess) -> int:
    """How many of the rows' files are there with the very bytes that the rows say: all are read again."""
    table = tables.instances
    with listener.database.begin() as connection:
        rows = connection.execute(select(table.c.institution_id, table.c.digest)).all()
    return sum(listener.store.holds(row.institution_id, row.digest) for row in rows)


if __name__ == "__main__":
    main()

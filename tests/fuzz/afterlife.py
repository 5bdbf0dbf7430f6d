"""What the listener acknowledged must be fit for all that comes later: header, pixels, the worker.

Run as a program, it reads the pixels of the files that standard input names, and says what became of them: decoders are
not ours, and one that crashes must not take a test with it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, func, select

from pipeline import jobs
from pipeline.child_process import ChildProcess
from pipeline.clock import utc_now
from pipeline.dicom_header import read_instance_header
from pipeline.dicom_read import read_radiograph
from pipeline.errors import InputError, Refusal
from pipeline.reconstruction_job import ReconstructionJob
from pipeline.records import studies, tables
from pipeline.worker import STUDY_CHILD
from tests.listener_process import ListenerProcess

DIED = "that ended their decoder's process"
"""GDCM ends the process over some damaged JPEG; the worker reconstructs in a process apart for such reasons."""
CHILD_SECONDS = 120
LONGEST_WAIT = timedelta(days=365)
ATTEMPTS = 2


def read_back(listener: ListenerProcess) -> Counter[str]:
    """What becomes of every radiograph that was acknowledged when its pixels are read.

    Raises:
        RuntimeError: Reading one of them ended in an error that is not one of ours.
    """
    with listener.database.begin() as connection:
        query = select(tables.instances.c.blob_key).where(tables.instances.c.role == "radiograph")
        keys = connection.execute(query).scalars().all()
    paths = [str(listener.data_folder / "blobs" / key) for key in keys]
    found = Counter[str]()
    while paths:  # a decoder that ends its process ends it at the next file
        outcomes = _outcomes(paths)
        found.update(outcomes)
        paths = paths[len(outcomes) :]
    return found


def _outcomes(paths: Sequence[str]) -> list[str]:
    """Of the first files, up to one whose decoder ended the process, if there is such a file."""
    command = [sys.executable, "-m", "tests.fuzz.afterlife"]
    done = subprocess.run(command, input="\n".join(paths), capture_output=True, text=True, check=False)
    outcomes = done.stdout.splitlines()
    if done.returncode > 0:
        raise RuntimeError(f"{paths[len(outcomes)]} could not be read:\n{done.stderr}")
    return outcomes if len(outcomes) == len(paths) else [*outcomes, DIED]


def work_off(listener: ListenerProcess, *, at_most: int) -> Counter[str]:
    """The states in which the worker leaves so many of the studies, each with its reason."""
    with listener.database.begin() as connection:
        chosen = _waiting(connection, at_most)
        queued = [_settle(connection, study) for study in chosen]
    child = ChildProcess(command=STUDY_CHILD, timeout_seconds=CHILD_SECONDS, threads=1)
    job = ReconstructionJob(
        database=listener.database,
        store=listener.store,
        child=child,
        scratch=listener.data_folder / "scratch",
        attempts=ATTEMPTS,
    )
    for reconstruction in queued:
        for _ in range(ATTEMPTS):  # the job says when it wants to be tried again
            if asyncio.run(job.do(reconstruction)) is None:
                break
    with listener.database.begin() as connection:
        table = tables.reconstructions
        rows = connection.execute(select(table.c.state, table.c.problem).where(table.c.id.in_(queued))).all()
    without_reason = [row.state for row in rows if row.state != "reconstructed" and not row.problem]
    if without_reason:
        raise AssertionError(f"no reason is given for {without_reason}")
    return Counter(row.state for row in rows)


def _waiting(connection: Connection, at_most: int) -> list[UUID]:
    """Studies that wait for further views, some here and some there."""
    receiving = select(tables.studies.c.id).where(tables.studies.c.state == "receiving")
    return list(
        connection.execute(receiving.order_by(func.md5(tables.studies.c.study_instance_uid)).limit(at_most)).scalars()
    )


def _settle(connection: Connection, study_id: UUID) -> UUID:
    study = studies.lock(connection, study_id)
    assert study is not None
    settled = jobs.settle(connection, study, now=utc_now() + LONGEST_WAIT)
    assert settled is not None, "no view comes any more, and the study still waits"
    return settled


def main() -> None:
    """Read the files that standard input names; any other error than ours ends this program."""
    for path in map(Path, sys.stdin.read().splitlines()):
        read_instance_header(path)
        try:
            read_radiograph(path)
        except (InputError, Refusal) as error:
            outcome = "with a fault that is said" if isinstance(error, InputError) else "refused"
        else:
            outcome = "sound pictures"
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from pipeline.child_process import ChildProcess, ReconstructionFailed
from pipeline.database import open_url
from pipeline.embedded_postgres import EmbeddedPostgres
from pipeline.jobs import rerun
from pipeline.migrations import upgrade
from pipeline.reconstruction_job import LONGEST_DELAY, ReconstructionJob, retry_delay
from pipeline.records import deliveries, results, status, tables
from pipeline.records.studies import Study, get_study
from pipeline.results import FileKind
from pipeline.settings import NodeSettings
from pipeline.store import open_store
from pipeline.worker import Worker, WorkerPace
from tests.node_helpers import FAKE_CHILD, Hospital, add_demo_hospital, after, fake_child

QUICK = WorkerPace(heartbeat=timedelta(seconds=2), poll=timedelta(seconds=0.3), settle=timedelta(seconds=0.3))
PATIENCE_SECONDS = 60


def work_until_idle(
    hospital: Hospital, child: ChildProcess, *, attempts: int = 3, patience_seconds: float = PATIENCE_SECONDS
) -> None:
    """Run a worker in this process until no job is left."""
    job = ReconstructionJob(
        database=hospital.database,
        store=hospital.store,
        child=child,
        scratch=hospital.folder / "scratch",
        attempts=attempts,
        first_delay=timedelta(seconds=0.1),
    )
    worker = Worker(database=hospital.database, job=job, pace=QUICK)

    async def run() -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(patience_seconds):
            while await asyncio.to_thread(jobs_left, hospital):
                await asyncio.sleep(0.05)
        stop.set()
        await working

    asyncio.run(run())


def jobs_left(hospital: Hospital) -> int:
    with hospital.database.begin() as connection:
        return connection.execute(text("SELECT count(*) FROM pgqueuer")).scalar_one()


def send_complete_study(hospital: Hospital) -> Study:
    hospital.send("AP")
    return hospital.study(hospital.send("LATERAL"))


def add_peer(hospital: Hospital, ae_title: str, *, receives: bool) -> None:
    with hospital.database.begin() as connection:
        connection.execute(
            insert(tables.peers).values(
                institution_id=hospital.institution_id, ae_title=ae_title, host="127.0.0.1", port=104, receives=receives
            )
        )


def refreshed(hospital: Hospital, study: Study) -> Study:
    with hospital.database.begin() as connection:
        return get_study(connection, hospital.scope, study.id)


def latest_result(hospital: Hospital, study: Study):
    with hospital.database.begin() as connection:
        return results.latest(connection, hospital.scope, study.id)


def test_a_complete_study_is_reconstructed_stored_and_planned_for_delivery(hospital: Hospital) -> None:
    add_peer(hospital, "PACS", receives=True)
    add_peer(hospital, "MODALITY", receives=False)
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("succeed"))
    found = latest_result(hospital, study)
    assert {file.kind for file in found.files} == {FileKind.SURFACE_SEGMENTATION, FileKind.MESH}
    with hospital.database.begin() as connection:
        [due] = deliveries.claim_due(connection, now=after(3_600 * 24 * 365 * 10))
    assert due.peer_ae_title == "PACS"
    assert hospital.store.read(due.blob_key).startswith(b"surface of ")
    done = refreshed(hospital, study)
    assert done.state == "reconstructed"
    assert (done.progress.stage, done.progress.percent) == ("fit", 100)
    assert list((hospital.folder / "scratch").iterdir()) == []


def test_a_refusal_is_a_final_state_with_its_sentence_and_nothing_is_delivered(hospital: Hospital) -> None:
    add_peer(hospital, "PACS", receives=True)
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("refuse"))
    done = refreshed(hospital, study)
    assert (done.state, done.progress.problem) == ("refused", "The growth plates are open.")
    with hospital.database.begin() as connection:
        assert connection.execute(select(tables.deliveries)).all() == []


def test_a_refusal_is_delivered_where_the_institution_wants_an_answer(hospital: Hospital) -> None:
    add_peer(hospital, "PACS", receives=True)
    with hospital.database.begin() as connection:
        connection.execute(update(tables.institutions).values(answers_refusals=True))
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("refuse"))
    assert refreshed(hospital, study).state == "refused"
    with hospital.database.begin() as connection:
        [due] = deliveries.claim_due(connection, now=after(3_600 * 24 * 365 * 10))
    assert hospital.store.read(due.blob_key) == b"refused"


def test_optional_results_are_made_where_a_rule_names_them_and_go_there_alone(hospital: Hospital) -> None:
    for title in ("PACS", "RESEARCH"):
        add_peer(hospital, title, receives=True)
    rule = {"name": "lines", "send": {"PACS": ["all", "presentation-state"]}}
    with hospital.database.begin() as connection:
        row = {"institution_id": hospital.institution_id, "in_order": [rule]}
        connection.execute(insert(tables.rules).values(**row))
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("succeed"))
    kinds = {file.kind for file in latest_result(hospital, study).files}
    assert kinds == {FileKind.SURFACE_SEGMENTATION, FileKind.MESH, FileKind.PRESENTATION_STATE}
    planned = select(tables.peers.c.ae_title, tables.result_files.c.kind, tables.deliveries.c.state).select_from(
        tables.deliveries.join(tables.peers).join(tables.result_files)
    )
    with hospital.database.begin() as connection:
        found = {tuple(row) for row in connection.execute(planned)}
    assert found == {
        ("PACS", "surface-segmentation", "pending"),
        ("PACS", "presentation-state", "pending"),
        ("RESEARCH", "surface-segmentation", "pending"),
    }


def test_what_failed_once_is_tried_again(hospital: Hospital, tmp_path: Path) -> None:
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("fail-once", tmp_path))
    done = refreshed(hospital, study)
    assert (done.state, done.progress.attempts) == ("reconstructed", 2)


@pytest.mark.parametrize(
    ("behaviour", "problem", "trace"),
    [
        ("fail", "failed (exit status 1)", "RuntimeError"),
        ("crash", "crashed (SIGSEGV)", ""),
    ],
)
def test_what_keeps_failing_ends_as_a_dead_letter_and_can_be_run_again(
    hospital: Hospital, behaviour: str, problem: str, trace: str
) -> None:
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child(behaviour), attempts=2)
    with hospital.database.begin() as connection:
        [letter] = status.snapshot(connection).failed_reconstructions
        assert problem in letter.problem
        assert trace in letter.traceback
        assert "no such luck" not in letter.traceback, "messages may quote patient data"
        assert letter.attempts == 2
        assert rerun(connection, letter.id)
    work_until_idle(hospital, fake_child("succeed"))
    assert refreshed(hospital, study).state == "reconstructed"


def test_wrong_input_is_not_tried_again(hospital: Hospital, tmp_path: Path) -> None:
    study = send_complete_study(hospital)
    work_until_idle(hospital, fake_child("wrong-input", tmp_path))
    done = refreshed(hospital, study)
    assert (done.state, done.progress.problem) == ("failed", "The pixels cannot be decoded.")
    assert len(list(tmp_path.glob("attempt-*"))) == 1


def test_a_reconstruction_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    async def nobody_listens(_line: object) -> None:
        pass

    child = fake_child("hang", timeout_seconds=2)
    with pytest.raises(ReconstructionFailed, match="took longer than 2 s"):
        asyncio.run(child.reconstruct([], tmp_path / "out", nobody_listens))


def test_a_view_that_arrives_before_the_work_begins_makes_the_first_job_superfluous(hospital: Hospital) -> None:
    send_complete_study(hospital)
    study = hospital.study(hospital.send("AP", side="L"))
    work_until_idle(hospital, fake_child("succeed"))
    with hospital.database.begin() as connection:
        assert status.snapshot(connection).reconstructions == {"superseded": 1, "reconstructed": 1}
    assert refreshed(hospital, study).state == "reconstructed"


def test_retries_wait_longer_each_time_but_not_for_ever() -> None:
    delays = [retry_delay(attempts) for attempts in range(1, 100)]
    assert delays[:3] == [timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=45)]
    assert max(delays) == LONGEST_DELAY


WORKER = """
import sys, threading
from pathlib import Path
from pipeline.database import DatabaseUnavailable
from pipeline.settings import NodeSettings
from pipeline.settings import NodeSettings
from pipeline.store import open_store
from pipeline.worker import work
url, data, *child = sys.argv[1:]
settings = NodeSettings(database_url=url, data_folder=Path(data), job_heartbeat_seconds=2)
try:
    work(settings, threading.Event(), child_command=tuple(child))
except DatabaseUnavailable:
    sys.exit(75)
"""


@contextmanager
def worker_process(hospital: Hospital, behaviour: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = (sys.executable, str(FAKE_CHILD), behaviour, str(folder))
    place = (hospital.database.url, str(hospital.store.folder.parent))
    with subprocess.Popen([sys.executable, "-c", WORKER, *place, *child]) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_job_of_a_killed_worker_is_taken_over_and_done_once(hospital: Hospital, tmp_path: Path) -> None:
    add_peer(hospital, "PACS", receives=True)
    study = send_complete_study(hospital)
    with worker_process(hospital, "hang-once", tmp_path) as victim:
        wait_until(lambda: list(tmp_path.glob("attempt-*")))
        victim.kill()
    [abandoned] = [int(path.name.removeprefix("attempt-")) for path in tmp_path.glob("attempt-*")]
    with worker_process(hospital, "hang-once", tmp_path):
        wait_until(lambda: refreshed(hospital, study).state == "reconstructed")
    wait_until(lambda: not Path(f"/proc/{abandoned}").exists())
    with hospital.database.begin() as connection:
        assert len(connection.execute(select(tables.result_sets)).all()) == 1
        assert len(connection.execute(select(tables.deliveries)).all()) == 1
    assert refreshed(hospital, study).progress.attempts == 2


def test_a_worker_ends_when_postgresql_is_killed_and_the_next_one_finishes_its_job(
    short_folder: Path, tmp_path: Path
) -> None:
    server = EmbeddedPostgres(short_folder)
    database = open_url(server.start())
    upgrade(database.engine)
    store = open_store(NodeSettings(data_folder=tmp_path / "data"))
    hospital = Hospital(database, store, add_demo_hospital(database), tmp_path)
    study = send_complete_study(hospital)
    with worker_process(hospital, "hang-once", tmp_path) as worker:
        wait_until(lambda: list(tmp_path.glob("attempt-*")))
        os.kill(server.pid, signal.SIGKILL)
        assert worker.wait(PATIENCE_SECONDS) == 75
    server.wait(PATIENCE_SECONDS)
    server.start()
    with worker_process(hospital, "hang-once", tmp_path):
        wait_until(lambda: refreshed(hospital, study).state == "reconstructed")
    database.close()
    server.stop()

"""Results leave for the PACS: sound ones, once, and again when it was not there."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import insert, select, update

from pipeline.records import deliveries, results, tables
from pipeline.records.checks import get_check, request_check
from pipeline.records.results import StoredFile
from pipeline.results import Report, ScaleReport, Status
from scp_node.checks import check_connections
from scp_node.postman import Postman
from scp_node.tls import TlsFiles
from tests.dicom_write.example import write
from tests.factories import make_dx
from tests.node_helpers import NOON, Hospital
from tests.peers import free_port
from tests.scp_node.senders import takes_connections, wait_until


@contextmanager
def archive(folder: Path, port: int) -> Iterator[Path]:
    """A storage SCP in a process of its own."""
    command = [sys.executable, "-m", "scp_node.archive", "--folder", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: takes_connections(port))
            yield folder
        finally:
            process.terminate()


class Outbox:
    """A reconstructed study whose results wait to be delivered to PACS."""

    def __init__(self, hospital: Hospital, folder: Path, port: int) -> None:
        self.hospital, self.now = hospital, NOON
        self.postman = Postman(database=hospital.database, store=hospital.store, attempts=3, clock=lambda: self.now)
        hospital.send("AP")
        accepted = hospital.send("LATERAL")
        self._plan(accepted.study_id, accepted.reconstruction_id, self._files(folder), port)

    def _files(self, folder: Path) -> list[StoredFile]:
        files = []
        for described in write(folder):
            blob = self.hospital.store.put_file(self.hospital.institution_id, folder / described.path)
            files.append(StoredFile(described=described, blob_key=blob.key, size=blob.size, digest=blob.digest))
        return files

    def _plan(self, study_id, reconstruction_id, files: list[StoredFile], port: int) -> None:
        owner = self.hospital.institution_id
        scale = ScaleReport(known=True, relative_uncertainty=0.02, provenance="source-distances")
        report = Report(status=Status.RECONSTRUCTED, software_version="0", scale=scale)
        peer = {"institution_id": owner, "ae_title": "PACS", "host": "127.0.0.1", "port": port, "receives": True}
        with self.hospital.database.begin() as connection:
            connection.execute(insert(tables.peers).values(**peer))
            result_set = results.add(
                connection,
                institution_id=owner,
                study_id=study_id,
                reconstruction_id=reconstruction_id,
                report=report,
                files=files,
            )
            assert deliveries.plan(connection, result_set_id=result_set) == 3
            connection.execute(update(tables.deliveries).values(next_attempt_at=NOON))

    def rows(self) -> list[dict]:
        with self.hospital.database.begin() as connection:
            found = connection.execute(select(tables.deliveries).order_by(tables.deliveries.c.id))
            return [dict(row) for row in found.mappings()]

    def states(self) -> set[str]:
        return {row["state"] for row in self.rows()}

    def next_attempt_at(self) -> datetime:
        return max(row["next_attempt_at"] for row in self.rows())


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path, port: int) -> Outbox:
    return Outbox(hospital, tmp_path / "results", port)


def test_each_result_is_delivered_once(outbox: Outbox, tmp_path: Path, port: int) -> None:
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.postman.deliver_due() == 3
        assert outbox.postman.deliver_due() == 0
        received = [dcmread(path) for path in folder.rglob("*.dcm")]
    assert outbox.states() == {"delivered"}
    assert len(received) == 3
    assert {dataset.StudyInstanceUID for dataset in received} == {make_dx().StudyInstanceUID}


def test_a_peer_that_is_away_gets_its_results_when_it_is_back(outbox: Outbox, tmp_path: Path, port: int) -> None:
    outbox.postman.deliver_due()
    assert outbox.states() == {"pending"}
    assert {row["problem"] for row in outbox.rows()} == {
        f"nothing listens at 127.0.0.1:{port}: start the peer, or correct host and port here"
    }
    assert outbox.postman.deliver_due() == 0, "not before its time"
    outbox.now = outbox.next_attempt_at()
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.postman.deliver_due() == 3
        assert len(list(folder.rglob("*.dcm"))) == 3
    assert outbox.states() == {"delivered"}


def test_what_fails_every_time_becomes_a_dead_letter_that_can_be_sent_again(
    outbox: Outbox, tmp_path: Path, port: int
) -> None:
    for _ in range(3):
        assert outbox.postman.deliver_due() == 3
        outbox.now = outbox.next_attempt_at() + timedelta(seconds=1)
    assert outbox.states() == {"dead"}
    assert outbox.postman.deliver_due() == 0
    with outbox.hospital.database.begin() as connection:
        assert all(deliveries.resend(connection, row["id"], now=outbox.now) for row in outbox.rows())
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.postman.deliver_due() == 3
        assert len(list(folder.rglob("*.dcm"))) == 3


def test_an_unsound_result_never_leaves(outbox: Outbox, tmp_path: Path, port: int) -> None:
    _spoil_one_surface(outbox, tmp_path)
    with archive(tmp_path / "archive", port) as folder:
        outbox.postman.deliver_due()
        assert len(list(folder.rglob("*.dcm"))) == 2
    (refused,) = [row for row in outbox.rows() if row["state"] == "dead"]
    assert "opacity" in refused["problem"].lower()


def test_a_connection_check_ends_in_a_sentence(outbox: Outbox, tmp_path: Path, port: int) -> None:
    database, owner = outbox.hospital.database, outbox.hospital.institution_id
    peer = outbox.rows()[0]["peer_id"]
    with database.begin() as connection:
        away = request_check(connection, peer)
    assert check_connections(database, TlsFiles()) == 1
    with archive(tmp_path / "archive", port):
        with database.begin() as connection:
            there = request_check(connection, peer)
        assert check_connections(database, TlsFiles()) == 1
    with database.begin() as connection:
        first, second = (get_check(connection, check, institution_id=owner) for check in (away, there))
    assert (first.ok, second.ok) == (False, True)
    assert first.sentence.startswith("nothing listens at 127.0.0.1")
    assert second.sentence.startswith(f"PACS at 127.0.0.1:{port} answers in")


def _spoil_one_surface(outbox: Outbox, tmp_path: Path) -> None:
    """Have the store hold a Surface Segmentation that is more than opaque."""
    path = next((tmp_path / "results").rglob("surface*.dcm"))
    dataset = dcmread(path)
    dataset.SurfaceSequence[0].RecommendedPresentationOpacity = 1.5
    dataset.save_as(tmp_path / "spoiled.dcm")
    blob = outbox.hospital.store.put_file(outbox.hospital.institution_id, tmp_path / "spoiled.dcm")
    files = tables.result_files
    with outbox.hospital.database.begin() as connection:
        surface = files.c.sop_instance_uid == str(dataset.SOPInstanceUID)
        connection.execute(update(files).where(surface).values(blob_key=blob.key))

"""Storage commitment, both ways, with a real Orthanc: what we ask of it, and what it asks of us."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pynetdicom import AE, AllStoragePresentationContexts, StorageCommitmentPresentationContexts, evt
from pynetdicom.association import Association
from sqlalchemy import func, select, update

from pipeline.records import commitment_reports, proof, tables
from pipeline.records.commitments import ANSWER_TIME
from scp_node.commitment import ALL_KEPT, PUSH_MODEL, WELL_KNOWN_INSTANCE
from scp_node.commitment_handlers import INVALID_ARGUMENT, NOT_AUTHORIZED
from scp_node.reporter import Reporter
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.node_helpers import Hospital
from tests.peers import OrthancPeer, free_port, running_orthanc
from tests.scp_node.senders import closing, wait_until
from tests.scp_node.test_postman import Outbox, archive

pytestmark = pytest.mark.orthanc


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancPeer]:
    """An Orthanc of this module's own: it is told anew where we listen for each test."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), ae_title="PACS") as peer:
        yield peer


@pytest.fixture
def outbox(hospital: Hospital, pacs: OrthancPeer, running: RunningListener, tmp_path: Path) -> Outbox:
    """Three results that wait for PACS, which knows where we listen."""
    with hospital.database.begin() as connection:
        connection.execute(tables.peers.delete().where(tables.peers.c.ae_title == "PACS"))
    made = Outbox(hospital, tmp_path / "results", pacs.dicom_port)
    pacs.delete_everything()
    pacs.add_modality("bonecraft", ae_title="BONECRAFT", port=running.port)
    return made


def committed(outbox: Outbox) -> int:
    return sum(row["committed_at"] is not None for row in outbox.rows())


def test_a_result_counts_as_delivered_when_the_pacs_has_committed_itself(outbox: Outbox) -> None:
    assert outbox.deliver() == 3
    wait_until(lambda: outbox.states() == {"delivered"})
    assert committed(outbox) == 3
    with outbox.hospital.database.begin() as connection:
        uid = connection.execute(select(tables.result_files.c.sop_instance_uid).limit(1)).scalar_one()
        told = [str(entry.event) for entry in proof.entries_about(connection, uid)]
    assert told == ["delivered", "committed"]


def test_what_the_pacs_does_not_keep_is_sent_again(outbox: Outbox, pacs: OrthancPeer) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(state="sent", attempts=1, planned_at=func.now()))
    outbox.now = datetime.now(UTC)
    outbox.deliver()
    wait_until(lambda: outbox.states() == {"pending"})
    assert "no such instance" in outbox.rows()[0]["problem"]
    outbox.now = outbox.next_attempt_at()
    assert outbox.deliver() == 3
    wait_until(lambda: committed(outbox) == 3)
    assert len(httpx.get(f"{pacs.url}/instances").json()) == 3


def test_a_pacs_that_never_reports_is_asked_again(outbox: Outbox, pacs: OrthancPeer, running: RunningListener) -> None:
    pacs.add_modality("bonecraft", ae_title="BONECRAFT", port=free_port())
    outbox.deliver()
    assert outbox.states() == {"sent"}
    assert outbox.postman.destinations_due() == (), "not before its time"
    pacs.add_modality("bonecraft", ae_title="BONECRAFT", port=running.port)
    outbox.now += ANSWER_TIME + timedelta(seconds=1)
    outbox.deliver()
    wait_until(lambda: outbox.states() == {"delivered"})


def test_a_pacs_that_takes_the_question_but_cannot_call_us_is_a_dead_letter_in_the_end(
    outbox: Outbox, pacs: OrthancPeer
) -> None:
    httpx.delete(f"{pacs.url}/modalities/bonecraft").raise_for_status()
    outbox.deliver()
    assert outbox.states() == {"sent"}
    outbox.now += timedelta(days=8)
    outbox.deliver()
    assert outbox.states() == {"dead"}
    assert "let PACS call BONECRAFT at this node's DICOM port" in outbox.rows()[0]["problem"]


class ReportsAtOnce:
    """An archive that stores everything, and reports on the association that it was asked on, and nowhere else.

    Its first answers to a question are `statuses`.
    """

    def __init__(self, *statuses: int) -> None:
        self.answers: list[int] = []
        self._statuses = list(statuses)
        self._threads: list[threading.Thread] = []

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        if self._statuses:
            return self._statuses.pop(0), None
        asked = event.action_information
        report = threading.Thread(target=self._report, args=(event.assoc, asked))
        report.start()
        self._threads.append(report)
        return 0x0000, None

    def _report(self, association: Association, asked: Dataset) -> None:
        kept = Dataset()
        kept.TransactionUID, kept.ReferencedSOPSequence = asked.TransactionUID, asked.ReferencedSOPSequence
        status, _ = association.send_n_event_report(kept, ALL_KEPT, PUSH_MODEL, WELL_KNOWN_INSTANCE)
        self.answers.append(status.Status)

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        ae = AE("PACS")
        for context in (*AllStoragePresentationContexts, *StorageCommitmentPresentationContexts):
            ae.add_supported_context(context.abstract_syntax)
        handlers = [(evt.EVT_N_ACTION, self.on_action), (evt.EVT_C_STORE, lambda _: 0x0000)]
        server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        yield
        for thread in self._threads:
            thread.join(20)
        server.shutdown()


def test_a_report_on_the_same_association_is_understood(hospital: Hospital, tmp_path: Path) -> None:
    port, archive_that_reports = free_port(), ReportsAtOnce()
    outbox = Outbox(hospital, tmp_path / "results", port)
    with archive_that_reports.listening(port):
        assert outbox.deliver() == 3
    assert archive_that_reports.answers == [0x0000]
    assert outbox.states() == {"delivered"}
    assert committed(outbox) == 3


@pytest.mark.parametrize("status", [0x0110, 0x0213])
def test_a_peer_that_is_busy_when_it_is_asked_is_asked_again(hospital: Hospital, tmp_path: Path, status: int) -> None:
    port = free_port()
    outbox = Outbox(hospital, tmp_path / "results", port)
    with ReportsAtOnce(status).listening(port):
        outbox.deliver()
        assert outbox.states() == {"sent"}, "nobody has committed himself to anything yet"
        assert outbox.postman.destinations_due() == (), "not at once"
        outbox.now += ANSWER_TIME + timedelta(seconds=1)
        outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert committed(outbox) == 3


def test_a_peer_that_says_it_never_commits_itself_to_us_has_what_it_stored(hospital: Hospital, tmp_path: Path) -> None:
    port = free_port()
    outbox = Outbox(hospital, tmp_path / "results", port)
    with ReportsAtOnce(0x0124).listening(port):
        outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert all("does not commit itself to us (status 0x0124)" in row["note"] for row in outbox.rows())


def test_a_peer_that_offers_no_commitment_has_what_it_stored(outbox: Outbox, tmp_path: Path) -> None:
    port = free_port()
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(port=port))
    with archive(tmp_path / "archive", port):
        outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert committed(outbox) == 0


def test_a_peer_that_shall_never_be_asked_is_not(outbox: Outbox) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.peers).values(commitment="never"))
    outbox.deliver()
    assert outbox.states() == {"delivered"}
    with outbox.hospital.database.begin() as connection:
        assert connection.execute(select(tables.commitments)).all() == []


@pytest.fixture
def asked_by(hospital: Hospital, pacs: OrthancPeer, running: RunningListener) -> Callable[[list], str]:
    """PACS, which sends to us, asks for a commitment; gives its transaction."""
    with hospital.database.begin() as connection:
        there = {"port": pacs.dicom_port, "sends": True}
        connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(**there))
    pacs.add_modality("bonecraft", ae_title="BONECRAFT", port=running.port)

    def ask(instances: list) -> str:
        asked = httpx.post(
            f"{pacs.url}/modalities/bonecraft/storage-commitment", json={"DicomInstances": instances}, timeout=30
        )
        return str(asked.raise_for_status().json()["ID"])

    return ask


def answer_to(pacs: OrthancPeer, transaction: str) -> dict:
    return dict(httpx.get(f"{pacs.url}/storage-commitment/{transaction}").raise_for_status().json())


def report(hospital: Hospital) -> int:
    reporter = Reporter(database=hospital.database, store=hospital.store)
    return sum(reporter.report_to(peer) for peer in reporter.peers_due())


def test_we_commit_ourselves_to_what_we_keep(hospital: Hospital, pacs: OrthancPeer, asked_by) -> None:
    image = make_dx(view="AP")
    hospital.send("AP")
    transaction = asked_by([[image.SOPClassUID, image.SOPInstanceUID]])
    assert answer_to(pacs, transaction)["Status"] == "Pending"
    assert report(hospital) == 1
    wait_until(lambda: answer_to(pacs, transaction)["Status"] == "Success")
    assert report(hospital) == 0
    with hospital.database.begin() as connection:
        *_, last = proof.entries_about(connection, image.SOPInstanceUID)
    assert (last.event, last.facts["peer"], last.facts["kept"]) == ("commitment-given", "PACS", True)


def test_we_say_what_we_do_not_keep_and_why(hospital: Hospital, pacs: OrthancPeer, asked_by) -> None:
    kept, spoilt = make_dx(view="AP"), make_dx(view="LATERAL")
    hospital.send("AP")
    before = set(hospital.store.folder.rglob("*"))
    hospital.send("LATERAL")
    [blob] = (path for path in set(hospital.store.folder.rglob("*")) - before if path.is_file())
    blob.unlink()
    transaction = asked_by(
        [
            [kept.SOPClassUID, kept.SOPInstanceUID],
            [spoilt.SOPClassUID, spoilt.SOPInstanceUID],
            [kept.SOPClassUID, "1.2.3.4"],
        ]
    )
    report(hospital)
    wait_until(lambda: answer_to(pacs, transaction)["Status"] == "Failure")
    answer = answer_to(pacs, transaction)
    assert [item["SOPInstanceUID"] for item in answer["Success"]] == [kept.SOPInstanceUID]
    reasons = {item["SOPInstanceUID"]: item["Description"] for item in answer["Failures"]}
    assert "failure in processing" in reasons[spoilt.SOPInstanceUID]
    assert set(reasons) == {spoilt.SOPInstanceUID, "1.2.3.4"}


def test_a_peer_that_cannot_be_told_is_told_later_and_then_listed(hospital: Hospital, asked_by) -> None:
    asked_by([[SecondaryCaptureImageStorage, "1.2.3.4"]])
    with hospital.database.begin() as connection:
        connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(port=free_port()))
    assert report(hospital) == 1
    assert report(hospital) == 0, "not before its time"
    with hospital.database.begin() as connection:
        [waiting] = commitment_reports.failed(connection)
    assert (waiting.peer, waiting.attempts) == ("PACS", 1)
    assert "nothing listens" in waiting.problem


def ask_by_hand(running: RunningListener, calling: str, information) -> int:
    ae = AE(calling)
    ae.add_requested_context(PUSH_MODEL)
    asking = ae.associate("127.0.0.1", running.port, ae_title="BONECRAFT", evt_handlers=closing())
    answer, _ = asking.send_n_action(information, 1, PUSH_MODEL, WELL_KNOWN_INSTANCE)
    asking.release()
    return int(answer.Status)


def test_a_peer_that_may_not_send_cannot_ask_either(running: RunningListener) -> None:
    assert ask_by_hand(running, "PACS", make_dx()) == NOT_AUTHORIZED


def test_a_question_that_names_nothing_is_an_invalid_argument(running: RunningListener) -> None:
    question = make_dx()
    del question.PixelData
    assert ask_by_hand(running, "MODALITY", question) == INVALID_ARGUMENT

"""Results leave for the PACS: sound ones, once, and again when it was not there."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, StoragePresentationContexts, evt
from sqlalchemy import insert, select, update

from pipeline.peer_secrets import PeerSecrets
from pipeline.records import deliveries, destinations, results, tables
from pipeline.records.checks import get_check, request_check
from pipeline.records.destinations import Outage
from pipeline.records.own_faults import OwnFault, own_faults
from pipeline.records.results import StoredFile
from pipeline.records.viewing import deliveries_of
from pipeline.results import FileKind, Report, ScaleReport, Status
from scp_node.checks import check_connections
from scp_node.delivery import drain
from scp_node.dispatch import Dispatcher
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


PICTURES_ONLY = """
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Pictures]
PresentationContext1 = SecondaryCaptureImageStorage\\Uncompressed
PresentationContext2 = MultiframeTrueColorSecondaryCaptureImageStorage\\Uncompressed
[[Profiles]]
[Pictures]
PresentationContexts = Pictures
"""


@contextmanager
def dcmtk_archive_for_pictures(storescp: Path, folder: Path, port: int) -> Iterator[Path]:
    """dcmtk's storescp that takes nothing but Secondary Captures."""
    received, configuration = folder / "pictures", folder / "storescp.cfg"
    received.mkdir()
    configuration.write_text(PICTURES_ONLY)
    command = [storescp, "-od", received, "-xf", configuration, "Pictures", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: takes_connections(port))
            yield received
        finally:
            process.terminate()


def hang_up(server: socket.socket) -> None:
    """Take every connection that waits, and close it."""
    server.settimeout(2)
    with suppress(TimeoutError):
        while True:
            server.accept()[0].close()


DELIVERED = (FileKind.SURFACE_SEGMENTATION, FileKind.SECONDARY_CAPTURE)
"""Three instances are enough to see how they leave."""


class Outbox:
    """A reconstructed study whose results wait to be delivered to PACS."""

    def __init__(self, hospital: Hospital, folder: Path, port: int) -> None:
        self.hospital, self.now = hospital, NOON
        self.postman = Postman(
            database=hospital.database,
            store=hospital.store,
            scratch=hospital.folder / "scratch",
            attempts=3,
            secrets=PeerSecrets(folder=folder),
            clock=lambda: self.now,
        )
        hospital.send("AP")
        accepted = hospital.send("LATERAL")
        self._plan(accepted.study_id, accepted.reconstruction_id, self._files(folder), port)

    def _files(self, folder: Path) -> list[StoredFile]:
        files = []
        few = [described for described in write(folder) if described.kind in DELIVERED]
        for described in few:
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
            connection.execute(update(tables.reconstructions).values(state="reconstructed"))
            assert deliveries.plan(connection, result_set_id=result_set) == 3
            connection.execute(update(tables.deliveries).values(next_attempt_at=NOON, planned_at=NOON))

    def add_peer(self, ae_title: str, port: int) -> None:
        """One more that gets the results."""
        owner = self.hospital.institution_id
        peer = {"institution_id": owner, "ae_title": ae_title, "host": "127.0.0.1", "port": port, "receives": True}
        with self.hospital.database.begin() as connection:
            connection.execute(insert(tables.peers).values(**peer))
            deliveries.plan(connection, result_set_id=connection.execute(select(tables.result_sets.c.id)).scalar_one())
            connection.execute(update(tables.deliveries).values(next_attempt_at=NOON, planned_at=NOON))

    def states_for(self, ae_title: str) -> set[str]:
        with self.hospital.database.begin() as connection:
            of_peer = tables.peers.c.ae_title == ae_title
            return set(
                connection.execute(
                    select(tables.deliveries.c.state).join_from(tables.deliveries, tables.peers).where(of_peer)
                ).scalars()
            )

    def rows(self) -> list[dict]:
        with self.hospital.database.begin() as connection:
            found = connection.execute(select(tables.deliveries).order_by(tables.deliveries.c.id))
            return [dict(row) for row in found.mappings()]

    def states(self) -> set[str]:
        return {row["state"] for row in self.rows()}

    def deliver(self) -> int:
        """A batch for everybody for whom something is due; gives how many deliveries were tried."""
        return sum(self.postman.deliver_to(peer) for peer in self.postman.destinations_due())

    def next_attempt_at(self) -> datetime:
        return max(row["next_attempt_at"] for row in self.rows())

    def shown_in_viewer(self) -> list[str]:
        """The states on the study's page."""
        with self.hospital.database.begin() as connection:
            study = connection.execute(select(tables.studies.c.id)).scalar_one()
            return [line.state for line in deliveries_of(connection, self.hospital.scope, study)]

    def outages(self) -> tuple[Outage, ...]:
        with self.hospital.database.begin() as connection:
            return destinations.outages(connection)

    def own_fault(self) -> OwnFault:
        with self.hospital.database.begin() as connection:
            (fault,) = own_faults(connection)
        return fault

    def told(self) -> list[tuple[str, str]]:
        """What the ledger says of the deliveries."""
        with self.hospital.database.begin() as connection:
            entered = connection.execute(select(tables.ledger).order_by(tables.ledger.c.id)).all()
        return [(row.event, row.facts.get("status", "")) for row in entered if "delivered" in row.event]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path, port: int) -> Outbox:
    return Outbox(hospital, tmp_path / "results", port)


def test_each_result_is_delivered_once(outbox: Outbox, tmp_path: Path, port: int) -> None:
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.deliver() == 3
        assert outbox.deliver() == 0
        received = [dcmread(path) for path in folder.rglob("*.dcm")]
    assert outbox.states() == {"delivered"}
    assert len(received) == 3
    assert {dataset.StudyInstanceUID for dataset in received} == {make_dx().StudyInstanceUID}


def test_a_peer_that_is_away_gets_its_results_when_it_is_back(outbox: Outbox, tmp_path: Path, port: int) -> None:
    outbox.deliver()
    assert outbox.states() == {"pending"}
    assert {row["problem"] for row in outbox.rows()} == {
        f"nothing listens at 127.0.0.1:{port}: start the peer, or correct host and port here"
    }
    assert outbox.deliver() == 0, "not before its time"
    [outage] = outbox.outages()
    assert (outage.institution, outage.peer, outage.failures, outage.waiting) == ("demo", "PACS", 1, 3)
    outbox.now = outage.next_attempt_at
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.deliver() == 3
        assert len(list(folder.rglob("*.dcm"))) == 3
    assert outbox.states() == {"delivered"}
    assert outbox.outages() == ()
    assert {row["attempts"] for row in outbox.rows()} == {1}, "an outage costs no attempt"
    assert outbox.told() == [("delivered", "0x0000")] * 3


def test_an_outage_of_an_hour_loses_nothing_and_a_long_one_is_looked_at_every_few_minutes(outbox: Outbox) -> None:
    tried = 0
    end = NOON + timedelta(hours=1)
    while outbox.now < end:
        assert outbox.deliver() == 3
        tried += 1
        outbox.now = outbox.outages()[0].next_attempt_at
    assert outbox.states() == {"pending"}
    assert 12 < tried < 25
    assert outbox.now - end < timedelta(minutes=7)


def test_what_cannot_be_sent_for_a_week_is_given_up(outbox: Outbox) -> None:
    outbox.deliver()
    outbox.now = NOON + timedelta(days=8)
    outbox.deliver()
    assert outbox.states() == {"dead"}
    assert [event for event, _ in outbox.told()] == ["not-delivered"] * 3


def test_a_destination_that_says_nothing_keeps_no_other_waiting(outbox: Outbox, tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, archive(tmp_path / "archive", port):
        outbox.add_peer("SILENT", silent.getsockname()[1])
        stop = threading.Event()
        postman = outbox.postman
        dispatcher = Dispatcher(destinations_due=postman.destinations_due, deliver_to=postman.deliver_to, stop=stop)
        assert dispatcher.dispatch() == 2
        wait_until(lambda: outbox.states_for("PACS") == {"delivered"})
        assert outbox.states_for("SILENT") == {"pending"}
        assert dispatcher.dispatch() == 0, "it is still being served"
        stop.set()
        hang_up(silent)
        drain(dispatcher.busy())
        assert dispatcher.busy() == ()
    [outage] = outbox.outages()
    assert outage.peer == "SILENT"


class Archive:
    """Stores slowly what comes, on so many associations at a time."""

    def __init__(self, associations: int) -> None:
        self.stored: list[str] = []
        self.accepted = self.rejected = 0
        self.ae = AE("PACS")
        self.ae.maximum_associations = associations
        for known in StoragePresentationContexts:
            self.ae.add_supported_context(known.abstract_syntax, ALL_TRANSFER_SYNTAXES)

    @contextmanager
    def listening(self, port: int) -> Iterator[None]:
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACCEPTED, lambda _: self._count("accepted")),
            (evt.EVT_REJECTED, lambda _: self._count("rejected")),
        ]
        server = self.ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()

    def _store(self, event: evt.Event) -> int:
        time.sleep(0.3)
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    def _count(self, what: str) -> None:
        setattr(self, what, getattr(self, what) + 1)


@pytest.mark.parametrize("takes", [9, 2])
def test_a_batch_leaves_on_as_many_associations_as_its_peer_takes(
    outbox: Outbox, port: int, monkeypatch: pytest.MonkeyPatch, takes: int
) -> None:
    monkeypatch.setattr("scp_node.load.FILES_EACH", 1)
    pacs = Archive(takes)
    with pacs.listening(port):
        assert outbox.deliver() == 3
    assert outbox.states() == {"delivered"}
    assert len(set(pacs.stored)) == len(pacs.stored) == 3
    assert pacs.accepted + pacs.rejected == 3
    assert bool(outbox.postman.alone) == bool(pacs.rejected) == (takes == 2)
    assert outbox.outages() == ()


def test_what_was_planned_first_leaves_first(outbox: Outbox) -> None:
    oldest = outbox.rows()[-1]["id"]
    earlier = {"planned_at": NOON - timedelta(hours=1), "next_attempt_at": NOON}
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).where(tables.deliveries.c.id == oldest).values(**earlier))
        [first] = deliveries.claim_due(connection, now=NOON, limit=1)
    assert first.id == oldest


def test_what_a_peer_does_not_take_is_said_and_the_rest_is_delivered(
    outbox: Outbox, tmp_path: Path, port: int, dcmtk
) -> None:
    with dcmtk_archive_for_pictures(dcmtk("storescp"), tmp_path, port) as folder:
        outbox.deliver()
        assert len(list(folder.iterdir())) == 2
    refused = [row for row in outbox.rows() if row["state"] != "delivered"]
    assert [row["state"] for row in refused] == ["not-accepted"]
    assert "does not accept Surface Segmentation Storage" in refused[0]["problem"]
    assert sorted(outbox.shown_in_viewer()) == ["delivered", "delivered", "not-accepted"]
    with outbox.hospital.database.begin() as connection:
        assert deliveries.resend_failed(connection, outbox.rows()[0]["peer_id"], now=outbox.now) == 1
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.deliver() == 1
        assert len(list(folder.rglob("*.dcm"))) == 1


def test_what_fails_every_time_becomes_a_dead_letter_that_can_be_sent_again(
    outbox: Outbox, tmp_path: Path, port: int
) -> None:
    (tmp_path / "full").write_text("where its folder should be: it answers 0xA700")
    with archive(tmp_path / "full", port):
        for _ in range(3):
            assert outbox.deliver() == 3
            outbox.now = outbox.next_attempt_at() + timedelta(seconds=1)
    assert outbox.states() == {"dead"}
    assert {row["problem"] for row in outbox.rows()} == {
        f"PACS at 127.0.0.1:{port} is out of resources: free space there (status 0xA700)"
    }
    assert outbox.deliver() == 0
    with outbox.hospital.database.begin() as connection:
        assert all(deliveries.resend(connection, row["id"], now=outbox.now) for row in outbox.rows())
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.deliver() == 3
        assert len(list(folder.rglob("*.dcm"))) == 3


@pytest.mark.parametrize("views", [["AP"], ["AP", "LATERAL"]])
def test_results_leave_when_retention_has_left_only_some_of_their_radiographs_or_none(
    outbox: Outbox, tmp_path: Path, port: int, views: list[str]
) -> None:
    instances = tables.instances.c
    with outbox.hospital.database.begin() as connection:
        gone = instances.header["view"].astext.in_(views)
        connection.execute(update(tables.instances).where(gone).values(removed_at=NOON))
    with archive(tmp_path / "archive", port):
        assert outbox.deliver() == 3
    assert {row["problem"] for row in outbox.rows()} == {""}
    assert outbox.states() == {"delivered"}


def test_an_unsound_result_never_leaves(outbox: Outbox, tmp_path: Path, port: int) -> None:
    _spoil_one_surface(outbox, tmp_path)
    with archive(tmp_path / "archive", port) as folder:
        outbox.deliver()
        assert len(list(folder.rglob("*.dcm"))) == 2
    (refused,) = [row for row in outbox.rows() if row["state"] == "dead"]
    assert "opacity" in refused["problem"].lower()


def test_a_file_that_the_store_lacks_costs_no_attempt_and_closes_no_destination(
    outbox: Outbox, tmp_path: Path, port: int
) -> None:
    with outbox.hospital.database.begin() as connection:
        of_it = tables.result_files.c.id == outbox.rows()[0]["result_file_id"]
        key = connection.execute(select(tables.result_files.c.blob_key).where(of_it)).scalar_one()
    blob = outbox.hospital.store.folder / key
    blob.rename(tmp_path / "gone")
    with archive(tmp_path / "archive", port):
        assert outbox.deliver() == 3
        for _ in range(outbox.postman.attempts + 1):
            outbox.now = outbox.own_fault().next_attempt_at
            assert outbox.deliver() == 1
        assert outbox.states() == {"delivered", "pending"}
        assert outbox.outages() == ()
        assert outbox.own_fault().problem == "a file is missing in the blob store: bring it back from a backup"
        assert (outbox.own_fault().waiting, outbox.own_fault().since) == (1, NOON)
        assert outbox.now - NOON > timedelta(seconds=24), "each pause is longer"
        (tmp_path / "gone").rename(blob)
        outbox.now += timedelta(minutes=5)
        assert outbox.deliver() == 1
    assert [(row["state"], row["attempts"], row["own_fault_since"]) for row in outbox.rows()] == [
        ("delivered", 1, None)
    ] * 3


def test_where_nothing_can_be_made_ready_everything_waits_for_a_week(outbox: Outbox, tmp_path: Path, port: int) -> None:
    outbox.postman.scratch.write_text("no folder can be made here")
    with archive(tmp_path / "archive", port):
        assert outbox.deliver() == 3
        assert outbox.states() == {"pending"}
        assert {row["attempts"] for row in outbox.rows()} == {0}
        assert "look at the data folder" in outbox.own_fault().problem
        outbox.now = NOON + timedelta(days=8)
        outbox.deliver()
    assert outbox.states() == {"dead"}
    assert [event for event, _ in outbox.told()] == ["not-delivered"] * 3


def test_what_waited_for_its_turn_is_not_given_up_when_its_peer_is_away_for_a_moment(outbox: Outbox) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(planned_at=NOON - timedelta(days=30)))
    outbox.deliver()
    assert outbox.states() == {"pending"}
    outbox.now = NOON + timedelta(days=8)
    outbox.deliver()
    assert outbox.states() == {"dead"}


@pytest.mark.parametrize(
    ("content", "state"), [(b"no DICOM at all", "dead"), (b"\0" * 128 + b"DICM" + b"\x02\0\0\0UL\x04\0\1", "pending")]
)
def test_a_result_that_is_damaged_keeps_no_other_back(
    outbox: Outbox, tmp_path: Path, port: int, content: bytes, state: str
) -> None:
    (tmp_path / "damaged.dcm").write_bytes(content)
    blob = outbox.hospital.store.put_file(outbox.hospital.institution_id, tmp_path / "damaged.dcm")
    damaged, files = outbox.rows()[0], tables.result_files
    with outbox.hospital.database.begin() as connection:
        its_file = files.c.id == damaged["result_file_id"]
        connection.execute(update(files).where(its_file).values(blob_key=blob.key))
    with archive(tmp_path / "archive", port) as folder:
        assert outbox.deliver() == 3
        assert len(list(folder.rglob("*.dcm"))) == 2
    (kept,) = [row for row in outbox.rows() if row["state"] != "delivered"]
    assert (kept["id"], kept["state"]) == (damaged["id"], state)
    assert "check the blob store" in kept["problem"]


def test_results_of_radiographs_without_a_preamble_leave(outbox: Outbox, tmp_path: Path, port: int) -> None:
    with outbox.hospital.database.begin() as connection:
        keys = connection.execute(select(tables.instances.c.id, tables.instances.c.blob_key)).all()
        for instance_id, key in keys:
            path = tmp_path / f"{instance_id}.dcm"
            path.write_bytes(outbox.hospital.store.read(key)[132:])
            blob = outbox.hospital.store.put_file(outbox.hospital.institution_id, path)
            its_row = tables.instances.c.id == instance_id
            connection.execute(update(tables.instances).where(its_row).values(blob_key=blob.key))
    with archive(tmp_path / "archive", port):
        assert outbox.deliver() == 3
    assert outbox.states() == {"delivered"}


def test_a_connection_check_ends_in_a_sentence(outbox: Outbox, tmp_path: Path, port: int) -> None:
    database, owner = outbox.hospital.database, outbox.hospital.institution_id
    peer = outbox.rows()[0]["peer_id"]
    with database.begin() as connection:
        away = request_check(connection, peer)
    assert check_connections(database, TlsFiles(), PeerSecrets(folder=Path("nowhere"))) == 1
    with archive(tmp_path / "archive", port):
        with database.begin() as connection:
            there = request_check(connection, peer)
        assert check_connections(database, TlsFiles(), PeerSecrets(folder=Path("nowhere"))) == 1
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

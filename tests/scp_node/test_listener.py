"""The listener, as dcmtk and other senders meet it."""

import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from pynetdicom.pdu_primitives import A_ASSOCIATE
from sqlalchemy import select, text

from pipeline.database import Database
from pipeline.records import tables
from scp_node import listener
from scp_node.status import StoreStatus
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.scp_node.senders import associate, send, send_half, store_request, takes_connections, vanish, wait_until

Program = Callable[[str], Path]


def storescu(dcmtk: Program, port: int, *files: Path, calling: str = "MODALITY", called: str = "BONECRAFT"):
    command = [dcmtk("storescu"), "-R", "-aet", calling, "-aec", called, "127.0.0.1", str(port), *files]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def rows(database: Database, table: str) -> list[dict]:
    with database.begin() as connection:
        return [dict(row) for row in connection.execute(select(tables.metadata.tables[table])).mappings()]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full for this process after so many bytes of a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_acknowledged_is_on_disk_and_in_the_records(
    running: RunningListener, dcmtk: Program, database: Database, tmp_path: Path
) -> None:
    dataset = make_dx()
    sent = storescu(dcmtk, running.port, save(dataset, tmp_path / "ap.dcm"))
    assert sent.returncode == 0, sent.stderr
    (instance,) = rows(database, "instances")
    assert instance["sop_instance_uid"] == dataset.SOPInstanceUID
    assert (instance["role"], instance["calling_ae_title"]) == ("radiograph", "MODALITY")
    assert len(running.store.read(instance["blob_key"])) == instance["size"]
    assert list(running.incoming.iterdir()) == []


def test_the_same_image_again_is_a_success_and_changes_nothing(
    running: RunningListener, dcmtk: Program, database: Database, tmp_path: Path
) -> None:
    file = save(make_dx(), tmp_path / "ap.dcm")
    assert storescu(dcmtk, running.port, file, file).returncode == 0
    assert storescu(dcmtk, running.port, file).returncode == 0
    (instance,) = rows(database, "instances")
    assert len(running.store.read(instance["blob_key"])) == instance["size"]
    assert list(running.incoming.iterdir()) == []


def test_what_is_no_radiograph_is_stored_and_marked_out_of_scope(
    running: RunningListener, dcmtk: Program, database: Database
) -> None:
    sent = storescu(dcmtk, running.port, Path(get_testdata_file("CT_small.dcm")))
    assert sent.returncode == 0, sent.stderr
    (instance,) = rows(database, "instances")
    assert instance["role"] == "out-of-scope"


def test_c_echo_is_answered(running: RunningListener, dcmtk: Program) -> None:
    command = [dcmtk("echoscu"), "-aet", "PACS", "-aec", "BONECRAFT", "127.0.0.1", str(running.port)]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("titles", "rejection"),
    [
        ({"called": "OTHER"}, "Called AE Title Not Recognized"),
        ({"calling": "STRANGER"}, "Calling AE Title Not Recognized"),
    ],
)
def test_a_wrong_ae_title_is_rejected_by_its_name(
    running: RunningListener, dcmtk: Program, tmp_path: Path, titles: dict[str, str], rejection: str
) -> None:
    sent = storescu(dcmtk, running.port, save(make_dx(), tmp_path / "ap.dcm"), **titles)
    assert sent.returncode != 0
    assert rejection in sent.stderr


def test_nobody_is_let_in_where_the_records_cannot_say_who_it_is(running: RunningListener, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE peers RENAME TO misplaced"))
    caller = associate(running.port, make_dx())
    assert caller.is_rejected
    answer = caller.acceptor.primitive
    assert isinstance(answer, A_ASSOCIATE)
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 1)


def test_a_stranger_is_rejected_where_that_cannot_be_written_down(running: RunningListener, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE rejected_attempts RENAME TO misplaced"))
    assert associate(running.port, make_dx(), calling="STRANGER").is_rejected


def test_a_peer_that_may_not_send_is_told_so(running: RunningListener, database: Database) -> None:
    dataset = make_dx()
    sender = associate(running.port, dataset, calling="PACS")
    assert sender.send_c_store(dataset).Status == StoreStatus.NOT_AUTHORIZED
    sender.release()
    assert rows(database, "instances") == []


def test_a_dataset_that_is_not_what_the_command_says_goes_to_quarantine(
    running: RunningListener, database: Database
) -> None:
    dataset = make_dx()
    sender = associate(running.port, dataset)
    status = send(sender, store_request(dataset, sop_instance_uid=generate_uid()))
    sender.release()
    assert status == StoreStatus.DOES_NOT_MATCH_SOP_CLASS
    (kept,) = rows(database, "quarantine")
    assert kept["problem"] == "identity-mismatch"
    assert "SOPInstanceUID" in kept["reason"]
    assert rows(database, "instances") == []


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # as the node's own processes do
def test_a_dataset_that_cannot_be_parsed_goes_to_quarantine(running: RunningListener, database: Database) -> None:
    dataset = make_dx()
    sender = associate(running.port, dataset)
    garbage = b"\x08\x00\x16\x00UI\xff\xff" + b"nonsense" * 40
    status = send(sender, store_request(dataset, encoded=garbage))
    sender.release()
    assert status == StoreStatus.CANNOT_UNDERSTAND
    (kept,) = rows(database, "quarantine")
    assert kept["problem"] == "unreadable"
    assert kept["size"] > 320


def test_below_the_minimum_of_free_space_nothing_is_taken(
    start_listener: Callable[..., RunningListener], database: Database
) -> None:
    full = start_listener(minimum_free_megabytes=10**12)
    dataset = make_dx()
    sender = associate(full.port, dataset)
    assert sender.send_c_store(dataset).Status == StoreStatus.OUT_OF_RESOURCES
    sender.release()
    assert rows(database, "instances") == []
    assert list(full.incoming.iterdir()) == []


def test_more_associations_than_allowed_are_rejected_for_the_moment(
    start_listener: Callable[..., RunningListener],
) -> None:
    small = start_listener(maximum_associations=1)
    first = associate(small.port, make_dx())
    assert first.is_established
    second = associate(small.port, make_dx())
    assert second.is_rejected
    answer = second.acceptor.primitive
    assert isinstance(answer, A_ASSOCIATE)
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    first.release()


def test_health_checks_that_connect_and_hang_up_take_nobodys_place(
    start_listener: Callable[..., RunningListener], dcmtk: Program, tmp_path: Path
) -> None:
    small = start_listener(maximum_associations=2, minimum_free_megabytes=0)
    for _ in range(20):
        socket.create_connection(("127.0.0.1", small.port)).close()
    wait_until(lambda: small.connections == 0)
    assert storescu(dcmtk, small.port, save(make_dx(), tmp_path / "ap.dcm")).returncode == 0


def test_a_sender_killed_in_the_middle_leaves_nothing_behind(running: RunningListener, database: Database) -> None:
    dataset = make_dx(rows=1500, columns=1500)
    sender = associate(running.port, dataset)
    send_half(sender, dataset)
    wait_until(lambda: any(file.stat().st_size > 1000 for file in running.incoming.iterdir()))
    vanish(sender)
    wait_until(lambda: list(running.incoming.iterdir()) == [])
    wait_until(lambda: running.connections == 0)
    assert rows(database, "instances") == []


def test_a_full_disk_is_told_to_the_sender(running: RunningListener, database: Database) -> None:
    dataset = make_dx(rows=600, columns=600)
    sender = associate(running.port, dataset)
    with files_no_larger_than(100_000):
        status = sender.send_c_store(dataset).Status
    assert status == StoreStatus.OUT_OF_RESOURCES
    assert sender.send_c_store(dataset).Status == StoreStatus.SUCCESS
    sender.release()
    assert len(rows(database, "instances")) == 1
    assert list(running.incoming.iterdir()) == []


def test_a_listener_that_stops_lets_open_associations_finish(
    start_listener: Callable[..., RunningListener], database: Database
) -> None:
    stopping = start_listener(minimum_free_megabytes=0)
    dataset = make_dx()
    sender = associate(stopping.port, dataset)
    drained = threading.Thread(target=listener.drain, args=[stopping.servers])
    drained.start()
    wait_until(lambda: not takes_connections(stopping.port))
    assert sender.send_c_store(dataset).Status == StoreStatus.SUCCESS
    sender.release()
    drained.join(10)
    assert not drained.is_alive()
    assert len(rows(database, "instances")) == 1

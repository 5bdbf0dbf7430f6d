"""The listener, as dcmtk and other senders meet it."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu_primitives import A_ASSOCIATE
from sqlalchemy import select

from pipeline.database import Database
from pipeline.records import tables
from scp_node.status import StoreStatus
from tests.factories import make_dx, save
from tests.scp_node.conftest import RunningListener

Program = Callable[[str], Path]


def storescu(dcmtk: Program, port: int, *files: Path, calling: str = "MODALITY", called: str = "BONECRAFT"):
    command = [dcmtk("storescu"), "-R", "-aet", calling, "-aec", called, "127.0.0.1", str(port), *files]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def rows(database: Database, table: str) -> list[dict]:
    with database.begin() as connection:
        return [dict(row) for row in connection.execute(select(tables.metadata.tables[table])).mappings()]


def association(port: int, *, sop_class: str, syntax: str, calling: str = "MODALITY", called: str = "BONECRAFT"):
    ae = AE(calling)
    ae.add_requested_context(sop_class, syntax)
    return ae.associate("127.0.0.1", port, ae_title=called)


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
    assert len(rows(database, "instances")) == 1


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


def test_a_peer_that_may_not_send_is_told_so(running: RunningListener, database: Database) -> None:
    dataset = make_dx()
    sender = association(
        running.port, sop_class=dataset.SOPClassUID, syntax=dataset.file_meta.TransferSyntaxUID, calling="PACS"
    )
    assert sender.send_c_store(dataset).Status == StoreStatus.NOT_AUTHORIZED
    sender.release()
    assert rows(database, "instances") == []


def test_a_dataset_that_is_not_what_the_command_says_goes_to_quarantine(
    running: RunningListener, database: Database
) -> None:
    dataset = make_dx()
    sender = association(running.port, sop_class=dataset.SOPClassUID, syntax=dataset.file_meta.TransferSyntaxUID)
    status = _send_under_another_name(sender, dataset)
    sender.release()
    assert status == StoreStatus.DOES_NOT_MATCH_SOP_CLASS
    (kept,) = rows(database, "quarantine")
    assert kept["problem"] == "identity-mismatch"
    assert "SOPInstanceUID" in kept["reason"]
    assert rows(database, "instances") == []


@pytest.mark.filterwarnings("ignore:The value length:UserWarning")  # as the node's own processes do
def test_a_dataset_that_cannot_be_parsed_goes_to_quarantine(running: RunningListener, database: Database) -> None:
    dataset = make_dx()
    sender = association(running.port, sop_class=dataset.SOPClassUID, syntax=dataset.file_meta.TransferSyntaxUID)
    status = _send_bytes(sender, dataset, b"\x08\x00\x16\x00UI\xff\xff" + b"nonsense" * 40)
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
    sender = association(full.port, sop_class=dataset.SOPClassUID, syntax=dataset.file_meta.TransferSyntaxUID)
    assert sender.send_c_store(dataset).Status == StoreStatus.OUT_OF_RESOURCES
    sender.release()
    assert rows(database, "instances") == []
    assert list(full.incoming.iterdir()) == []


def test_more_associations_than_allowed_are_rejected_for_the_moment(
    start_listener: Callable[..., RunningListener],
) -> None:
    small = start_listener(maximum_associations=1)
    verification = {"sop_class": "1.2.840.10008.1.1", "syntax": "1.2.840.10008.1.2"}
    first = association(small.port, **verification)
    assert first.is_established
    second = association(small.port, **verification)
    assert second.is_rejected
    answer = second.acceptor.primitive
    assert isinstance(answer, A_ASSOCIATE)
    assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
    first.release()


def _send_under_another_name(sender, dataset) -> int:
    return _store(sender, dataset, sop_instance_uid=generate_uid())


def _send_bytes(sender, dataset, encoded: bytes) -> int:
    return _store(sender, dataset, encoded=encoded)


def _store(sender, dataset, *, sop_instance_uid: str = "", encoded: bytes | None = None) -> int:
    """C-STORE with a command that the dataset need not agree with."""
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2
    request.AffectedSOPClassUID = dataset.SOPClassUID
    request.AffectedSOPInstanceUID = sop_instance_uid or dataset.SOPInstanceUID
    request.DataSet = BytesIO(encode(dataset, False, True) if encoded is None else encoded)
    sender._reactor_checkpoint.clear()
    sender.dimse.send_msg(request, sender.accepted_contexts[0].context_id)
    _, answer = sender.dimse.get_msg(block=True)
    sender._reactor_checkpoint.set()
    return answer.Status

"""Sending single files: how long an answer is waited for, and in which encoding they leave."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt

from pipeline.results import FileKind
from scp_node.contexts import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE, STORAGE_CLASSES
from scp_node.peer import ANSWER_SECONDS, Target, open_association
from scp_node.sending import SLOWEST_BYTES_PER_SECOND, Fate, OutgoingFile, answer_seconds, proposed, send_files, store
from tests.dicom_write.example import file_of, write
from tests.factories import make_dx, save
from tests.peers import free_port
from tests.scp_node.test_postman import archive


def test_a_large_file_has_the_time_that_a_slow_line_takes(tmp_path: Path) -> None:
    file = OutgoingFile.read(save(make_dx(rows=1000, columns=1000), tmp_path / "large.dcm"))
    size, port = file.path.stat().st_size, free_port()
    target = Target(ae_title="PACS", host="127.0.0.1", port=port)
    with (
        archive(tmp_path / "kept", port),
        open_association(target, calling="BONECRAFT", contexts=proposed([file])) as association,
    ):
        assert store(association, file, target).fate is Fate.STORED
        assert association.dimse_timeout == answer_seconds(size) == ANSWER_SECONDS + size / SLOWEST_BYTES_PER_SECOND


@pytest.fixture(autouse=True)
def datasets_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener of an earlier test may have told pynetdicom to write them to files."""
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)


@contextmanager
def peer(*syntaxes: str) -> Iterator[tuple[Target, list[bytes]]]:
    """One that takes every class in these encodings; and the files that it was sent."""
    received: list[bytes] = []

    def keep(event: evt.Event) -> int:
        received.append(event.encoded_dataset())
        return 0

    ae = AE("PACS")
    for sop_class in STORAGE_CLASSES:
        ae.add_supported_context(sop_class, list(syntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        yield Target(ae_title="PACS", host="127.0.0.1", port=server.server_address[1]), received
    finally:
        server.shutdown()


def content(file: bytes) -> Dataset:
    return dcmread(BytesIO(file))


@pytest.mark.parametrize("kind", [FileKind.SURFACE_SEGMENTATION, FileKind.ENCAPSULATED_STL])
def test_a_mesh_leaves_deflated_where_it_is_taken_so(kind: FileKind, tmp_path: Path) -> None:
    path = file_of(write(tmp_path), tmp_path, kind)
    with peer(EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED) as (target, received):
        (outcome,) = send_files([OutgoingFile.read(path)], target, calling="BONECRAFT")
    assert (outcome.fate, outcome.transfer_syntax_uid) == (Fate.STORED, DEFLATED)
    sent = content(received[0])
    assert sent.file_meta.TransferSyntaxUID == DEFLATED
    assert len(received[0]) < path.stat().st_size
    assert sent == dcmread(path), "another encoding of the same instance"


@pytest.mark.parametrize("taken", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_a_mesh_leaves_as_a_peer_takes_it_that_does_not_inflate(taken: str, tmp_path: Path) -> None:
    path = file_of(write(tmp_path), tmp_path, FileKind.SURFACE_SEGMENTATION)
    with peer(taken) as (target, received):
        (outcome,) = send_files([OutgoingFile.read(path)], target, calling="BONECRAFT")
    assert (outcome.fate, outcome.transfer_syntax_uid) == (Fate.STORED, taken)
    assert content(received[0]).file_meta.TransferSyntaxUID == taken


def test_a_picture_leaves_as_viewers_can_show_it(tmp_path: Path) -> None:
    path = file_of(write(tmp_path), tmp_path, FileKind.SECONDARY_CAPTURE)
    with peer(EXPLICIT_LITTLE, DEFLATED) as (target, _):
        (outcome,) = send_files([OutgoingFile.read(path)], target, calling="BONECRAFT")
    assert outcome.transfer_syntax_uid == EXPLICIT_LITTLE

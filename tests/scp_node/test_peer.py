"""Calling a peer: every failure is a sentence that names what to change where."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage
from pynetdicom import AE, evt

from pipeline.errors import InputError
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from scp_node.echo import echo
from scp_node.peer import ConnectionProblem, Target
from scp_node.sending import OutgoingFile, send_files
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.peers import OrthancPeer, free_port
from tests.scp_node.senders import closing

VERIFICATION = "1.2.840.10008.1.1"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


@contextmanager
def scp(*classes: str, syntaxes: tuple[str, ...] = (EXPLICIT_LITTLE,), status: int = 0) -> Iterator[Target]:
    """A peer that accepts these classes only and answers each C-STORE with `status`."""
    ae = AE("SMALL")
    for sop_class in classes:
        ae.add_supported_context(sop_class, list(syntaxes))
    port = free_port()
    handlers = [(evt.EVT_C_STORE, lambda _: status), *closing()]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield Target(ae_title="SMALL", host="127.0.0.1", port=port)
    finally:
        server.shutdown()


def problem_of_echo(target: Target, *, calling: str = "MODALITY") -> str:
    with pytest.raises(ConnectionProblem) as caught:
        echo(target, calling=calling)
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["PACS", "PACS@host", "PACS@host:0", "PACS@host:99999", "SEVENTEEN_LETTERS@h:1", "@h:1"]
)
def test_what_is_no_peer_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="AE@host:port"):
        Target.parse(text)


def test_a_peer_is_read_as_it_is_written() -> None:
    assert Target.parse("PACS@192.0.2.7:104") == Target(ae_title="PACS", host="192.0.2.7", port=104)
    assert Target.parse("PACS@[::1]:104") == Target(ae_title="PACS", host="::1", port=104)


def test_nobody_there(running: RunningListener) -> None:
    assert "nothing listens" in problem_of_echo(Target(ae_title="PACS", host="127.0.0.1", port=free_port()))
    assert "cannot be resolved" in problem_of_echo(Target(ae_title="PACS", host="no-such-host.invalid", port=104))


def test_rejections_name_the_title_to_correct(running: RunningListener) -> None:
    wrong_called = Target(ae_title="NODE", host="127.0.0.1", port=running.port)
    right = Target(ae_title="BONECRAFT", host="127.0.0.1", port=running.port)
    assert "does not answer to the AE title 'NODE'" in problem_of_echo(wrong_called)
    assert "does not know the caller 'STRANGER'" in problem_of_echo(right, calling="STRANGER")
    assert echo(right, calling="MODALITY") > 0


def test_something_else_than_dicom_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up_twice() -> None:
            for _ in range(2):
                server.accept()[0].close()

        threading.Thread(target=hang_up_twice, daemon=True).start()
        assert "gave no DICOM answer" in problem_of_echo(Target(ae_title="PACS", host="127.0.0.1", port=port))


def test_an_encoding_that_the_peer_does_not_take_is_converted_where_that_loses_nothing(tmp_path: Path) -> None:
    file = OutgoingFile.read(save(make_dx(), tmp_path / "ap.dcm"))
    with scp(DX, syntaxes=(IMPLICIT_LITTLE,)) as target:
        (outcome,) = send_files([file], target, calling="MODALITY")
    assert outcome.problem == ""


@pytest.mark.parametrize(
    ("classes", "status", "words"),
    [
        ((VERIFICATION, DX), 0xA700, "is out of resources: free space there (status 0xA700)"),
        ((VERIFICATION, DX), 0xC000, "cannot understand the dataset"),
        ((VERIFICATION, DX), 0xB007, ""),
    ],
)
def test_the_answer_to_a_file_is_told(tmp_path: Path, classes: tuple[str, ...], status: int, words: str) -> None:
    file = OutgoingFile.read(save(make_dx(), tmp_path / "ap.dcm"))
    with scp(*classes, status=status) as target:
        (outcome,) = send_files([file], target, calling="MODALITY")
    assert words in outcome.problem
    assert bool(words) == bool(outcome.problem)


def test_a_class_that_the_peer_rejects_is_named_and_the_others_are_sent(tmp_path: Path) -> None:
    files = [save(make_dx(), tmp_path / "ap.dcm"), Path(get_testdata_file("CT_small.dcm"))]
    with scp(DX) as target:
        first, second = send_files([OutgoingFile.read(file) for file in files], target, calling="MODALITY")
    assert first.problem == ""
    assert "does not accept CT Image Storage (1.2.840.10008.5.1.4.1.1.2): enable that SOP class" in second.problem


def test_for_a_film_that_a_peer_does_not_take_its_single_frames_are_advised(tmp_path: Path) -> None:
    film = make_dx()
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    files = [save(make_dx(), tmp_path / "ap.dcm"), save(film, tmp_path / "film.dcm")]
    with scp(DX) as target:
        *_, outcome = send_files(map(OutgoingFile.read, files), target, calling="MODALITY")
    assert outcome.problem.endswith("enable that SOP class there, or let a rule send turntable-frames to it")


def test_many_files_of_many_kinds_reach_orthanc(orthanc: OrthancPeer) -> None:
    names = (
        "CT_small.dcm",
        "MR_small.dcm",
        "JPEG2000.dcm",
        "JPGExtended.dcm",
        "MR_small_RLE.dcm",
        "MR_small_implicit.dcm",
    )
    files = [OutgoingFile.read(Path(get_testdata_file(name))) for name in names]
    target = Target(ae_title=orthanc.ae_title, host=orthanc.host, port=orthanc.dicom_port)
    outcomes = list(send_files(files * 25, target, calling="MODALITY"))
    assert [outcome.problem for outcome in outcomes] == [""] * 150


def test_no_dicom_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(InputError, match=r"notes\.txt is not a complete DICOM file"):
        OutgoingFile.read(tmp_path / "notes.txt")

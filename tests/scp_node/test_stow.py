"""Results leave by STOW-RS where the peer has a DICOMweb service: by the same postman, with the same patience."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from sqlalchemy import select, update

from pipeline.records import tables
from tests.node_helpers import Hospital
from tests.peers import OrthancPeer, free_port, running_orthanc
from tests.scp_node.test_postman import Outbox

SURFACE = "1.2.840.10008.5.1.4.1.1.66.5"


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path) -> Outbox:
    """Three results that wait for PACS, at whose DICOM port nobody listens."""
    return Outbox(hospital, tmp_path / "results", free_port())


@pytest.fixture
def archive(orthanc: OrthancPeer) -> Iterator[OrthancPeer]:
    """An Orthanc that holds nothing."""
    orthanc.delete_everything()
    yield orthanc
    orthanc.delete_everything()


def call_by_dicomweb(outbox: Outbox, url: str, **facts: str) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.peers).values(dicomweb_url=url, **facts))


def digests_of_results(outbox: Outbox) -> set[str]:
    with outbox.hospital.database.begin() as connection:
        return set(connection.execute(select(tables.result_files.c.digest)).scalars())


@pytest.mark.orthanc
def test_an_archive_gets_the_very_bytes_and_gives_them_back(outbox: Outbox, archive: OrthancPeer) -> None:
    call_by_dicomweb(outbox, archive.dicomweb_url)
    outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert {row["note"] for row in outbox.rows()} == {""}
    assert outbox.told() == [("delivered", "HTTP 200, read back the same")] * 3
    stored = httpx.get(f"{archive.url}/instances").json()
    files = [httpx.get(f"{archive.url}/instances/{each}/file").content for each in stored]
    assert {hashlib.sha256(file).hexdigest() for file in files} == digests_of_results(outbox)


@pytest.mark.orthanc
def test_an_archive_that_is_away_or_wants_another_password_costs_no_attempt(outbox: Outbox, tmp_path: Path) -> None:
    call_by_dicomweb(outbox, f"http://127.0.0.1:{free_port()}/dicom-web")
    outbox.deliver()
    [outage] = outbox.outages()
    assert "nothing listens at" in outage.problem
    secret = tmp_path / "results" / "demo" / "password"
    secret.parent.mkdir()
    login = {"dicomweb_user": "bonecraft", "dicomweb_password_file": "password"}
    with running_orthanc(tmp_path, AuthenticationEnabled=True, RegisteredUsers={"bonecraft": "right"}) as peer:
        for expected in ("password cannot be read (No such file", "for no login (HTTP 401)"):
            outbox.now = outbox.outages()[0].next_attempt_at
            call_by_dicomweb(outbox, peer.dicomweb_url, **login)
            outbox.deliver()
            assert expected in outbox.outages()[0].problem
            secret.write_text("wrong\n")
        secret.write_text("right\n")
        outbox.now = outbox.outages()[0].next_attempt_at
        outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert {row["attempts"] for row in outbox.rows()} == {1}


@pytest.mark.orthanc
def test_a_wrong_path_is_an_outage_and_kills_no_letter(outbox: Outbox, archive: OrthancPeer) -> None:
    call_by_dicomweb(outbox, archive.url + "/wrong")
    outbox.deliver()
    assert outbox.states() == {"pending"}
    assert "has no such resource: check the path of dicomweb_url here" in outbox.outages()[0].problem


def test_what_still_awaits_a_commitment_when_the_road_changes_counts_as_delivered(outbox: Outbox) -> None:
    call_by_dicomweb(outbox, "http://127.0.0.1/dicom-web")
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(state="sent"))
    outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert all("DICOMweb knows no storage commitment" in row["note"] for row in outbox.rows())


Answer = Callable[[bytes], tuple[int, object] | None]


@contextmanager
def odd_archive(store: Answer, returns: Answer = lambda _: None) -> Iterator[str]:
    """A DICOMweb service that answers what the test says; None: it hangs up."""

    class Odd(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(store(self.rfile.read(int(self.headers["content-length"]))))

        def do_GET(self) -> None:
            self._answer(returns(self.path.encode()))

        def _answer(self, said: tuple[int, object] | None) -> None:
            if said is None:
                self.close_connection = True
                return
            status, plain = said
            self.send_response(status)
            self.send_header("content-type", "application/dicom+json")
            self.end_headers()
            self.wfile.write(json.dumps(plain).encode())

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/dicom-web"
        finally:
            server.shutdown()


def identity_in(request: bytes) -> tuple[str, str]:
    """SOPClassUID and SOPInstanceUID of the instance in a STOW-RS request."""
    file = request.split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
    dataset = dcmread(BytesIO(file), stop_before_pixels=True)
    return dataset.SOPClassUID, dataset.SOPInstanceUID


def refused(request: bytes, reason: int) -> tuple[int, object]:
    """PS3.18 10.5.3.2: nothing was stored, and why."""
    sop_class, instance = identity_in(request)
    item = {
        "00081150": {"vr": "UI", "Value": [sop_class]},
        "00081155": {"vr": "UI", "Value": [instance]},
        "00081197": {"vr": "US", "Value": [reason]},
    }
    return 409, {"00081198": {"vr": "SQ", "Value": [item]}}


def test_a_kind_of_object_that_is_not_taken_is_told_and_the_rest_goes_on(outbox: Outbox) -> None:
    def store(request: bytes) -> tuple[int, object]:
        return refused(request, 0x0122 if identity_in(request)[0] == SURFACE else 0xA700)

    with odd_archive(store) as url:
        call_by_dicomweb(outbox, url)
        outbox.deliver()
    rows = sorted(outbox.rows(), key=lambda row: row["state"])
    assert [row["state"] for row in rows] == ["not-accepted", "pending", "pending"]
    assert (
        "does not store Surface Segmentation Storage: enable that SOP class there (status 0x0122)" in rows[0]["problem"]
    )
    assert "is out of resources: free space there (status 0xA700)" in rows[1]["problem"]
    assert outbox.outages() == ()


def test_what_is_not_given_back_was_not_delivered(outbox: Outbox) -> None:
    with odd_archive(lambda _: (200, {}), lambda _: (404, [])) as url:
        call_by_dicomweb(outbox, url)
        outbox.deliver()
    assert outbox.states() == {"pending"}
    assert all("does not give it back" in row["problem"] and row["attempts"] == 1 for row in outbox.rows())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_a_peer_in_trouble_cannot_give_back_is_tried_again(outbox: Outbox, status: int) -> None:
    with odd_archive(lambda _: (200, {}), lambda _: (status, [])) as url:
        call_by_dicomweb(outbox, url)
        outbox.deliver()
    assert outbox.states() == {"pending"}
    assert all("could not be read back" in row["problem"] and row["attempts"] == 1 for row in outbox.rows())


@pytest.mark.parametrize("status", [401, 403, 406])
def test_where_nothing_can_be_read_the_answer_counts_and_that_is_noted(outbox: Outbox, status: int) -> None:
    with odd_archive(lambda _: (200, {}), lambda _: (status, [])) as url:
        call_by_dicomweb(outbox, url)
        outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert all("it could not be read back" in row["note"] for row in outbox.rows())


def test_a_file_at_which_the_peer_hangs_up_costs_an_attempt_so_that_it_bars_no_other_for_ever(outbox: Outbox) -> None:
    with odd_archive(lambda _: None) as url:
        call_by_dicomweb(outbox, url)
        outbox.deliver()
    assert sorted(row["attempts"] for row in outbox.rows()) == [0, 0, 1]
    assert "gives no HTTP answer" in outbox.outages()[0].problem

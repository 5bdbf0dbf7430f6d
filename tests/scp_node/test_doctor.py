"""`bonecraft doctor` names what is wrong between the node and an Orthanc in one line, as the documentation shows it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import insert, text, update

from pipeline import checkup
from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.checkup import check_node
from pipeline.clock_discipline import is_kept_in_step
from pipeline.database import Database
from pipeline.embedded_postgres import EmbeddedPostgres
from pipeline.records import tables
from pipeline.result_classes import OPTIONAL_CLASSES, SOP_CLASSES
from pipeline.settings import NodeSettings
from scp_node import web_examination
from scp_node.dicomweb import WebTarget
from scp_node.examination import DELIVERED
from scp_node.trial_picture import make_test_picture
from tests.dicom_write.test_overlays import overlays
from tests.dicom_write.test_refusal import refuse
from tests.listening import RunningListener
from tests.node_fixtures import set_fsync
from tests.peers import OrthancPeer, free_port, running_orthanc

PAGE = Path(__file__).parents[2] / "docs" / "administrators.md"
NOBODY = {f"DicomAlwaysAllow{what}": False for what in ("Echo", "Store", "Find", "Get", "Move")}
WELL = 1 if is_kept_in_step() is False else 0
Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def syncing_postgres(postgres: EmbeddedPostgres) -> Iterator[None]:
    """As a node's own is; that of the tests does not wait for the disk."""
    set_fsync(postgres, "on")
    yield
    set_fsync(postgres, "off")


@pytest.fixture
def doctor(running: RunningListener, database_url: str, tmp_path: Path) -> Doctor:
    """Runs the command, for the node of the running listener."""
    settings = {
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "BONECRAFT_DATABASE_URL": database_url,
        "BONECRAFT_DATA_FOLDER": str(tmp_path),
        "BONECRAFT_DICOM_HOST": "127.0.0.1",
        "BONECRAFT_DICOM_PORT": str(running.port),
        "BONECRAFT_MINIMUM_FREE_MEGABYTES": "0",
    }

    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli", "doctor", *map(str, words)]
        return subprocess.run(command, env=settings | more, capture_output=True, text=True, check=False, timeout=120)

    return run


def address(peer: OrthancPeer, ae_title: str = "") -> str:
    return f"{ae_title or peer.ae_title}@{peer.host}:{peer.dicom_port}"


def fixes(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What is to be changed, without the port of this run, and without what the machine of the tests may lack."""
    assert done.stderr == ""
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("FIX")]
    lines = [line for line in lines if not line.startswith("FIX NTP")]
    return [re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:4242", line) for line in lines]


def as_documented(shown: str, *, listener: int, peer: int) -> list[str]:
    """The lines of a run, with the ports and numbers of the documentation."""
    for of_this_run, documented in (
        (f":{listener}", ":11112"),
        (f":{peer}", ":4242"),
        (r"\d+ MB free", "41235 MB free"),
        (r"\d+ files", "6 files"),
    ):
        shown = re.sub(of_this_run, documented, shown)
    return [line for line in shown.splitlines() if " NTP " not in line]


def is_the_one_line_of_the_documentation(done: subprocess.CompletedProcess[str]) -> bool:
    (line,) = fixes(done)
    assert done.returncode == 1
    assert line in PAGE.read_text(), line
    return True


def test_a_peer_that_is_well_gets_a_clean_bill_and_keeps_the_test_picture(doctor: Doctor, orthanc: OrthancPeer) -> None:
    done = doctor(address(orthanc), "--store")
    assert (done.returncode, fixes(done)) == (WELL, []), done.stdout
    for line in ("database", "disk", "models", "listener", "DNS", "TCP", "AE titles", "PDU size", "C-ECHO", "C-STORE"):
        assert f"OK  {line}" in done.stdout
    assert "Surface Segmentation Storage as" in done.stdout
    ids = httpx.post(f"{orthanc.url}/tools/find", json={"Level": "Patient", "Query": {"PatientID": "BONECRAFT-TEST"}})
    assert len(ids.json()) == 1


def test_a_whole_run_reads_as_the_documentation_shows_it(
    doctor: Doctor, orthanc: OrthancPeer, running: RunningListener
) -> None:
    shown = as_documented(doctor(address(orthanc), "--store").stdout, listener=running.port, peer=orthanc.dicom_port)
    _, _, after = PAGE.read_text().partition("$ bonecraft doctor ORTHANC@127.0.0.1:4242 --store\n")
    documented, _, _ = after.partition("```")
    assert shown == [line for line in documented.splitlines() if " NTP " not in line]


def test_a_wrong_called_ae_title(doctor: Doctor, tmp_path: Path) -> None:
    with running_orthanc(tmp_path, ae_title="ARCHIVE", DicomCheckCalledAet=True) as peer:
        assert is_the_one_line_of_the_documentation(doctor(address(peer, "PACS")))


def test_a_caller_that_the_peer_does_not_know(doctor: Doctor, tmp_path: Path) -> None:
    with running_orthanc(tmp_path, ae_title="PACS", **NOBODY) as peer:
        assert is_the_one_line_of_the_documentation(doctor(address(peer)))


def test_a_wrong_port(doctor: Doctor) -> None:
    assert is_the_one_line_of_the_documentation(doctor(f"PACS@127.0.0.1:{free_port()}"))


def test_a_missing_sop_class_or_its_syntaxes(doctor: Doctor, tmp_path: Path) -> None:
    jpeg_alone = ["1.2.840.10008.1.2.4.50"]
    with running_orthanc(tmp_path, ae_title="PACS", AcceptedTransferSyntaxes=jpeg_alone) as peer:
        found = fixes(doctor(address(peer)))
    assert len(found) == len(set(DELIVERED) - OPTIONAL_CLASSES)
    assert all(line in PAGE.read_text() for line in found), found


def test_a_certificate_of_an_unknown_ca(doctor: Doctor, tmp_path: Path) -> None:
    ours, theirs = Pair.named(tmp_path, "node"), Pair.named(tmp_path / "theirs", "pacs")
    issue(make_authority(tmp_path), ours, name="node", hosts=("127.0.0.1",), days=90)
    issue(make_authority(tmp_path / "theirs"), theirs, name="pacs", hosts=("127.0.0.1",), days=90)
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(tmp_path / "ca.pem"),
    }
    trusting = {"BONECRAFT_TLS_TRUSTED_CAS": str(tmp_path / "ca.pem")}
    with running_orthanc(tmp_path, ae_title="PACS", **settings) as peer:
        assert is_the_one_line_of_the_documentation(doctor(address(peer), "--tls", **trusting))


def test_a_known_peer_is_called_by_its_name_and_its_own_calls_are_looked_at(
    doctor: Doctor, database: Database, orthanc: OrthancPeer
) -> None:
    with database.begin() as connection:
        here = {"host": orthanc.host, "port": orthanc.dicom_port, "receives": True, "sends": True}
        is_pacs = tables.peers.c.ae_title == "PACS"
        connection.execute(update(tables.peers).where(is_pacs).values(**here, allow_from=["10.0.0.0/24"]))
        connection.execute(update(tables.peers).where(is_pacs).values(requires_certificate=True))
    findings = json.loads(doctor("PACS", "--json").stdout)
    calls, certificate = [each for each in findings if not each["ok"] and each["check"] == "its calls"]
    assert calls["about"] == certificate["about"] == "demo/PACS"
    assert "from 127.0.0.1 they would be turned away: add that to allow_from here" in calls["sentence"]
    assert "set tls_trusted_cas in node.toml here" in certificate["sentence"]
    assert {each["about"] for each in findings} == {"this node", "its listener", "demo/PACS"}


def add_service(database: Database, institution_id: object, url: str, **facts: object) -> None:
    peer = {"ae_title": "WEBPACS", "host": "127.0.0.1", "port": 104, "receives": True, "dicomweb_url": url, **facts}
    with database.begin() as connection:
        connection.execute(insert(tables.peers).values(institution_id=institution_id, **peer))


def test_a_peer_with_a_dicomweb_service_is_examined_there(
    doctor: Doctor, database: Database, institution_id: object, orthanc: OrthancPeer
) -> None:
    add_service(database, institution_id, orthanc.dicomweb_url)
    done = doctor("WEBPACS", "--store")
    assert "QIDO-RS       a search for studies was answered" in done.stdout
    assert "STOW-RS       a test picture was stored: HTTP 200, read back the same" in done.stdout
    assert "deletion      the test picture was deleted again" in done.stdout
    assert fixes(done) == []


def test_what_bars_the_way_to_a_dicomweb_service_is_one_line(
    doctor: Doctor, database: Database, institution_id: object, orthanc: OrthancPeer, tmp_path: Path
) -> None:
    login = {"dicomweb_user": "bonecraft", "dicomweb_password_file": "password"}
    add_service(database, institution_id, orthanc.url + "/wrong", **login)
    [missing] = fixes(doctor("WEBPACS"))
    assert "credentials" in missing
    assert "put the file 'password' there" in missing
    secret = tmp_path / "peer-secrets" / "demo" / "password"
    secret.parent.mkdir(parents=True)
    secret.write_text("a secret\n")
    done = doctor("WEBPACS")
    [path] = fixes(done)
    assert path.startswith("FIX QIDO-RS")
    assert "check the path of dicomweb_url here" in path
    assert "a secret" not in done.stdout


def test_the_doctors_own_call_is_no_rejected_attempt(doctor: Doctor, database: Database) -> None:
    assert "answers at 127.0.0.1" in doctor().stdout
    with database.begin() as connection:
        assert connection.execute(tables.rejected_attempts.select()).all() == []


def test_who_was_turned_away_is_told_with_the_command_that_admits_it(
    doctor: Doctor, database: Database, orthanc: OrthancPeer
) -> None:
    here = {"host": orthanc.host, "port": orthanc.dicom_port}
    lately, long_ago = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) - timedelta(hours=25)
    with database.begin() as connection:
        connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(**here))
        attempt = {"reason": "address", "sentence": "'PACS' may not call from 10.0.0.9", "address": "10.0.0.9"}
        titles = {"called_ae_title": "BONECRAFT", "calling_ae_title": "PACS"}
        moment = {"first_at": long_ago, "last_at": lately, "times": 3}
        connection.execute(insert(tables.rejected_attempts).values(**attempt, **titles, **moment))
        settled = attempt | titles | moment | {"reason": "tls-handshake", "last_at": long_ago}
        connection.execute(insert(tables.rejected_attempts).values(settled))
    (line,) = fixes(doctor("PACS"))
    assert f"turned away 3 times, last {lately:%Y-%m-%d %H:%M} UTC: 'PACS' may not call from 10.0.0.9" in line
    assert "bonecraft peers admit 1" in line


def test_a_listener_and_a_database_that_are_down_are_told(doctor: Doctor) -> None:
    nobody = {"BONECRAFT_DICOM_PORT": str(free_port()), "BONECRAFT_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}
    database, listener = fixes(doctor(**nobody))
    assert "PostgreSQL does not answer" in database
    assert "start it here with bonecraft serve" in listener


def test_a_database_without_tables_is_told(doctor: Doctor, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    (line,) = fixes(doctor())
    assert "its tables are of another version: restart the node here" in line


def test_a_peer_that_nobody_knows_is_a_wrong_argument(doctor: Doctor) -> None:
    done = doctor("NOBODY")
    assert done.returncode == 2
    assert "no peer 'NOBODY'; there are: demo/MODALITY, demo/PACS" in done.stderr


def test_a_web_services_clock_is_compared_with_ours(orthanc: OrthancPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    target = WebTarget(name="PACS", url=orthanc.dicomweb_url)
    for ahead, ok in ((timedelta(), True), (timedelta(hours=1), False)):
        monkeypatch.setattr(web_examination, "utc_now", lambda ahead=ahead: datetime.now(UTC) + ahead)
        (clock,) = [each for each in web_examination.examine_web(target, store=False) if each.check == "clock"]
        assert clock.ok == ok
    assert "are 3600 s apart: let both follow NTP" in clock.sentence.replace("3599", "3600").replace("3601", "3600")


def test_a_clock_that_nothing_keeps_in_step_is_told(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = NodeSettings(data_folder=tmp_path, database_url=database_url)
    for in_step, told in ((True, [True]), (False, [False]), (None, [])):
        monkeypatch.setattr(checkup, "is_kept_in_step", lambda in_step=in_step: in_step)
        assert [each.ok for each in check_node(settings) if each.check == "NTP"] == told


def test_a_model_that_is_not_the_one_of_the_manifest_is_named(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(
        '[[models]]\nname = "gate"\nversion = "1"\nfile = "gate.onnx"\nsha256 = "00"\nlicence = "x"\n'
        'training_data = "none"\n'
    )
    settings = NodeSettings(data_folder=tmp_path, database_url=database_url, models_folder=tmp_path)
    (model,) = [each for each in check_node(settings) if each.check == "model gate"]
    assert "missing or not the one of the manifest: restore it here" in model.sentence


@pytest.fixture
def known_orthanc(database: Database, running: RunningListener, tmp_path: Path) -> Iterator[OrthancPeer]:
    """An Orthanc that is the node's peer PACS and knows where the node listens."""
    with running_orthanc(tmp_path, ae_title="PACS") as peer:
        with database.begin() as connection:
            here = {"host": peer.host, "port": peer.dicom_port, "receives": True}
            connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(**here))
        peer.add_modality("bonecraft", ae_title="BONECRAFT", port=running.port)
        yield peer


def commitment(done: subprocess.CompletedProcess[str]) -> dict:
    """What was found in the round trip, the last word on commitments."""
    return [each for each in json.loads(done.stdout) if each["check"] == "commitment"][-1]


def test_a_commitment_and_its_report_are_tried(doctor: Doctor, known_orthanc: OrthancPeer, database: Database) -> None:
    for words, said in (((), "its report came in"), (("--store",), "it keeps the test picture, its report came in")):
        found = commitment(doctor("PACS", *words, "--json"))
        assert found["ok"]
        assert said in found["sentence"]
    with database.begin() as connection:
        assert connection.execute(tables.commitments.select()).all() == []


def test_a_peer_that_takes_the_question_but_never_reports_is_told(doctor: Doctor, known_orthanc: OrthancPeer) -> None:
    httpx.delete(f"{known_orthanc.url}/modalities/bonecraft").raise_for_status()
    found = commitment(doctor("PACS", "--json"))
    assert not found["ok"], found
    assert "let it know 'BONECRAFT' with this machine's address and DICOM port" in found["sentence"]


def test_results_are_of_the_classes_that_are_examined(tmp_path: Path) -> None:
    written = (*overlays(tmp_path), *refuse(tmp_path))
    assert {file.kind: file.sop_class_uid for file in written} == SOP_CLASSES


def test_the_test_picture_is_a_whole_secondary_capture(
    dciodvfy_errors: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    make_test_picture().save_as(tmp_path / "picture.dcm", enforce_file_format=True)
    assert dciodvfy_errors(tmp_path / "picture.dcm") == []

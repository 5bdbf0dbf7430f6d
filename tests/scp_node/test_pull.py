"""Images are pulled from archives of others: by C-GET, by C-MOVE to the node's own listener, once each."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select

from pipeline.database import Database
from pipeline.errors import InputError
from pipeline.records import tables
from pipeline.records.directory import named_peer
from pipeline.settings import NodeSettings
from pipeline.store import Store
from scp_node.dicomweb import WebRefusal
from scp_node.incoming import HEAD_BYTES
from scp_node.peer import ConnectionProblem, Target
from scp_node.pull import RADIOGRAPHS, Plan, Pulled, look, pull
from scp_node.pull_command import Outcome, chosen
from scp_node.pull_lines import Line, Lines
from scp_node.pull_web import NotOnePart, only_part
from scp_node.query import ArchiveProblem, FoundImage, FoundStudy, StudyQuestion, Wanted, answers
from scp_node.retrieve import STUDY_ROOT_MOVE, ways_offered
from scp_node.sending import OutgoingFile, send_files
from tests.factories import make_dx, save, stable_uid
from tests.listening import RunningListener
from tests.peers import OrthancPeer, free_port, running_orthanc
from tests.scp_node.archives import running_dcmqrscp

WANTED = Wanted(modalities=RADIOGRAPHS)


@dataclass(frozen=True, kw_only=True)
class Node:
    """The node that pulls: its records, and its peers."""

    database: Database
    institution_id: UUID
    lines: Lines

    def add_peer(self, ae_title: str, port: int, **more: object) -> Line:
        facts = {"ae_title": ae_title, "host": "127.0.0.1", "port": port, "allow_from": ["127.0.0.0/8"], **more}
        with self.database.begin() as connection:
            connection.execute(insert(tables.peers).values(institution_id=self.institution_id, **facts))
            return self.lines.to(named_peer(connection, ae_title))

    def instances(self, study: str) -> list[dict[str, object]]:
        """What the records hold of a study."""
        joined = tables.instances.join(tables.studies)
        mine = tables.studies.c.study_instance_uid == stable_uid(study, "study")
        with self.database.begin() as connection:
            rows = connection.execute(select(tables.instances).select_from(joined).where(mine)).mappings()
            return [dict(row) for row in rows]

    def received(self) -> list[dict[str, object]]:
        """What the ledger says of how they came."""
        query = select(tables.ledger.c.facts).where(tables.ledger.c.event == "received").order_by(tables.ledger.c.id)
        with self.database.begin() as connection:
            return list(connection.execute(query).scalars())


@pytest.fixture
def node(database: Database, store: Store, institution_id: UUID, tmp_path: Path) -> Node:
    settings = NodeSettings(data_folder=tmp_path / "data", dicom_port=11112, minimum_free_megabytes=0)
    lines = Lines(database=database, store=store, settings=settings)
    lines.open()
    return Node(database=database, institution_id=institution_id, lines=lines)


def give(target: Target, folder: Path, study: str, views: Sequence[str] = ("AP", "LATERAL")) -> str:
    """Put radiographs into an archive; gives the StudyInstanceUID."""
    files = [OutgoingFile.read(save(make_dx(study=study, view=view), folder / f"{study}-{view}.dcm")) for view in views]
    assert all(not outcome.problem for outcome in send_files(files, target, calling="BONECRAFT"))
    return stable_uid(study, "study")


def at(orthanc: OrthancPeer) -> Target:
    return Target(ae_title=orthanc.ae_title, host=orthanc.host, port=orthanc.dicom_port)


def pull_study(line: Line, uid: str, wanted: Wanted = WANTED) -> tuple[int, int, int]:
    """Gives what is there, what was here before and what came."""
    plan = look(line.archive, line.intake, uid, wanted)
    pulled = pull(line.archive, line.intake, plan, lambda _done: None)
    return len(plan.images), len(plan.had), len(pulled.fetched)


def test_a_study_comes_from_orthanc_by_c_get_and_says_so(node: Node, orthanc: OrthancPeer, tmp_path: Path) -> None:
    uid = give(at(orthanc), tmp_path, "get from orthanc")
    line = node.add_peer("ORTHANC", orthanc.dicom_port)
    assert pull_study(line, uid) == (2, 0, 2)
    assert {row["role"] for row in node.instances("get from orthanc")} == {"radiograph"}
    assert [(f["calling_ae_title"], f["fetched_by"], f["called_ae_title"]) for f in node.received()] == [
        ("ORTHANC", "C-GET", "BONECRAFT")
    ] * 2
    assert not list(node.lines.folder.iterdir()), "a pulled file was left behind"


def test_what_is_here_is_not_fetched_again(node: Node, orthanc: OrthancPeer, tmp_path: Path) -> None:
    uid = give(at(orthanc), tmp_path, "twice", ["AP"])
    line = node.add_peer("ORTHANC", orthanc.dicom_port)
    pull_study(line, uid)
    give(at(orthanc), tmp_path, "twice", ["LATERAL"])
    assert pull_study(line, uid) == (2, 1, 1)
    assert pull_study(line, uid) == (2, 2, 0)
    assert len(node.received()) == 2


def test_other_modalities_are_left_where_they_are(node: Node, orthanc: OrthancPeer, tmp_path: Path) -> None:
    uid = give(at(orthanc), tmp_path, "other modality")
    line = node.add_peer("ORTHANC", orthanc.dicom_port)
    assert pull_study(line, uid, Wanted(modalities=("MR",))) == (0, 0, 0)
    one = Wanted(modalities=RADIOGRAPHS, series_instance_uid=stable_uid("other modality", "series", "AP", "R"))
    assert pull_study(line, uid, one) == (1, 0, 1)


def test_images_come_compressed_as_the_archive_holds_them(
    node: Node, orthanc: OrthancPeer, tmp_path: Path, dcmtk: Callable[[str], Path]
) -> None:
    plain, compressed = save(make_dx(study="jpeg"), tmp_path / "plain.dcm"), tmp_path / "jpeg.dcm"
    subprocess.run([dcmtk("dcmcjpeg"), plain, compressed], check=True)
    (outcome,) = send_files([OutgoingFile.read(compressed)], at(orthanc), calling="BONECRAFT")
    assert not outcome.problem
    assert pull_study(node.add_peer("ORTHANC", orthanc.dicom_port), stable_uid("jpeg", "study")) == (1, 0, 1)
    (row,) = node.instances("jpeg")
    assert row["transfer_syntax_uid"] == "1.2.840.10008.1.2.4.70"


class TestByMove:
    """An archive without C-GET sends to the node's listener."""

    @pytest.fixture
    def moving(
        self, node: Node, start_listener: Callable[..., RunningListener], tmp_path: Path
    ) -> Iterator[tuple[Line, Target]]:
        running = start_listener(minimum_free_megabytes=0)
        with running_dcmqrscp(tmp_path, "--disable-get", node_port=running.port) as port:
            line = node.add_peer("DCMQRSCP", port, sends=True)
            yield line, Target(ae_title="DCMQRSCP", host="127.0.0.1", port=port)

    def test_the_study_arrives_at_the_listener(self, node: Node, moving: tuple[Line, Target], tmp_path: Path) -> None:
        line, target = moving
        uid = give(target, tmp_path, "move from dcmqrscp")
        assert pull_study(line, uid) == (2, 0, 2)
        assert [(f["calling_ae_title"], f["fetched_by"]) for f in node.received()] == [("DCMQRSCP", "C-MOVE")] * 2

    def test_a_peer_that_may_not_send_is_told_which_setting_lets_it(
        self, node: Node, moving: tuple[Line, Target], tmp_path: Path
    ) -> None:
        _, target = moving
        uid = give(target, tmp_path, "may not send")
        with node.database.begin() as connection:
            connection.execute(tables.peers.update().values(sends=False))
            line = node.lines.to(named_peer(connection, "DCMQRSCP"))
        with pytest.raises(ArchiveProblem, match="bonecraft peers set … --sends"):
            pull_study(line, uid)


def test_a_study_comes_by_command_from_an_orthanc_that_only_moves(
    node: Node,
    start_listener: Callable[..., RunningListener],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It accepts C-GET and hangs up when it is asked for that."""
    listener = start_listener(minimum_free_megabytes=0)
    may = {f"Allow{what}": what != "Get" for what in ("Echo", "Store", "Find", "Get", "Move")}
    known = {"bonecraft": {"AET": "BONECRAFT", "Host": "127.0.0.1", "Port": listener.port, **may}}
    (tmp_path / "orthanc").mkdir()
    with running_orthanc(tmp_path / "orthanc", DicomAlwaysAllowGet=False, DicomModalities=known) as orthanc:
        uid = give(at(orthanc), tmp_path, "move from orthanc")
        node.add_peer("ORTHANC", orthanc.dicom_port, sends=True)
        assert ways_offered(at(orthanc), calling="BONECRAFT") == {STUDY_ROOT_MOVE}
        monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
        monkeypatch.setenv("BONECRAFT_DATA_FOLDER", str(tmp_path))
        monkeypatch.setenv("BONECRAFT_MINIMUM_FREE_MEGABYTES", "0")
        command = [sys.executable, "-P", "-m", "pipeline.cli", "pull", "--study", uid, "--from", "ORTHANC"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{uid}: 2 images, 0 here before, 2 fetched\n")
    assert [(f["calling_ae_title"], f["fetched_by"]) for f in node.received()] == [("ORTHANC", "C-MOVE")] * 2


def test_a_study_comes_from_dcmqrscp_by_c_get(node: Node, tmp_path: Path) -> None:
    with running_dcmqrscp(tmp_path, node_port=free_port()) as port:
        uid = give(Target(ae_title="DCMQRSCP", host="127.0.0.1", port=port), tmp_path, "get from dcmqrscp")
        assert pull_study(node.add_peer("DCMQRSCP", port), uid) == (2, 0, 2)


def test_an_archive_that_cannot_reach_us_is_told_what_it_must_know(node: Node, tmp_path: Path) -> None:
    with running_dcmqrscp(tmp_path, "--disable-get", node_port=free_port()) as port:
        uid = give(Target(ae_title="DCMQRSCP", host="127.0.0.1", port=port), tmp_path, "nobody listens")
        with pytest.raises(ArchiveProblem, match="must know 'BONECRAFT' with this machine's address and port 11112"):
            pull_study(node.add_peer("DCMQRSCP", port, sends=True), uid)


class TestByDicomWeb:
    """A peer with a DICOMweb service is asked by QIDO-RS and WADO-RS."""

    @pytest.fixture
    def line(self, node: Node, orthanc: OrthancPeer) -> Line:
        return node.add_peer("ORTHANC", free_port(), dicomweb_url=orthanc.dicomweb_url)

    def test_a_study_is_found_and_its_very_bytes_come(
        self, node: Node, line: Line, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        uid = give(at(orthanc), tmp_path, "by dicomweb")
        (study,) = line.archive.studies(StudyQuestion(patient_id="ID by dicomweb"))
        assert (study.study_instance_uid, study.modalities) == (uid, ("DX",))
        assert pull_study(line, uid) == (2, 0, 2)
        assert {facts["fetched_by"] for facts in node.received()} == {"WADO-RS"}
        found = httpx.post(
            f"{orthanc.url}/tools/find", json={"Level": "Instance", "Query": {"StudyInstanceUID": uid}}
        ).json()
        files = [httpx.get(f"{orthanc.url}/instances/{each}/file").content for each in found]
        assert {row["digest"] for row in node.instances("by dicomweb")} == {sha256(file).hexdigest() for file in files}

    def test_an_image_that_is_not_given_holds_no_other_up(
        self, node: Node, line: Line, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        uid = give(at(orthanc), tmp_path, "not all given")
        plan = look(line.archive, line.intake, uid, WANTED)
        not_there = replace(plan.images[0], sop_instance_uid="1.2.3.4.5")
        with pytest.raises(WebRefusal, match="HTTP 404"):
            pull(line.archive, line.intake, replace(plan, images=(not_there, *plan.images)), lambda _done: None)
        assert len(node.instances("not all given")) == 2

    def test_what_is_too_large_lies_in_quarantine_with_its_beginning(
        self, node: Node, line: Line, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        large = make_dx(study="too large")
        large.add_new((0x0009, 0x0010), "LO", "SAMPLE")
        large.add_new((0x0009, 0x1001), "OB", bytes(3 << 20))
        (outcome,) = send_files([OutgoingFile.read(save(large, tmp_path / "large.dcm"))], at(orthanc), calling="US")
        assert not outcome.problem
        limited = replace(line, intake=replace(line.intake, maximum_dataset_megabytes=2))
        assert pull_study(limited, stable_uid("too large", "study")) == (1, 0, 0)
        with node.database.begin() as connection:
            row = connection.execute(select(tables.quarantine)).one()
        assert (row.problem, row.size, row.sop_instance_uid) == ("too-large", HEAD_BYTES, str(large.SOPInstanceUID))
        assert not list(node.lines.folder.iterdir()), "a pulled file was left behind"
        again = look(limited.archive, limited.intake, stable_uid("too large", "study"), WANTED)
        assert (len(again.too_large), again.missing) == (1, ())
        said = Outcome(study=FoundStudy(study_instance_uid="1"), plan=again, pulled=Pulled(plan=again))
        assert "1 larger than maximum_dataset_megabytes" in said.sentence()
        assert not said.is_good
        assert pull_study(line, stable_uid("too large", "study")) == (1, 0, 1), "the limit was raised"

    def test_what_is_not_there_and_who_is_away_are_told_apart(self, node: Node, line: Line) -> None:
        assert line.archive.studies(StudyQuestion(study_instance_uid="1.2.3.4.5")) == ()
        away = node.add_peer("AWAY", 104, dicomweb_url=f"http://127.0.0.1:{free_port()}/dicom-web")
        with pytest.raises(ConnectionProblem, match="nothing listens at"):
            away.archive.studies(StudyQuestion(study_instance_uid="1.2.3.4.5"))


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_a_multipart_message_is_taken_apart_to_the_byte(size: int) -> None:
    content = b"DICM\r\n--not the boundary\r\n\r\n" * 100
    message = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"

    def part(message: bytes) -> bytes:
        return b"".join(only_part(message[at : at + size] for at in range(0, len(message), size)))

    assert part(message) == part(b"\r\n" + message) == content
    for other in (
        b"",
        b"<html></html>",
        message.replace(b"application/dicom", b"text/html"),
        message.removesuffix(b"\r\n--b--\r\n"),
    ):
        with pytest.raises(NotOnePart):
            part(other)


def test_studies_are_found_by_patient_and_by_order_and_never_by_wildcards(
    node: Node, orthanc: OrthancPeer, tmp_path: Path
) -> None:
    uid = give(at(orthanc), tmp_path, "found by patient")
    archive = node.add_peer("ORTHANC", orthanc.dicom_port).archive
    (study,) = archive.studies(StudyQuestion(patient_id="ID found by patient"))
    assert (study.study_instance_uid, study.study_date, study.modalities) == (uid, "20260102", ("DX",))
    assert uid in {each.study_instance_uid for each in archive.studies(StudyQuestion(accession_number="A1"))}
    with pytest.raises(InputError, match="wildcard"):
        StudyQuestion(patient_id="ID*")


def test_an_answer_that_was_not_asked_for_is_left_out() -> None:
    study = FoundStudy(study_instance_uid="1.2", patient_id="ID 1", accession_number="A1")
    assert answers(study, StudyQuestion(patient_id="ID 1", accession_number="A1"))
    assert not answers(study, StudyQuestion(patient_id="id 1"))
    assert not answers(study, StudyQuestion(accession_number="A"))
    assert not answers(FoundStudy(study_instance_uid="", patient_id="ID 1"), StudyQuestion(patient_id="ID 1"))


def test_a_series_is_asked_for_at_once_unless_a_part_of_it_is_here() -> None:
    images = tuple(
        FoundImage(study_instance_uid="1", series_instance_uid=series, sop_instance_uid=f"1.{series}.{number}")
        for series in ("2", "3")
        for number in range(3)
    )
    orders = Plan(images=images, had=frozenset({"1.3.0"})).orders
    asked = [(i.QueryRetrieveLevel, i.get("SOPInstanceUID")) for order in orders for i in order.identifiers()]
    assert asked == [("SERIES", None), ("IMAGE", "1.3.1"), ("IMAGE", "1.3.2")]


def test_a_choice_is_numbers_or_all() -> None:
    found = [FoundStudy(study_instance_uid=uid) for uid in "123"]
    assert [study.study_instance_uid for study in chosen("3, 1\n", found)] == ["3", "1"]
    assert chosen("all\n", found) == found
    assert chosen("\n", found) == []
    for wrong in ("4", "0", "first"):
        with pytest.raises(InputError, match="is no choice"):
            chosen(wrong, found)


class TestCommand:
    """`bonecraft pull`, as an administrator types it."""

    @pytest.fixture
    def bonecraft(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., subprocess.CompletedProcess[str]]:
        node.add_peer("ORTHANC", orthanc.dicom_port)
        monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
        monkeypatch.setenv("BONECRAFT_DATA_FOLDER", str(tmp_path / "data"))
        monkeypatch.setenv("BONECRAFT_MINIMUM_FREE_MEGABYTES", "0")

        def call(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-P", "-m", "pipeline.cli", "pull", *arguments]
            return subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
            )

        return call

    def test_looking_comes_before_fetching(
        self,
        bonecraft: Callable[..., subprocess.CompletedProcess[str]],
        node: Node,
        orthanc: OrthancPeer,
        tmp_path: Path,
    ) -> None:
        uid = give(at(orthanc), tmp_path, "by command")
        looked = bonecraft("--from", "ORTHANC", "--study", uid, "--dry-run")
        assert (looked.returncode, looked.stdout) == (0, f"{uid}: 2 images, 0 here before, 2 would be fetched\n")
        assert not node.instances("by command")
        done = bonecraft("--from", "demo/ORTHANC", "--study", uid, "--json")
        (told,) = json.loads(done.stdout)["studies"]
        assert (done.returncode, told["images"], told["fetched"], told["lacking"]) == (0, 2, 2, 0)
        assert "Sample" not in done.stdout
        assert len(node.instances("by command")) == 2

    def test_of_several_studies_one_is_to_be_chosen(
        self,
        bonecraft: Callable[..., subprocess.CompletedProcess[str]],
        node: Node,
        orthanc: OrthancPeer,
        tmp_path: Path,
    ) -> None:
        uids = [give(at(orthanc), tmp_path, each, ["AP"]) for each in ("first of two", "second of two")]
        listed = bonecraft("--from", "ORTHANC", "--accession", "A1")
        assert listed.returncode == 1
        assert all(uid in listed.stdout for uid in uids)
        assert "choose one with --study UID, or all with --all" in listed.stderr
        assert not node.instances("first of two")

    def test_what_went_wrong_is_one_line_and_an_exit_code(
        self, bonecraft: Callable[..., subprocess.CompletedProcess[str]], node: Node
    ) -> None:
        unknown = bonecraft("--from", "NOBODY", "--study", "1.2")
        assert (unknown.returncode, unknown.stderr) == (
            2,
            "bonecraft: no peer 'NOBODY'; there are: demo/ORTHANC\n",
        )
        nothing = bonecraft("--from", "ORTHANC", "--study", "1.2.3.4.5")
        assert (nothing.returncode, nothing.stderr) == (1, "bonecraft: ORTHANC has no such study\n")
        node.add_peer("AWAY", free_port())
        away = bonecraft("--from", "AWAY", "--study", "1.2.3")
        assert away.returncode == 75
        assert "nothing listens at" in away.stderr

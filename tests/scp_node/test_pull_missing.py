"""The node asks peers for views that a study lacks, and for an earlier study; nothing waits for that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import insert, select, update

from pipeline import jobs
from pipeline.records import fetches, tables
from pipeline.settings import NodeSettings
from scp_node.peer import Target
from scp_node.pull_lines import Lines
from scp_node.pull_missing import ASK_AGAIN, PATIENCE, Fetcher, same_name
from scp_node.sending import OutgoingFile, send_files
from tests.factories import make_dx, save, stable_uid
from tests.node_helpers import NOON, Hospital, after
from tests.peers import OrthancPeer, free_port
from tests.scp_node.archives import running_dcmqrscp

SOON = after(15)


@dataclass(frozen=True, kw_only=True)
class Node:
    """The node, at the time that a test says."""

    hospital: Hospital
    fetcher: Fetcher

    def at(self, moment: datetime) -> "Node":
        return replace(self, fetcher=Fetcher(lines=replace(self.fetcher.lines, clock=lambda: moment)))

    def ask(self) -> int:
        """Plan, and ask everybody who is due; gives how many things were asked for."""
        self.fetcher.plan()
        asked = 0
        for peer in self.fetcher.peers_due():
            while self.fetcher.fetch_from(peer):
                asked += 1
        return asked

    def add_peer(self, port: int, *, asked_for: str = "missing-views", ae_title: str = "ORTHANC") -> None:
        facts = {"ae_title": ae_title, "host": "127.0.0.1", "port": port, "asked_for": asked_for}
        with self.hospital.database.begin() as connection:
            connection.execute(insert(tables.peers).values(institution_id=self.hospital.institution_id, **facts))

    def take(self, dataset: Dataset, *, now: datetime = NOON) -> None:
        self.hospital.send_file(save(dataset, self.hospital.folder / "taken.dcm"), now=now)

    def fetches(self) -> list[tuple[str, str, int]]:
        """Purpose, state and images of every fetch."""
        columns = (tables.fetches.c.purpose, tables.fetches.c.state, tables.fetches.c.images)
        with self.hospital.database.begin() as connection:
            rows = connection.execute(select(*columns).order_by(tables.fetches.c.purpose))
            return [tuple(row) for row in rows]

    def studies(self) -> Mapping[str, str]:
        """The state of each study, by its date."""
        with self.hospital.database.begin() as connection:
            rows = connection.execute(select(tables.studies.c.study_date, tables.studies.c.state))
            return {row.study_date: row.state for row in rows}


@pytest.fixture
def node(hospital: Hospital, tmp_path: Path) -> Node:
    settings = NodeSettings(data_folder=tmp_path / "data", minimum_free_megabytes=0)
    lines = Lines(database=hospital.database, store=hospital.store, settings=settings, clock=lambda: SOON)
    lines.open()
    return Node(hospital=hospital, fetcher=Fetcher(lines=lines))


def give(orthanc: OrthancPeer, folder: Path, *datasets: Dataset) -> None:
    give_to(Target(ae_title=orthanc.ae_title, host=orthanc.host, port=orthanc.dicom_port), folder, *datasets)


def give_to(target: Target, folder: Path, *datasets: Dataset) -> None:
    files = [OutgoingFile.read(save(each, folder / f"{number}.dcm")) for number, each in enumerate(datasets)]
    assert all(not outcome.problem for outcome in send_files(files, target, calling="BONECRAFT"))


def view(study: str, view: str = "AP", *, date: str = "", **facts: object) -> Dataset:
    """A radiograph of a patient who has several studies, told apart by their dates."""
    dataset = make_dx(study=f"{study} {date}", view=view)
    dataset.PatientID = f"ID {study}"
    dataset.StudyDate = date or dataset.StudyDate
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    return dataset


class TestMissingViews:
    def test_a_missing_lateral_is_fetched_and_completes_the_study(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        node.add_peer(orthanc.dicom_port)
        give(orthanc, tmp_path, view("lacking"), view("lacking", "LATERAL"))
        node.take(view("lacking"))
        assert node.studies() == {"20260102": "receiving"}
        assert node.ask() == 1
        assert node.fetches() == [("missing-views", "fetched", 1)]
        assert node.studies() == {"20260102": "queued"}
        assert node.at(after(60)).ask() == 0, "a complete study is asked for again"

    def test_nobody_is_asked_about_a_complete_study_or_while_images_come(self, node: Node) -> None:
        node.add_peer(free_port())
        node.take(view("complete"))
        assert node.at(after(5)).ask() == 0
        node.take(view("complete", "LATERAL"))
        assert node.ask() == 0

    def test_nobody_is_asked_who_is_not_set_to_be(self, node: Node, orthanc: OrthancPeer) -> None:
        node.add_peer(orthanc.dicom_port, asked_for="nothing")
        node.take(view("not asked"))
        assert node.ask() == 0

    def test_who_has_nothing_is_asked_again_twice_and_then_no_more(self, node: Node, orthanc: OrthancPeer) -> None:
        node.add_peer(orthanc.dicom_port)
        node.take(view("nowhere"))
        moment = SOON
        assert node.ask() == 1
        for pause in ASK_AGAIN:
            assert node.at(moment + pause / 2).ask() == 0
            moment += pause
            assert node.at(moment).ask() == 1
        assert node.fetches() == [("missing-views", "nothing", 0)]
        assert node.at(moment + timedelta(minutes=30)).ask() == 0

    def test_a_peer_that_is_away_delays_neither_the_study_nor_another_peer(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        node.add_peer(free_port(), ae_title="AWAY")
        node.take(view("away"))
        assert node.ask() == 1
        with node.hospital.database.begin() as connection:
            (line,) = fetches.lines(connection, last=10)
            assert (line.state, line.attempts) == ("pending", 1)
            assert "nothing listens at" in line.problem
            assert jobs.settle_due(connection, now=after(3600)), "the study waits for a peer that is away"
        node.add_peer(orthanc.dicom_port)
        give(orthanc, tmp_path, view("away"), view("away", "LATERAL"))
        assert node.ask() == 1
        assert ("missing-views", "fetched", 1) in node.fetches()

    def test_what_an_archive_does_not_give_keeps_nothing_else_waiting(self, node: Node, tmp_path: Path) -> None:
        """It knows C-MOVE only, and may not send here."""
        with running_dcmqrscp(tmp_path, "--disable-get", node_port=free_port()) as port:
            node.add_peer(port, ae_title="DCMQRSCP")
            for study in ("first", "second"):
                give_to(Target(ae_title="DCMQRSCP", host="127.0.0.1", port=port), tmp_path, view(study, "LATERAL"))
                node.take(view(study))
            assert node.ask() == 2
        with node.hospital.database.begin() as connection:
            assert all("bonecraft peers set" in line.problem for line in fetches.lines(connection, last=10))

    def test_what_could_not_be_asked_for_a_day_is_given_up(self, node: Node) -> None:
        node.add_peer(free_port())
        node.take(view("given up"))
        node.ask()
        assert node.at(SOON + PATIENCE + timedelta(minutes=10)).ask() == 1
        assert node.fetches() == [("missing-views", "given-up", 0)]


class TestPriors:
    def test_an_earlier_study_is_fetched_as_its_own_and_not_reconstructed_unasked(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        node.add_peer(orthanc.dicom_port, asked_for="priors")
        give(
            orthanc,
            tmp_path,
            view("has priors", date="20251001"),
            view("has priors", date="20240501"),
            view("has priors", date="20251101", BodyPartExamined="CHEST"),
            view("has priors", date="20251201", PatientName="Somebody^Else"),
            view("has priors", date="20260601"),
        )
        node.take(view("has priors"))
        node.take(view("has priors", "LATERAL"))
        node.ask()
        assert ("prior", "fetched", 1) in node.fetches()
        assert node.studies() == {"20260102": "queued", "20251001": "receiving"}
        with node.hospital.database.begin() as connection:
            jobs.settle_due(connection, now=after(3600))
            prior = tables.studies.c.study_date == "20251001"
            row = connection.execute(select(tables.studies).where(prior)).one()
        assert (row.state, row.left_out) == (
            "left-out",
            "Left out by the node: it was fetched to compare a newer study with.",
        )
        assert node.at(after(120)).ask() == 0, "a prior of the prior is asked for"
        with node.hospital.database.begin() as connection:
            assert jobs.process_anyway(connection, row.id, who="radiologist@example.org")

    def test_what_is_missing_of_an_earlier_study_that_was_begun_comes_later(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        node.add_peer(orthanc.dicom_port, asked_for="priors")
        give(orthanc, tmp_path, *(view("begun", each, date="20251001") for each in ("AP", "LATERAL")))
        node.take(view("begun"))
        node.fetcher.plan()
        with node.hospital.database.begin() as connection:
            began = stable_uid("begun 20251001", "study")
            connection.execute(update(tables.fetches).values(fetched_study_uid=began))
        node.take(view("begun", date="20251001"))
        node.ask()
        assert ("prior", "fetched", 1) in node.fetches()

    def test_an_earlier_study_of_which_nothing_could_be_fetched_is_processed_when_a_device_sends_it(
        self, node: Node
    ) -> None:
        node.add_peer(free_port(), asked_for="priors")
        node.take(view("named"))
        node.fetcher.plan()
        with node.hospital.database.begin() as connection:
            given_up = {"state": "given-up", "fetched_study_uid": stable_uid("named 20251001", "study")}
            connection.execute(update(tables.fetches).values(finished_at=SOON, **given_up))
        for each in ("AP", "LATERAL"):
            node.take(view("named", each, date="20251001"), now=after(60))
        assert node.studies()["20251001"] == "queued"

    def test_what_a_peer_sends_while_it_is_asked_counts_as_fetched_though_it_does_not_say_so(self, node: Node) -> None:
        node.add_peer(free_port(), asked_for="priors", ae_title="MODALITY")
        node.take(view("moved"))
        node.fetcher.plan()
        with node.hospital.database.begin() as connection:
            named = stable_uid("moved 20251001", "study")
            connection.execute(update(tables.fetches).values(fetched_study_uid=named))
        for each in ("AP", "LATERAL"):
            node.take(view("moved", each, date="20251001"), now=after(60))
        assert node.studies()["20251001"] == "left-out"

    def test_a_patient_id_that_archives_would_take_for_a_pattern_is_given_up_and_not_told(self, node: Node) -> None:
        node.add_peer(free_port(), asked_for="priors")
        named = {"PatientID": "4711?SAMPLE"}
        for each in ("AP", "LATERAL"):
            node.take(view("a pattern", each, **named))
        node.ask()
        with node.hospital.database.begin() as connection:
            (line,) = fetches.lines(connection, last=10)
        assert (line.purpose, line.state) == ("prior", "given-up")
        assert line.problem == "PatientID holds a wildcard (*, ? or \\): give the whole value"

    def test_an_earlier_study_that_is_here_is_not_fetched(
        self, node: Node, orthanc: OrthancPeer, tmp_path: Path
    ) -> None:
        node.take(view("prior is here", date="20251001"), now=NOON - timedelta(days=90))
        node.add_peer(orthanc.dicom_port, asked_for="priors")
        earlier = [view("prior is here", each, date="20251001") for each in ("AP", "LATERAL")]
        give(orthanc, tmp_path, *earlier)
        node.take(view("prior is here"))
        node.ask()
        assert ("prior", "nothing", 0) in node.fetches()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Doe^Jane", "DOE^JANE^^^", True),
        ("Doe^Jane=ドウ^ジェーン", "Doe^Jane", True),
        ("Doe^Jane", "Doe^John", False),
        ("Doe^Jane", "", False),
    ],
)
def test_a_name_is_the_same_however_it_is_written(one: str, other: str, *, same: bool) -> None:
    assert same_name(one, other) is same

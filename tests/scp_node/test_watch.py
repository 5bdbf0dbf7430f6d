"""An Orthanc server is watched: what becomes stable there is taken, once, whoever stops meanwhile."""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select, update

from pipeline.clock import utc_now
from pipeline.database import Database
from pipeline.records import sources, tables
from pipeline.records.sources import SourceLine
from pipeline.settings import NodeSettings
from pipeline.store import Store
from scp_node.watch import OVERDUE, Watcher
from scp_node.watch_feed import Feed, FeedProblem, FeedTarget, NotGiven
from tests.dicom_write.example import write
from tests.factories import make_dx, save, stable_uid
from tests.peers import OrthancPeer, free_port, running_orthanc
from tests.scp_node.senders import wait_until
from tests.scp_node.test_stow import odd_archive


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The node and the source that it watches; looks when it is told to."""

    database: Database
    watcher: Watcher
    source_id: UUID

    def look(self) -> int:
        """As if its time had come; gives how many images were taken."""
        with self.database.begin() as connection:
            connection.execute(update(tables.source_positions).values(next_look_at=utc_now() - timedelta(seconds=1)))
        return self.watcher.watch(self.source_id)

    def is_taken(self, study: str, images: int) -> bool:
        self.look()
        return len(self.uids(study)) == images

    def uids(self, study: str) -> list[str]:
        """What the records hold of a study."""
        joined = tables.instances.join(tables.studies)
        mine = tables.studies.c.study_instance_uid == stable_uid(study, "study")
        with self.database.begin() as connection:
            query = select(tables.instances.c.sop_instance_uid).select_from(joined).where(mine)
            return sorted(connection.execute(query).scalars())

    def line(self) -> SourceLine:
        with self.database.begin() as connection:
            (line,) = sources.lines(connection)
        return line

    def point_at(self, orthanc: OrthancPeer, **more: object) -> None:
        with self.database.begin() as connection:
            connection.execute(update(tables.sources).values(url=orthanc.url, **more))


@pytest.fixture
def watched(database: Database, store: Store, institution_id: UUID, tmp_path: Path) -> Watched:
    settings = NodeSettings(data_folder=tmp_path / "data", minimum_free_megabytes=0)
    folder = tmp_path / "data" / "incoming"
    folder.mkdir(parents=True)
    with database.begin() as connection:
        source_id = connection.execute(
            insert(tables.sources)
            .values(institution_id=institution_id, name="archive", url=f"http://127.0.0.1:{free_port()}")
            .returning(tables.sources.c.id)
        ).scalar_one()
    watcher = Watcher(database=database, store=store, settings=settings, folder=folder)
    return Watched(database=database, watcher=watcher, source_id=source_id)


def give(orthanc: OrthancPeer, folder: Path, study: str, view: str = "AP", **facts: object) -> None:
    dataset = make_dx(study=study, view=view)
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    content = save(dataset, folder / "given.dcm").read_bytes()
    httpx.post(f"{orthanc.url}/instances", content=content).raise_for_status()


def test_a_stable_study_is_taken_once_with_where_it_came_from(
    watched: Watched, orthanc: OrthancPeer, tmp_path: Path
) -> None:
    watched.point_at(orthanc)
    give(orthanc, tmp_path, "before it was watched")
    watched.look()
    for view in ("AP", "LATERAL"):
        give(orthanc, tmp_path, "stable", view)
    give(orthanc, tmp_path, "magnetic", Modality="MR", SOPInstanceUID=stable_uid("magnetic"))
    wait_until(lambda: watched.is_taken("stable", 2))
    assert watched.look() == 0
    assert not watched.uids("magnetic")
    assert watched.line().taken >= 2 + len(watched.uids("before it was watched")), "more where it came in two parts"
    with watched.database.begin() as connection:
        received = tables.ledger.c.event == "received"
        facts = connection.execute(select(tables.ledger.c.facts).where(received).limit(1)).scalar_one()
    assert (facts["calling_ae_title"], facts["fetched_by"]) == ("archive", "Orthanc's REST API")


def test_what_was_there_before_is_taken_where_that_is_set(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "orthanc").mkdir()
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        give(orthanc, tmp_path, "old")
        wait_until(lambda: is_stable(orthanc, "old"))
        watched.point_at(orthanc, history=True)
        assert watched.look() == 1


def test_our_own_results_are_left_there(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "orthanc").mkdir()
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        watched.point_at(orthanc)
        watched.look()
        (tmp_path / "results").mkdir()
        for file in write(tmp_path / "results"):
            content = (tmp_path / "results" / file.path).read_bytes()
            httpx.post(f"{orthanc.url}/instances", content=content).raise_for_status()
        wait_until(lambda: is_stable(orthanc, "a study"))
        assert watched.look() == 0


def test_an_image_that_the_server_cannot_give_keeps_no_other_and_is_asked_for_again(
    watched: Watched, tmp_path: Path
) -> None:
    (tmp_path / "orthanc").mkdir()
    with running_orthanc(tmp_path / "orthanc", StorageCompression=True, MaximumStorageCacheSize=0) as orthanc:
        watched.point_at(orthanc)
        watched.look()
        give(orthanc, tmp_path, "damaged")
        damaged, whole = damage_the_image(tmp_path / "orthanc" / "storage")
        give(orthanc, tmp_path, "damaged", "LATERAL")
        wait_until(lambda: is_stable(orthanc, "damaged"))
        give(orthanc, tmp_path, "after it")
        wait_until(lambda: is_stable(orthanc, "after it"))
        assert watched.look() == 2
        assert [len(watched.uids(study)) for study in ("damaged", "after it")] == [1, 1]
        assert (watched.line().waiting, watched.line().problem) == (1, "")
        damaged.write_bytes(whole)
        assert watched.look() == 0, "it is asked for at every look"
        later = utc_now() + OVERDUE
        assert replace(watched, watcher=replace(watched.watcher, clock=lambda: later)).look() == 1
    assert watched.line().waiting == 0


def test_an_image_that_is_too_large_is_fetched_once(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "orthanc").mkdir()
    settings = NodeSettings(data_folder=tmp_path / "data", minimum_free_megabytes=0, maximum_dataset_megabytes=1)
    limited = replace(watched, watcher=replace(watched.watcher, settings=settings))
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        limited.point_at(orthanc, history=True)
        give(orthanc, tmp_path, "large", PixelData=bytes(2_000_000), Rows=1000, Columns=1000)
        wait_until(lambda: is_stable(orthanc, "large"))
        limited.look()
        with watched.database.begin() as connection:
            connection.execute(update(tables.source_positions).values(last_change=0))
        limited.look()
    with watched.database.begin() as connection:
        row = connection.execute(select(tables.quarantine)).one()
    assert (row.sop_instance_uid, row.problem, row.times) == (
        str(make_dx(study="large").SOPInstanceUID),
        "too-large",
        1,
    )


def damage_the_image(storage: Path) -> tuple[Path, bytes]:
    """Spoil what Orthanc has compressed, so that nobody can unpack it; gives the file, and what was in it."""
    file = max(storage.glob("??/??/*"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    file.write_bytes(whole[:8] + bytes(len(whole) - 8))
    return file, whole


class TestAcrossRestarts:
    """An Orthanc that goes away, comes back, and forgets."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "orthanc").mkdir()
        return tmp_path / "orthanc"

    def test_what_it_holds_when_it_is_back_is_taken(self, watched: Watched, folder: Path, tmp_path: Path) -> None:
        with running_orthanc(folder) as orthanc:
            watched.point_at(orthanc)
            watched.look()
            give(orthanc, tmp_path, "while it was not watched")
            wait_until(lambda: is_stable(orthanc, "while it was not watched"))
        assert watched.look() == 0
        line = watched.line()
        assert line.failures == 1
        assert line.down_since is not None
        assert "no connection to archive at http://127.0.0.1" in line.problem
        with running_orthanc(folder) as orthanc:
            watched.point_at(orthanc)
            assert watched.look() == 1
        assert (watched.line().problem, watched.line().down_since) == ("", None)

    def test_a_study_that_was_coming_when_it_stopped_is_not_forgotten(
        self, watched: Watched, folder: Path, tmp_path: Path
    ) -> None:
        with running_orthanc(folder, StableAge=600) as orthanc:
            watched.point_at(orthanc)
            watched.look()
            give(orthanc, tmp_path, "interrupted")
            watched.look()
            assert watched.line().waiting == 1
        with running_orthanc(folder) as orthanc:
            watched.point_at(orthanc)
            assert watched.look() == 0, "Orthanc says nothing of it"
            later = utc_now() + OVERDUE
            overdue = replace(watched, watcher=replace(watched.watcher, clock=lambda: later))
            assert overdue.look() == 1
        assert watched.line().waiting == 0

    def test_an_emptied_log_hides_nothing_that_comes_after(
        self, watched: Watched, folder: Path, tmp_path: Path
    ) -> None:
        with running_orthanc(folder) as orthanc:
            watched.point_at(orthanc)
            give(orthanc, tmp_path, "first")
            watched.look()
            httpx.delete(f"{orthanc.url}/changes").raise_for_status()
            give(orthanc, tmp_path, "second")
            wait_until(lambda: watched.is_taken("second", 1))

    @pytest.mark.parametrize("studies", [1, 3], ids=["a shorter log", "a log that is as long again"])
    def test_another_server_at_the_address_is_read_from_its_beginning(
        self, watched: Watched, folder: Path, tmp_path: Path, studies: int
    ) -> None:
        with running_orthanc(folder) as orthanc:
            watched.point_at(orthanc)
            for study in ("one", "two"):
                give(orthanc, tmp_path, study)
            wait_until(lambda: is_stable(orthanc, "two"))
            watched.look()
        (tmp_path / "reinstalled").mkdir()
        with running_orthanc(tmp_path / "reinstalled") as orthanc:
            watched.point_at(orthanc)
            names = [f"anew {number}" for number in range(studies)]
            for study in names:
                give(orthanc, tmp_path, study)
            for study in names:
                wait_until(lambda study=study: is_stable(orthanc, study))
            assert watched.look() == studies


def is_stable(orthanc: OrthancPeer, study: str) -> bool:
    """Whether Orthanc has called the study stable, and so written that into its log."""
    found = httpx.post(
        f"{orthanc.url}/tools/find",
        json={"Level": "Study", "Query": {"StudyInstanceUID": stable_uid(study, "study")}, "Expand": True},
    ).json()
    changes = httpx.get(f"{orthanc.url}/changes?limit=1000").json()["Changes"]
    stable = {change["ID"] for change in changes if change["ChangeType"] == "StableStudy"}
    return any(each["ID"] in stable for each in found)


def test_a_wrong_password_is_named_and_a_right_one_lets_in(watched: Watched, tmp_path: Path) -> None:
    password = tmp_path / "data" / "peer-secrets" / "demo" / "archive-password"
    password.parent.mkdir(parents=True)
    password.write_text("mistyped\n")
    (tmp_path / "orthanc").mkdir()
    locked = {"AuthenticationEnabled": True, "RegisteredUsers": {"bonecraft": "secret"}}
    with running_orthanc(tmp_path / "orthanc", **locked) as orthanc:
        watched.point_at(orthanc, user_name="bonecraft", password_file=password.name)
        watched.look()
        assert "does not let in the user 'bonecraft' with this password" in watched.line().problem
        assert "mistyped" not in watched.line().problem
        password.write_text("secret\n")
        watched.look()
        assert watched.line().problem == ""


def test_what_is_no_orthanc_is_named(watched: Watched, orthanc: OrthancPeer) -> None:
    watched.point_at(replace(orthanc, url=f"{orthanc.url}/app"))
    watched.look()
    assert "url" in watched.line().problem


@pytest.mark.parametrize("answer", [(500, {}), (200, {}), (200, [])], ids=["an error", "no series", "a list"])
def test_what_goes_wrong_with_one_series_concerns_that_series_only(answer: tuple[int, object]) -> None:
    assert isinstance(problem_of_a_series(answer), NotGiven)


def test_a_server_that_is_busy_cannot_be_asked_for_anything() -> None:
    assert not isinstance(problem_of_a_series((504, {})), NotGiven)


def problem_of_a_series(answer: tuple[int, object]) -> FeedProblem:
    """What a server that answers this is said to have failed with."""
    with (
        odd_archive(lambda _: None, lambda _: answer) as url,
        closing(Feed(FeedTarget(name="odd", url=url))) as feed,
        pytest.raises(FeedProblem) as caught,
    ):
        feed.study_of_series("any")
    return caught.value

"""Rules on the road of a study: what is left out and taken up again by hand, whose turn it is, what is sent where."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from pgqueuer.db import PsycopgDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from sqlalchemy import insert, select

from pipeline.dicom_header import read_instance_header
from pipeline.jobs import RECONSTRUCT, enqueue, process_anyway, settle_due
from pipeline.records import admin, deliveries, reconstructions, tables
from pipeline.rules import Priority, Rule
from pipeline.site_values import RulesValue, Subject
from tests.factories import make_dx, save
from tests.node_helpers import NOON, Hospital, after
from tests.test_jobs import jobs_in_queue
from tests.test_records import add_result

NO_HIPS = Rule(name="no-hips", sentence="Another department does hips.", body_part=("HIP",), process=False)


def set_rules(hospital: Hospital, *rules: Rule) -> None:
    value = RulesValue(rules=rules) if rules else None
    with hospital.database.begin() as connection:
        admin.change(connection, Subject.of_rules("demo"), value, who="admin", source="command line")


def send_complete(hospital: Hospital, study: str = "a study") -> UUID | None:
    hospital.send("AP", study=study)
    return hospital.send("LATERAL", study=study).reconstruction_id


class TestLeavingOut:
    def test_a_study_that_a_rule_leaves_out_is_kept_and_says_which_rule(self, hospital: Hospital) -> None:
        set_rules(hospital, NO_HIPS)
        hospital.send("AP")
        complete = hospital.send("LATERAL")
        study = hospital.study(complete)
        assert (study.state, study.radiographs) == ("left-out", 2)
        assert study.left_out == "Left out by rule 'no-hips': Another department does hips."
        assert jobs_in_queue(hospital) == []

    def test_a_lone_view_is_left_out_when_it_has_been_quiet(self, hospital: Hospital) -> None:
        set_rules(hospital, NO_HIPS)
        accepted = hospital.send("AP")
        assert hospital.study(accepted).state == "receiving"
        with hospital.database.begin() as connection:
            assert settle_due(connection, now=after(700)) == ()
        assert hospital.study(accepted).state == "left-out"

    def test_without_the_rule_the_next_study_is_processed(self, hospital: Hospital) -> None:
        set_rules(hospital, NO_HIPS)
        assert send_complete(hospital, "before") is None
        set_rules(hospital)
        assert send_complete(hospital, "after") is not None

    def test_the_rules_of_another_institution_do_not_count(self, hospital: Hospital) -> None:
        set_rules(hospital, NO_HIPS)
        with hospital.database.begin() as connection:
            other = connection.execute(
                insert(tables.institutions).values(slug="other", name="Other").returning(tables.institutions.c.id)
            ).scalar_one()
        assert send_complete(Hospital(hospital.database, hospital.store, other, hospital.folder)) is not None

    def test_somebody_can_have_it_processed_and_what_comes_later_as_well(self, hospital: Hospital) -> None:
        set_rules(hospital, NO_HIPS)
        hospital.send("AP")
        left_out = hospital.send("LATERAL")
        with hospital.database.begin() as connection:
            assert process_anyway(connection, left_out.study_id, who="dr@example.org")
            assert not process_anyway(connection, left_out.study_id, who="dr@example.org")
        study = hospital.study(left_out)
        assert (study.state, study.left_out) == ("queued", "")
        assert len(jobs_in_queue(hospital)) == 1
        for view in ("AP", "LATERAL"):
            hospital.send(view, side="L")
        assert hospital.study(left_out).state == "queued"
        assert len(jobs_in_queue(hospital)) == 2

    def test_a_study_that_no_rule_left_out_is_not_touched(self, hospital: Hospital) -> None:
        waiting = hospital.send("AP")
        with hospital.database.begin() as connection:
            assert not process_anyway(connection, waiting.study_id, who="dr@example.org")
            assert not process_anyway(connection, uuid4(), who="dr@example.org")
        assert hospital.study(waiting).state == "receiving"


class Queue:
    """The workers' queue, with PgQueuer's own order."""

    def __init__(self, hospital: Hospital) -> None:
        self._hospital = hospital

    def add(self, priority: Priority, *, seconds: float) -> str:
        job = uuid4()
        with self._hospital.database.begin() as connection:
            enqueue(connection, job, priority=priority, since=after(seconds))
        return str(job)

    def take(self, count: int = 1) -> list[str]:
        return asyncio.run(self._take(count))

    async def _take(self, count: int) -> list[str]:
        url = self._hospital.database.libpq_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            queries = Queries(PsycopgDriver(connection))
            taken = await queries.dequeue(
                batch_size=count,
                entrypoints={RECONSTRUCT: EntrypointExecutionParameter(concurrency_limit=0)},
                queue_manager_id=uuid4(),
                global_concurrency_limit=None,
                heartbeat_timeout=timedelta(hours=1),
            )
        return [(job.payload or b"").decode() for job in taken]


class TestTurns:
    @pytest.fixture
    def queue(self, hospital: Hospital) -> Queue:
        return Queue(hospital)

    def test_the_urgent_go_first_and_equals_in_the_order_they_came(self, queue: Queue) -> None:
        wanted = {
            name: queue.add(priority, seconds=seconds)
            for name, priority, seconds in (
                ("low", Priority.LOW, 0),
                ("routine", Priority.ROUTINE, 1),
                ("routine, later", Priority.ROUTINE, 2),
                ("high", Priority.HIGH, 3),
                ("stat", Priority.STAT, 4),
            )
        }
        order = ("stat", "high", "routine", "routine, later", "low")
        assert queue.take(5) == [wanted[name] for name in order]

    def test_a_routine_job_has_its_turn_under_an_endless_stream_of_urgent_ones(self, queue: Queue) -> None:
        routine = queue.add(Priority.ROUTINE, seconds=0)
        turns = []
        for minutes in range(1, 200):  # each urgent job that is done is followed by the next one
            queue.add(Priority.STAT, seconds=60 * minutes)
            turns += queue.take()
            if routine in turns:
                break
        assert turns.index(routine) == 59, "59 urgent ones went first, until it had waited an hour"

    def test_a_study_is_as_urgent_as_its_sender_says(self, hospital: Hospital, queue: Queue) -> None:
        routine = send_complete(hospital, "routine")
        for view in ("AP", "LATERAL"):
            urgent_view = make_dx(study="urgent", view=view)
            urgent_view.RequestedProcedurePriority = "STAT"
            sent = hospital.send_file(save(urgent_view, hospital.folder / f"urgent-{view}.dcm"))
        assert queue.take(2) == [str(sent.reconstruction_id), str(routine)]
        with hospital.database.begin() as connection:
            [reconstruction] = reconstructions.of_study(connection, sent.study_id)
        assert reconstruction.priority == "stat"

    def test_a_study_is_as_urgent_as_a_rule_says(self, hospital: Hospital, queue: Queue) -> None:
        before = send_complete(hospital, "before")
        set_rules(hospital, Rule(name="modality", calling_ae_title=("MODAL*",), priority=Priority.HIGH))
        after_it = send_complete(hospital, "after")
        assert queue.take(2) == [str(after_it), str(before)]


class TestSending:
    @pytest.fixture
    def two_peers(self, hospital: Hospital) -> Hospital:
        with hospital.database.begin() as connection:
            owner = {"institution_id": hospital.institution_id, "host": "127.0.0.1", "port": 104, "receives": True}
            connection.execute(insert(tables.peers), [{"ae_title": title, **owner} for title in ("PACS", "PACS2")])
        return hospital

    @staticmethod
    def plan(hospital: Hospital) -> list[tuple[str, str, str]]:
        hospital.send("AP")
        complete = hospital.send("LATERAL")
        result_set = add_result(hospital, complete.study_id, complete.reconstruction_id)
        with hospital.database.begin() as connection:
            deliveries.plan(connection, result_set_id=result_set)
            columns = (tables.peers.c.ae_title, tables.deliveries.c.state, tables.deliveries.c.note)
            query = select(*columns).join_from(tables.deliveries, tables.peers).order_by(tables.peers.c.ae_title)
            return [tuple(row) for row in connection.execute(query)]

    def test_what_a_rule_keeps_from_a_peer_is_not_sent_and_says_why(self, two_peers: Hospital) -> None:
        set_rules(two_peers, Rule(name="pictures-only", send={"PACS2": ("secondary-capture",)}))
        assert self.plan(two_peers) == [
            ("PACS", "pending", ""),
            ("PACS2", "left-out", "rule 'pictures-only'"),
        ]
        with two_peers.database.begin() as connection:
            assert [due.peer_ae_title for due in deliveries.claim_due(connection, now=after(1e9))] == ["PACS"]

    def test_a_rule_for_other_studies_keeps_nothing(self, two_peers: Hospital) -> None:
        set_rules(two_peers, Rule(name="feet", body_part=("FOOT",), send={"PACS2": ()}))
        assert [state for _, state, _ in self.plan(two_peers)] == ["pending", "pending"]

    def test_somebody_can_have_it_sent_all_the_same(self, two_peers: Hospital) -> None:
        set_rules(two_peers, Rule(name="nothing", send={"PACS2": ()}))
        self.plan(two_peers)
        with two_peers.database.begin() as connection:
            left_out = select(tables.deliveries.c.id).where(tables.deliveries.c.state == "left-out")
            assert deliveries.resend(connection, connection.execute(left_out).scalar_one(), now=NOON)
            assert len(deliveries.claim_due(connection, now=after(1e9))) == 2


def test_the_header_tells_what_rules_look_at_and_no_names(tmp_path: Path) -> None:
    dataset = make_dx()
    dataset.SeriesDescription, dataset.ProtocolName = "Hip ap", "HIP AP 2"
    dataset.StationName = "ROOM3"
    dataset.PatientAge = "007M"
    dataset.StudyPriorityID = "HIGH"
    facts = read_instance_header(save(dataset, tmp_path / "a.dcm")).facts
    assert facts["descriptions"] == ["Hip, two views", "Hip ap", "HIP AP 2"]
    assert (facts["station_name"], facts["requested_priority"]) == ("ROOM3", "HIGH")
    assert facts["age_years"] == pytest.approx(7 / 12)
    assert "Sample" not in str(facts)

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text, update

from pipeline.jobs import rerun, settle_due
from pipeline.records import admin, associations, reconstructions, tables
from pipeline.records.associations import FORGOTTEN_AFTER, OpenAssociation
from pipeline.records.studies import lock_due
from pipeline.site_values import Subject
from tests.node_helpers import NOON, Hospital, after


def jobs_in_queue(hospital: Hospital) -> list[str]:
    with hospital.database.begin() as connection:
        rows = connection.execute(text("SELECT convert_from(payload, 'UTF8') FROM pgqueuer ORDER BY id"))
        return list(rows.scalars())


def settle(hospital: Hospital, seconds: float) -> tuple[object, ...]:
    with hospital.database.begin() as connection:
        return settle_due(connection, now=after(seconds))


def test_the_view_that_completes_a_study_queues_it_at_once(hospital: Hospital) -> None:
    assert hospital.send("AP").reconstruction_id is None
    complete = hospital.send("LATERAL")
    assert jobs_in_queue(hospital) == [str(complete.reconstruction_id)]
    assert hospital.study(complete).state == "queued"


def test_a_lone_view_is_queued_when_it_has_been_quiet(hospital: Hospital) -> None:
    accepted = hospital.send("AP")
    assert settle(hospital, 59) == ()
    assert len(settle(hospital, 61)) == 1
    assert settle(hospital, 120) == ()
    assert hospital.study(accepted).state == "queued"


def test_sending_a_study_twice_makes_one_job(hospital: Hospital) -> None:
    for view in ("AP", "LATERAL", "AP", "LATERAL"):
        hospital.send(view)
    assert settle(hospital, 120) == ()
    assert len(jobs_in_queue(hospital)) == 1


def test_a_late_view_makes_a_further_reconstruction_with_all_views(hospital: Hospital) -> None:
    hospital.send("AP")
    settle(hospital, 61)
    late = hospital.send("LATERAL", now=after(600))
    with hospital.database.begin() as connection:
        newest, first = reconstructions.of_study(connection, late.study_id)
    assert newest.id == late.reconstruction_id
    assert (len(first.instance_ids), len(newest.instance_ids)) == (1, 2)


def test_a_job_exists_only_if_the_transaction_that_made_it_commits(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.engine.connect() as connection:
        assert len(settle_due(connection, now=after(61))) == 1
        connection.rollback()
    assert jobs_in_queue(hospital) == []
    assert len(settle(hospital, 61)) == 1


def test_two_processes_that_settle_at_once_make_one_job(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.begin() as one, hospital.database.begin() as other:
        made = [*settle_due(one, now=after(61)), *settle_due(other, now=after(61))]
    assert len(made) == 1
    assert len(jobs_in_queue(hospital)) == 1


def test_only_what_has_ended_can_be_run_again(hospital: Hospital) -> None:
    hospital.send("AP")
    complete = hospital.send("LATERAL")
    with hospital.database.begin() as connection:
        assert not rerun(connection, complete.reconstruction_id)
        queued = reconstructions.lock(connection, complete.reconstruction_id)
        reconstructions.fail(connection, queued, now=after(1), problem="It failed.", traceback="…")
    assert hospital.study(complete).state == "failed"
    with hospital.database.begin() as connection:
        assert rerun(connection, complete.reconstruction_id)
        assert not rerun(connection, complete.reconstruction_id)
        assert not rerun(connection, complete.study_id)
    assert hospital.study(complete).state == "queued"


def test_what_had_to_wait_for_the_studys_lock_is_the_newer_input(hospital: Hospital) -> None:
    accepted = hospital.send("AP")
    with hospital.database.begin() as late:
        late.execute(text("SELECT 1"))
        settle(hospital, 61)
        created = reconstructions.queue(
            late,
            institution_id=hospital.institution_id,
            study_id=accepted.study_id,
            input_digest="of more views",
            instance_ids=[],
        )
        assert reconstructions.newest_id(late, accepted.study_id) == created


def test_a_study_that_has_long_to_wait_keeps_no_other_waiting(hospital: Hospital) -> None:
    with hospital.database.begin() as connection:
        patient = connection.execute(
            insert(tables.institutions)
            .values(slug="patient", name="Patient Hospital", quiet_seconds=86_400)
            .returning(tables.institutions.c.id)
        ).scalar_one()
    Hospital(hospital.database, hospital.store, patient, hospital.folder).send("AP", now=NOON)
    ready = hospital.send("AP", now=after(1))
    with hospital.database.begin() as connection:
        assert lock_due(connection, now=after(60), limit=1) == ()
        [due] = lock_due(connection, now=after(61), limit=1)
    assert due.id == ready.study_id


def test_a_study_says_what_it_waits_for_and_until_when(hospital: Hospital) -> None:
    study = hospital.study(hospital.send("AP"))
    assert (study.waits_for, study.wait_until) == ("a lateral view of the right hip", after(60))
    complete = hospital.study(hospital.send("LATERAL", now=after(10)))
    assert (complete.waits_for, complete.wait_until) == ("", None)


def test_a_view_that_comes_late_waits_from_then_on(hospital: Hospital) -> None:
    hospital.send("AP")
    settle(hospital, 61)
    late = hospital.study(hospital.send("AP", side="L", now=after(3600)))
    assert late.wait_until == after(3660), "not too late already because the first view came an hour ago"


def write_down(hospital: Hospital, listener: UUID, seconds: float, *senders: OpenAssociation) -> None:
    with hospital.database.begin() as connection:
        associations.write_down(connection, listener, senders, now=after(seconds))


def connected(hospital: Hospital, study_id: UUID | None, *, calling: str = "MODALITY") -> OpenAssociation:
    return OpenAssociation(
        id=uuid4(), institution_id=hospital.institution_id, calling_ae_title=calling, study_id=study_id
    )


@pytest.mark.parametrize("is_known", [True, False])
def test_the_timer_does_not_race_a_slow_sender(hospital: Hospital, is_known: bool) -> None:
    accepted = hospital.send("AP")
    listener = uuid4()
    slow = connected(hospital, accepted.study_id if is_known else None)
    for seconds in range(60, 300, 20):
        write_down(hospital, listener, seconds, slow)
        assert settle(hospital, seconds) == ()
    assert hospital.study(accepted).wait_until == after(600)
    write_down(hospital, listener, 300)
    assert len(settle(hospital, 305)) == 1


def test_a_sender_of_something_else_delays_nothing(hospital: Hospital) -> None:
    accepted = hospital.send("AP")
    other = hospital.send("AP", study="another study")
    somebody = connected(hospital, None, calling="ROUTER")
    write_down(hospital, uuid4(), 60, connected(hospital, other.study_id), somebody)
    settle(hospital, 61)
    assert (hospital.study(accepted).state, hospital.study(other).state) == ("queued", "receiving")


def test_the_senders_of_a_listener_that_died_are_forgotten(hospital: Hospital) -> None:
    accepted = hospital.send("AP")
    write_down(hospital, uuid4(), 60, connected(hospital, accepted.study_id))
    assert settle(hospital, 61) == ()
    assert len(settle(hospital, 60 + FORGOTTEN_AFTER.total_seconds() + 1)) == 1


def test_a_shorter_wait_holds_for_what_is_waiting_already(hospital: Hospital) -> None:
    accepted = hospital.send("AP", now=datetime.now(UTC))
    with hospital.database.begin() as connection:
        subject = Subject.of_institution("demo")
        value = subject.value({"name": "Demo", "waits": [{"body_part": "HIP", "quiet_seconds": 0}]})
        admin.change(connection, subject, value, who="a test", source="command line")
    with hospital.database.begin() as connection:
        [created] = settle_due(connection, now=datetime.now(UTC))
    assert hospital.study(accepted).progress.reconstruction_id == created


def test_a_study_that_cannot_be_settled_keeps_no_other_waiting(hospital: Hospital) -> None:
    spoiled, sound = hospital.send("AP", study="spoiled"), hospital.send("AP", study="sound")
    its_image = tables.instances.c.id == spoiled.instance_id
    with hospital.database.begin() as connection:
        connection.execute(update(tables.instances).where(its_image).values(header=[]))
        assert len(settle_due(connection, now=after(600))) == 1
        assert settle_due(connection, now=after(601)) == ()
    assert hospital.study(sound).state == "queued"
    assert hospital.study(spoiled).state == "receiving"

"""A clock that was an hour ahead and is right again makes nobody wait for that hour."""

from datetime import timedelta

from sqlalchemy import text

from pipeline.records.clock_steps import bring_back
from tests.node_helpers import NOON, Hospital, after

HOUR = timedelta(hours=1)


def brought_back(hospital: Hospital) -> int:
    with hospital.database.begin() as connection:
        return bring_back(connection, now=NOON)


def test_a_job_that_was_queued_by_a_clock_ahead_is_due(hospital: Hospital) -> None:
    hospital.send("AP")
    hospital.send("LATERAL")
    with hospital.database.begin() as connection:
        connection.execute(text("UPDATE pgqueuer SET created = now() + interval '1 hour'"))
        connection.execute(text("UPDATE pgqueuer SET execute_after = created"))
    assert brought_back(hospital) == 1
    with hospital.database.begin() as connection:
        assert connection.execute(text("SELECT execute_after <= now() FROM pgqueuer")).scalars().all() == [True]
    assert brought_back(hospital) == 0


def test_a_job_that_waits_for_its_next_attempt_goes_on_waiting(hospital: Hospital) -> None:
    hospital.send("AP")
    hospital.send("LATERAL")
    with hospital.database.begin() as connection:
        connection.execute(text("UPDATE pgqueuer SET execute_after = now() + interval '1 hour'"))
    assert brought_back(hospital) == 0


def test_a_study_that_came_by_a_clock_ahead_waits_from_now_on(hospital: Hospital) -> None:
    accepted = hospital.send("AP", now=NOON + HOUR)
    assert brought_back(hospital) == 1
    with hospital.database.begin() as connection:
        (times,) = connection.execute(text("SELECT last_received_at, waiting_since, look_at FROM studies")).all()
    assert set(times) == {NOON}
    assert hospital.study(accepted).state == "receiving"


def test_a_study_that_was_just_received_is_left_alone(hospital: Hospital) -> None:
    hospital.send("AP", now=after(30))
    assert brought_back(hospital) == 0

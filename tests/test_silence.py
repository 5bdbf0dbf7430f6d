"""Silence: weeks of a department's life, and what is told of them."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, update
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.database import Database
from pipeline.records import ledger, tables
from pipeline.records.arrivals import silent_senders
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.silence import HOUR, Arrivals, Sender, unusual_silence
from tests.node_helpers import Hospital

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 6, 1, tzinfo=BERLIN)
"""A Monday, 00:00 in Berlin: 22:00 UTC of the day before."""


def at(day: int, hour: float, *, week: int = 10) -> datetime:
    """A moment by Berlin's clocks: day 0 is Monday."""
    return (MONDAY + timedelta(weeks=week - 10, days=day)).replace(hour=int(hour), minute=round(hour % 1 * 60))


def working_hours(moment: datetime) -> bool:
    return moment.weekday() < 5 and 8 <= moment.hour < 17


def sender(
    *,
    last: datetime,
    weeks: int = 9,
    an_hour: float = 10,
    works: Callable[[datetime], bool] = working_hours,
    seed: int = 1,
) -> Sender:
    """Weeks of examinations at random moments, two images each, up to `last`."""
    chance = random.Random(seed)
    hours: dict[datetime, Arrivals] = {}
    hour = first = (last - timedelta(weeks=weeks)).astimezone(UTC).replace(minute=0)
    while hour <= last:
        studies = sum(chance.random() < an_hour / 60 for _ in range(60)) if works(hour.astimezone(BERLIN)) else 0
        if studies:
            hours[hour] = Arrivals(images=2 * studies, studies=studies)
        hour += timedelta(hours=1)
    return Sender(first_at=first, last_at=last, hours=hours)


def test_a_sender_that_stopped_is_told_of_within_two_hours() -> None:
    stopped = sender(last=at(2, 9.17))
    assert unusual_silence(stopped, now=at(2, 9.75), zone=BERLIN) is None
    silence = unusual_silence(stopped, now=at(2, 11.17), zone=BERLIN)
    assert silence is not None
    assert silence.since == at(2, 9.17)
    assert silence.since.hour == 9
    assert 14 <= silence.an_hour <= 26
    assert silence.probability < 1e-5


def test_closed_at_night_and_over_the_weekend_is_usual() -> None:
    assert unusual_silence(sender(last=at(2, 16.9)), now=at(3, 8), zone=BERLIN) is None
    assert unusual_silence(sender(last=at(4, 16.9)), now=at(7, 8.2), zone=BERLIN) is None
    assert unusual_silence(sender(last=at(4, 16.9)), now=at(7, 10), zone=BERLIN) is not None


def test_a_rare_sender_is_given_more_time() -> None:
    rare = sender(last=at(1, 9), an_hour=2)
    assert unusual_silence(rare, now=at(1, 12), zone=BERLIN) is None
    assert unusual_silence(rare, now=at(2, 12), zone=BERLIN) is not None


def test_of_a_new_sender_nothing_is_said_for_four_weeks() -> None:
    for weeks, is_told in ((1, False), (3, False), (6, True)):
        silence = unusual_silence(sender(last=at(2, 9), weeks=weeks), now=at(2, 15), zone=BERLIN)
        assert (silence is not None) == is_told


def test_a_sender_that_was_taken_away_is_told_of_for_some_weeks_and_then_no_more() -> None:
    gone = sender(last=at(2, 9))
    assert unusual_silence(gone, now=at(2, 12) + timedelta(weeks=3), zone=BERLIN) is not None
    assert unusual_silence(gone, now=at(2, 12) + timedelta(weeks=6), zone=BERLIN) is None


def test_one_holiday_does_not_change_what_is_usual() -> None:
    holiday = at(2, 0, week=9).date()
    used_to = sender(last=at(2, 9.17), works=lambda moment: working_hours(moment) and moment.date() != holiday)
    assert unusual_silence(used_to, now=at(2, 11.17), zone=BERLIN) is not None


def test_hours_are_those_of_the_place_when_its_clocks_change() -> None:
    # Berlin went to winter time on 2025-10-26: by UTC the first patient now comes an hour later.
    last = datetime(2025, 10, 24, 16, 50, tzinfo=BERLIN)
    opens = datetime(2025, 10, 27, 8, 5, tzinfo=BERLIN)
    busy = sender(last=last, an_hour=30)
    assert unusual_silence(busy, now=opens, zone=BERLIN) is None
    assert unusual_silence(busy, now=opens, zone=UTC) is not None


def test_a_sender_that_works_is_told_of_hardly_ever() -> None:
    told = 0
    for seed in range(40):
        chance = random.Random(seed)
        working = sender(last=at(2, 9), seed=seed)
        pause = timedelta(hours=chance.expovariate(10))
        told += unusual_silence(working, now=working.last_at + pause, zone=BERLIN) is not None
    assert told == 0


@pytest.fixture
def department(hospital: Hospital) -> Hospital:
    """CR1 sent ten studies of two images in each hour of nine weeks, until 09:10 today."""
    now = datetime(2026, 6, 3, 9, 10, tzinfo=UTC)
    entries = [
        NewEntry(
            institution_id=hospital.institution_id,
            event=LedgerEvent.RECEIVED,
            sop_instance_uid="1.2.3",
            facts={"calling_ae_title": "CR1", "called_ae_title": "BONECRAFT", "study": f"1.{study}"},
            recorded_at=now - timedelta(hours=hour, minutes=image),
        )
        for hour in range(9 * 7 * 24)
        for study in range(3)
        for image in range(2)
    ]
    with hospital.database.begin() as connection:
        peer = {"ae_title": "CR1", "host": "10.0.0.21", "port": 104, "sends": True}
        connection.execute(insert(tables.peers).values(institution_id=hospital.institution_id, **peer))
        connection.execute(update(tables.institutions).values(time_zone="UTC"))
        ledger.write(connection, entries)
    return hospital


def told(database: Database, hour: int, minute: int) -> list[str]:
    with database.begin() as connection:
        now = datetime(2026, 6, 3, hour, minute, tzinfo=UTC)
        return [each.sentence for each in silent_senders(connection, now=now)]


def test_silence_is_counted_from_the_ledger_and_told_in_a_sentence(department: Hospital) -> None:
    assert told(department.database, 9, 30) == []
    assert told(department.database, 14, 0) == ["CR1: usually 6 images an hour, none since 09:10"]
    again = NewEntry(
        institution_id=department.institution_id,
        event=LedgerEvent.RECEIVED,
        sop_instance_uid="1.2.4",
        facts={"calling_ae_title": "CR1", "called_ae_title": "BONECRAFT", "study": "1.9"},
        recorded_at=datetime(2026, 6, 3, 13, 58, tzinfo=UTC),
    )
    with department.database.begin() as connection:
        ledger.write(connection, [again])
    assert told(department.database, 14, 0) == []


def test_silence_is_not_told_of_a_peer_where_nobody_wants_to_hear_of_it(department: Hospital) -> None:
    with department.database.begin() as connection:
        connection.execute(update(tables.peers).values(silence_alarm=False))
    assert told(department.database, 14, 0) == []


def test_the_status_tells_who_is_silent(
    department: Hospital, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    shown = CliRunner().invoke(build_app(), ["status"])
    assert "CR1: usually" not in shown.output  # it has been silent for so long that nothing is known of it any more
    with department.database.begin() as connection:
        ago = (datetime.now(UTC) - datetime(2026, 6, 3, 14, tzinfo=UTC)) // HOUR * HOUR
        moved = {"hour": tables.arrivals.c.hour + ago, "last_at": tables.arrivals.c.last_at + ago}
        connection.execute(update(tables.arrivals).values(**moved))
    told = json.loads(CliRunner().invoke(build_app(), ["status", "--json"]).output)["silent_senders"]
    assert [each["peer"] for each in told] == ["CR1"]

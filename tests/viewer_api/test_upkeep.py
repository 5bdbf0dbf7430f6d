"""What an administrator looks after in the viewer: silence, retention, quarantine, of their own institution alone."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update

from pipeline.database import Database
from pipeline.inbox import Incoming, UnreadableDataset, accept
from pipeline.records import tables
from pipeline.records.users import Role
from pipeline.store import Store
from tests.viewer_api.example_study import ExampleStudy
from tests.viewer_api.people import Person

UPKEEP = "/api/administration/upkeep"
WHEN = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def administrator(people: Callable[..., Person]) -> Person:
    return people(Role.ADMIN)


@pytest.fixture
def quarantined(database: Database, web_store: Store, administrator: Person, tmp_path: Path) -> UUID:
    """A file of the administrator's institution that could not be taken in."""
    with database.begin() as connection:
        demo = connection.execute(
            select(tables.institutions.c.id).where(tables.institutions.c.slug == "demo")
        ).scalar_one()
    path = tmp_path / "broken.dcm"
    path.write_bytes(b"no DICOM at all")
    incoming = Incoming(path=path, institution_id=demo, calling_ae_title="CR1", called_ae_title="BONECRAFT")
    with pytest.raises(UnreadableDataset):
        accept(database, web_store, incoming, now=WHEN)
    with database.begin() as connection:
        number: UUID = connection.execute(select(tables.quarantine.c.id)).scalar_one()
    return number


def test_quarantine_is_listed_downloaded_and_removed(
    administrator: Person, quarantined: UUID, database: Database
) -> None:
    (line,) = administrator.get(UPKEEP).json()["quarantine"]
    assert (line["id"], line["sender"], line["size"]) == (str(quarantined), "CR1", 15)
    address = f"{UPKEEP}/quarantine/{quarantined}"
    file = administrator.get(address)
    assert file.content == b"no DICOM at all"
    assert file.headers["content-disposition"].startswith("attachment")
    assert administrator.post(f"{address}/retry").status_code == 422
    assert administrator.client.delete(address).status_code == 204
    assert administrator.get(UPKEEP).json()["quarantine"] == []
    with database.begin() as connection:
        told = connection.execute(select(tables.ledger.c.facts).where(tables.ledger.c.event == "removed")).scalar_one()
    assert told["reason"].startswith("by hand: ")


def test_another_institutions_quarantine_is_nobodys_business(
    administrator: Person, quarantined: UUID, database: Database
) -> None:
    with database.begin() as connection:
        other = connection.execute(
            insert(tables.institutions).values(slug="elsewhere", name="Other").returning(tables.institutions.c.id)
        ).scalar_one()
        connection.execute(update(tables.quarantine).values(institution_id=other))
    assert administrator.get(UPKEEP).json()["quarantine"] == []
    address = f"{UPKEEP}/quarantine/{quarantined}"
    for answer in (
        administrator.get(address),
        administrator.post(f"{address}/retry"),
        administrator.client.delete(address),
    ):
        assert answer.status_code == 422


def test_how_long_what_is_kept_is_set_like_everything_else(administrator: Person) -> None:
    wanted = {"subject": "institution", "value": {"keep_images_days": 30}}
    assert administrator.post("/api/administration/preview", json=wanted).json()["lines"] == [
        "- keep_images_days = 0",
        "+ keep_images_days = 30",
    ]
    assert administrator.post("/api/administration/changes", json=wanted).status_code == 201
    kept = {each["entry"]: each["days"] for each in administrator.get(UPKEEP).json()["retention"]}
    assert kept == {
        "keep_images_days": 30,
        "keep_results_days": 0,
        "keep_replaced_results_days": 0,
        "keep_quarantine_days": 0,
        "keep_rejected_attempts_days": 0,
    }


def test_a_study_whose_images_and_result_are_gone_says_so(
    administrator: Person, example: ExampleStudy, database: Database
) -> None:
    address = f"/api/studies/{example.study_id}"
    assert administrator.get(address).json()["removed"] == {"images_at": None, "results_at": None}
    with database.begin() as connection:
        connection.execute(update(tables.instances).values(removed_at=WHEN))
    shown = administrator.get(address)
    assert shown.status_code == 200
    assert shown.json()["radiographs"] == []
    assert shown.json()["removed"]["images_at"].startswith("2026-01-02T12:00")

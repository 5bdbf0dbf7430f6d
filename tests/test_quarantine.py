"""Quarantine: what is in it can be looked at, written to a file, taken in again and removed."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from pipeline.cli import build_app
from pipeline.errors import InputError
from pipeline.inbox import IdentityMismatch, UnreadableDataset
from pipeline.records import tables
from pipeline.store import StoreUnavailable
from tests.factories import make_dx, save
from tests.node_helpers import NOON, Hospital, after

UID = str(make_dx().SOPInstanceUID)


@pytest.fixture
def bonecraft(hospital: Hospital, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command line, on the test's own database and store."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("BONECRAFT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "240")

    def run(*words: object) -> Result:
        return CliRunner().invoke(build_app(), [str(word) for word in words])

    return run


def quarantined(bonecraft) -> str:
    """The ID of the only one."""
    [line] = json.loads(bonecraft("quarantine", "list", "--json").output)
    return str(line["id"])


@pytest.fixture
def broken(hospital: Hospital, tmp_path: Path) -> bytes:
    """Bytes that came in and are no DICOM."""
    path = tmp_path / "broken.dcm"
    path.write_bytes(b"no DICOM at all")
    with pytest.raises(UnreadableDataset):
        hospital.send_file(path, sop_instance_uid="1.2.3")
    return path.read_bytes()


def test_it_is_shown_and_written_to_a_file(bonecraft, broken: bytes, tmp_path: Path) -> None:
    number = quarantined(bonecraft)
    assert number in bonecraft("quarantine").output
    assert "calling ae title   MODALITY" in bonecraft("quarantine", "show", number).output
    assert "15 bytes" in bonecraft("quarantine", "export", number, "--out", tmp_path / "out").output
    assert (tmp_path / "out").read_bytes() == broken
    assert isinstance(bonecraft("quarantine", "export", number, "--out", tmp_path / "out").exception, InputError)


def test_what_is_sent_again_and_again_is_there_once_with_how_often(
    bonecraft, hospital: Hospital, broken: bytes, tmp_path: Path
) -> None:
    number = quarantined(bonecraft)
    for minute in (1, 2):
        with pytest.raises(UnreadableDataset):
            hospital.send_file(tmp_path / "broken.dcm", sop_instance_uid="1.2.3", now=after(60 * minute))
    [line] = json.loads(bonecraft("quarantine", "list", "--json").output)
    assert (line["id"], line["times"]) == (number, 3)
    assert (line["received_at"], line["last_received_at"]) == (str(NOON), str(after(120)))
    with hospital.database.begin() as connection:
        told = connection.execute(select(tables.ledger.c.event)).scalars().all()
    assert told == ["quarantined"]
    (tmp_path / "broken.dcm").write_bytes(b"other bytes")
    with pytest.raises(UnreadableDataset):
        hospital.send_file(tmp_path / "broken.dcm", sop_instance_uid="1.2.3", now=after(180))
    assert [line["times"] for line in json.loads(bonecraft("quarantine", "list", "--json").output)] == [1, 3]


def test_what_still_cannot_be_read_stays_as_it_is(bonecraft, broken: bytes) -> None:
    number = quarantined(bonecraft)
    assert isinstance(bonecraft("quarantine", "retry", number).exception, UnreadableDataset)
    assert quarantined(bonecraft) == number


def test_what_can_be_read_now_is_taken_in_as_its_sender_sent_it(bonecraft, hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(IdentityMismatch):
        hospital.send_file(save(make_dx(), tmp_path / "x.dcm"), sop_instance_uid="1.2.3")
    with hospital.database.begin() as connection:
        connection.execute(update(tables.quarantine).values(sop_instance_uid=""))  # as of a release that asks for less
    assert "taken in: new, radiograph" in bonecraft("quarantine", "retry", quarantined(bonecraft)).output
    assert "nothing is in quarantine" in bonecraft("quarantine").output
    with hospital.database.begin() as connection:
        row = connection.execute(select(tables.instances)).one()
    assert (row.calling_ae_title, row.called_ae_title, row.received_from) == ("MODALITY", "BONECRAFT", "127.0.0.1")
    assert hospital.store.read(row.blob_key)


def test_of_what_was_too_large_or_uploaded_there_is_nothing_to_take_in(
    bonecraft, hospital: Hospital, broken: bytes
) -> None:
    number = quarantined(bonecraft)
    for change, said in (({"called_ae_title": ""}, "upload it again"), ({"problem": "too-large"}, "first bytes")):
        with hospital.database.begin() as connection:
            connection.execute(update(tables.quarantine).values(**change))
        assert said in str(bonecraft("quarantine", "retry", number).exception)


def test_it_is_removed_by_hand_and_the_ledger_says_by_whom(bonecraft, hospital: Hospital, broken: bytes) -> None:
    number = quarantined(bonecraft)
    with hospital.database.begin() as connection:
        key = connection.execute(select(tables.quarantine.c.blob_key)).scalar_one()
    assert bonecraft("quarantine", "remove", number).exit_code == 1
    assert "removed" in bonecraft("quarantine", "remove", number, "--yes").output
    with pytest.raises(StoreUnavailable):
        hospital.store.read(key)
    proven = bonecraft("prove", "1.2.3")
    assert proven.exit_code == 0
    assert "removed: by hand: " in proven.output
    assert "there is no" in str(bonecraft("quarantine", "show", number).exception)

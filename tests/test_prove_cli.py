"""`bonecraft prove` and `bonecraft quarantine`: what an administrator can show to somebody else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import text
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.errors import ConfigurationError
from pipeline.inbox import UnreadableDataset
from pipeline.records import ledger
from tests.factories import make_dx
from tests.node_helpers import Hospital

UID = str(make_dx(view="AP").SOPInstanceUID)


@pytest.fixture
def bonecraft(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command line, on the test's own database and store."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("BONECRAFT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Result:
        return CliRunner().invoke(build_app(), [str(word) for word in words])

    return run


@pytest.fixture
def received(hospital: Hospital) -> Hospital:
    """An image that came in and is sealed."""
    hospital.send("AP")
    with hospital.database.begin() as connection:
        assert ledger.seal(connection) == 1
    return hospital


def test_what_was_received_is_proven(bonecraft, received: Hospital) -> None:
    proven = bonecraft("prove", UID)
    assert proven.exit_code == 0
    assert re.search(
        r"received: from MODALITY 127.0.0.1, called as BONECRAFT; new; \d+ bytes, SHA-256 [0-9a-f]{64}", proven.output
    )
    assert "(entry 1)" in proven.output
    [entry] = json.loads(bonecraft("prove", UID, "--json").output)
    assert (entry["as_written"], entry["bytes_in_store"]) == (True, True)


def test_what_came_in_before_the_ledger_began_is_not_denied(bonecraft, received: Hospital) -> None:
    with received.database.begin() as connection:
        connection.execute(text("ALTER TABLE ledger DISABLE TRIGGER append_only"))
        connection.execute(text("TRUNCATE ledger CASCADE"))
    asked = bonecraft("prove", UID)
    assert isinstance(asked.exception, ConfigurationError)
    assert re.search(rf"{UID} was received on \S+ \S+, before the ledger began", str(asked.exception))


def test_bytes_that_were_changed_in_the_store_are_noticed(bonecraft, received: Hospital) -> None:
    [blob] = (path for path in received.store.folder.rglob("*") if path.is_file())
    blob.write_bytes(b"something else")
    proven = bonecraft("prove", UID)
    assert proven.exit_code == 1
    assert "DOES NOT HOLD THESE BYTES" in proven.output
    blob.unlink()
    assert bonecraft("prove", UID).exit_code == 1


def test_an_entry_that_was_changed_is_noticed(bonecraft, received: Hospital) -> None:
    head = re.search(r"head: (\S+)", bonecraft("prove", "--all").output)[1]
    assert bonecraft("prove", "--all", "--head", head).exit_code == 0
    with received.database.begin() as connection:
        connection.execute(text("ALTER TABLE ledger DISABLE TRIGGER append_only"))
        connection.execute(text('UPDATE ledger SET facts = facts || \'{"calling_ae_title": "ANOTHER"}\''))
    assert "NOT AS IT WAS WRITTEN" in bonecraft("prove", UID).output
    verified = bonecraft("prove", "--all")
    assert verified.exit_code == 1
    assert f"BROKEN: entry 1 (received {UID}) is not as it was written" in verified.output


def test_a_ledger_that_was_written_anew_does_not_lead_to_the_old_head(bonecraft, received: Hospital) -> None:
    other = f"1:{'0' * 64}"
    verified = bonecraft("prove", "--all", "--head", other)
    assert verified.exit_code == 1
    assert "does not lead through" in verified.output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [(["1.2.3"], "knows nothing of 1.2.3"), ([], "say what"), (["--all", "--head", "7"], "NUMBER:DIGEST")],
)
def test_a_question_without_an_answer_says_why(bonecraft, received: Hospital, words: list[str], complaint: str) -> None:
    asked = bonecraft("prove", *words)
    assert isinstance(asked.exception, ConfigurationError)
    assert complaint in str(asked.exception)


def test_quarantine_says_who_sent_what_and_why_it_was_not_taken(bonecraft, hospital: Hospital, tmp_path: Path) -> None:
    assert "nothing is in quarantine" in bonecraft("quarantine").output
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(UnreadableDataset):
        hospital.send_file(tmp_path / "broken.dcm", sop_instance_uid="1.2.3")
    for command in ("quarantine", "status"):
        shown = bonecraft(command).output
        assert re.search(r"demo +MODALITY 127.0.0.1 +unreadable +\S+", shown)
    [line] = json.loads(bonecraft("quarantine", "--json").output)
    assert (line["sop_instance_uid"], line["institution"]) == ("1.2.3", "demo")

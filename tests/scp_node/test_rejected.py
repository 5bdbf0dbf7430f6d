"""Who is turned away is listed, and let in with one command, while the listener runs."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from pipeline.cli.admin import peers as peers_app
from pipeline.cli.admin_changes import changes as changes_app
from pipeline.database import Database
from pipeline.errors import BonecraftError
from pipeline.records import rejected, tables
from pipeline.records.rejected import Attempt, RejectReason, list_rejected
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.scp_node.senders import associate, knock, wait_until

Bonecraft = Callable[..., str]
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
APPS = {"peers": peers_app, "changes": changes_app}


@pytest.fixture
def bonecraft(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Bonecraft:
    """Call a command; the errors that `main` would turn into an exit code are raised."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")

    def call(command: str, *words: object) -> str:
        result = CliRunner().invoke(APPS[command], [str(word) for word in words])
        if isinstance(result.exception, BonecraftError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return call


@pytest.fixture
def storescu(dcmtk: Callable[[str], Path], running: RunningListener, tmp_path: Path) -> Callable[..., bool]:
    """Send a radiograph with dcmtk; whether it was stored."""
    file = save(make_dx(), tmp_path / "ap.dcm")

    def send(*, calling: str = "MODALITY", called: str = "BONECRAFT") -> bool:
        where = ("127.0.0.1", str(running.port))
        command = [dcmtk("storescu"), "-R", "-aet", calling, "-aec", called, *where, file]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    return send


def listed(bonecraft: Bonecraft) -> list[dict]:
    return json.loads(bonecraft("peers", "rejected", "--json"))


def test_a_stranger_is_listed_admitted_and_accepted_without_a_restart(storescu, bonecraft) -> None:
    assert not storescu(calling="CR7")
    (entry,) = listed(bonecraft)
    assert (entry["reason"], entry["calling_ae_title"], entry["called_ae_title"]) == (
        "calling-ae-title",
        "CR7",
        "BONECRAFT",
    )
    assert (entry["address"], entry["times"]) == ("127.0.0.1", 1)
    assert "Digital X-Ray Image Storage" in entry["wanted"]
    assert "CR7 → BONECRAFT" in bonecraft("peers", "rejected")
    shown = bonecraft("peers", "admit", entry["id"])
    assert "added peer demo/CR7" in shown
    assert '+ allow_from = ["127.0.0.1/32"]' in shown
    assert storescu(calling="CR7")
    assert listed(bonecraft) == []


def test_admitting_can_be_taken_back(storescu, bonecraft) -> None:
    assert not storescu(calling="CR7")
    shown = bonecraft("peers", "admit", listed(bonecraft)[0]["id"])
    bonecraft("changes", "undo", shown.split()[-1])
    assert not storescu(calling="CR7")


def test_a_title_that_nobody_answers_to_becomes_one_of_the_institution(storescu, bonecraft) -> None:
    assert not storescu(calling="CR7", called="OLDNODE")
    (entry,) = listed(bonecraft)
    assert entry["reason"] == "called-ae-title"
    shown = bonecraft("peers", "admit", entry["id"])
    assert "changed institution demo" in shown
    assert "added peer demo/CR7" in shown
    assert storescu(calling="CR7", called="OLDNODE")
    assert storescu(calling="MODALITY", called="BONECRAFT")


def test_a_peer_that_calls_from_elsewhere_may_then_call_from_both(storescu, bonecraft, database: Database) -> None:
    with database.begin() as connection:
        connection.execute(update(tables.peers).values(allow_from=["10.0.0.0/24"]))
    assert not storescu()
    (entry,) = listed(bonecraft)
    assert entry["reason"] == "address"
    assert '+ allow_from = ["10.0.0.0/24", "127.0.0.1/32"]' in bonecraft("peers", "admit", entry["id"])
    assert storescu()


def test_a_peer_that_may_not_send_is_listed_once_for_each_association(
    running: RunningListener, storescu, bonecraft
) -> None:
    sender = associate(running.port, dataset := make_dx(), calling="PACS")
    for _ in range(3):
        sender.send_c_store(dataset)
    sender.release()
    (entry,) = listed(bonecraft)
    assert (entry["reason"], entry["times"]) == ("may-not-send", 1)
    assert "+ sends = true" in bonecraft("peers", "admit", entry["id"])
    assert storescu(calling="PACS")


def test_too_many_associations_are_listed_and_named_a_setting_of_the_node(start_listener, bonecraft) -> None:
    small = start_listener(maximum_associations=1)
    first = associate(small.port, make_dx())
    assert associate(small.port, make_dx()).is_rejected
    assert associate(small.port, make_dx()).is_rejected
    first.release()
    (entry,) = listed(bonecraft)
    assert (entry["reason"], entry["times"]) == ("too-many-associations", 2)
    with pytest.raises(BonecraftError, match="raise maximum_associations"):
        bonecraft("peers", "admit", entry["id"])


def test_the_same_attempt_again_raises_a_counter(storescu, bonecraft) -> None:
    for _ in range(3):
        assert not storescu(calling="CR7")
    (entry,) = listed(bonecraft)
    assert entry["times"] == 3
    assert entry["first_at"] < entry["last_at"]


def test_who_was_let_in_otherwise_leaves_the_list_when_they_come_again(storescu, bonecraft) -> None:
    assert not storescu(calling="CR7")
    where = ("--host", "127.0.0.1", "--port", "104", "--allow-from", "127.0.0.1", "--sends")
    bonecraft("peers", "add", "--institution", "demo", "--ae-title", "CR7", *where)
    assert len(listed(bonecraft)) == 1
    assert storescu(calling="CR7")
    assert listed(bonecraft) == []


def test_a_dry_run_shows_what_would_change_and_changes_nothing(storescu, bonecraft) -> None:
    assert not storescu(calling="CR7")
    (entry,) = listed(bonecraft)
    assert "would change peer demo/CR7" in bonecraft("peers", "admit", entry["id"], "--dry-run")
    assert not storescu(calling="CR7")


def test_what_is_not_there_cannot_be_admitted(bonecraft) -> None:
    with pytest.raises(BonecraftError, match="there is no rejected attempt 7"):
        bonecraft("peers", "admit", 7)


def attempt(number: int, *, address: str = "10.0.0.66", institution_id: UUID | None = None) -> Attempt:
    return Attempt(
        institution_id=institution_id,
        reason=RejectReason.CALLING_AE_TITLE,
        sentence="unknown",
        called_ae_title="BONECRAFT",
        calling_ae_title=f"SCAN{number}",
        address=address,
        wanted="Verification",
    )


def test_a_scanner_neither_fills_the_table_nor_pushes_others_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "KEPT", 12)
    monkeypatch.setattr(rejected, "KEPT_FOR_EACH_ADDRESS", 5)
    with database.begin() as connection:
        rejected.note(connection, attempt(0, address="10.0.0.1"), now=NOW)
    for number in range(1, 21):
        with database.begin() as connection:
            rejected.note(connection, attempt(number), now=NOW + timedelta(seconds=number))
    for number in range(8):
        with database.begin() as connection:
            rejected.note(connection, attempt(0, address=f"10.0.1.{number}"), now=NOW + timedelta(seconds=100 + number))
    with database.begin() as connection:
        found = list_rejected(connection)
    assert len(found) == 12
    of_the_scanner = {each.calling_ae_title for each in found if each.address == "10.0.0.66"}
    assert of_the_scanner <= {f"SCAN{number}" for number in range(16, 21)}
    assert "10.0.1.7" in {each.address for each in found}


def test_an_institution_sees_the_attempts_that_called_it(database: Database, institution_id: UUID, bonecraft) -> None:
    with database.begin() as connection:
        rejected.note(connection, attempt(1, institution_id=institution_id), now=NOW)
        rejected.note(connection, attempt(2), now=NOW)
    shown = json.loads(bonecraft("peers", "rejected", "--institution", "demo", "--json"))
    assert [each["calling_ae_title"] for each in shown] == ["SCAN1"]


def test_what_is_offered_in_no_syntax_that_is_taken_is_listed_until_it_is_taken(
    running: RunningListener, bonecraft
) -> None:
    offered = knock(running.port)
    private = "1.2.840.113619.5.2"
    assert offered.ask(sop_class="1.2.840.10008.5.1.4.1.1.1", syntax=private)[:1] == b"\x02"
    offered.release()
    wait_until(lambda: bool(listed(bonecraft)))
    (entry,) = listed(bonecraft)
    assert (entry["reason"], entry["calling_ae_title"]) == ("not-accepted", "MODALITY")
    assert "Computed Radiography Image Storage as" in entry["wanted"]
    with pytest.raises(BonecraftError, match="it is let in already, and offered what this node does not take"):
        bonecraft("peers", "admit", entry["id"])
    settled = knock(running.port)
    settled.ask(sop_class="1.2.840.10008.5.1.4.1.1.1")
    settled.release()
    wait_until(lambda: listed(bonecraft) == [])

"""`bonecraft status`, `rerun` and `resend`, on what failed."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from typer.testing import CliRunner, Result

from pipeline import postgres_checks
from pipeline.checkup import check_node
from pipeline.cli import build_app
from pipeline.database import Database
from pipeline.finding import Finding
from pipeline.metrics import metrics_page
from pipeline.postgres_checks import check_postgres
from pipeline.records import deliveries, own_faults, results, tables
from pipeline.records.results import StoredFile
from pipeline.results import FileKind, Report, ResultFile, ScaleReport, Status
from pipeline.settings import NodeSettings
from tests.node_helpers import NOON, Hospital


@pytest.fixture
def failed(hospital: Hospital) -> UUID:
    """A reconstruction that failed for good."""
    hospital.send("AP")
    reconstruction = hospital.send("LATERAL").reconstruction_id
    assert reconstruction is not None
    problem = {"state": "failed", "attempts": 3, "problem": "It ran out of memory.", "traceback": "line 7, in fit"}
    with hospital.database.begin() as connection:
        connection.execute(update(tables.reconstructions).values(**problem))
        connection.execute(update(tables.studies).values(state="failed"))
        connection.execute(text("DELETE FROM pgqueuer"))
    return reconstruction


@pytest.fixture
def dead(hospital: Hospital, failed: UUID) -> UUID:
    """A delivery that nobody tries any more."""
    owner = {"institution_id": hospital.institution_id}
    described = ResultFile(
        path="a.dcm", kind=FileKind.SECONDARY_CAPTURE, media_type="application/dicom", title="A picture"
    )
    report = Report(
        status=Status.RECONSTRUCTED,
        software_version="0",
        scale=ScaleReport(known=True, relative_uncertainty=0.02, provenance="typed"),
    )
    with hospital.database.begin() as connection:
        peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "receives": True}
        connection.execute(insert(tables.peers).values(**owner, **peer))
        study = connection.execute(select(tables.studies.c.id)).scalar_one()
        result_set = results.add(
            connection,
            **owner,
            study_id=study,
            reconstruction_id=failed,
            report=report,
            files=[StoredFile(described=described, blob_key="k", size=1, digest="d")],
        )
        assert result_set is not None
        deliveries.plan(connection, result_set_id=result_set)
        dead = {"state": "dead", "attempts": 12, "problem": "PACS is out of resources: free space there"}
        rows = connection.execute(update(tables.deliveries).values(**dead).returning(tables.deliveries.c.id))
        delivery: UUID = rows.scalar_one()
    return delivery


@pytest.fixture
def bonecraft(database_url: str, monkeypatch: pytest.MonkeyPatch):
    """The command line, on the test's own database."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: object) -> Result:
        return CliRunner().invoke(build_app(), [str(word) for word in words])

    return run


def state_of(hospital: Hospital, table: str) -> str:
    with hospital.database.begin() as connection:
        state: str = connection.execute(select(tables.metadata.tables[table].c.state)).scalar_one()
    return state


def test_a_failed_reconstruction_is_shown_and_its_traceback_on_request(bonecraft, failed: UUID) -> None:
    shown = bonecraft("status")
    assert f"failed reconstruction {failed} after 3 attempts" in shown.output
    assert "It ran out of memory." in shown.output
    assert f"bonecraft rerun {failed}" in shown.output
    assert "line 7, in fit" not in shown.output
    assert "line 7, in fit" in bonecraft("status", "--tracebacks").output


def test_a_failure_that_a_later_reconstruction_made_good_is_nobodys_work(
    bonecraft, hospital: Hospital, failed: UUID, database_url: str
) -> None:
    with hospital.database.begin() as connection:
        row = connection.execute(select(tables.reconstructions)).mappings().one()
        later = {"input_digest": "later", "state": "reconstructed", "queued_at": row["queued_at"] + timedelta(hours=1)}
        same = {name: row[name] for name in ("institution_id", "study_id", "instance_ids")}
        connection.execute(insert(tables.reconstructions).values(**same, **later))
    assert "failed reconstruction" not in bonecraft("status").output
    findings = {each.check: each for each in check_node(NodeSettings(database_url=database_url))}
    assert findings["dead letters"].sentence == "none"


def test_a_postgresql_that_may_forget_what_it_confirmed_is_named_with_the_change(database_url: str) -> None:
    found = [each for each in check_node(NodeSettings(database_url=database_url)) if each.check == "durability"]
    assert [each.ok for each in found] == [False], "the tests' own server runs without fsync"
    assert "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();" in found[0].sentence


def test_a_postgresql_that_lets_too_few_in_is_named_with_the_change(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connections() -> list[Finding]:
        with database.begin() as connection:
            return [each for each in check_postgres(connection) if each.check == "connections"]

    assert connections() == [], "the embedded one lets 200 in"
    monkeypatch.setattr(postgres_checks, "CONNECTIONS_NEEDED", 201)
    (found,) = connections()
    assert not found.ok
    assert "lets 200 in" in found.sentence


def test_a_failed_reconstruction_can_be_run_again(bonecraft, hospital: Hospital, failed: UUID) -> None:
    assert "queued again" in bonecraft("rerun", failed).output
    assert state_of(hospital, "reconstructions") == "queued"
    assert state_of(hospital, "studies") == "queued"


def test_what_this_node_itself_cannot_send_is_shown_with_what_to_do_here(
    bonecraft, hospital: Hospital, dead: UUID, database_url: str
) -> None:
    problem = "no space left for files: add space to the data folder"
    with hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(state="pending", attempts=1))
        own_faults.note(connection, dead, problem=problem, now=NOON, wait=lambda _: timedelta(minutes=1))
    shown = bonecraft("status").output
    assert "this node itself cannot send 1 results since" in shown
    assert problem in shown
    assert "failed delivery" not in shown
    with hospital.database.begin() as connection:
        page = metrics_page(connection, NodeSettings(data_folder=hospital.folder), now=NOON)
    assert "bonecraft_deliveries_held_back 1\n" in page
    finding = next(each for each in check_node(NodeSettings(database_url=database_url)) if each.check == "delivery")
    assert (finding.ok, "the fault is here: no space left" in finding.sentence) == (False, True)


def test_a_dead_delivery_is_shown_and_can_be_sent_again(bonecraft, hospital: Hospital, dead: UUID) -> None:
    shown = bonecraft("status")
    assert f"failed delivery {dead} to demo/PACS after 12 attempts" in shown.output
    assert "free space there" in shown.output
    assert "will be sent again" in bonecraft("resend", dead).output
    assert state_of(hospital, "deliveries") == "pending"

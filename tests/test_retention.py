"""Retention: what was kept long enough goes, but nothing before it was delivered, and never what a row points to."""

import hashlib
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from typer.testing import CliRunner, Result

from pipeline.cli import build_app
from pipeline.database import Database
from pipeline.errors import InputError
from pipeline.inbox import UnreadableDataset
from pipeline.jobs import rerun
from pipeline.records import blobs, commitment_reports, deliveries, ledger, retention, tables
from pipeline.records.instances import Addition
from pipeline.records.ledger import LedgerEvent, NewEntry
from pipeline.retention import TIME_TO_UNDO, remove_blobs, run_by_itself
from pipeline.store import Blob, Store, StoreUnavailable
from tests.factories import make_dx, save
from tests.node_helpers import NOON
from tests.scp_node.senders import wait_until
from tests.ward import Ward, days


def test_everything_is_kept_for_ever_where_nobody_said_how_long(ward: Ward) -> None:
    assert ward.run(now=days(10_000)) == {}


def test_images_go_when_their_time_is_over_and_the_result_stays(ward: Ward) -> None:
    ward.keep(keep_images_days=90)
    images, result = ward.keys("instances"), ward.keys("result_files")
    assert ward.run(now=days(89)) == {}
    assert ward.run(now=days(91)) == {"images": 1}
    assert not any(map(ward.has_bytes, images))
    assert all(map(ward.has_bytes, result))
    with ward.hospital.database.begin() as connection:
        told = connection.execute(select(tables.ledger.c.facts).where(tables.ledger.c.event == "removed")).scalars()
        reasons = {facts["reason"] for facts in told}
    assert len(reasons) == 1
    assert "images are kept for 90 days, as set by admin@example.org (web) on" in reasons.pop()
    assert ward.run(now=days(92)) == {}


def test_results_go_with_their_deliveries_and_their_report(ward: Ward) -> None:
    ward.keep(keep_results_days=30)
    key = ward.keys("result_files")[0]
    assert ward.run(now=days(31)) == {"results": 1}
    assert [ward.count(table) for table in ("result_sets", "result_files", "deliveries")] == [0, 0, 0]
    assert not ward.has_bytes(key)
    assert ward.count("studies") == 1


@pytest.mark.parametrize(
    ("table", "state", "reason"),
    [
        ("studies", "receiving", "on its way"),
        ("reconstructions", "running", "on its way"),
        ("deliveries", "pending", "wait to be delivered"),
        ("deliveries", "sent", "storage commitment"),
        ("deliveries", "dead", "could not be delivered"),
        ("deliveries", "not-accepted", "could not be delivered"),
        ("studies", "failed", "reconstruction failed"),
    ],
)
def test_nothing_goes_before_its_delivery_is_confirmed(ward: Ward, table: str, state: str, reason: str) -> None:
    ward.keep(keep_images_days=1, keep_results_days=1)
    ward.set(table, state=state)
    assert ward.run(now=days(400)) == {}
    (why,) = ward.reasons(now=days(400))
    assert reason in why
    gives_up = state in ("dead", "not-accepted", "failed")
    assert ward.run(now=days(400), given_up=True) == ({"images": 1, "results": 1} if gives_up else {})


def test_a_peer_that_takes_some_kinds_of_objects_and_others_not_has_been_served(ward: Ward) -> None:
    ward.keep(keep_results_days=1)
    with ward.hospital.database.begin() as connection:
        columns = [column for column in tables.result_files.c if column.name not in ("id", "path")]
        second = select(*columns, text("'b.dcm'")).select_from(tables.result_files)
        names = [*(column.name for column in columns), "path"]
        connection.execute(insert(tables.result_files).from_select(names, second))
        deliveries.plan(connection, result_set_id=ward.result_set)
        connection.execute(
            update(tables.deliveries).where(tables.deliveries.c.state == "pending").values(state="not-accepted")
        )
    assert ward.run(now=days(2)) == {"results": 1}


def commit_to(ward: Ward, *, now: datetime) -> None:
    with ward.hospital.database.begin() as connection:
        uid = connection.execute(select(tables.instances.c.sop_instance_uid).limit(1)).scalar_one()
        given = NewEntry(
            institution_id=ward.hospital.institution_id,
            event=LedgerEvent.COMMITMENT_GIVEN,
            sop_instance_uid=uid,
            facts={"peer": "MODALITY", "transaction": "2.25.1", "kept": True},
            recorded_at=now,
        )
        ledger.write(connection, [given])


def test_what_we_committed_ourselves_to_keep_stays_as_long_again(ward: Ward) -> None:
    ward.keep(keep_images_days=10)
    commit_to(ward, now=days(8))
    assert ward.run(now=days(17)) == {}
    assert ward.reasons(now=days(17)) == {"storage commitment was given less than 10 days ago"}
    assert ward.run(now=days(19)) == {"images": 1}


def test_nothing_goes_while_a_peer_waits_to_hear_whether_we_keep_it(ward: Ward) -> None:
    ward.keep(keep_images_days=10)
    with ward.hospital.database.begin() as connection:
        uids = connection.execute(select(tables.instances.c.sop_instance_uid)).scalars().all()
        peer = connection.execute(select(tables.peers.c.id)).scalar_one()
        commitment_reports.add(
            connection,
            institution_id=ward.hospital.institution_id,
            peer_id=peer,
            transaction_uid="2.25.1",
            called_ae_title="BONECRAFT",
            instances=[("1.2", uids[0])],
            now=NOON,
        )
    assert ward.reasons(now=days(11)) == {"a peer asks for storage commitment"}
    ward.set("commitment_reports", state="reported")
    assert ward.run(now=days(11)) == {"images": 1}
    with ward.hospital.database.begin() as connection:
        assert commitment_reports.holdings(connection, ward.hospital.institution_id, uids) == {}


def test_bytes_that_another_row_refers_to_stay(ward: Ward) -> None:
    ward.keep(keep_images_days=1)
    shared = ward.keys("instances")[0]
    with ward.hospital.database.begin() as connection:
        row = {"problem": "unreadable", "reason": "", "calling_ae_title": "X", "called_ae_title": "X", "size": 1}
        owner = {"institution_id": ward.hospital.institution_id, "blob_key": shared}
        connection.execute(insert(tables.quarantine).values(**row, **owner))
    ward.run(now=days(2))
    assert [ward.has_bytes(key) for key in ward.keys("instances")].count(True) == 1
    assert ward.has_bytes(shared)


def test_what_a_crash_leaves_of_the_blobs_goes_the_next_time(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.keep(keep_images_days=1)
    with monkeypatch.context() as crashing:
        crashing.setattr(
            type(ward.hospital.store), "remove", lambda *_: (_ for _ in ()).throw(StoreUnavailable("gone"))
        )
        with pytest.raises(StoreUnavailable):
            ward.run(now=days(2))
    assert all(map(ward.has_bytes, ward.keys("instances")))
    assert ward.run(now=days(2)) == {}
    assert not any(map(ward.has_bytes, ward.keys("instances")))
    assert ward.count("unreferenced_blobs") == 0


def test_bytes_that_come_in_again_while_they_are_being_removed_are_there_afterwards(ward: Ward) -> None:
    database, store = ward.hospital.database, ward.hospital.store
    key = ward.keys("instances")[0]
    with database.begin() as connection:
        connection.execute(update(tables.instances).values(removed_at=NOON))
        blobs.release(connection, ward.keys("instances"))
    sender = threading.Thread(target=lambda: [ward.hospital.send(view, now=days(3)) for view in ("AP", "LATERAL")])
    with database.begin() as connection:
        _, unneeded = blobs.take(connection)
        assert key in unneeded
        sender.start()
        wait_until(lambda: somebody_waits(database))
        store.remove(unneeded)
    sender.join()
    assert all(map(ward.has_bytes, ward.keys("instances")))


def test_bytes_that_come_in_after_a_crash_that_left_them_listed_are_kept(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the crash there are the list and no bytes; the next removal falls between the bytes and their row."""
    database, store = ward.hospital.database, ward.hospital.store
    with database.begin() as connection:
        connection.execute(update(tables.instances).values(removed_at=NOON))
        blobs.release(connection, ward.keys("instances"))
    store.remove(ward.keys("instances"))
    put = Store.put_file

    def put_and_remove(*args: object, **options: object) -> Blob:
        blob = put(*args, **options)
        if ward.count("unreferenced_blobs"):
            remove_blobs(database, store)
        return blob

    monkeypatch.setattr(Store, "put_file", put_and_remove)
    ward.hospital.send("AP", now=days(3))
    with database.begin() as connection:
        (key,) = connection.execute(select(tables.instances.c.blob_key).where(tables.instances.c.removed_at.is_(None)))
    assert ward.has_bytes(key.blob_key)


def somebody_waits(database: Database) -> bool:
    with database.begin() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return bool(connection.execute(waiting).scalar_one())


def test_images_that_come_again_are_kept_again_and_reconstruct_nothing_anew(ward: Ward) -> None:
    ward.keep(keep_images_days=1)
    ward.run(now=days(2))
    alone = ward.hospital.send("AP", now=days(3))
    assert (alone.outcome, alone.reconstruction_id) == (Addition.RESTORED, None)
    assert ward.hospital.study(alone).state == "reconstructed"
    both = ward.hospital.send("LATERAL", now=days(3))
    assert (both.outcome, both.reconstruction_id) == (Addition.RESTORED, None)
    assert ward.hospital.study(both).state == "reconstructed"
    assert all(map(ward.has_bytes, ward.keys("instances")))
    assert ward.run(now=days(3.5)) == {}
    assert ward.run(now=days(5)) == {"images": 1}


def test_an_image_that_comes_back_corrected_is_used_and_committed_to(ward: Ward, tmp_path: Path) -> None:
    ward.keep(keep_images_days=1)
    ward.run(now=days(2))
    corrected = make_dx(view="AP")
    corrected.SeriesDescription = "corrected"
    path = save(corrected, tmp_path / "corrected.dcm")
    came = ward.hospital.send_file(path, now=days(3))
    assert came.outcome is Addition.REPLACES_REMOVED
    assert digests_in_use(ward) == {digest_of(path)}
    assert ward.hospital.send("LATERAL", now=days(3)).reconstruction_id is not None
    assert ward.hospital.send("AP", now=days(3)).outcome is Addition.RESTORED
    assert len(digests_in_use(ward)) == 1, "the first stays in use while it is here"
    ward.set("studies", state="reconstructed")
    ward.set("reconstructions", state="reconstructed")
    assert ward.run(now=days(5)) == {"images": 1}
    ward.hospital.send("AP", now=days(6))
    assert digests_in_use(ward) == {digest_of(ward.hospital.folder / "a study-AP-R.dcm")}


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests_in_use(ward: Ward) -> set[str]:
    """Of the AP view, as a peer that asks for storage commitment hears of it."""
    uid = str(make_dx(view="AP").SOPInstanceUID)
    with ward.hospital.database.begin() as connection:
        held = commitment_reports.holdings(connection, ward.hospital.institution_id, [uid])
    return {holding.digest for holding in held.values()}


def test_a_study_whose_images_went_is_not_run_again(ward: Ward) -> None:
    ward.keep(keep_images_days=1)
    ward.run(now=days(2))
    ward.set("reconstructions", state="refused")
    with ward.hospital.database.begin() as connection, pytest.raises(InputError, match="send all images"):
        rerun(connection, ward.reconstruction)


def test_of_a_study_of_which_nothing_is_left_nothing_is_remembered(ward: Ward) -> None:
    ward.keep(keep_images_days=1, keep_results_days=1)
    assert ward.run(now=days(2)) == {"images": 1, "results": 1}
    assert [ward.count(table) for table in ("studies", "instances", "reconstructions")] == [0, 0, 0]
    again = ward.hospital.send("AP", now=days(3))
    assert again.outcome is Addition.NEW


def test_replaced_results_go_and_the_newest_stays(ward: Ward) -> None:
    ward.keep(keep_replaced_results_days=5)
    assert ward.run(now=days(100)) == {}
    ward.set("result_sets", replaced_at=days(10))
    assert ward.run(now=days(14)) == {}
    assert ward.run(now=days(16)) == {"replaced-results": 1}


def test_quarantine_and_the_list_of_rejected_attempts_go_too(ward: Ward, tmp_path: Path) -> None:
    ward.keep(keep_quarantine_days=5, keep_rejected_attempts_days=5)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(b"no DICOM at all")
    for came in (NOON - timedelta(days=9), NOON):
        with pytest.raises(UnreadableDataset):
            ward.hospital.send_file(broken, sop_instance_uid="1.2.3", now=came)
    (key,) = ward.keys("quarantine")
    with ward.hospital.database.begin() as connection:
        attempt = {"reason": "address", "sentence": "", "called_ae_title": "", "calling_ae_title": "", "address": ""}
        seen = {"times": 1, "first_at": NOON, "last_at": NOON, "institution_id": ward.hospital.institution_id}
        connection.execute(insert(tables.rejected_attempts).values(**attempt, **seen))
    assert ward.run(now=days(4)) == {}
    assert ward.run(now=days(6)) == {"quarantine": 1, "rejected-attempts": 1}
    assert [ward.count(table) for table in ("quarantine", "rejected_attempts")] == [0, 0]
    assert not ward.has_bytes(key)


def test_the_node_leaves_a_day_to_take_a_rule_back(ward: Ward) -> None:
    database, store = ward.hospital.database, ward.hospital.store
    set_at = ward.keep(keep_images_days=1)
    ward.set("instances", received_at=set_at - timedelta(days=9))
    run_by_itself(database, store, now=set_at + TIME_TO_UNDO / 2)
    assert all(map(ward.has_bytes, ward.keys("instances")))
    run_by_itself(database, store, now=set_at + TIME_TO_UNDO)
    assert not any(map(ward.has_bytes, ward.keys("instances")))


def test_another_institution_keeps_its_own(ward: Ward) -> None:
    ward.keep(keep_images_days=1)
    with ward.hospital.database.begin() as connection:
        other = connection.execute(
            insert(tables.institutions).values(slug="other", name="Other").returning(tables.institutions.c.id)
        ).scalar_one()
        connection.execute(update(tables.instances).values(institution_id=other))
        connection.execute(update(tables.studies).values(institution_id=other))
        kept = {
            rule.institution: rule.days for rule in retention.rules(connection) if rule.what is retention.What.IMAGES
        }
    assert kept == {"demo": 1, "other": 0}
    assert ward.run(now=days(400)) == {}


@pytest.fixture
def bonecraft(ward: Ward, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The command line, on the test's own database and store."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("BONECRAFT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run_command(*words: object, **given: str) -> Result:
        return CliRunner().invoke(build_app(), [str(word) for word in words], **given)

    return run_command


def test_an_administrator_sets_previews_and_runs_it(ward: Ward, bonecraft) -> None:
    assert "+ keep_images_days = 30" in bonecraft("retention", "set", "--institution", "demo", "--images", 30).output
    shown = bonecraft("retention", "preview").output
    assert "demo: studies' images are kept for 30 days, as set by" in shown
    assert "go now: 1 with 2 files" in shown
    assert "demo: results are kept for ever" in shown
    assert bonecraft("retention", "run", input="n\n").exit_code == 1
    assert all(map(ward.has_bytes, ward.keys("instances")))
    assert "demo: removed studies' images: 1 with 2 files" in bonecraft("retention", "run", "--yes").output
    with ward.hospital.database.begin() as connection:
        uid = connection.execute(select(tables.instances.c.sop_instance_uid).limit(1)).scalar_one()
    proven = bonecraft("prove", uid)
    assert proven.exit_code == 0
    assert "received: from MODALITY" in proven.output
    assert "removed: by retention: images are kept for 30 days, as set by" in proven.output
    assert "nothing has been kept long enough" in bonecraft("retention", "run", "--yes").output

"""A late view, or another run: the new result takes the place of the old one, everywhere where that went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update

from pipeline.jobs import rerun, settle_due
from pipeline.records import commitments, deliveries, destinations, removal, results, retention, supersession, tables
from pipeline.records.proof import entries_about
from pipeline.records.status import snapshot
from pipeline.records.studies import Study
from tests.factories import make_dx, save
from tests.node_helpers import Hospital, after, fake_child
from tests.test_worker import add_peer, refreshed, work_until_idle

OLD, NEW, NOTE = "2.25.10", "2.25.21", "2.25.9"
"""What the fake child calls the result of one view, that of two which replaces one file, and the note."""
NEW_WITHOUT_OLD = "2.25.20"


@pytest.fixture
def first(hospital: Hospital) -> Study:
    """A study of one view, reconstructed; its result waits to go to PACS and to ARCHIVE."""
    add_peer(hospital, "PACS", receives=True)
    add_peer(hospital, "ARCHIVE", receives=True)
    study = hospital.study(hospital.send("AP"))
    with hospital.database.begin() as connection:
        settle_due(connection, now=after(61))
    work_until_idle(hospital, fake_child("succeed"))
    return refreshed(hospital, study)


def state_of(hospital: Hospital) -> dict[tuple[str, str], str]:
    """How each delivery stands, by instance and peer."""
    columns = (tables.result_files.c.sop_instance_uid, tables.peers.c.ae_title, tables.deliveries.c.state)
    joined = select(*columns).join_from(tables.deliveries, tables.peers).join(tables.result_files)
    with hospital.database.begin() as connection:
        return {(uid, peer): state for uid, peer, state in connection.execute(joined)}


def claim(hospital: Hospital, peer: str) -> list[UUID]:
    with hospital.database.begin() as connection:
        peer_id = connection.execute(select(tables.peers.c.id).where(tables.peers.c.ae_title == peer)).scalar_one()
        return [due.id for due in deliveries.claim_due(connection, now=after(10**9), peer_id=peer_id)]


def deliver(hospital: Hospital, peer: str, *, awaits_commitment: bool = False) -> int:
    """What a postman does in one visit; gives how many files that was."""
    due = claim(hospital, peer)
    with hospital.database.begin() as connection:
        for delivery in due:
            deliveries.mark_delivered(connection, delivery, now=after(100), awaits_commitment=awaits_commitment)
    return len(due)


def send_late_view(hospital: Hospital, behaviour: str = "succeed", *, attempts: int = 3) -> Study:
    late = hospital.study(hospital.send("LATERAL", now=after(600)))
    work_until_idle(hospital, fake_child(behaviour), attempts=attempts)
    return refreshed(hospital, late)


def test_a_late_view_replaces_what_went_out_and_rejects_it_where_it_went(hospital: Hospital, first: Study) -> None:
    assert deliver(hospital, "PACS") == 1
    send_late_view(hospital)
    assert state_of(hospital) == {
        (OLD, "PACS"): "delivered",
        (OLD, "ARCHIVE"): "withdrawn",
        (NEW, "PACS"): "pending",
        (NEW, "ARCHIVE"): "pending",
        (NOTE, "PACS"): "pending",
    }
    with hospital.database.begin() as connection:
        newest, older = results.history(connection, hospital.scope, first.id)
    assert (newest.superseded_by, older.superseded_by) == (None, newest.id)


def test_corrected_data_of_the_patient_replace_and_reject_what_went_out(
    hospital: Hospital, first: Study, tmp_path: Path
) -> None:
    deliver(hospital, "PACS")
    again = make_dx(view="AP")
    again.PatientID = "the right one"
    hospital.send_file(save(again, tmp_path / "again.dcm"), now=after(600))
    with hospital.database.begin() as connection:
        settle_due(connection, now=after(700))
    work_until_idle(hospital, fake_child("succeed"))
    states = state_of(hospital)
    assert states["2.25.11", "PACS"] == states[NOTE, "PACS"] == "pending"
    assert states[OLD, "ARCHIVE"] == "withdrawn"
    assert refreshed(hospital, first).header.patient_id == "the right one"
    with hospital.database.begin() as connection:
        _, older = results.history(connection, hospital.scope, first.id)
        [replaced] = [entry for entry in entries_about(connection, OLD) if entry.event == "replaced"]
    assert replaced.facts["reason"] == older.replaced_because == "corrected patient data"


def test_a_note_leaves_after_the_new_results(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    assert deliver(hospital, "PACS") == 1
    assert state_of(hospital)[NEW, "PACS"] == "delivered"
    assert state_of(hospital)[NOTE, "PACS"] == "pending"
    assert deliver(hospital, "PACS") == 1
    assert state_of(hospital)[NOTE, "PACS"] == "delivered"


def test_nothing_is_rejected_where_the_new_results_do_not_arrive(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    [new] = claim(hospital, "PACS")
    with hospital.database.begin() as connection:
        deliveries.mark_failed(connection, new, problem="refused", next_attempt_at=None, now=after(700))
    deliver(hospital, "ARCHIVE")
    assert claim(hospital, "PACS") == []
    with hospital.database.begin() as connection:
        assert destinations.with_something_due(connection, now=after(10**9)) == (), "else it would be asked without end"


def test_nothing_is_rejected_while_the_new_results_are_held_back(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    with hospital.database.begin() as connection:
        supersession.withdraw(connection, first.id)  # as a further reconstruction begins
    assert state_of(hospital)[NEW, "PACS"] == "withdrawn"
    assert claim(hospital, "PACS") == [], "else PACS would hide the only result that it has"


def test_what_is_sent_again_while_it_is_made_anew_waits_for_that(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    with hospital.database.begin() as connection:
        peer_id = connection.execute(select(tables.peers.c.id).where(tables.peers.c.ae_title == "ARCHIVE")).scalar_one()
        of_archive = tables.deliveries.c.peer_id == peer_id
        connection.execute(update(tables.deliveries).where(of_archive).values(state="not-accepted"))
    hospital.send("LATERAL", now=after(600))
    with hospital.database.begin() as connection:
        is_queued = tables.reconstructions.c.state == "queued"
        connection.execute(update(tables.reconstructions).where(is_queued).values(state="running"))
        assert deliveries.resend_failed(connection, peer_id, now=after(601)) == 0, "its rejection would not name it"


def test_what_is_sent_again_may_have_arrived_before(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    with hospital.database.begin() as connection:
        [sent] = connection.execute(
            select(tables.deliveries.c.id).where(tables.deliveries.c.state == "delivered")
        ).scalars()
        assert deliveries.resend(connection, sent, now=after(500))
    send_late_view(hospital)
    assert (NOTE, "PACS") in state_of(hospital)


def test_what_never_went_out_needs_no_note(hospital: Hospital, first: Study) -> None:
    send_late_view(hospital)
    assert state_of(hospital) == {
        (OLD, "PACS"): "withdrawn",
        (OLD, "ARCHIVE"): "withdrawn",
        (NEW_WITHOUT_OLD, "PACS"): "pending",
        (NEW_WITHOUT_OLD, "ARCHIVE"): "pending",
    }


def test_what_a_sender_has_in_hand_may_arrive_and_is_rejected_as_well(hospital: Hospital, first: Study) -> None:
    [in_hand] = claim(hospital, "PACS")
    send_late_view(hospital)
    assert state_of(hospital)[OLD, "PACS"] == "withdrawn"
    assert state_of(hospital)[NOTE, "PACS"] == "pending"
    with hospital.database.begin() as connection:
        deliveries.mark_delivered(connection, in_hand, now=after(700))
        events = [entry.event for entry in entries_about(connection, OLD) if entry.sop_instance_uid == OLD]
    assert state_of(hospital)[OLD, "PACS"] == "delivered"
    assert "delivered" in events, "the ledger tells what happened, not what was meant to"


def test_a_refusal_leaves_no_old_result_standing(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    study = send_late_view(hospital, "refuse")
    assert study.state == "refused"
    assert state_of(hospital) == {
        (OLD, "PACS"): "delivered",
        (OLD, "ARCHIVE"): "withdrawn",
        (NOTE, "PACS"): "pending",
    }
    assert deliver(hospital, "PACS") == 1


def test_a_failure_leaves_the_old_result_standing_and_sends_it(hospital: Hospital, first: Study) -> None:
    study = send_late_view(hospital, "fail", attempts=1)
    assert study.state == "failed"
    assert state_of(hospital) == {(OLD, "PACS"): "pending", (OLD, "ARCHIVE"): "pending"}


def test_a_result_that_is_made_anew_replaces_itself(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    with hospital.database.begin() as connection:
        assert rerun(connection, first.id), "by the study's ID"
    work_until_idle(hospital, fake_child("succeed"))
    states = state_of(hospital)
    assert states["2.25.11", "PACS"] == states[NOTE, "PACS"] == "pending"
    with hospital.database.begin() as connection:
        newest, older = results.history(connection, hospital.scope, first.id)
        [replaced] = [entry for entry in entries_about(connection, OLD) if entry.event == "replaced"]
    assert (newest.reconstruction_id, newest.id) == (older.reconstruction_id, older.superseded_by)
    assert replaced.facts["reason"] == "run again"


def test_a_result_that_was_overtaken_while_it_was_made_is_dropped(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.begin() as connection:
        [older] = settle_due(connection, now=after(61))
    hospital.send("LATERAL", now=after(90))
    with hospital.database.begin() as connection:
        # Its worker had begun before the late view came.
        of_older = tables.reconstructions.c.id == older
        connection.execute(update(tables.reconstructions).where(of_older).values(state="running", attempts=1))
    work_until_idle(hospital, fake_child("succeed"))
    with hospital.database.begin() as connection:
        assert connection.execute(select(tables.reconstructions.c.state).where(of_older)).scalar_one() == "superseded"
        assert len(connection.execute(select(tables.result_sets)).all()) == 1


def test_a_result_is_kept_where_the_newer_reconstruction_failed_meanwhile(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.begin() as connection:
        [older] = settle_due(connection, now=after(61))
    newer = hospital.send("LATERAL", now=after(90)).reconstruction_id
    failed = update(tables.reconstructions).where(tables.reconstructions.c.id == newer).values(state="failed")
    with hospital.database.begin() as connection:
        connection.execute(failed)
    work_until_idle(hospital, fake_child("succeed"))
    with hospital.database.begin() as connection:
        [kept] = connection.execute(select(tables.result_sets.c.reconstruction_id)).scalars()
        assert kept == older
        assert not rerun(connection, older), "of fewer images than have come"


def test_the_proof_of_an_old_result_says_what_replaced_and_what_rejects_it(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    deliver(hospital, "PACS")
    deliver(hospital, "PACS")
    with hospital.database.begin() as connection:
        entries = entries_about(connection, OLD)
    [replaced] = [entry for entry in entries if entry.event == "replaced"]
    assert replaced.sop_instance_uid == OLD
    assert replaced.facts == {"reason": "later view", "replaced_by": [NEW], "rejected_by": [NOTE]}
    assert {entry.event for entry in entries if entry.sop_instance_uid == NOTE} == {"result", "delivered"}


def refuse_commitment(hospital: Hospital) -> None:
    """PACS reports that it keeps nothing of what it was sent."""
    with hospital.database.begin() as connection:
        peer_id = connection.execute(select(tables.peers.c.id).where(tables.peers.c.ae_title == "PACS")).scalar_one()
        asked = commitments.claim(connection, peer_id, now=after(1000))
        assert asked is not None
        failed = {uid: "no such instance" for _, uid in asked.instances}
        report = {"committed": [], "failed": failed, "now": after(1000), "wait": lambda _: timedelta()}
        assert commitments.answer(connection, peer_id, asked.transaction_uid, **report)


def test_what_was_rejected_is_not_sent_again_when_its_peer_does_not_keep_it(hospital: Hospital, first: Study) -> None:
    assert deliver(hospital, "PACS", awaits_commitment=True) == 1
    send_late_view(hospital)
    refuse_commitment(hospital)
    assert state_of(hospital)[OLD, "PACS"] == "withdrawn"
    assert state_of(hospital)[NOTE, "PACS"] == "pending"


@pytest.mark.parametrize(("ends", "state"), [("succeed", "withdrawn"), ("fail", "pending")])
def test_what_a_peer_does_not_keep_waits_for_the_reconstruction_on_its_way(
    hospital: Hospital, first: Study, ends: str, state: str
) -> None:
    deliver(hospital, "PACS", awaits_commitment=True)
    hospital.send("LATERAL", now=after(600))
    refuse_commitment(hospital)
    assert state_of(hospital)[OLD, "PACS"] == "withdrawn"
    work_until_idle(hospital, fake_child(ends), attempts=1)
    assert state_of(hospital)[OLD, "PACS"] == state


def test_what_was_replaced_is_not_sent_again_on_request_and_its_note_is(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    with hospital.database.begin() as connection:
        pacs = connection.execute(select(tables.peers.c.id).where(tables.peers.c.ae_title == "PACS")).scalar_one()
        connection.execute(update(tables.deliveries).values(state="dead"))
        old = select(tables.deliveries.c.id).join_from(tables.deliveries, tables.result_files)
        [to_pacs, _] = connection.execute(old.where(tables.result_files.c.sop_instance_uid == OLD)).scalars()
        assert not deliveries.resend(connection, to_pacs, now=after(800))
        assert deliveries.resend_failed(connection, pacs, now=after(800)) == 2
    again = {key for key, state in state_of(hospital).items() if state == "pending"}
    assert again == {(NEW, "PACS"), (NOTE, "PACS")}


@pytest.mark.parametrize("state", ["dead", "not-accepted"])
def test_what_was_replaced_is_nobodys_work_any_more_and_its_note_goes(
    hospital: Hospital, first: Study, state: str
) -> None:
    deliver(hospital, "ARCHIVE")
    to_pacs = tables.peers.c.ae_title == "PACS"
    with hospital.database.begin() as connection:
        pacs = select(tables.peers.c.id).where(to_pacs).scalar_subquery()
        failed = update(tables.deliveries).where(tables.deliveries.c.peer_id == pacs)
        connection.execute(failed.values(state=state, attempts=12))
    send_late_view(hospital)
    stands = state_of(hospital)
    assert (stands[OLD, "PACS"], stands[OLD, "ARCHIVE"]) == ("withdrawn", "delivered")
    assert ((NOTE, "PACS") in stands) == (state == "dead"), "it may have arrived in one of the attempts"
    with hospital.database.begin() as connection:
        assert snapshot(connection).failed_deliveries == ()
        assert snapshot(connection).not_accepted == ()


def test_what_was_replaced_while_its_commitment_was_awaited_is_no_dead_letter(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS", awaits_commitment=True)
    send_late_view(hospital)
    with hospital.database.begin() as connection:
        pacs = connection.execute(select(tables.peers.c.id).where(tables.peers.c.ae_title == "PACS")).scalar_one()
        later = {"than": after(10**6), "now": after(10**6), "our_title": "BONECRAFT"}
        assert commitments.give_up_older(connection, pacs, **later) == 0
    assert state_of(hospital)[OLD, "PACS"] == "withdrawn"


def test_what_a_peer_does_not_keep_of_the_standing_result_is_sent_again(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS", awaits_commitment=True)
    refuse_commitment(hospital)
    assert state_of(hospital)[OLD, "PACS"] == "pending"


def test_a_replaced_result_does_not_come_back_when_retention_removes_the_newer_one(
    hospital: Hospital, first: Study
) -> None:
    deliver(hospital, "PACS")
    send_late_view(hospital)
    with hospital.database.begin() as connection:
        newest = results.latest(connection, hospital.scope, first.id)
        assert newest is not None
        connection.execute(update(tables.deliveries).values(state="delivered"))
        connection.execute(update(tables.institutions).values(keep_results_days=1))
        [rule] = [rule for rule in retention.rules(connection) if rule.what is retention.What.RESULTS]
        in_time = datetime.now(UTC) + timedelta(days=2)
        assert removal.remove_due(connection, rule, newest.id, now=in_time) is not None
        [older] = results.history(connection, hospital.scope, first.id)
        assert (older.superseded_by, results.standing([older])) == (None, None)
        connection.execute(delete(tables.deliveries))
        assert deliveries.plan_for_study(connection, first.id) == 0
        assert supersession.blob_keys_of_what_went_out(connection, first.id) == ()
        assert retention.due(connection, rule, now=in_time) == (), "it goes by the rule for what was replaced"


def test_the_standing_result_is_what_is_handed_to_the_next_reconstruction(hospital: Hospital, first: Study) -> None:
    deliver(hospital, "PACS")
    with hospital.database.begin() as connection:
        [key] = supersession.blob_keys_of_what_went_out(connection, first.id)
    assert hospital.store.read(key).startswith(b"surface of ")
    send_late_view(hospital)
    with hospital.database.begin() as connection:
        assert supersession.blob_keys_of_what_went_out(connection, first.id) == (), "the new one waits yet"

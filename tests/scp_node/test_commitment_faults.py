"""Storage commitment with peers that answer oddly, ask oddly, or hang up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, StoragePresentationContexts, evt
from sqlalchemy import func, insert, select, update

from pipeline.errors import InputError
from pipeline.records import commitment_reports, commitments, tables
from pipeline.records.commitments import ANSWER_TIME
from scp_node.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE, ask, context, question_of
from scp_node.commitment_handlers import RESOURCE_LIMITATION
from scp_node.peer import ConnectionProblem, Target, open_association
from scp_node.reporter import LONGEST_PAUSE, PATIENCE, Reporter
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.node_helpers import NOON, Hospital
from tests.peers import free_port
from tests.scp_node.senders import closing
from tests.scp_node.test_postman import Outbox


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path, port: int) -> Outbox:
    """Three results that wait for PACS, which is not there."""
    return Outbox(hospital, tmp_path / "results", port)


def peer_id(outbox: Outbox):
    return outbox.rows()[0]["peer_id"]


def test_what_a_report_does_not_name_is_asked_for_again_but_not_at_once(outbox: Outbox) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(state="sent", attempts=1))
        asked = commitments.claim(connection, peer_id(outbox), now=outbox.now)
        nothing = {"committed": [], "failed": {}, "now": outbox.now, "wait": lambda _: timedelta()}
        assert commitments.answer(connection, peer_id(outbox), asked.transaction_uid, **nothing)
    assert outbox.postman.destinations_due() == ()
    outbox.now += ANSWER_TIME + timedelta(seconds=1)
    assert outbox.postman.destinations_due() == (peer_id(outbox),)


def test_what_had_to_wait_is_given_all_its_time_once_it_is_stored(outbox: Outbox) -> None:
    with outbox.hospital.database.begin() as connection:
        long_ago = outbox.now - timedelta(days=30)
        stored = {"state": "sent", "attempts": 1, "planned_at": long_ago, "delivered_at": outbox.now}
        connection.execute(update(tables.deliveries).values(**stored))
        gives_up = partial(
            commitments.give_up_older, connection, peer_id(outbox), our_title="BONECRAFT", now=outbox.now
        )
        assert gives_up(than=outbox.now - timedelta(days=7)) == 0
        assert gives_up(than=outbox.now + timedelta(seconds=1)) == 3


def test_of_a_peer_that_shall_not_be_asked_any_more_nobody_says_that_it_offers_no_commitment(outbox: Outbox) -> None:
    with outbox.hospital.database.begin() as connection:
        connection.execute(update(tables.deliveries).values(state="sent", attempts=1))
        connection.execute(update(tables.peers).values(commitment="never"))
    outbox.deliver()
    assert outbox.states() == {"delivered"}
    assert all("no commitment is asked of it" in row["note"] for row in outbox.rows())


@contextmanager
def pacs_that_breaks_off(port: int, *, after: int) -> Iterator[None]:
    """It stores as many files as said, and aborts the association in the middle of the next."""
    stored = 0

    def on_store(event: evt.Event) -> int:
        nonlocal stored
        stored += 1
        if stored > after:
            event.assoc.abort()
        return 0x0000

    ae = AE("PACS")
    for known in (*StoragePresentationContexts, context()):
        ae.add_supported_context(known.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)])
    try:
        yield
    finally:
        server.shutdown()


def test_a_pacs_that_breaks_off_in_the_last_file_is_away(outbox: Outbox, port: int) -> None:
    with pacs_that_breaks_off(port, after=2):
        outbox.deliver()
    assert sorted(row["state"] for row in outbox.rows()) == ["pending", "sent", "sent"]
    [outage] = outbox.outages()
    assert "gave no answer" in outage.problem


def test_a_peer_that_has_hung_up_when_it_is_asked_is_a_connection_problem(port: int) -> None:
    target = Target(ae_title="PACS", host="127.0.0.1", port=port)
    with (
        pacs_that_breaks_off(port, after=0),
        open_association(target, calling="BONECRAFT", contexts=[context()]) as association,
    ):
        association.release()
        with pytest.raises(ConnectionProblem, match="hung up"):
            ask(association, target, "1.2.3", [(make_dx().SOPClassUID, "1.2.3.4")])


@pytest.fixture
def asked(hospital: Hospital) -> Hospital:
    """PACS has asked whether we keep an image."""
    image = make_dx(view="AP")
    hospital.send("AP")
    with hospital.database.begin() as connection:
        there = {"ae_title": "PACS", "host": "127.0.0.1", "port": free_port(), "sends": True}
        peers = insert(tables.peers).values(institution_id=hospital.institution_id, **there)
        peer = connection.execute(peers.returning(tables.peers.c.id)).scalar_one()
        commitment_reports.add(
            connection,
            institution_id=hospital.institution_id,
            peer_id=peer,
            transaction_uid="1.2.3",
            called_ae_title="BONECRAFT",
            instances=[(str(image.SOPClassUID), str(image.SOPInstanceUID))],
            now=NOON,
        )
    return hospital


def report(hospital: Hospital, *, at: datetime = NOON) -> int:
    reporter = Reporter(database=hospital.database, store=hospital.store, clock=lambda: at)
    return sum(reporter.report_to(peer) for peer in reporter.peers_due())


def test_a_report_that_the_store_cannot_answer_is_made_later_and_shown(asked: Hospital) -> None:
    [blob] = (path for path in asked.store.folder.rglob("*") if path.is_file())
    blob.unlink()
    blob.parent.rmdir()
    blob.parent.write_text("no folder: whatever is read below it is an error of the store")
    assert report(asked) == 1
    assert report(asked) == 0, "not before its time"
    with asked.database.begin() as connection:
        [waiting] = commitment_reports.failed(connection)
    assert "the blob store does not answer" in waiting.problem
    assert waiting.attempts == 0, "the peer was not called"


def question(*named: tuple[str, str]) -> Dataset:
    """What a peer asks, item by item."""
    asked = Dataset()
    asked.TransactionUID = "1.2.3"
    items = []
    for sop_class_uid, sop_instance_uid in named:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        items.append(item)
    asked.ReferencedSOPSequence = items
    return asked


def test_an_instance_that_is_asked_about_twice_is_looked_at_once() -> None:
    assert question_of(question(("1.2", "1.2.4"), ("1.2", "1.2.4"))) == ("1.2.3", (("1.2", "1.2.4"),))


@pytest.mark.parametrize("named", [[("1.2", "")], [("1.2", "1.2.4"), ("1.3", "1.2.4")]])
def test_a_question_that_names_no_instance_clearly_is_refused(named: list[tuple[str, str]]) -> None:
    with pytest.raises(InputError):
        question_of(question(*named))


def test_a_question_about_more_than_we_look_at_is_told_so(running: RunningListener) -> None:
    ae = AE("MODALITY")
    ae.add_requested_context(PUSH_MODEL)
    asking = ae.associate("127.0.0.1", running.port, ae_title="BONECRAFT", evt_handlers=closing())
    too_many = question(*(("1.2", f"1.2.{number}") for number in range(10_001)))
    answer, _ = asking.send_n_action(too_many, 1, PUSH_MODEL, WELL_KNOWN_INSTANCE)
    asking.release()
    assert answer.Status == RESOURCE_LIMITATION


def test_a_report_of_any_length_is_remembered_and_its_row_goes_after_a_while(asked: Hospital) -> None:
    with asked.database.begin() as connection:
        [peer] = commitment_reports.peers_due(connection, now=NOON)
        due = commitment_reports.claim_due(connection, peer, now=NOON, lease=timedelta(minutes=5))
        many = replace(due, instances=tuple(("1.2", f"1.2.{number}") for number in range(14_000)))
        commitment_reports.mark_reported(connection, many, kept=["1.2.1"], peer="PACS", now=NOON)
        assert connection.execute(select(func.count()).select_from(tables.ledger)).scalar_one() == 14_001
        later = NOON + timedelta(days=8)
        commitment_reports.add(
            connection,
            institution_id=due.institution_id,
            peer_id=peer,
            transaction_uid="1.2.5",
            called_ae_title="BONECRAFT",
            instances=due.instances,
            now=later,
        )
        again = commitment_reports.claim_due(connection, peer, now=later, lease=timedelta(minutes=5))
        commitment_reports.mark_reported(connection, again, kept=[], peer="PACS", now=later)
        left = connection.execute(select(tables.commitment_reports.c.transaction_uid)).scalars().all()
    assert left == ["1.2.5"]


def test_a_peer_that_is_off_for_the_night_hears_in_the_morning_and_one_that_is_gone_is_given_up(
    asked: Hospital,
) -> None:
    with asked.database.begin() as connection:
        connection.execute(update(tables.commitment_reports).values(attempts=200))
    assert report(asked) == 1
    assert report(asked, at=NOON + 2 * LONGEST_PAUSE) == 1, "however often it was tried"
    assert report(asked, at=NOON + PATIENCE + timedelta(minutes=1)) == 1
    with asked.database.begin() as connection:
        [given_up] = commitment_reports.failed(connection)
    assert given_up.is_given_up
    assert "nothing listens" in given_up.problem
    assert report(asked, at=NOON + 2 * PATIENCE) == 0

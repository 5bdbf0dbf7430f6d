"""Storage commitment with peers that answer oddly, ask oddly, or hang up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, StoragePresentationContexts, evt
from sqlalchemy import insert, update

from pipeline.records import commitment_reports, commitments, tables
from pipeline.records.commitments import ANSWER_TIME
from scp_node.commitment import ask, context
from scp_node.peer import ConnectionProblem, Target, open_association
from scp_node.reporter import Reporter
from tests.factories import make_dx
from tests.node_helpers import NOON, Hospital
from tests.peers import free_port
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


def report(hospital: Hospital) -> int:
    reporter = Reporter(database=hospital.database, store=hospital.store, attempts=3, clock=lambda: NOON)
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

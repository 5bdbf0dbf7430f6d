"""Storage commitment with peers that answer oddly, ask oddly, or hang up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.records import commitments, tables
from pipeline.records.commitments import ANSWER_TIME
from tests.node_helpers import Hospital
from tests.peers import free_port
from tests.scp_node.test_postman import Outbox


@pytest.fixture
def outbox(hospital: Hospital, tmp_path: Path) -> Outbox:
    """Three results that wait for PACS, which is not there."""
    return Outbox(hospital, tmp_path / "results", free_port())


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

"""The web asks for a C-ECHO; the DICOM door answers with a sentence."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert

from pipeline.database import Database
from pipeline.records import tables
from pipeline.records.checks import CLAIM_LEASE, claim_check, finish_check, get_check, request_check


@pytest.fixture
def peer_id(database: Database, institution_id: UUID) -> UUID:
    with database.begin() as connection:
        peer = {"institution_id": institution_id, "ae_title": "PACS", "host": "127.0.0.1", "port": 1}
        return connection.execute(insert(tables.peers).values(**peer).returning(tables.peers.c.id)).scalar_one()


def test_a_check_is_done_once_and_its_sentence_read_by_its_institution_alone(
    database: Database, institution_id: UUID, peer_id: UUID
) -> None:
    now = datetime.now(UTC)
    with database.begin() as connection:
        check = request_check(connection, peer_id)
        claimed = claim_check(connection, now=now)
        assert claimed is not None
        assert claimed.id == check
        assert claim_check(connection, now=now) is None
        finish_check(connection, check, ok=False, sentence="nothing listens there", now=now)
        seen = get_check(connection, check, institution_id=institution_id)
        assert seen is not None
        assert (seen.ok, seen.sentence) == (False, "nothing listens there")
        assert get_check(connection, check, institution_id=uuid4()) is None
        assert claim_check(connection, now=now + 2 * CLAIM_LEASE) is None


def test_a_check_whose_process_died_is_taken_up_again(database: Database, peer_id: UUID) -> None:
    now = datetime.now(UTC)
    with database.begin() as connection:
        check = request_check(connection, peer_id)
        claim_check(connection, now=now)
        again = claim_check(connection, now=now + CLAIM_LEASE + timedelta(seconds=1))
    assert again is not None
    assert again.id == check


def test_a_removed_peer_cannot_be_checked(database: Database) -> None:
    with database.begin() as connection, pytest.raises(LookupError, match="removed"):
        request_check(connection, uuid4())

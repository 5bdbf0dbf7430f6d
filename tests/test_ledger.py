"""The ledger tells what became of each instance, and notices whoever changes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.uid import UID
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from pipeline.inbox import UnreadableDataset
from pipeline.records import ledger, proof
from pipeline.records.ledger import LedgerEvent
from tests.factories import make_dx, save
from tests.node_helpers import NOON, Hospital, after


def seal_all(hospital: Hospital) -> int:
    sealed = 0
    while True:
        with hospital.database.begin() as connection:
            more = ledger.seal(connection, limit=3)
        sealed += more
        if not more:
            return sealed


def verify(hospital: Hospital) -> proof.Verdict:
    with hospital.database.begin() as connection:
        return proof.verify(connection)


@pytest.fixture
def chain(hospital: Hospital) -> Hospital:
    """A hospital that has received four images, all sealed."""
    for study in ("one", "another"):
        for view in ("AP", "LATERAL"):
            hospital.send(view, study=study)
    assert seal_all(hospital) == 4
    return hospital


def tamper(hospital: Hospital, statement: str) -> None:
    """As somebody does who owns the tables."""
    with hospital.database.begin() as connection:
        for table in ("ledger", "ledger_seals"):
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER append_only"))
        connection.execute(text(statement))


def test_every_way_an_image_can_come_in_is_entered(hospital: Hospital, tmp_path) -> None:
    path = save(make_dx(view="AP"), tmp_path / "first.dcm")
    changed = make_dx(view="AP")
    changed.SeriesDescription = "changed"
    uid = UID(changed.SOPInstanceUID)
    hospital.send_file(path)
    hospital.send_file(path, now=after(1))
    hospital.send_file(save(changed, tmp_path / "changed.dcm"), now=after(2))
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM")
    with pytest.raises(UnreadableDataset):
        hospital.send_file(tmp_path / "broken.dcm", sop_instance_uid=uid, now=after(3))
    with hospital.database.begin() as connection:
        entries = proof.entries_about(connection, uid)
    assert [(entry.event, entry.facts.get("outcome")) for entry in entries] == [
        (LedgerEvent.RECEIVED, "new"),
        (LedgerEvent.RECEIVED, "duplicate"),
        (LedgerEvent.RECEIVED, "superseded"),
        (LedgerEvent.QUARANTINED, None),
    ]
    assert entries[0].facts["digest"] == entries[1].facts["digest"] != entries[2].facts["digest"]
    assert {entry.facts["calling_ae_title"] for entry in entries} == {"MODALITY"}
    assert entries[0].recorded_at == NOON


def test_an_entry_is_made_only_if_what_it_tells_is_committed(hospital: Hospital, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.jobs.settle", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        hospital.send("AP")
    assert verify(hospital).unsealed == 0


def test_a_whole_chain_is_whole_and_goes_on_where_it_ended(chain: Hospital) -> None:
    first = verify(chain)
    chain.send("AP", study="a third")
    assert (first.sealed, first.unsealed, first.broken) == (4, 0, "")
    assert verify(chain).unsealed == 1
    assert seal_all(chain) == 1
    second = verify(chain)
    assert (second.sealed, second.unsealed, second.broken) == (5, 0, "")
    with chain.database.begin() as connection:
        assert proof.digest_at(connection, 4) == first.head != second.head


def test_sealers_that_run_at_once_make_one_chain(hospital: Hospital) -> None:
    for study in range(6):
        hospital.send("AP", study=str(study))
    with ThreadPoolExecutor() as sealers:
        list(sealers.map(lambda _: seal_all(hospital), range(4)))
    seal_all(hospital)
    assert (verify(hospital).sealed, verify(hospital).broken) == (6, "")


@pytest.mark.parametrize("statement", ["UPDATE ledger SET event = 'used'", "DELETE FROM ledger_seals"])
def test_the_database_refuses_changes(chain: Hospital, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="append-only"), chain.database.engine.begin() as connection:
        connection.execute(text(statement))


THIRD = "(SELECT entry_id FROM ledger_seals WHERE number = 3)"


@pytest.mark.parametrize(
    ("statement", "sealed", "broken"),
    [
        (f"UPDATE ledger SET sop_instance_uid = '1.2.3' WHERE id = {THIRD}", 2, "entry 3 (received 1.2.3) is not as"),
        (f"UPDATE ledger SET recorded_at = now() WHERE id = {THIRD}", 2, "entry 3"),
        (f"""UPDATE ledger SET facts = facts || '{{"address": "10.0.0.1"}}' WHERE id = {THIRD}""", 2, "entry 3"),
        (f"DELETE FROM ledger WHERE id = {THIRD}", 2, "entry 3 was removed from the ledger"),
        ("DELETE FROM ledger_seals WHERE number = 3", 2, "entry 3 of the chain was removed"),
        ("DELETE FROM ledger_seals WHERE number = 4", 3, "is not in the chain"),
        ("UPDATE ledger_seals SET digest = repeat('0', 64) WHERE number = 3", 2, "entry 3"),
    ],
)
def test_the_first_entry_that_was_tampered_with_is_named(
    chain: Hospital, statement: str, sealed: int, broken: str
) -> None:
    tamper(chain, statement)
    verdict = verify(chain)
    assert broken in verdict.broken
    assert verdict.sealed == sealed

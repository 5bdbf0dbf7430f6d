"""Who may open an association: AE titles and addresses, as the database has them."""

import socket
from uuid import UUID

import pytest
from sqlalchemy import insert

from pipeline.database import Database
from pipeline.records import tables
from scp_node.access import Admitted, Reject, Turned, admit


@pytest.fixture
def modality(database: Database, institution_id: UUID) -> None:
    peers = [
        {"ae_title": "CR1", "host": "10.0.0.9", "allow_from": ["10.0.0.0/24", "fd00::/8"], "sends": True},
        {"ae_title": "PACS", "host": "127.0.0.1", "allow_from": [], "receives": True},
        {"ae_title": "LOST", "host": "no-such-host.invalid", "allow_from": [], "sends": True},
    ]
    with database.begin() as connection:
        for peer in peers:
            connection.execute(insert(tables.peers).values(institution_id=institution_id, port=104, **peer))


def asked(database: Database, *, called: str = "BONECRAFT", calling: str = "CR1", address: str = "10.0.0.7"):
    return admit(database, called=called, calling=calling, address=address)


@pytest.mark.usefixtures("modality")
@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "fd00::5"])
def test_a_known_peer_is_let_in_from_its_networks(database: Database, institution_id: UUID, address: str) -> None:
    decision = asked(database, address=address)
    assert isinstance(decision, Admitted)
    assert decision.institution_id == institution_id
    assert decision.peer.sends


@pytest.mark.usefixtures("modality")
def test_a_peer_without_networks_may_call_from_its_own_host_only(database: Database) -> None:
    assert isinstance(asked(database, calling="PACS", address="127.0.0.1"), Admitted)
    assert isinstance(asked(database, calling="PACS", address="10.0.0.7"), Turned)
    assert isinstance(asked(database, calling="LOST", address="127.0.0.1"), Turned)


@pytest.mark.usefixtures("modality")
def test_a_slow_name_server_keeps_no_connection_to_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_use, resolve = [], socket.getaddrinfo

    def look_up(host: str | bytes | None, *rest: object, **more: object) -> list:
        in_use.append(database.engine.pool.checkedout())
        return resolve(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert isinstance(asked(database, calling="PACS", address="127.0.0.1"), Admitted)
    assert in_use[-1] == 0


@pytest.mark.usefixtures("modality")
@pytest.mark.parametrize(
    ("wrong", "reject", "words"),
    [
        ({"called": "OTHER"}, Reject.CALLED_AE_TITLE, "no institution answers to the AE title 'OTHER'"),
        ({"calling": "CR2"}, Reject.CALLING_AE_TITLE, "'CR2' is not a peer"),
        ({"address": "10.0.1.7"}, Reject.CALLING_AE_TITLE, "may not call from 10.0.1.7: add the address to allow_from"),
    ],
)
def test_who_is_turned_away_reads_why(database: Database, wrong: dict[str, str], reject: Reject, words: str) -> None:
    decision = asked(database, **wrong)
    assert isinstance(decision, Turned)
    assert decision.reject is reject
    assert words in decision.reason


@pytest.mark.usefixtures("modality")
def test_a_peer_of_one_institution_is_a_stranger_to_another(database: Database) -> None:
    with database.begin() as connection:
        other = insert(tables.institutions).values(slug="other", name="Other").returning(tables.institutions.c.id)
        other_id = connection.execute(other).scalar_one()
        connection.execute(insert(tables.called_ae_titles).values(ae_title="OTHER", institution_id=other_id))
    decision = asked(database, called="OTHER")
    assert isinstance(decision, Turned)
    assert decision.reject is Reject.CALLING_AE_TITLE

"""How long the listener waits for whom, and that nobody waits for it."""

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing as closed_at_the_end

import pytest

from pipeline.database import Database
from pipeline.records.rejected import list_rejected
from scp_node import listener, transport, waiting
from scp_node.echo import echo
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.scp_node.authorities import Authority, node_at
from tests.scp_node.senders import Knock, associate, knock, wait_until

ABORTED = b"\x07"
NO_TIME = 0.2
"""Seconds; a deadline is passed at once for whoever says nothing."""
LONGEST_PDU_OFFERED = 128 * 1024


@pytest.fixture
def visitor(running: RunningListener) -> Iterator[Knock]:
    with closed_at_the_end(knock(running.port).connection) as connection:
        yield Knock(connection=connection)


def test_pdus_of_128_kib_are_taken(running: RunningListener) -> None:
    sender = associate(running.port, make_dx())
    assert sender.acceptor.maximum_length == LONGEST_PDU_OFFERED
    sender.release()


def test_who_says_nothing_after_connecting_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, running: RunningListener
) -> None:
    monkeypatch.setattr(transport, "REQUEST_SECONDS", NO_TIME)
    with socket.create_connection(("127.0.0.1", running.port), timeout=60) as silent:
        assert silent.recv(1) == b""


def test_who_is_silent_on_an_association_is_aborted(
    monkeypatch: pytest.MonkeyPatch, start_listener: Callable[..., RunningListener]
) -> None:
    monkeypatch.setattr(listener, "SILENCE_SECONDS", NO_TIME)
    running = start_listener(minimum_free_megabytes=0)
    with closed_at_the_end(knock(running.port).connection) as connection:
        visitor = Knock(connection=connection)
        assert visitor.ask()[:1] == b"\x02"
        assert visitor.hear()[:1] == ABORTED
    wait_until(lambda: running.connections == 0)


def test_who_stops_in_the_middle_of_a_pdu_is_hung_up_on(
    monkeypatch: pytest.MonkeyPatch, running: RunningListener, visitor: Knock
) -> None:
    monkeypatch.setattr(waiting, "STALL_SECONDS", NO_TIME)
    assert visitor.ask()[:1] == b"\x02"
    visitor.say(struct.pack(">BBL", 4, 0, 1000) + b"half")
    assert visitor.hear() == b""
    wait_until(lambda: running.connections == 0)


def test_who_says_nothing_to_the_tls_port_is_hung_up_on_and_listed(
    monkeypatch: pytest.MonkeyPatch, secure: RunningListener, database: Database
) -> None:
    monkeypatch.setattr(transport, "REQUEST_SECONDS", NO_TIME)
    with socket.create_connection(("127.0.0.1", secure.tls_port), timeout=60) as silent:
        assert silent.recv(1) == b""
    with database.begin() as connection:
        (attempt,) = list_rejected(connection)
    assert "the caller connected and sent nothing: let it speak TLS at this port" in attempt.sentence


def test_two_hundred_silent_tls_peers_keep_nobody_waiting(secure: RunningListener, authority: Authority) -> None:
    silent = [socket.create_connection(("127.0.0.1", secure.tls_port)) for _ in range(200)]
    for each in silent[::2]:
        each.sendall(b"\x16\x03\x01")  # the beginning of a ClientHello, and no more
    assert echo(node_at(secure.tls_port, authority.certificate("modality")), calling="MODALITY") > 0
    for each in silent:
        each.close()

"""Whatever arrives on the DICOM port, the listener goes on listening."""

import random
import socket

import pytest

from tests.factories import make_dx
from tests.listening import RunningListener
from tests.scp_node.senders import associate, send, send_half, store_request, vanish, wait_until


def noises() -> list[bytes]:
    """Other protocols, broken PDUs (PS3.8 9.3) and seeded random bytes."""
    chance = random.Random(8)
    return [
        b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS ClientHello
        b"\x01\x00\xff\xff\xff\xff" + bytes(100),  # A-ASSOCIATE-RQ of 4 GB
        b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00",  # A-ASSOCIATE-RQ that ends at once
        b"\x04\x00\x00\x00\x00\x0a" + bytes(10),  # P-DATA before any association
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",  # A-ABORT
        *(chance.randbytes(size) for size in (1, 6, 74, 5000)),
    ]


@pytest.mark.parametrize("noise", noises(), ids=lambda noise: noise[:6].hex())
def test_noise_ends_its_own_connection_only(running: RunningListener, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        connection.sendall(noise)
        dataset = make_dx()
        sender = associate(running.port, dataset)
        assert send(sender, store_request(dataset)) == 0
        sender.release()
    wait_until(lambda: running.connections == 0)


def test_many_senders_that_vanish_leave_no_file_and_no_thread(running: RunningListener) -> None:
    dataset = make_dx(rows=400, columns=400)
    for _ in range(8):
        sender = associate(running.port, dataset)
        send_half(sender, dataset)
        vanish(sender)
    wait_until(lambda: running.connections == 0)
    wait_until(lambda: list(running.incoming.iterdir()) == [])

"""However a sender cuts its datasets into fragments and PDUs, they arrive as they are; what is no PDU ends the line."""

import hashlib
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from sqlalchemy import select

from pipeline.database import Database
from pipeline.records import tables
from scp_node.reception import LONGEST_PDU
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.scp_node.senders import associate, send, store_request, wait_until

COMMAND, LAST = 0x01, 0x02


@pytest.fixture
def sender(running: RunningListener) -> Iterator[Association]:
    opened = associate(running.port, make_dx())
    yield opened
    opened.abort()


def fragments(sender: Association, dataset: Dataset, size: int) -> list[tuple[int, bytes]]:
    """Control header and data of each fragment of a C-STORE request."""
    message = C_STORE_RQ()
    message.primitive_to_message(store_request(dataset))
    pieces = message.encode_msg(sender.accepted_contexts[0].context_id, size)
    values = [value for piece in pieces for _, value in piece.presentation_data_value_list]
    return [(value[0], value[1:]) for value in values]


def pdu(sender: Association, *contents: tuple[int, bytes]) -> bytes:
    """A P-DATA-TF with these fragments (PS3.8 9.3.5)."""
    context = sender.accepted_contexts[0].context_id
    items = b"".join(struct.pack(">LBB", len(data) + 2, context, control) + data for control, data in contents)
    return struct.pack(">BxL", 0x04, len(items)) + items


def put(sender: Association, *pdus: bytes) -> None:
    sender.dul.socket.socket.sendall(b"".join(pdus))


def answer(sender: Association) -> int:
    _, response = sender.dimse.get_msg(block=True)
    return int(response.Status)


def stored(database: Database) -> list[tuple[str, str]]:
    with database.begin() as connection:
        query = select(tables.instances.c.blob_key, tables.instances.c.digest)
        return [(row.blob_key, row.digest) for row in connection.execute(query)]


@pytest.mark.parametrize("size", [20, 1000, 100_000])
@pytest.mark.parametrize("together", [1, 3, 1000])
def test_fragments_of_every_size_arrive(
    running: RunningListener, database: Database, sender: Association, size: int, together: int
) -> None:
    pieces = fragments(sender, make_dx(), size)
    sender._reactor_checkpoint.clear()
    for start in range(0, len(pieces), together):
        put(sender, pdu(sender, *pieces[start : start + together]))
    assert answer(sender) == 0
    ((key, digest),) = stored(database)
    content = running.store.read(key)
    assert hashlib.sha256(content).hexdigest() == digest
    assert content.endswith(b"".join(data for control, data in pieces if not control & COMMAND))


def test_fragments_may_change_their_length(running: RunningListener, database: Database, sender: Association) -> None:
    lengths = [700] * 5 + [300, 900, 900, 20] + [700] * 4
    command, *pieces = fragments(sender, make_dx(), 100_000)
    data, cut = b"".join(data for _, data in pieces), []
    for length in lengths:
        cut.append((0, data[:length]))
        data = data[length:]
    sender._reactor_checkpoint.clear()
    put(sender, pdu(sender, command), *(pdu(sender, piece) for piece in cut), pdu(sender, (LAST, data)))
    assert answer(sender) == 0
    ((key, _),) = stored(database)
    assert running.store.read(key).endswith(b"".join(each for _, each in cut) + data)


def test_the_next_command_may_share_a_pdu_with_the_last_fragment(
    running: RunningListener, database: Database, sender: Association
) -> None:
    first, second = (fragments(sender, make_dx(view=view), 5000) for view in ("AP", "LATERAL"))
    sender._reactor_checkpoint.clear()
    put(sender, *(pdu(sender, piece) for piece in first[:-1]), pdu(sender, first[-1], second[0]))
    put(sender, *(pdu(sender, piece) for piece in second[1:]))
    assert [answer(sender), answer(sender)] == [0, 0]
    assert len(stored(database)) == 2


def test_a_pause_within_a_dataset_changes_nothing(running: RunningListener, sender: Association) -> None:
    pieces = [pdu(sender, piece) for piece in fragments(sender, make_dx(), 1000)]
    sender._reactor_checkpoint.clear()
    put(sender, *pieces[:3], pieces[3][:9])
    wait_until(lambda: list(running.incoming.iterdir()) != [])
    time.sleep(0.1)  # several times as long as the listener waits for more before it looks elsewhere
    put(sender, pieces[3][9:], *pieces[4:])
    assert answer(sender) == 0


def too_long(_: Association) -> bytes:
    return struct.pack(">BxL", 0x04, LONGEST_PDU + 1)


def of_an_unknown_type(_: Association) -> bytes:
    return struct.pack(">BxL", 0x09, 100)


def with_a_fragment_longer_than_the_pdu(sender: Association) -> bytes:
    content = struct.pack(">LBB", 1000, sender.accepted_contexts[0].context_id, 0) + bytes(8)
    return struct.pack(">BxL", 0x04, len(content)) + content


def with_a_fragment_without_header(sender: Association) -> bytes:
    content = struct.pack(">LB", 1, sender.accepted_contexts[0].context_id)
    return struct.pack(">BxL", 0x04, len(content)) + content


def with_a_command_inside_the_dataset(sender: Association) -> bytes:
    return pdu(sender, (COMMAND | LAST, b"another command"))


BROKEN = [
    too_long,
    of_an_unknown_type,
    with_a_fragment_longer_than_the_pdu,
    with_a_fragment_without_header,
    with_a_command_inside_the_dataset,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda make: make.__name__)
def test_a_broken_pdu_within_a_dataset_aborts_and_leaves_nothing(
    running: RunningListener, database: Database, sender: Association, broken: Callable[[Association], bytes]
) -> None:
    pieces = fragments(sender, make_dx(), 1000)
    put(sender, *(pdu(sender, piece) for piece in pieces[:3]), broken(sender))
    wait_until(lambda: sender.is_aborted)
    wait_until(lambda: running.connections == 0)
    assert list(running.incoming.iterdir()) == []
    assert stored(database) == []
    other = associate(running.port, make_dx())
    assert send(other, store_request(make_dx())) == 0
    other.release()

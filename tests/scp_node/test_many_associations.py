"""Many callers at once, and callers that say nothing, or little, or too much: they keep nobody else out."""

import gc
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.admission import plan_admission
from pipeline.database import Database
from pipeline.records import tables
from pipeline.records.admin import current_values
from pipeline.records.rejected import Rejected, list_rejected
from pipeline.site_values import PeerValue, Subject
from scp_node import reception, transport, waiting
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.scp_node.senders import (
    Knock,
    associate,
    association_request,
    knock,
    send,
    store_request,
    takes_connections,
    wait_until,
)

ACCEPTED, REJECTED, ABORTED = b"\x02", b"\x03", b"\x07"
FOR_THE_MOMENT_TOO_MANY = bytes((2, 3, 2))
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
MANY = 200


@pytest.fixture
def stores(dcmtk: Callable[[str], Path], tmp_path: Path) -> Callable[[RunningListener], bool]:
    """Send a radiograph with dcmtk; whether it was stored."""
    file = save(make_dx(), tmp_path / "ap.dcm")

    def send_it(to: RunningListener) -> bool:
        titles = ("-aet", "MODALITY", "-aec", "BONECRAFT")
        command = [dcmtk("storescu"), "-R", *titles, "127.0.0.1", str(to.port), file]
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0

    return send_it


@pytest.fixture
def knocks() -> Iterator[Callable[[int], Knock]]:
    """Opens connections, which are closed at the end of the test."""
    with ExitStack() as all_of_them:

        def one_more(port: int) -> Knock:
            opened = knock(port)
            all_of_them.enter_context(opened.connection)
            return opened

        yield one_more


def allow(database: Database, associations: int, *, ae_title: str = "PACS") -> None:
    with database.begin() as connection:
        is_peer = tables.peers.c.ae_title == ae_title
        connection.execute(update(tables.peers).where(is_peer).values(maximum_associations=associations))


def rejected(database: Database) -> list[Rejected]:
    with database.begin() as connection:
        return list(list_rejected(connection))


def held() -> tuple[int, int]:
    """Threads and file descriptors of this process."""
    gc.collect()
    return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))


def resident_megabytes() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def all_at_once(opened: Sequence[Knock]) -> set[bytes]:
    """Ask for an association on each before hearing any answer; gives the kinds of answers."""
    for each in opened:
        each.say(association_request(calling="PACS"))
    return {each.hear()[:1] for each in opened}


def come_and_go(port: int, count: int) -> None:
    """Open so many associations at once; end them properly, by hanging up and by abort, in turns."""
    opened = [knock(port) for _ in range(count)]
    assert all_at_once(opened) == {ACCEPTED}
    for number, each in enumerate(opened):
        if number % 3 == 0:
            each.release()
        elif number % 3 == 1:
            each.connection.close()
        else:
            each.say(b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00")
            each.connection.close()


def test_a_radiograph_is_stored_while_two_hundred_associations_are_open(
    start_listener: Callable[..., RunningListener], database: Database, knocks: Callable, stores: Callable
) -> None:
    running = start_listener(minimum_free_megabytes=0)
    allow(database, MANY)
    opened = [knocks(running.port) for _ in range(MANY)]
    assert all_at_once(opened) == {ACCEPTED}
    assert stores(running)
    assert running.connections >= MANY


def test_what_many_associations_took_is_given_back_when_they_end(running: RunningListener, database: Database) -> None:
    allow(database, MANY)
    come_and_go(running.port, MANY)  # as many connections to the database are kept as will ever be
    wait_until(lambda: running.connections == 0)
    (threads, descriptors), memory = held(), None
    for _ in range(2):
        come_and_go(running.port, MANY)
        wait_until(lambda: held()[0] <= threads and held()[1] <= descriptors)
        memory, earlier = resident_megabytes(), memory
    assert earlier is not None
    assert memory - earlier < 10


def test_a_greedy_peer_keeps_nobody_else_out_and_is_told_to_come_later(
    running: RunningListener, database: Database, knocks: Callable, stores: Callable
) -> None:
    allow(database, 3)
    for _ in range(3):
        assert knocks(running.port).ask(calling="PACS")[:1] == ACCEPTED
    answer = knocks(running.port).ask(calling="PACS")
    assert (answer[:1], answer[7:10]) == (REJECTED, FOR_THE_MOMENT_TOO_MANY)
    assert stores(running)
    (attempt,) = rejected(database)
    assert (attempt.reason.value, attempt.calling_ae_title) == ("peer-associations", "PACS")
    assert "'PACS' has 3 associations open, as many as it may" in attempt.sentence


def test_admitting_a_greedy_peer_lets_it_open_more(running: RunningListener, database: Database, knocks) -> None:
    allow(database, 1)
    assert knocks(running.port).ask(calling="PACS")[:1] == ACCEPTED
    assert knocks(running.port).ask(calling="PACS")[:1] == REJECTED
    with database.begin() as connection:
        planned = plan_admission(list_rejected(connection)[0], current_values(connection))
    value = planned[Subject.of_peer("demo", "PACS")]
    assert isinstance(value, PeerValue)
    assert value.maximum_associations == 2


def test_a_place_is_free_again_when_an_association_was_released(running: RunningListener, database: Database) -> None:
    allow(database, 1)
    for _ in range(5):
        visitor = knock(running.port)
        assert visitor.ask(calling="PACS")[:1] == ACCEPTED
        visitor.release()


def test_connections_without_a_word_keep_nobody_out_and_are_no_associations(
    start_listener: Callable[..., RunningListener], knocks: Callable, stores: Callable
) -> None:
    small = start_listener(minimum_free_megabytes=0, maximum_associations=1)
    for _ in range(MANY):
        knocks(small.port)
    assert stores(small)
    wait_until(lambda: small.connections == 0)


def test_more_connections_without_a_word_than_allowed_are_closed_at_once(
    running: RunningListener, knocks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WORDLESS_AT_MOST", 3)
    for _ in range(3):
        knocks(running.port)
    assert knocks(running.port).hear() == b""


def test_port_scans_leave_nothing_behind(running: RunningListener) -> None:
    takes_connections(running.port)
    wait_until(lambda: running.connections == 0)
    threads, descriptors = held()
    for _ in range(50):
        socket.create_connection(("127.0.0.1", running.port)).close()
        reset = socket.create_connection(("127.0.0.1", running.port))
        reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
    wait_until(lambda: all(now <= then for now, then in zip(held(), (threads, descriptors), strict=True)))


def test_a_request_that_comes_drop_by_drop_has_an_end(
    running: RunningListener, knocks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REQUEST_SECONDS", 1)
    slow = knocks(running.port)
    slow.connection.settimeout(0.05)

    def drips_in_vain() -> bool:
        try:
            slow.say(b"\x01")
            return slow.connection.recv(100) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    slow.say(association_request()[:6])
    wait_until(drips_in_vain)
    wait_until(lambda: running.connections == 0)


def test_a_pdu_longer_than_any_is_not_read(
    running: RunningListener, knocks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "REQUEST_SECONDS", 600)
    visitor = knocks(running.port)
    visitor.say(struct.pack(">BBL", 1, 0, reception.LONGEST_PDU + 1))
    assert visitor.hear()[:1] == ABORTED


def test_a_command_that_never_ends_is_aborted(
    running: RunningListener, knocks: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LONGEST_MESSAGE", 100_000)
    visitor = knocks(running.port)
    assert visitor.ask(calling="PACS")[:1] == ACCEPTED
    fragment = struct.pack(">LBB", 60_002, 1, 0b01) + bytes(60_000)  # a command's, and not its last (PS3.8 E.2)
    for _ in range(2):
        visitor.say(struct.pack(">BBL", 4, 0, len(fragment)) + fragment)
    assert visitor.hear()[:1] == ABORTED


def test_requests_that_wait_for_no_answer_are_all_answered(running: RunningListener) -> None:
    sender = associate(running.port, dataset := make_dx())
    sender._reactor_checkpoint.clear()
    for _ in range(3 * waiting.UNANSWERED):
        sender.dimse.send_msg(store_request(dataset), sender.accepted_contexts[0].context_id)
    statuses = [sender.dimse.get_msg(block=True)[1].Status for _ in range(3 * waiting.UNANSWERED)]
    sender._reactor_checkpoint.set()
    assert set(statuses) == {0}
    assert send(sender, store_request(dataset)) == 0
    sender.release()

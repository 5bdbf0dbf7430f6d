"""How an association waits: without turning round a thousand times a second, and not for ever.

pynetdicom's two threads for each association look every millisecond whether something has come. Two hundred open
associations would then take a whole processor to do nothing. Here they sleep until something comes, or a timer is due.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Final, TypeVar

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket

STALL_SECONDS: Final = 60
"""So long one read or write may take, however slowly its bytes come; pynetdicom by itself would wait for ever."""
REQUEST_SECONDS: Final = 15
"""So long a connection may be open without a whole association request."""
LOOK_SECONDS: Final = 0.5
"""So often timers (PS3.8 9.1.5 ARTIM, silence) are looked at where nothing else happens."""
AHEAD_BYTES: Final = 4 << 10
"""Bytes that are read beyond those that are wanted: the header of what comes next, or all of a small message."""
LONGEST_MESSAGE: Final = 16 << 20
"""Bytes of a message that is held in memory: all but the datasets of C-STORE, which go to a file."""
UNANSWERED: Final = 4
"""So many requests may wait for their answers before no more are read: their datasets are open files."""
CLOSED: Final = -1

Item = TypeVar("Item")


class Wakeup:
    """Wakes a thread that waits for a file descriptor. Closed with the association, at the latest with its memory."""

    def __init__(self) -> None:
        """Open it."""
        self._lock = threading.Lock()
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """What to wait for."""
        return self._descriptor

    def wake(self) -> None:
        """Wake whoever waits, now or next."""
        with self._lock:
            if self._descriptor != CLOSED:
                os.eventfd_write(self._descriptor, 1)

    def reset(self) -> None:
        """Sleep well next time."""
        with self._lock:
            if self._descriptor != CLOSED:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back; it is not written to any more, whoever gets its number next."""
        with self._lock:
            if self._descriptor != CLOSED:
                os.close(self._descriptor)
                self._descriptor = CLOSED

    __del__ = close


class TellingQueue(queue.Queue[Item]):
    """A queue that tells somebody who waits for several things that something was put."""

    def __init__(self, told: Wakeup | Checkpoint) -> None:
        """An empty queue that tells `told`."""
        super().__init__()
        self._told = told

    def put(self, item: Item, block: bool = True, timeout: float | None = None) -> None:
        """Put, and tell."""
        super().put(item, block, timeout)
        self._told.wake()


class Checkpoint(threading.Event):
    """Where pynetdicom's association thread pauses; here it also sleeps there until there is something to do."""

    def __init__(self) -> None:
        """Open, with nothing to do."""
        super().__init__()
        self._news = threading.Event()
        self.set()

    def wake(self) -> None:
        """There is something to do."""
        self._news.set()

    def set(self) -> None:
        """Let the thread pass, at once: it may have been told to end."""
        super().set()
        self._news.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Until passing is allowed and there is something to do, or timers are to be looked at."""
        passed = super().wait(timeout)
        while passed:
            self._news.wait(LOOK_SECONDS)
            self._news.clear()
            if self.is_set():
                break
            passed = super().wait(timeout)  # it was told to pause while it slept
        return passed


class Line(AssociationSocket):
    """A connection that is waited for, with an end to every wait."""

    def __init__(self, association: Association, connection: socket.socket) -> None:
        """Take over an open connection."""
        super().__init__(association, client_socket=connection)
        self.wakeup = Wakeup()
        self._request_until = time.monotonic() + REQUEST_SECONDS
        self._poll = select.poll()
        self._number = connection.fileno()
        self._poll.register(self._number, select.POLLIN)
        self._poll.register(self.wakeup, select.POLLIN)
        self._arrives, self._leaves = select.poll(), select.poll()
        self._arrives.register(self._number, select.POLLIN)
        self._leaves.register(self._number, select.POLLOUT)
        self._buffer = memoryview(bytearray(AHEAD_BYTES))
        self._unread = self._buffer[:0]
        self._is_encrypted = isinstance(connection, ssl.SSLSocket)
        if not self._is_encrypted:
            connection.setblocking(False)  # most reads find something: no system call to wait, none for a deadline

    @property
    def ready(self) -> bool:
        """Whether there is something to read; waits for that, for something to send, or for a timer."""
        connection = self.socket
        if connection is None or not self._is_connected:
            return False
        if self._holds_too_much():
            self.event_queue.put("Evt19")  # PS3.8 Table 9-10, invalid PDU: the association is aborted
            return False
        if self._unread or (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            return not self._has_enough()
        found = dict(self._poll.poll(1000 * self._patience()))
        if self.wakeup.fileno() in found:
            self.wakeup.reset()
        if found.get(self._number, 0) & select.POLLNVAL:
            self.event_queue.put("Evt17")  # the connection was closed
            return False
        return self._number in found and not self._has_enough()

    @property
    def has_begun(self) -> bool:
        """Whether the beginning of what comes next is here already."""
        return bool(self._unread)

    def _patience(self) -> float:
        """Seconds; none where the association has ended (Sta13): what still comes is read, then the door is shut."""
        if self.assoc.dul.state_machine.current_state == "Sta13" or not self.assoc.dul.to_provider_queue.empty():
            return 0
        return LOOK_SECONDS

    def _has_enough(self) -> bool:
        """Whether the caller sends without waiting for answers; what it sends then waits in the network."""
        if self.assoc.dimse.msg_queue.qsize() < UNANSWERED:
            return False
        time.sleep(0.01)
        return True

    def _holds_too_much(self) -> bool:
        message = self.assoc.dimse.message
        if message is None:
            return False
        held = sum(part.tell() for part in (message.encoded_command_set, message.data_set) if part is not None)
        return held > LONGEST_MESSAGE

    def deadline(self) -> float:
        """Until when, on the monotonic clock, what is read from now on has to have come."""
        is_requested = self.assoc.requestor.primitive is not None
        return time.monotonic() + STALL_SECONDS if is_requested else self._request_until

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes.

        Raises:
            OSError: They did not come in time, or the caller hung up before.
        """
        received, count, until = bytearray(nr_bytes), 0, self.deadline()
        with memoryview(received) as view:
            while count < nr_bytes:
                count += self.recv_into(view[count:], until)
        return received

    def recv_into(self, view: memoryview, until: float) -> int:
        """Put the next bytes where they belong, as many as there are, at least one; how many they are.

        What came behind them is kept for next time, and little of that: it is copied once more.

        Raises:
            OSError: None came in time, or the caller hung up.
        """
        if not self._unread:
            return self._fill(view, until)
        piece, self._unread = self._unread[: len(view)], self._unread[len(view) :]
        view[: len(piece)] = piece
        return len(piece)

    def recv_into_all(self, views: Sequence[memoryview], until: float) -> int:
        """Put the next bytes into these, one after the other, as many as there are, at least one; how many they are.

        Raises:
            OSError: None came in time, or the caller hung up.
        """
        if self._unread or self._is_encrypted:
            return self.recv_into(views[0], until)
        return self._came(views, until)

    def put_back(self, data: bytes) -> None:
        """Take back, to be read again, what was read last and does not belong where it was put."""
        self._unread = memoryview(data)

    def _fill(self, view: memoryview, until: float) -> int:
        count = self._came((view, self._buffer), until)
        self._unread = self._buffer[: max(count - len(view), 0)]
        return min(count, len(view))

    def _came(self, views: Sequence[memoryview], until: float) -> int:
        connection = self.socket
        if connection is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        receive = self._decrypted if self._is_encrypted else self._received
        count = receive(connection, views, until)
        if not count:
            raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return count

    def _decrypted(self, connection: socket.socket, views: Sequence[memoryview], until: float) -> int:
        connection.settimeout(max(until - time.monotonic(), 0.001))
        try:
            return connection.recv_into(views[0])
        finally:
            connection.settimeout(STALL_SECONDS)

    def _received(self, connection: socket.socket, views: Sequence[memoryview], until: float) -> int:
        while True:
            with contextlib.suppress(BlockingIOError):
                return connection.recvmsg_into(views)[0]
            _wait(self._arrives, until)

    def send(self, bytestream: bytes) -> None:
        """All of it; where that takes too long the connection counts as closed (PS3.8 9.2.1, Evt17)."""
        if self._is_encrypted or self.socket is None:
            super().send(bytestream)
            return
        rest, until = memoryview(bytestream), time.monotonic() + STALL_SECONDS
        try:
            while rest:
                with contextlib.suppress(BlockingIOError):
                    rest = rest[self.socket.send(rest) :]
                    continue
                _wait(self._leaves, until)
        except OSError:
            self.event_queue.put("Evt17")


def _wait(poll: select.poll, until: float) -> None:
    """Until a connection can go on.

    Raises:
        TimeoutError: It could not until then.
    """
    if not poll.poll(1000 * max(until - time.monotonic(), 0)):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def wait_well(association: Association, connection: socket.socket) -> None:
    """Let a new association of ours, not started yet, wait like this."""
    dul, checkpoint = association.dul, Checkpoint()
    line = Line(association, connection)
    dul.socket = line
    dul.to_provider_queue = TellingQueue(line.wakeup)
    dul.to_user_queue = TellingQueue(checkpoint)
    association.dimse.msg_queue = TellingQueue(checkpoint)
    association._reactor_checkpoint = checkpoint

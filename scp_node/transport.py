"""What happens to a connection before DICOM is spoken on it: deadlines, keep-alive, TLS.

pynetdicom does the TLS handshake where it accepts connections, so one silent peer keeps everybody out. Here it is done
in the connection's own thread, with a deadline. Who says nothing, or hangs up without a word (health checks, port
scans), never becomes an association.
"""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from pynetdicom.association import Association
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from scp_node.reception import receive_well
from scp_node.tls import SILENT, ServerTls, explain_incoming
from scp_node.waiting import REQUEST_SECONDS, STALL_SECONDS, wait_well

HANDSHAKE_SECONDS: Final = 10
WORDLESS_AT_MOST: Final = 512
"""So many connections from one address may be open without a word; each has a thread."""

log = structlog.get_logger(__name__)


class Wordless:
    """How many connections from which address have not said anything yet."""

    def __init__(self) -> None:
        """None."""
        self._lock = threading.Lock()
        self._from: Counter[str] = Counter()

    @contextmanager
    def one_more(self, address: str) -> Iterator[bool]:
        """Count one for the time of the block; gives whether it is not too many."""
        with self._lock:
            self._from[address] += 1
            is_allowed = self._from[address] <= WORDLESS_AT_MOST
        try:
            yield is_allowed
        finally:
            with self._lock:
                self._from[address] -= 1
                self._from += Counter()  # drops addresses without any


class Server(ThreadedAssociationServer):
    """A port. Two hundred callers may knock at once: the kernel holds them until they are let in."""

    request_queue_size = 256
    daemon_threads = True
    """Who has not said anything keeps no process from ending."""


class Door(RequestHandler):
    """One incoming connection."""

    tls: ServerTls | None = None
    wordless: Wordless
    on_failed_handshake: Callable[[str, str], None]

    @classmethod
    def behind(cls, tls: ServerTls | None, on_failed_handshake: Callable[[str, str], None]) -> type[Door]:
        """Doors that speak TLS, where it is given.

        Args:
            tls: The certificates.
            on_failed_handshake: Told address and reason where somebody did not get through.
        """
        told = {"tls": tls, "on_failed_handshake": staticmethod(on_failed_handshake), "wordless": Wordless()}
        return type("Door", (cls,), told)

    def setup(self) -> None:
        """Set deadlines, and let the kernel notice peers that vanished without a word."""
        connection: socket.socket = self.request
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(STALL_SECONDS)

    def handle(self) -> None:
        """Wait for a word, shake hands where TLS is spoken, then hand over to pynetdicom."""
        address = self.client_address[0]
        with self.wordless.one_more(address) as is_allowed:
            if not is_allowed:
                log.warning("too_many_wordless", address=address)
            is_welcome = is_allowed and self._says_something() and (self.tls is None or self._shake_hands(self.tls))
        if is_welcome:
            super().handle()
        else:
            self.server.shutdown_request(self.request)

    def _says_something(self) -> bool:
        """Wait for the first byte, which stays to be read."""
        poll = select.poll()
        poll.register(self.request, select.POLLIN)
        if not poll.poll(1000 * REQUEST_SECONDS):
            if self.tls is not None:
                self.on_failed_handshake(self.client_address[0], SILENT)
            return False
        try:
            return bool(self.request.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def _create_association(self) -> Association:
        association = super()._create_association()
        receive_well(association)
        wait_well(association, self.request)
        return association

    def _shake_hands(self, tls: ServerTls) -> bool:
        self.request.settimeout(HANDSHAKE_SECONDS)  # for the whole handshake, however slowly its bytes come
        try:
            self.request = tls.context().wrap_socket(self.request, server_side=True)
        except OSError as error:
            if reason := explain_incoming(error):
                self.on_failed_handshake(self.client_address[0], reason)
            return False
        self.request.settimeout(STALL_SECONDS)
        return True

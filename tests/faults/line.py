"""The line to a PACS, and what can be the matter with it: a TCP relay in front of a real Orthanc."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from random import Random

from tests.peers import free_port

CHUNK_BYTES = 1 << 16
DRIP_BYTES = 200
DRIP_SECONDS = 0.1
LONGEST_LIFE_BYTES = 1_500_000
"""Where associations are aborted, at the latest after so many bytes."""
POLL_SECONDS = 0.1
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send a RST."""


class Trouble(Enum):
    """What the other side does to who calls it."""

    NONE = "nothing is the matter"
    REFUSES = "refuses connections"
    ABORTS = "aborts in the middle"
    DRIPS = "drips bytes"
    SILENT = "takes connections and says nothing"


class Line:
    """Relays connections to `upstream`, as well as its trouble lets it.

    Attributes:
        port: Where it is called.
        upstream: The port of what stands behind it; may be changed at any time.
        trouble: What is the matter now.
        bytes_per_second: How fast it is, each connection by itself; None: as fast as it can.
        tls: The certificate it shows, where it speaks TLS to its callers.
    """

    def __init__(
        self, upstream: int, *, bytes_per_second: float | None = None, tls: ssl.SSLContext | None = None, seed: int = 1
    ) -> None:
        self.port, self.upstream = free_port(), upstream
        self.bytes_per_second, self.tls = bytes_per_second, tls
        self._chance = Random(seed)
        self.trouble = Trouble.NONE
        self._open: set[socket.socket] = set()
        self._end = threading.Event()
        self._listening = self._listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up everywhere."""
        self._end.set()
        self._thread.join()
        for connection in list(self._open):
            connection.close()

    def _listen(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen()
        listening.settimeout(POLL_SECONDS)
        return listening

    def _serve(self) -> None:
        while not self._end.is_set():
            if self.trouble is Trouble.REFUSES:
                self._listening.close()  # what nobody listens at is refused by the kernel
                self._end.wait(POLL_SECONDS)
                continue
            if self._listening.fileno() == -1:
                self._listening = self._listen()
            with suppress(TimeoutError):
                caller, _ = self._listening.accept()
                threading.Thread(target=self._relay, args=(caller,), daemon=True).start()
        self._listening.close()

    def _relay(self, caller: socket.socket) -> None:
        try:
            if self.tls is not None:
                caller = self.tls.wrap_socket(caller, server_side=True)
            called = socket.create_connection(("127.0.0.1", self.upstream))
        except OSError:  # the caller does not like our certificate, or nobody stands behind us
            caller.close()
            return
        life = self._chance.randrange(LONGEST_LIFE_BYTES)
        self._open |= {caller, called}
        back = threading.Thread(target=self._pass_on, args=(called, caller, LONGEST_LIFE_BYTES), daemon=True)
        back.start()
        self._pass_on(caller, called, life)
        back.join()
        self._open -= {caller, called}
        caller.close()
        called.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, life: int) -> None:
        """Bytes in one direction, until one side ends."""
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                life -= len(data)
                if self.trouble is Trouble.ABORTS and life < 0:
                    _reset(source, target)
                    return
                self._send(target, data)
        for side in (source, target):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _send(self, target: socket.socket, data: bytes) -> None:
        while data:
            self._stay_silent()
            size = DRIP_BYTES if self.trouble is Trouble.DRIPS else len(data)
            target.sendall(data[:size])
            data = data[size:]
            if self.trouble is Trouble.DRIPS:
                time.sleep(DRIP_SECONDS)
            elif self.bytes_per_second is not None:
                time.sleep(size / self.bytes_per_second)

    def _stay_silent(self) -> None:
        while self.trouble is Trouble.SILENT and not self._end.is_set():
            time.sleep(POLL_SECONDS)


def _reset(*sides: socket.socket) -> None:
    for side in sides:
        with suppress(OSError):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            side.close()


@contextmanager
def line_to(upstream: int, **options: object) -> Iterator[Line]:
    """A line as long as the block lasts."""
    line = Line(upstream, **options)
    try:
        yield line
    finally:
        line.close()

"""What happens to a connection before DICOM is spoken on it: deadlines, keep-alive, TLS.

pynetdicom does the TLS handshake where it accepts connections, so one silent peer keeps everybody out. Here it is done
in the connection's own thread, with a deadline.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final

from pynetdicom.transport import RequestHandler

from scp_node.tls import ServerTls, explain_incoming

STALL_SECONDS: Final = 60
"""So long a read or write on a connection may take; pynetdicom by itself would wait for ever inside a PDU."""
HANDSHAKE_SECONDS: Final = 10


class Door(RequestHandler):
    """One incoming connection."""

    tls: ServerTls | None = None
    on_failed_handshake: Callable[[str, str], None]

    @classmethod
    def behind(cls, tls: ServerTls | None, on_failed_handshake: Callable[[str, str], None]) -> type[Door]:
        """Doors that speak TLS, where it is given.

        Args:
            tls: The certificates.
            on_failed_handshake: Told address and reason where somebody did not get through.
        """
        return type("Door", (cls,), {"tls": tls, "on_failed_handshake": staticmethod(on_failed_handshake)})

    def setup(self) -> None:
        """Set deadlines, and let the kernel notice peers that vanished without a word."""
        connection: socket.socket = self.request
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(STALL_SECONDS)

    def handle(self) -> None:
        """Shake hands where TLS is spoken, then hand over to pynetdicom."""
        if self.tls is not None and not self._shake_hands(self.tls):
            self.server.shutdown_request(self.request)
            return
        super().handle()

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

"""What happens to a connection before DICOM is spoken on it: deadlines, keep-alive, TLS.

pynetdicom does the TLS handshake where it accepts connections, so one silent peer keeps everybody out. Here it is done
in the connection's own thread, with a deadline.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

import structlog
from pynetdicom.transport import RequestHandler

from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings

STALL_SECONDS: Final = 60
"""So long a read or write on a connection may take; pynetdicom by itself would wait for ever inside a PDU."""
HANDSHAKE_SECONDS: Final = 10

log = structlog.get_logger(__name__)


class Door(RequestHandler):
    """One incoming connection."""

    tls: ssl.SSLContext | None = None

    @classmethod
    def behind(cls, tls: ssl.SSLContext | None) -> type[Door]:
        """Doors that speak TLS, where there is a context."""
        return type("Door", (cls,), {"tls": tls})

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

    def _shake_hands(self, tls: ssl.SSLContext) -> bool:
        self.request.settimeout(HANDSHAKE_SECONDS)
        try:
            self.request = tls.wrap_socket(self.request, server_side=True)
        except (OSError, ssl.SSLError) as error:
            log.warning("tls_handshake_failed", address=self.client_address[0], reason=str(error))
            return False
        self.request.settimeout(STALL_SECONDS)
        return True


def server_context(settings: NodeSettings) -> ssl.SSLContext | None:
    """TLS with the certificate of the settings; None where they name none.

    Raises:
        ConfigurationError: Certificate or key cannot be used.
    """
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # PS3.15 B.9, BCP 195
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"tls_certificate and tls_key cannot be used together: {error}") from error
    return context

"""DICOM over TLS: PS3.15 B.12 and B.13, which is BCP 195 (RFC 8996, RFC 9325).

TLS 1.3, and 1.2 with ephemeral keys and authenticated encryption alone. Certificates are read again when their files
change, so that a renewed one needs no restart.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from pipeline.certificates import lineage
from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2 (RFC 9325, 4.2); those of TLS 1.3 are all of this kind."""

SILENT: Final = "the caller connected and sent nothing: let it speak TLS at this port, or call the port without TLS"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """PEM files; each may be absent.

    Attributes:
        certificate: Our own, with the chain above it.
        key: Its private key.
        trusted_cas: Those that the other side's certificates must come from; absent: the system's.
        bound_to: Fingerprints of certificates or CAs, where the other side must show one of these.
    """

    certificate: Path | None = None
    key: Path | None = None
    trusted_cas: Path | None = None
    bound_to: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: NodeSettings) -> TlsFiles:
        """Those of the node."""
        return cls(certificate=settings.tls_certificate, key=settings.tls_key, trusted_cas=settings.tls_trusted_cas)

    @property
    def state(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Changes when one of the files does."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.trusted_cas))


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else None


class OtherCertificate(ssl.SSLError):
    """The other side showed a trusted certificate that is not its own.

    Attributes:
        fingerprint: Of what it showed.
    """

    def __init__(self, fingerprint: str) -> None:
        super().__init__(f"certificate {fingerprint} is not bound to this peer")
        self.fingerprint = fingerprint


class ServerTls:
    """The context for incoming connections, made again when a file changes.

    Callers are asked for a certificate where `trusted_cas` is given. One of another CA ends the handshake; a caller
    without any is let through here and judged by its peer's `requires_certificate`, once its AE title is known.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Read the files.

        Raises:
            ConfigurationError: They cannot be used.
        """
        self._files = files
        self._lock = threading.Lock()
        self._state = files.state
        self._context = server_context(files)

    def context(self) -> ssl.SSLContext:
        """For the next handshake; where changed files cannot be used, as before, and the log says why."""
        with self._lock:
            state = self._files.state
            if state != self._state:
                self._state = state
                self._reload()
            return self._context

    def _reload(self) -> None:
        try:
            self._context = server_context(self._files)
        except ConfigurationError as error:
            log.warning("certificates_not_read", reason=str(error))
        else:
            log.info("certificates_read")


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """For incoming connections.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    context = _profile(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    with _naming_files(files):
        if files.certificate is None:
            raise ConfigurationError(
                "a TLS listener needs tls_certificate and tls_key: make some with bonecraft tls init"
            )
        context.load_cert_chain(files.certificate, files.key)
        if files.trusted_cas is not None:
            context.load_verify_locations(files.trusted_cas)
            context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calling others: theirs must be of a trusted CA and name the host; ours is shown where asked for.

    Raises:
        ConfigurationError: A file cannot be used.
    """
    context = _profile(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with _naming_files(files):
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
        if files.trusted_cas is not None:
            context.load_verify_locations(files.trusted_cas)
        else:
            context.load_default_certs()
    if files.bound_to:
        context.sslsocket_class = _bound(files)
    return context


def _bound(files: TlsFiles) -> type[ssl.SSLSocket]:
    """Connections that end with the handshake where the other side shows another certificate than its own."""

    class Bound(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            shown = shown_by(self, files.trusted_cas)
            if set(shown).isdisjoint(files.bound_to):
                raise OtherCertificate(shown[0] if shown else "")

    return Bound


def is_over_tls(connection: socket.socket | None) -> bool:
    """Whether a connection is secured."""
    return isinstance(connection, ssl.SSLSocket)


def shown_by(connection: socket.socket | None, trusted_cas: Path | None) -> tuple[str, ...]:
    """Fingerprints of the trusted certificate that the other side has shown and of the CAs above it; empty: of none.

    Raises:
        ConfigurationError: `trusted_cas` cannot be read.
    """
    try:
        shown = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    except (OSError, ValueError):  # it has hung up
        return ()
    return lineage(shown, trusted_cas) if shown else ()


def _profile(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9325, 3.3 and 3.5
    return context


@contextmanager
def _naming_files(files: TlsFiles) -> Iterator[None]:
    try:
        yield
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(path) for path in (files.certificate, files.key, files.trusted_cas) if path is not None)
        raise ConfigurationError(
            f"tls_certificate, tls_key and tls_trusted_cas cannot be used ({named}): {error.strerror or error}"
        ) from error


def explain_incoming(error: OSError) -> str:
    """Why a caller's handshake with us failed, and what to change where; empty where somebody only looked in."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _about_their_certificate(error)
    if isinstance(error, TimeoutError):
        return SILENT
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return ""
    reason = error.reason or ""
    sentences = {
        "ALERT_UNKNOWN_CA": "the caller does not trust our certificate's CA: add our CA to its trusted ones",
        "ALERT_BAD_CERTIFICATE": "the caller does not take our certificate: see its log",
        "ALERT_CERTIFICATE_EXPIRED": "the caller finds our certificate expired: renew it here, or set its clock",
        "WRONG_VERSION_NUMBER": "the caller speaks no TLS: switch TLS on there, or let it call the port without TLS",
        "HTTP_REQUEST": "the caller speaks HTTP: this is a DICOM port",
        "UNSUPPORTED_PROTOCOL": "the caller speaks only TLS older than 1.2: allow TLS 1.2 or 1.3 there",
        "NO_SHARED_CIPHER": "the caller offers no cipher of BCP 195: allow ECDHE with AES-GCM there",
    }
    by_word = next((sentence for word, sentence in sentences.items() if word in reason), "")
    return by_word or f"the TLS handshake failed ({reason or error}): see the caller's log"


def _about_their_certificate(error: ssl.SSLCertVerificationError) -> str:
    sentences = {
        10: "the caller's certificate has expired: renew it there",
        9: "the caller's certificate is not valid yet: set both clocks",
        26: "the caller's certificate is not for clients: issue one with clientAuth there",
    }
    unknown = "the caller's certificate is of a CA that is not in tls_trusted_cas: add that CA here"
    return sentences.get(error.verify_code, unknown)


def explain_outgoing(error: OSError, *, where: str, host: str) -> str:
    """Why our handshake with a peer failed, and what to change where."""
    if isinstance(error, OtherCertificate):
        return (
            f"{where} shows another certificate (SHA-256 {error.fingerprint}) than this peer's: if it is theirs, add "
            "it with bonecraft peers set … --certificate"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        sentences = {
            10: f"the certificate of {where} has expired: renew it there",
            9: f"the certificate of {where} is not valid yet: set the clocks of both sides",
            62: f"the certificate of {where} is not for {host!r}: issue one for that name, or correct the host here",
            64: f"the certificate of {where} is not for {host!r}: issue one for that address, or give its name here",
        }
        unknown = f"the certificate of {where} is of a CA that is not trusted here: add that CA to tls_trusted_cas"
        return sentences.get(error.verify_code, unknown)
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    if "UNKNOWN_CA" in reason or "BAD_CERTIFICATE" in reason:
        return f"{where} does not trust our certificate: add the CA of our tls_certificate to the trusted ones there"
    if "CERTIFICATE_EXPIRED" in reason:
        return f"{where} finds our certificate expired: renew tls_certificate here, or set the clock there"
    if "CERTIFICATE_REQUIRED" in reason or ("HANDSHAKE_FAILURE" in reason):
        return f"{where} wants a certificate of ours that it takes: set tls_certificate and tls_key here"
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return f"{where} speaks only TLS older than 1.2: allow TLS 1.2 or 1.3 there"
    return f"{where} gives no TLS answer: switch TLS on there, or correct the port, or say --no-tls for this peer"

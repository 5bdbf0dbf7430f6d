"""Calling a peer: one association, and for everything that can go wrong a sentence with the exact fix."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Final

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from pipeline.errors import InputError, TransientError
from pipeline.records.directory import Peer
from scp_node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MAXIMUM_PDU_BYTES
from scp_node.tls import TlsFiles, client_context, explain_outgoing

CONNECT_SECONDS: Final = 10
ANSWER_SECONDS: Final = 60
ALERT_SECONDS: Final = 3
"""So long a peer has to say why it hung up after a handshake (TLS 1.3 judges the client's certificate then)."""

_TARGET: Final = re.compile(r"(?P<ae_title>[^@\\]{1,16})@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>\d{1,5})")


class ConnectionProblem(TransientError):  # noqa: N818 - says what is the matter
    """The peer could not be reached or did not take the association; the message says what to change where.

    Attributes:
        is_rejection: Whether the peer answered, and rejected the association.
    """

    def __init__(self, sentence: str, *, is_rejection: bool = False) -> None:
        super().__init__(sentence)
        self.is_rejection = is_rejection


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to call.

    Attributes:
        ae_title: Its AE title.
        host: Where it listens.
        port: Where it listens.
        tls: The certificates for calling it over TLS; None: without TLS.
    """

    ae_title: str
    host: str
    port: int
    tls: TlsFiles | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """From `AE@host:port`.

        Raises:
            InputError: It does not look like that.
        """
        match = _TARGET.fullmatch(text)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise InputError(f"{text!r} is not AE@host:port, for example PACS@192.0.2.7:104")
        return cls(ae_title=match["ae_title"].strip(), host=match["host"].strip("[]"), port=int(match["port"]))

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}{' over TLS' if self.tls else ''}"


def target_of(peer: Peer, files: TlsFiles) -> Target:
    """How a peer of the records is called."""
    tls = replace(files, bound_to=peer.certificates) if peer.tls else None
    return Target(ae_title=peer.ae_title, host=peer.host, port=peer.port, tls=tls)


@contextmanager
def open_association(
    target: Target,
    *,
    calling: str,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Association]:
    """An established association, released at the end of the block.

    Args:
        target: Whom to call.
        calling: As whom.
        contexts: What to propose.
        roles: In which roles, where not in that of the one that asks.
        handlers: For what the peer asks of us on it.

    Raises:
        ConnectionProblem: There is none, and why.
        ConfigurationError: Our certificates cannot be used.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.STORE_SEND_CHUNKED_DATASET = True
    _check_reachable(target)
    with ExitStack() as sockets:
        # pynetdicom forgets to close the socket where the other side hung up first.
        keep = (evt.EVT_CONN_OPEN, lambda event: sockets.enter_context(event.assoc.dul.socket.socket))
        association = _associate(target, calling, contexts, roles, [keep, *handlers])
        if not association.is_established:
            raise ConnectionProblem(_why_not(association, target, calling), is_rejection=association.is_rejected)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _check_reachable(target: Target) -> None:
    """Connect and hang up: this tells exactly what is the matter, where pynetdicom only tells that something is.

    Raises:
        ConnectionProblem: What is the matter.
    """
    with connect(target) as connection:
        if target.tls is not None:
            shake_hands(connection, target, client_context(target.tls)).close()


def connect(target: Target) -> socket.socket:
    """A TCP connection.

    Raises:
        ConnectionProblem: There is none, and what to change where.
    """
    where = f"{target.host}:{target.port}"
    try:
        return socket.create_connection((target.host, target.port), timeout=CONNECT_SECONDS)
    except socket.gaierror as error:
        raise ConnectionProblem(f"the name {target.host!r} cannot be resolved: correct the host here") from error
    except ConnectionRefusedError as error:
        raise ConnectionProblem(f"nothing listens at {where}: start the peer, or correct host and port here") from error
    except TimeoutError as error:
        raise ConnectionProblem(
            f"no answer from {where} in {CONNECT_SECONDS} s: check host, routing and firewall"
        ) from error
    except OSError as error:
        raise ConnectionProblem(f"{where} cannot be reached ({error.strerror}): check host and network") from error


def shake_hands(connection: socket.socket, target: Target, context: ssl.SSLContext) -> ssl.SSLSocket:
    """TLS over a connection, which it takes over.

    Raises:
        ConnectionProblem: There is none, and what to change where.
    """
    try:
        return context.wrap_socket(connection, server_hostname=target.host)
    except OSError as error:
        raise ConnectionProblem(explain_outgoing(error, where=str(target), host=target.host)) from error


def _alert(target: Target) -> str:
    """What a peer says against us after a TLS handshake that looked good; empty where it says nothing."""
    if target.tls is None:
        return ""
    with shake_hands(connect(target), target, client_context(target.tls)) as secured:
        secured.settimeout(ALERT_SECONDS)
        try:
            secured.recv(1)
        except ssl.SSLError as error:
            return explain_outgoing(error, where=str(target), host=target.host)
        except OSError:
            return ""
    return ""


def _associate(
    target: Target,
    calling: str,
    contexts: Sequence[PresentationContext],
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation],
    handlers: list[evt.EventHandlerType],
) -> Association:
    ae = AE(calling)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = CONNECT_SECONDS
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ANSWER_SECONDS
    return ae.associate(
        target.host,
        target.port,
        contexts=list(contexts),
        ext_neg=list(roles),
        ae_title=target.ae_title,
        max_pdu=MAXIMUM_PDU_BYTES,
        evt_handlers=handlers,
        tls_args=(client_context(target.tls), target.host) if target.tls is not None else None,
    )


def _why_not(association: Association, target: Target, calling: str) -> str:
    """Why there is no association, and what to change where."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _why_rejected((answer.result, answer.result_source, answer.diagnostic), target, calling)
    if answer is not None:
        return f"{target} accepts none of the object classes or transfer syntaxes offered: enable them there"
    if alert := _alert(target):
        return alert
    return (
        f"something listens at {target.host}:{target.port} but gave no DICOM answer:"
        " correct the port, check whether TLS is expected there, or ask its administrator"
    )


def _why_rejected(code: tuple[int | None, int | None, int | None], target: Target, calling: str) -> str:
    """A-ASSOCIATE-RJ in words: result, source, reason (PS3.8 Table 9-21)."""
    reasons: dict[tuple[int | None, int | None, int | None], str] = {
        (1, 1, 7): f"does not answer to the AE title {target.ae_title!r}: correct the title here, or add it there",
        (1, 1, 3): f"does not know the caller {calling!r}: add {calling!r} with this machine's address there",
        (1, 1, 1): "refuses us without a reason: see its log; it may want TLS and a certificate of ours",
        (1, 1, 2): "does not know DICOM's application context: it is no DICOM archive",
        (2, 3, 1): "is busy: try again later",
        (2, 3, 2): "has too many associations open: try again later, or raise its limit",
    }
    result, source, reason = code
    lasting = "permanently" if result == 1 else "for the moment"
    unknown = f"rejects associations {lasting} (source {source}, reason {reason}): ask its administrator"
    by_sense = reasons.get(code) or reasons.get((1, source, reason)) or reasons.get((2, source, reason))
    return f"{target} {by_sense or unknown}"

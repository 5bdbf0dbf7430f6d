"""Calling a peer: one association, and for everything that can go wrong a sentence with the exact fix."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pipeline.errors import InputError, TransientError
from scp_node.contexts import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, MAXIMUM_PDU_BYTES

CONNECT_SECONDS: Final = 10
ANSWER_SECONDS: Final = 60

_TARGET: Final = re.compile(r"(?P<ae_title>[^@\\]{1,16})@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>\d{1,5})")


class ConnectionProblem(TransientError):  # noqa: N818 - says what is the matter
    """The peer could not be reached or did not take the association; the message says what to change where."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Whom to call: AE title, host, port."""

    ae_title: str
    host: str
    port: int

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
        return f"{self.ae_title} at {self.host}:{self.port}"


@contextmanager
def open_association(target: Target, *, calling: str, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """An established association, released at the end of the block.

    Raises:
        ConnectionProblem: There is none, and why.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.STORE_SEND_CHUNKED_DATASET = True
    _check_reachable(target)
    with ExitStack() as sockets:
        # pynetdicom forgets to close the socket where the other side hung up first.
        keep = (evt.EVT_CONN_OPEN, lambda event: sockets.enter_context(event.assoc.dul.socket.socket))
        association = _associate(target, calling, contexts, [keep])
        if not association.is_established:
            raise ConnectionProblem(_why_not(association, target, calling))
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
    try:
        socket.create_connection((target.host, target.port), timeout=CONNECT_SECONDS).close()
    except socket.gaierror as error:
        raise ConnectionProblem(f"the name {target.host!r} cannot be resolved: correct the host") from error
    except ConnectionRefusedError as error:
        raise ConnectionProblem(
            f"nothing listens at {target.host}:{target.port}: start the peer, or correct host and port"
        ) from error
    except TimeoutError as error:
        raise ConnectionProblem(
            f"no answer from {target.host}:{target.port} in {CONNECT_SECONDS} s: check host, routing and firewall"
        ) from error
    except OSError as error:
        raise ConnectionProblem(
            f"{target.host}:{target.port} cannot be reached ({error.strerror}): check host and network"
        ) from error


def _associate(
    target: Target, calling: str, contexts: Sequence[PresentationContext], handlers: list[evt.EventHandlerType]
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
        ae_title=target.ae_title,
        max_pdu=MAXIMUM_PDU_BYTES,
        evt_handlers=handlers,
    )


def _why_not(association: Association, target: Target, calling: str) -> str:
    """Why there is no association, and what to change where."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return _why_rejected((answer.result, answer.result_source, answer.diagnostic), target, calling)
    if answer is not None:
        return f"{target} accepts none of the object classes or transfer syntaxes offered: enable them there"
    return (
        f"something listens at {target.host}:{target.port} but gave no DICOM answer:"
        " correct the port, check whether TLS is expected there, or ask its administrator"
    )


def _why_rejected(code: tuple[int | None, int | None, int | None], target: Target, calling: str) -> str:
    """A-ASSOCIATE-RJ in words: result, source, reason (PS3.8 Table 9-21)."""
    reasons: dict[tuple[int | None, int | None, int | None], str] = {
        (1, 1, 7): f"does not answer to the AE title {target.ae_title!r}: correct this peer's AE title",
        (1, 1, 3): f"does not know the caller {calling!r}: add {calling!r} with this machine's address there",
        (1, 1, 2): "does not know DICOM's application context: it is no DICOM archive",
        (2, 3, 1): "is busy: try again later",
        (2, 3, 2): "has too many associations open: try again later, or raise its limit",
    }
    result, source, reason = code
    lasting = "permanently" if result == 1 else "for the moment"
    unknown = f"rejects associations {lasting} (source {source}, reason {reason}): ask its administrator"
    by_sense = reasons.get(code) or reasons.get((1, source, reason)) or reasons.get((2, source, reason))
    return f"{target} {by_sense or unknown}"

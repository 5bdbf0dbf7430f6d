"""Senders that do what well-behaved programs do not."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
RELEASE_REQUEST = b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"


def closing() -> list[evt.EventHandlerType]:
    """Handlers for an association requestor that close its socket even where the other side hung up first.

    pynetdicom shuts a socket down before it closes it, and does not close it where that fails.
    """
    sockets: WeakKeyDictionary[Association, socket.socket] = WeakKeyDictionary()

    def on_open(event: evt.Event) -> None:
        sockets[event.assoc] = event.assoc.dul.socket.socket

    def on_close(event: evt.Event) -> None:
        if event.assoc in sockets:
            sockets[event.assoc].close()

    return [(evt.EVT_CONN_OPEN, on_open), (evt.EVT_CONN_CLOSE, on_close)]


def associate(port: int, dataset: Dataset, *, calling: str = "MODALITY") -> Association:
    """An association that offers what `dataset` needs."""
    ae = AE(calling)
    ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    return ae.associate("127.0.0.1", port, ae_title="BONECRAFT", evt_handlers=closing())


@dataclass(frozen=True, kw_only=True)
class Knock:
    """A connection without any library behind it, and what it may say."""

    connection: socket.socket

    def ask(self, *, calling: str = "MODALITY", sop_class: str = VERIFICATION, syntax: str = IMPLICIT_LITTLE) -> bytes:
        """Send an association request; gives the whole answer, a PDU (PS3.8 9.3), or nothing where they hang up."""
        self.say(association_request(calling=calling, sop_class=sop_class, syntax=syntax))
        return self.hear()

    def say(self, words: bytes) -> None:
        """Send any bytes."""
        self.connection.sendall(words)

    def hear(self) -> bytes:
        """The next PDU, or nothing."""
        head = self._exactly(6)
        return head + self._exactly(int.from_bytes(head[2:6])) if head else b""

    def _exactly(self, size: int) -> bytes:
        heard = b""
        while len(heard) < size and (more := self.connection.recv(size - len(heard))):
            heard += more
        return heard

    def release(self) -> None:
        """End it as one should, and hang up."""
        self.say(RELEASE_REQUEST)
        assert self.hear()[:1] == b"\x06"
        self.connection.close()


def knock(port: int) -> Knock:
    """Connect."""
    return Knock(connection=socket.create_connection(("127.0.0.1", port), timeout=60))


def association_request(
    *, calling: str = "MODALITY", sop_class: str = VERIFICATION, syntax: str = IMPLICIT_LITTLE
) -> bytes:
    """A-ASSOCIATE-RQ with one presentation context."""
    request = A_ASSOCIATE()
    request.application_context_name = "1.2.840.10008.3.1.1.1"
    request.calling_ae_title, request.called_ae_title = calling, "BONECRAFT"
    request.presentation_context_definition_list = [build_context(sop_class, syntax)]
    request.presentation_context_definition_list[0].context_id = 1
    length, who = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received, who.implementation_class_uid = 16384, UID("1.2.3.4")
    request.user_information = [length, who]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(request)
    return pdu.encode()


def store_request(dataset: Dataset, *, sop_instance_uid: str = "", encoded: bytes | None = None) -> C_STORE:
    """A C-STORE request whose command and dataset need not agree."""
    request = C_STORE()
    request.MessageID = 1
    request.Priority = 2
    request.AffectedSOPClassUID = dataset.SOPClassUID
    request.AffectedSOPInstanceUID = sop_instance_uid or dataset.SOPInstanceUID
    request.DataSet = BytesIO(encode(dataset, False, True) if encoded is None else encoded)
    return request


def send(sender: Association, request: C_STORE) -> int:
    """Send any request; gives the status of the answer."""
    sender._reactor_checkpoint.clear()
    sender.dimse.send_msg(request, sender.accepted_contexts[0].context_id)
    _, answer = sender.dimse.get_msg(block=True)
    sender._reactor_checkpoint.set()
    return answer.Status


def send_half(sender: Association, dataset: Dataset) -> None:
    """The command and half of the dataset."""
    message = C_STORE_RQ()
    message.primitive_to_message(store_request(dataset))
    pieces = list(message.encode_msg(sender.accepted_contexts[0].context_id, 16384))
    for piece in pieces[: len(pieces) // 2]:
        sender.dul.send_pdu(piece)


def vanish(sender: Association) -> None:
    """Close the connection as the kernel does for a killed process."""
    sender.dul.socket.close()


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited too long"
        time.sleep(0.02)

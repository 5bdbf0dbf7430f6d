"""Senders that do what well-behaved programs do not."""

import socket
import time
from collections.abc import Callable
from io import BytesIO
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode


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

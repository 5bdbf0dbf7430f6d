"""What is known of an association in an event of it: its titles, its connection, whether it is our own."""

from __future__ import annotations

import socket

from pynetdicom import evt

from scp_node.contexts import IMPLEMENTATION_CLASS_UID


def ae_titles(event: evt.Event) -> tuple[str, str]:
    """Called and calling AE title of an association request; leading and trailing spaces do not count (PS3.8 9.3.2)."""
    request = event.assoc.requestor.primitive
    if request is None:
        return "", ""
    return request.called_ae_title.strip(), request.calling_ae_title.strip()


def connection_of(event: evt.Event) -> socket.socket | None:
    """The association's own, until it is closed."""
    transport = event.assoc.dul.socket
    return transport.socket if transport is not None else None


def is_own_check(event: evt.Event) -> bool:
    """Whether this node asks itself: on the machine's own address, under the title that it calls."""
    called, calling = ae_titles(event)
    requestor = event.assoc.requestor
    is_ours = str(requestor.implementation_class_uid) == IMPLEMENTATION_CLASS_UID
    connection = connection_of(event)
    if connection is None or not is_ours or called != calling:
        return False
    return bool(connection.getsockname()[0] == requestor.address)

"""Who may open an association: called AE title, calling AE title and address, checked against the database.

A peer that only receives may call too (its C-ECHO is how an administrator tests the line); it may not store.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from uuid import UUID

from sqlalchemy import Connection

from pipeline.records.directory import Peer, find_peer, institution_called


class Reject(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    CALLED_AE_TITLE = (1, 1, 7)
    CALLING_AE_TITLE = (1, 1, 3)
    TRY_AGAIN_LATER = (2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A caller that was let in."""

    institution_id: UUID
    peer: Peer


@dataclass(frozen=True, kw_only=True)
class Turned:
    """A caller that was turned away.

    Attributes:
        reject: What it is told.
        reason: What the log says: the cause and the fix.
    """

    reject: Reject
    reason: str


def admit(connection: Connection, *, called: str, calling: str, address: str) -> Admitted | Turned:
    """Decide about an association request.

    Args:
        connection: To the database.
        called: Called AE title.
        calling: Calling AE title.
        address: IP address that the request came from.
    """
    institution = institution_called(connection, called)
    if institution is None:
        return Turned(
            reject=Reject.CALLED_AE_TITLE,
            reason=f"no institution answers to the AE title {called!r}: correct it at the sender, or add it here",
        )
    peer = find_peer(connection, institution, calling)
    if peer is None:
        return Turned(
            reject=Reject.CALLING_AE_TITLE,
            reason=f"{calling!r} is not a peer of the institution that answers to {called!r}: bonecraft peers add",
        )
    if not may_call_from(peer, address):
        return Turned(
            reject=Reject.CALLING_AE_TITLE,
            reason=f"{calling!r} may not call from {address}: add the address to allow_from of this peer",
        )
    return Admitted(institution_id=institution, peer=peer)


def may_call_from(peer: Peer, address: str) -> bool:
    """Whether `address` lies in the peer's networks, or is its own host where it has none."""
    caller = _plain(address)
    if peer.allow_from:
        return any(caller in ip_network(network, strict=False) for network in peer.allow_from)
    return caller in _addresses(peer.host)


def _plain(address: str) -> IPv4Address | IPv6Address:
    """An IPv4 address that came in over IPv6 (`::ffff:10.0.0.1`) as what it is."""
    parsed = ip_address(address.split("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _addresses(host: str) -> set[IPv4Address | IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {_plain(str(entry[4][0])) for entry in found}

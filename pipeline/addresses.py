"""Who calls whom: our AE title where nothing says another one, and which addresses a peer may call from."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

DEFAULT_AE_TITLE: Final = "BONECRAFT"
"""Ours where no institution's is at hand."""

Address = IPv4Address | IPv6Address


def may_call_from(address: str, *, allow_from: Iterable[str], host: str) -> bool:
    """Whether a call from `address` is one of the peer's own.

    Args:
        address: IPv4 or IPv6, as a socket gives it.
        allow_from: The peer's networks (CIDR) and addresses; none: only its host may call.
        host: The peer's name or address.
    """
    caller, networks = plain_address(address), tuple(allow_from)
    if networks:
        return any(caller in ip_network(network, strict=False) for network in networks)
    return caller in resolve(host)


def plain_address(address: str) -> Address:
    """An IPv4 address that came in over IPv6 (`::ffff:10.0.0.1`) as what it is."""
    parsed = ip_address(address.split("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def resolve(host: str) -> frozenset[Address]:
    """The addresses of a host; none where its name cannot be resolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(plain_address(str(entry[4][0])) for entry in found)

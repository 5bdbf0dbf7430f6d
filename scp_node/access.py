"""Who may open an association: called AE title, calling AE title and address, checked against the database.

A peer that only receives may call too (its C-ECHO is how an administrator tests the line); it may not store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from pipeline.addresses import may_call_from
from pipeline.database import Database
from pipeline.records.directory import Peer, find_peer, institution_called
from pipeline.records.rejected import RejectReason


class Reject(Enum):
    """Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""

    NO_REASON_GIVEN = (1, 1, 1)
    CALLED_AE_TITLE = (1, 1, 7)
    CALLING_AE_TITLE = (1, 1, 3)
    TRY_AGAIN_LATER = (2, 3, 1)
    TOO_MANY = (2, 3, 2)


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
        why: Why, for the list of rejected attempts; None where coming again helps.
        reason: What list and log say: the cause and the fix.
        institution_id: The institution that was called, where there is one.
    """

    reject: Reject
    why: RejectReason | None
    reason: str
    institution_id: UUID | None = None


def admit(
    database: Database, *, called: str, calling: str, address: str, certificates: Sequence[str] = ()
) -> Admitted | Turned:
    """Decide about an association request.

    Args:
        database: The node's records.
        called: Called AE title.
        calling: Calling AE title.
        address: IP address that the request came from.
        certificates: Fingerprints of the trusted certificate that was shown, and of the CAs above it; none: none was.

    Raises:
        DatabaseUnavailable: The records cannot be asked.
    """
    institution, peer = _known(database, called=called, calling=calling)
    if institution is None:
        return Turned(
            reject=Reject.CALLED_AE_TITLE,
            why=RejectReason.CALLED_AE_TITLE,
            reason=f"no institution answers to the AE title {called!r}: correct it at the sender, or add it here",
        )
    if peer is None:
        return Turned(
            reject=Reject.CALLING_AE_TITLE,
            why=RejectReason.CALLING_AE_TITLE,
            institution_id=institution,
            reason=f"{calling!r} is not a peer of the institution that answers to {called!r}: bonecraft peers add",
        )
    if not may_call_from(address, allow_from=peer.allow_from, host=peer.host):
        return Turned(
            reject=Reject.CALLING_AE_TITLE,
            why=RejectReason.ADDRESS,
            institution_id=institution,
            reason=f"{calling!r} may not call from {address}: add the address to allow_from of this peer",
        )
    return _compare_certificates(peer, certificates) or Admitted(institution_id=institution, peer=peer)


def _compare_certificates(peer: Peer, shown: Sequence[str]) -> Turned | None:
    if not shown and (peer.requires_certificate or peer.certificates):
        return Turned(
            reject=Reject.NO_REASON_GIVEN,
            why=RejectReason.CERTIFICATE,
            institution_id=peer.institution_id,
            reason=f"{peer.ae_title!r} must call the TLS port and show a certificate: switch that on there",
        )
    if peer.certificates and set(shown).isdisjoint(peer.certificates):
        return Turned(
            reject=Reject.NO_REASON_GIVEN,
            why=RejectReason.OTHER_CERTIFICATE,
            institution_id=peer.institution_id,
            reason=f"{peer.ae_title!r} showed another certificate than its own (SHA-256 {shown[0]}): if it is theirs, "
            "admit this attempt; if not, somebody else called under that title",
        )
    return None


def _known(database: Database, *, called: str, calling: str) -> tuple[UUID | None, Peer | None]:
    """The institution that was called and its peer; asked first, as resolving a host's name may take long."""
    with database.begin() as connection:
        institution = institution_called(connection, called)
        return institution, None if institution is None else find_peer(connection, institution, calling)

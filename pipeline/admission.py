"""What must be set so that somebody who was turned away at the DICOM door is let in when they come again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from pipeline.addresses import may_call_from, plain_address, resolve
from pipeline.errors import ConfigurationError
from pipeline.records.rejected import Rejected, RejectReason
from pipeline.site_values import MOST_ASSOCIATIONS, InstitutionValue, PeerValue, Subject, Value

USUAL_PORT: Final = 104
"""IANA's `acr-nema`: where a caller listens is not known from its call."""

BEYOND_SETTINGS: Final = {
    RejectReason.TOO_MANY_ASSOCIATIONS: "raise maximum_associations in node.toml, and restart the listener",
    RejectReason.NOT_ACCEPTED: (
        "it is let in already, and offered what this node does not take: `bonecraft conformance` lists what it takes; "
        "switch one of those transfer syntaxes on at the sender"
    ),
    RejectReason.TLS_HANDSHAKE: "nobody said who they are; do what its reason says",
    RejectReason.CERTIFICATE: (
        "give the caller a certificate of a CA in tls_trusted_cas, or say that it needs none: "
        "bonecraft peers set --institution {institution} --ae-title {title} --no-requires-certificate --certificate any"
    ),
}
"""What no change of institutions and peers can admit, and what to do instead."""


def plan_admission(
    rejected: Rejected, current: Mapping[Subject, Value], *, institution: str | None = None, port: int | None = None
) -> dict[Subject, Value]:
    """What to set so that the same attempt succeeds; the values of other peers and institutions stay.

    Args:
        rejected: The attempt.
        current: All that is set.
        institution: The slug of the institution that the caller belongs to, where nobody answers to the called title.
        port: Where a new peer listens.

    Raises:
        ConfigurationError: Settings cannot admit it, or it is not known to which institution the caller belongs.
    """
    if rejected.reason in BEYOND_SETTINGS:
        called = next((each.institution for each in _institutions(current, rejected.called_ae_title)), "SLUG")
        title = shlex.quote(rejected.calling_ae_title)
        instead = BEYOND_SETTINGS[rejected.reason].format(institution=called, title=title)
        raise ConfigurationError(f"a peer's settings cannot admit rejected attempt {rejected.id}: {instead}")
    subject, value = _institution(rejected, current, institution)
    peer = Subject.of_peer(subject.institution, rejected.calling_ae_title)
    return {subject: value, peer: _peer(rejected, current.get(peer), port)}


def _institution(rejected: Rejected, current: Mapping[Subject, Value], wanted: str | None) -> tuple[Subject, Value]:
    """The institution that was called; where nobody answers to that title, the wanted or only one with it."""
    title = rejected.called_ae_title
    found = _institutions(current)
    for subject, value in _institutions(current, title).items():
        return subject, value
    asked = [subject for subject in found if wanted in (None, subject.institution)]
    if len(asked) != 1:
        names = ", ".join(subject.institution for subject in found) or "there is none yet"
        raise ConfigurationError(f"say with --institution which institution shall answer to {title!r}: {names}")
    (subject,) = asked
    titles = (*found[subject].called_ae_titles, title)
    return subject, subject.value({**found[subject].to_json(), "called_ae_titles": titles})


def _institutions(current: Mapping[Subject, Value], title: str | None = None) -> dict[Subject, InstitutionValue]:
    """All; or those that answer to a title."""
    found = {subject: value for subject, value in current.items() if isinstance(value, InstitutionValue)}
    return {subject: value for subject, value in found.items() if title is None or title in value.called_ae_titles}


def _peer(rejected: Rejected, known: Value | None, port: int | None) -> PeerValue:
    """The caller as a peer that may call, and send, from where it called."""
    address = str(plain_address(rejected.address))
    if not isinstance(known, PeerValue):
        return PeerValue(host=address, port=port or USUAL_PORT, allow_from=(address,), sends=True)
    sends = known.sends or rejected.reason is RejectReason.MAY_NOT_SEND
    is_allowed = may_call_from(address, allow_from=known.allow_from, host=known.host)
    networks = known.allow_from
    if sends or not is_allowed:  # from now on networks are named: its host's own stay
        networks = networks or tuple(map(str, resolve(known.host)))
    if not is_allowed:
        networks = (*networks, address)
    said = {"allow_from": networks, "sends": sends, "port": port or known.port}
    return PeerValue.model_validate({**known.to_json(), **said, **_allowed_more(rejected, known)})


def _allowed_more(rejected: Rejected, known: PeerValue) -> dict[str, object]:
    """What else the peer was turned away for."""
    if rejected.reason is RejectReason.PEER_ASSOCIATIONS:
        return {"maximum_associations": min(2 * known.maximum_associations, MOST_ASSOCIATIONS)}
    if rejected.reason is RejectReason.OTHER_CERTIFICATE:
        return {"certificates": (*known.certificates, rejected.certificate)}
    return {}

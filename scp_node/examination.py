"""A peer examined from its name to the last SOP class, for the doctor; what bars the way ends the examination."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final, TypeAlias

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom.association import Association

from pipeline.addresses import resolve
from pipeline.certificates import Certificate, Validity, read_der
from pipeline.errors import ConfigurationError
from pipeline.finding import Finding, ill, well
from pipeline.result_classes import OPTIONAL_CLASSES, SOP_CLASSES, or_instead
from scp_node.commitment import PUSH_MODEL, Instance, is_accepted
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION, contexts_for
from scp_node.peer import ConnectionProblem, Target, connect, open_association, shake_hands
from scp_node.sending import store_problem
from scp_node.tls import client_context
from scp_node.trial_picture import PATIENT_ID, make_test_picture

DELIVERED: Final = tuple(dict.fromkeys(map(str, SOP_CLASSES.values())))
"""SOP classes of our results, written as Explicit VR Little Endian; a peer may take Implicit VR instead."""

SMALL_PDU_BYTES: Final = 16384
"""What most programs take by default; with less, sending is slow."""


Commitment: TypeAlias = Callable[[Instance, bool], Finding]
"""Asks the peer to keep an instance, which was stored there or not, and judges what it reports."""


def examine(
    target: Target, *, calling: str, store: bool, try_commitment: Commitment | None = None
) -> Iterator[Finding]:
    """Look at everything that delivery to a peer needs.

    Args:
        target: The peer.
        calling: The AE title that we call it as.
        store: Leave a test picture there.
        try_commitment: How a storage commitment is tried; None: it is not, as nobody would hear the report.
    """
    addresses = sorted(str(address) for address in resolve(target.host))
    if not addresses:
        yield ill("DNS", f"the name {target.host!r} cannot be resolved: correct the host of this peer here")
        return
    yield well("DNS", f"{target.host} is {', '.join(addresses)}")
    looking_at = "TCP"
    try:
        with ExitStack() as open_sockets:
            connection = open_sockets.enter_context(connect(target))
            own = connection.getsockname()[0]
            yield well("TCP", f"{target.host}:{target.port} takes connections; this machine calls from {own}")
            looking_at = "TLS"
            if target.tls is not None:
                secured = shake_hands(connection, target, client_context(target.tls))
                yield from look_at_tls(open_sockets.enter_context(secured), target)
        looking_at = "association"
        yield from _look_at_association(target, calling, store=store, try_commitment=try_commitment)
    except ConnectionProblem as problem:
        yield ill("AE titles" if problem.is_rejection else looking_at, str(problem))
    except ConfigurationError as error:
        yield ill("certificate", str(error))


def look_at_tls(secured: ssl.SSLSocket, target: Target) -> Iterator[Finding]:
    """The version of TLS, and how long the peer's certificate is valid."""
    yield well("TLS", f"{secured.version()}, and the certificate of {target.host} is of a trusted CA")
    encoded = secured.getpeercert(binary_form=True)
    if encoded is not None:
        yield _look_at_certificate(read_der(encoded), target, datetime.now(UTC))


def _look_at_certificate(certificate: Certificate, target: Target, now: datetime) -> Finding:
    until = f"{certificate.not_after:%Y-%m-%d}"
    if certificate.validity(now) is Validity.VALID:
        return well("certificate", f"the one of {target.host} is valid until {until}")
    days = (certificate.not_after - now).days
    return ill("certificate", f"the one of {target.host} expires on {until}, in {days} days: renew it there")


def _look_at_association(
    target: Target, calling: str, *, store: bool, try_commitment: Commitment | None
) -> Iterator[Finding]:
    syntaxes = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
    wanted = [(sop_class, syntax) for sop_class in (VERIFICATION, *DELIVERED, PUSH_MODEL) for syntax in syntaxes]
    with open_association(target, calling=calling, contexts=contexts_for(wanted)) as association:
        yield well("AE titles", f"{target} takes associations from {calling!r}")
        yield _look_at_pdu(association)
        yield from (_look_at_class(association, sop_class, target) for sop_class in DELIVERED)
        yield _look_at_commitment(association)
        offers_commitment = is_accepted(association)
        yield _look_at_echo(association, target)
        picture = make_test_picture()
        stored = _look_at_store(association, target, picture) if store else None
        if stored is not None:
            yield stored
    if try_commitment is not None and offers_commitment:
        is_there = stored is not None and stored.ok
        uid = str(picture.SOPInstanceUID) if is_there else generate_uid(prefix=None)
        yield try_commitment((str(picture.SOPClassUID), uid), is_there)


def _look_at_pdu(association: Association) -> Finding:
    size = association.acceptor.maximum_length
    if size and size < SMALL_PDU_BYTES:
        return ill("PDU size", f"it takes {size} bytes at a time, which is slow: raise the maximum PDU there to 131072")
    return well("PDU size", f"it takes {size or 'any number of'} bytes at a time")


def _look_at_class(association: Association, sop_class: str, target: Target) -> Finding:
    """Whether the peer takes one of the classes of our results, and how."""
    name = UID(sop_class).name
    accepted = {
        str(context.transfer_syntax[0])
        for context in association.accepted_contexts
        if str(context.abstract_syntax) == sop_class
    }
    if accepted:
        return well("SOP class", f"it takes {name} as {' and '.join(sorted(UID(each).name for each in accepted))}")
    if sop_class in OPTIONAL_CLASSES:
        return well("SOP class", f"it does not take {name}, of which it gets nothing unless a rule says so")
    # Programs differ in whether they call the class or its syntaxes unknown (PS3.8 Table 9-18), so both are named.
    enable = "enable that SOP class there, in Explicit or Implicit VR Little Endian"
    return ill("SOP class", f"{target} does not take {name} ({sop_class}): {enable}{or_instead(sop_class)}")


def _look_at_commitment(association: Association) -> Finding:
    """Both answers are well: which of them it is decides when a result counts as delivered."""
    if is_accepted(association):
        return well("commitment", "it offers storage commitment: a result is delivered when it has committed itself")
    return well("commitment", "it offers no storage commitment: a result is delivered when it is stored")


def _look_at_echo(association: Association, target: Target) -> Finding:
    if not association.is_established:
        return ill("C-ECHO", f"{target} closed the association: see its log")
    if not any(str(each.abstract_syntax) == VERIFICATION for each in association.accepted_contexts):
        return ill("C-ECHO", f"{target} does not take Verification (1.2.840.10008.1.1): enable it there")
    status = getattr(association.send_c_echo(), "Status", None)
    if status == 0x0000:
        return well("C-ECHO", "answered")
    said = "no answer" if status is None else f"status 0x{status:04X}"
    return ill("C-ECHO", f"{target} took the association but not C-ECHO ({said}): allow C-ECHO there")


def _look_at_store(association: Association, target: Target, picture: Dataset) -> Finding:
    if not any(str(each.abstract_syntax) == picture.SOPClassUID for each in association.accepted_contexts):
        return ill("C-STORE", "no test picture was sent: it does not take Secondary Capture Image Storage, see above")
    answer = association.send_c_store(picture)
    problem = store_problem(getattr(answer, "Status", None), str(picture.SOPClassUID), target)
    if problem:
        return ill("C-STORE", problem)
    return well("C-STORE", f"a test picture was stored; DICOM cannot delete: remove patient {PATIENT_ID} there")

"""The DICOM Conformance Statement (PS3.2), written from the tables that the node runs on and from its settings.

`python -m scp_node.conformance [--config node.toml]`
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydicom.uid import UID

from pipeline.errors import BonecraftError
from pipeline.records.deliveries import CLAIMED_AT_ONCE
from pipeline.settings import NodeSettings, load_settings
from scp_node.backoff import LONGEST_WAIT
from scp_node.commitment import PUSH_MODEL
from scp_node.conformance_annex import annexes, commitment_asked, contents, introduction
from scp_node.conformance_listener import accepted_classes, listener
from scp_node.conformance_web import web_overview, web_services
from scp_node.contexts import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    MAXIMUM_PDU_BYTES,
    STORAGE_CLASSES,
    VERIFICATION,
)
from scp_node.examination import DELIVERED
from scp_node.markdown import table
from scp_node.peer import ANSWER_SECONDS, CONNECT_SECONDS
from scp_node.postman import LONGEST_OUTAGE_WAIT, PATIENCE
from scp_node.query import KEYS, STUDY_ROOT_FIND
from scp_node.retrieve import STUDY_ROOT_GET, STUDY_ROOT_MOVE, USUAL_CLASSES
from scp_node.sending import encodings
from scp_node.tls import CIPHERS
from scp_node.transport import HANDSHAKE_SECONDS

REQUESTED: Final = (VERIFICATION, *DELIVERED, PUSH_MODEL)
"""SOP classes that we ask others for."""
RETRIEVAL: Final = (STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE)
"""SOP classes by which we fetch images."""


def main() -> None:
    """Command line; exit 0, or 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="bonecraft conformance", description="Print the DICOM Conformance Statement.")
    parser.add_argument("--config", type=Path, help="node.toml")
    try:
        settings = load_settings(parser.parse_args().config)
    except BonecraftError as error:
        sys.stderr.write(f"bonecraft: {error}\n")
        sys.exit(2)
    sys.stdout.write(conformance_statement(settings))


def conformance_statement(settings: NodeSettings) -> str:
    """The whole statement as Markdown, in the order of PS3.2 Annex A."""
    after = (introduction(), _networking(settings), _media(), _character_sets(), _security(settings), annexes())
    body = [line for section in after for line in section]
    return "\n".join([*_overview(), *contents(body), *body]) + "\n"


def _overview() -> Iterator[str]:
    yield f"# DICOM Conformance Statement: Bonecraft {version('bonecraft')}"
    yield ""
    yield "## 1 Conformance Statement Overview"
    yield ""
    yield (
        "Bonecraft receives plain radiographs, reconstructs bones in 3D, and sends the result back into the same study."
        " It is for research and decision support; not for diagnosis alone."
    )
    yield ""
    services = [each for each in accepted_classes() if each not in STORAGE_CLASSES]
    rows = [
        *((UID(each).name, "Yes" if each in REQUESTED else "No", "Yes") for each in services),
        *((UID(each).name, "Yes: results", "Yes") for each in DELIVERED),
        (f"The other {len(STORAGE_CLASSES) - len(DELIVERED)} storage classes of 4.2.1.1", "No", "Yes"),
        *((UID(each).name, "Yes", "No") for each in RETRIEVAL),
    ]
    yield from table(("Network service", "SCU", "SCP"), rows)
    yield from web_overview()


def _networking(settings: NodeSettings) -> Iterator[str]:
    yield "## 4 Networking"
    yield ""
    yield "### 4.1 Implementation Model"
    yield ""
    yield "#### 4.1.1 Application Data Flow"
    yield ""
    yield (
        "Modalities and archives send radiographs to the *listener*, or are asked for them by the *retrieval*; the"
        " *delivery* sends what was made of them to every peer that gets results. Programs may use the *viewer's door*"
        " instead."
    )
    yield ""
    yield "#### 4.1.2 Functional Definition of AEs"
    yield ""
    yield (
        "The *listener* is an SCP of Verification, Storage and the Storage Commitment Push Model. What it acknowledged"
        " is reconstructed when the study is complete; what it was asked to commit to it answers for by N-EVENT-REPORT,"
        " on an association that it opens. Every storage class is accepted: what is no radiograph is kept and not used."
        " The *delivery* is an SCU of the same services: it sends results to every peer that gets them, again with"
        " growing pauses where that fails, and asks for storage commitment where the peer offers it."
    )
    yield ""
    yield "#### 4.1.3 Sequencing of Real-World Activities"
    yield ""
    yield (
        "A radiograph is acknowledged, the study waits until it is complete, it is reconstructed, its results are sent,"
        " storage commitment is asked for. A later radiograph makes new results, which are sent before the rejection"
        " note of those that they replace (IHE Radiology, IOCM)."
    )
    yield ""
    yield "### 4.2 AE Specifications"
    yield ""
    yield from listener(settings)
    yield from _delivery(settings)
    yield from _retrieval()
    yield from web_services()
    yield from _interfaces(settings)


def _delivery(settings: NodeSettings) -> Iterator[str]:
    yield "#### 4.2.2 Delivery"
    yield ""
    yield "##### 4.2.2.1 SOP Classes"
    yield ""
    yield "Proposed, each syntax in a presentation context of its own:"
    yield ""
    yield from table(
        ("SOP class", "UID", "Transfer syntaxes"),
        ((UID(each).name, each, ", ".join(_names(encodings(each, EXPLICIT_LITTLE)))) for each in REQUESTED),
    )
    yield "Of those that the peer accepts for an object the first is used."
    yield ""
    yield "##### 4.2.2.2 Association Policies"
    yield ""
    rows = (
        ("Maximum PDU size offered", f"{MAXIMUM_PDU_BYTES} bytes"),
        ("Connection awaited for", f"{CONNECT_SECONDS} s"),
        ("Answer awaited for", f"{ANSWER_SECONDS} s"),
        ("Files in one association", f"{CLAIMED_AT_ONCE} at the most"),
    )
    yield from table(("Item", "Value"), rows)
    yield "##### 4.2.2.3 Association Initiation Policy"
    yield ""
    yield (
        "Success and warnings (0xBxxx) count as stored. Where a C-STORE has another answer, or none, it is tried again"
        f" with pauses that grow to about {_minutes(LONGEST_WAIT)}: {settings.delivery_attempts} times in all"
        " (`delivery_attempts`). What the peer accepts in none of the presentation contexts is not offered again, until"
        " `bonecraft resend` asks for that. A peer that takes no association is called again with pauses that grow to"
        f" about {_minutes(LONGEST_OUTAGE_WAIT)}, which uses up no attempts; what has waited for {PATIENCE.days} days"
        " is given up."
    )
    yield ""
    yield from commitment_asked()
    yield "##### 4.2.2.4 Association Acceptance Policy"
    yield ""
    yield "Takes none; what peers report on associations of their own the listener takes."
    yield ""


def _retrieval() -> Iterator[str]:
    yield "#### 4.2.3 Retrieval"
    yield ""
    yield (
        "Asks a peer for images, on the order of `bonecraft pull`, and by itself where the peer's setting `asked_for`"
        " says so. It is an SCU of:"
    )
    yield ""
    syntaxes = ", ".join(_names((EXPLICIT_LITTLE, IMPLICIT_LITTLE)))
    yield from table(
        ("SOP class", "UID", "Transfer syntaxes"), ((UID(each).name, each, syntaxes) for each in RETRIEVAL)
    )
    yield "Keys of C-FIND, those in italics to be matched and the others to be returned:"
    yield ""
    yield from table(("Level", "Keys"), ((level, ", ".join(_keys(level))) for level in KEYS))
    yield (
        "Images are had by C-GET where the peer accepts that, else by C-MOVE to the listener, under the AE title we"
        " call from: a series at once, or image by image where a part of it is here. For C-GET the role of the one"
        " that is sent to is negotiated, for the storage classes that the peer says the images are of, each transfer"
        " syntax of 4.2.1.4 in a presentation context of its own. Where it does not say, the classes are:"
    )
    yield ""
    yield from table(("SOP class", "UID"), ((UID(each).name, each) for each in USUAL_CLASSES))
    yield "What comes by C-GET is answered with the statuses of 4.2.1.4."
    yield ""


def _keys(level: str) -> Iterator[str]:
    """The keys of a level, those that are matched marked."""
    for keyword, is_matched in KEYS[level].items():
        yield f"*{keyword}*" if is_matched else keyword


def _names(uids: Iterable[str]) -> Iterator[str]:
    return (UID(each).name for each in uids)


def _minutes(duration: timedelta) -> str:
    return f"{duration // timedelta(minutes=1)} minutes"


def _interfaces(settings: NodeSettings) -> Iterator[str]:
    yield "### 4.3 Network Interfaces"
    yield ""
    yield "TCP/IP, versions 4 and 6, as the operating system offers it."
    yield ""
    yield "### 4.4 Configuration"
    yield ""
    yield "Settings of the node are in `docs/settings.md`, those of institutions and peers in `docs/administrators.md`."
    yield ""
    rows = (
        ("Port without TLS", str(settings.dicom_port) if settings.dicom_plain else "closed"),
        ("Port with TLS", str(settings.dicom_tls_port) if settings.tls_certificate else "closed: no certificate"),
        ("AE titles", "each institution's own; `bonecraft institutions list` shows them"),
        ("Peers", "AE title, host, port, and the addresses that each may call from; `bonecraft peers list`"),
    )
    yield from table(("Item", "Value"), rows)


def _media() -> Iterator[str]:
    yield "## 5 Media Interchange"
    yield ""
    yield "None."
    yield ""


def _character_sets() -> Iterator[str]:
    yield "## 6 Support of Character Sets"
    yield ""
    yield "Every Specific Character Set of PS3.3 C.12.1.1.2 is read; a result is written in that of its radiographs."
    yield ""


def _security(settings: NodeSettings) -> Iterator[str]:
    yield "## 7 Security"
    yield ""
    yield (
        "TLS follows PS3.15 B.12 (BCP 195: RFC 8996 and RFC 9325), for incoming and outgoing associations: TLS 1.3, and"
        f" TLS 1.2 with `{CIPHERS}` (OpenSSL's names). A handshake longer than {HANDSHAKE_SECONDS} s is ended."
    )
    yield ""
    asked = "are checked" if settings.tls_trusted_cas else "are not asked for, as `tls_trusted_cas` is not set"
    yield (
        f"Callers' certificates {asked}; each peer's setting `requires_certificate` says who must show one."
        " Which certificates or CAs a peer's must be, when it calls and when it is called, says its setting"
        " `certificates`; without, the name in a certificate is not compared with the AE title."
    )
    yield ""
    yield "Associations are let in by called AE title, calling AE title and address. User identity is not negotiated."
    yield ""


if __name__ == "__main__":
    main()

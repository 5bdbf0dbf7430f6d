"""Of the DICOM Conformance Statement: the listener."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.uid import UID

from pipeline.settings import NodeSettings
from scp_node.access import Reject
from scp_node.conformance_annex import storage_commitment
from scp_node.contexts import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    MAXIMUM_PDU_BYTES,
    TRANSFER_SYNTAXES,
)
from scp_node.listener import SILENCE_SECONDS, accepted_by_listener
from scp_node.markdown import table
from scp_node.status import StoreStatus
from scp_node.waiting import REQUEST_SECONDS

STORE_MEANINGS: Final = {
    StoreStatus.SUCCESS: "The instance is on disk and in the database, both synced.",
    StoreStatus.PROCESSING_FAILURE: "A fault of this program. Nothing was acknowledged.",
    StoreStatus.NOT_AUTHORIZED: "This peer may associate, but not send.",
    StoreStatus.OUT_OF_RESOURCES: "No space left. Nothing was kept; send again later.",
    StoreStatus.RECORDS_UNREACHABLE: "The database cannot be reached. Nothing was acknowledged; send again later.",
    StoreStatus.DOES_NOT_MATCH_SOP_CLASS: "Command and dataset name different instances or classes. In quarantine.",
    StoreStatus.CANNOT_UNDERSTAND: "The dataset cannot be parsed. Kept in quarantine.",
    StoreStatus.TOO_LARGE: "The dataset is larger than `maximum_dataset_megabytes`. Its beginning is in quarantine.",
}
REJECT_MEANINGS: Final = {
    Reject.CALLED_AE_TITLE: "No institution answers to the called AE title.",
    Reject.CALLING_AE_TITLE: "The caller is no peer of the institution, or calls from elsewhere.",
    Reject.NO_REASON_GIVEN: "The caller shows no certificate, though it must.",
    Reject.TRY_AGAIN_LATER: "The node is stopping, or cannot decide: its database cannot be reached.",
    Reject.TOO_MANY: "Too many associations at once.",
}


def accepted_classes() -> list[str]:
    """SOP classes that the listener accepts."""
    return [str(context.abstract_syntax) for context in accepted_by_listener()]


def listener(settings: NodeSettings) -> Iterator[str]:
    """Section 4.2.1."""
    yield "#### 4.2.1 Listener"
    yield ""
    yield "##### 4.2.1.1 SOP Classes"
    yield ""
    yield "The transfer syntaxes of 4.2.1.4 are accepted for each of these storage classes, for others the first two:"
    yield ""
    yield from table(("SOP class", "UID"), ((UID(each).name, each) for each in accepted_classes()))
    yield from _policies(settings)
    yield "##### 4.2.1.3 Association Initiation Policy"
    yield ""
    yield "Opens none: what it has to report the delivery reports."
    yield ""
    yield from _acceptance()


def _policies(settings: NodeSettings) -> Iterator[str]:
    yield "##### 4.2.1.2 Association Policies"
    yield ""
    at_once = f"{settings.maximum_associations} (`maximum_associations`), each peer's limit besides"
    rows = (
        ("Application Context Name", "1.2.840.10008.3.1.1.1"),
        ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", IMPLEMENTATION_VERSION_NAME),
        ("Maximum PDU size offered", f"{MAXIMUM_PDU_BYTES} bytes"),
        ("Associations at once", at_once),
        ("Asynchronous operations", "none"),
        ("Association request awaited for", f"{REQUEST_SECONDS} s"),
        ("Silence borne", f"{SILENCE_SECONDS} s"),
    )
    yield from table(("Item", "Value"), rows)


def _acceptance() -> Iterator[str]:
    yield "##### 4.2.1.4 Association Acceptance Policy"
    yield ""
    yield "An association is rejected with (result, source, reason of PS3.8 Table 9-21):"
    yield ""
    yield from table(("Answer", "Meaning"), ((str(reject.value), REJECT_MEANINGS[reject]) for reject in Reject))
    yield "Where several transfer syntaxes are offered in one presentation context, the first of this table is taken:"
    yield ""
    yield from table(("Transfer syntax", "UID"), ((UID(each).name, each) for each in TRANSFER_SYNTAXES))
    yield "C-STORE is answered with:"
    yield ""
    yield from table(("Status", "Meaning"), ((f"0x{each:04X}", STORE_MEANINGS[each]) for each in StoreStatus))
    yield from storage_commitment()

"""Of the DICOM Conformance Statement: introduction, storage commitment, and what results are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.uid import UID

from pipeline.dicom_write.codes import (
    EXPECTED_ERROR,
    INFERRED,
    NOT_RECONSTRUCTED_CODES,
    ON_SURFACE,
    RECONSTRUCTION,
    SCHEME,
    UNMEASURED_CODES,
)
from pipeline.records.commitment_reports import KEPT_FOR
from pipeline.records.commitments import ANSWER_TIME
from pipeline.result_classes import SOP_CLASSES
from pipeline.results import FileKind
from scp_node.commitment import (
    CLASS_INSTANCE_CONFLICT,
    FAILURE_REASONS,
    INSTANCES_AT_MOST,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
)
from scp_node.commitment_handlers import ACTION_MEANINGS
from scp_node.markdown import table

ABBREVIATIONS: Final = (
    ("AE", "Application Entity"),
    ("DIMSE", "DICOM Message Service Element"),
    ("IOCM", "Imaging Object Change Management, a profile of IHE Radiology"),
    ("PDU", "Protocol Data Unit"),
    ("SCP, SCU", "Service Class Provider, Service Class User"),
    ("TLS", "Transport Layer Security"),
    ("UID", "Unique Identifier"),
)


def contents(lines: Iterable[str]) -> Iterator[str]:
    """The table of contents of a statement."""
    yield "## 2 Table of Contents"
    yield ""
    for line in lines:
        marks, _, heading = line.partition(" ")
        if marks in ("##", "###", "####"):
            yield f"{'  ' * (len(marks) - 2)}- {heading}"
    yield ""


def introduction() -> Iterator[str]:
    """Section 3."""
    yield "## 3 Introduction"
    yield ""
    yield (
        "*Audience*: administrators who connect Bonecraft to modalities and archives. *Remarks*: written by `bonecraft"
        " conformance` from the tables that the program runs on and from the settings of the node. A statement alone"
        " does not ensure that two products work together: `bonecraft doctor` tries it. *References*: DICOM PS3.2,"
        " PS3.3, PS3.4, PS3.7, PS3.8, PS3.15 and PS3.18."
    )
    yield ""
    yield from table(("Abbreviation", "Meaning"), ABBREVIATIONS)


def storage_commitment() -> Iterator[str]:
    """What the listener answers when it is asked to keep what it stored."""
    yield (
        "*Storage commitment*: a request (N-ACTION) is remembered and answered by N-EVENT-REPORT on an association that"
        " the node opens to the peer's host and port, again with growing pauses until it was heard. The bytes of each"
        f" instance, {INSTANCES_AT_MOST} at the most, are read and hashed again before that. What the node says that it"
        " keeps is kept for ever, or, where the institution sets `keep_images_days`, for so many days from the report."
        f" Reports stay on record for {KEPT_FOR.days} days, what they said for ever (`bonecraft prove`). N-ACTION is"
        " answered with:"
    )
    yield ""
    yield from table(("Status", "Meaning"), ((f"0x{code:04X}", meaning) for code, meaning in ACTION_MEANINGS.items()))
    yield "Failure Reason (0008,1197) of what is not kept:"
    yield ""
    own = {
        NO_SUCH_INSTANCE: "No such instance is kept: it was not received, or was removed.",
        PROCESSING_FAILURE: "Its bytes in the store are not those that were received.",
    }
    reasons = ((f"0x{code:04X}", own.get(code, f"{text[:1].upper()}{text[1:]}.")) for code, text in _reasons())
    yield from table(("Reason", "Meaning"), reasons)


def _reasons() -> Iterator[tuple[int, str]]:
    """Those that the node gives itself; others it understands."""
    given = (PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT)
    yield from ((code, FAILURE_REASONS[code]) for code in given)


def commitment_asked() -> Iterator[str]:
    """What the delivery asks, and what it does with the answer."""
    yield (
        "Where the peer accepts the Storage Commitment Push Model it is asked after storing, and its report is taken on"
        " the same association or on one that it opens to the listener. What it does not keep is sent again; a peer"
        f" that does not report within {ANSWER_TIME.seconds // 60} minutes is asked again."
    )
    yield ""


def annexes() -> Iterator[str]:
    """Section 8."""
    yield "## 8 Annexes"
    yield ""
    yield "### 8.1 IOD Contents"
    yield ""
    yield (
        "Created, in the study of the radiographs and in series of their own; `docs/dicom-results.md` has each one's"
        " modules. Patient and study are copied from the radiographs, UIDs are derived from theirs (`2.25.`)."
    )
    yield ""
    made: dict[str, list[str]] = {}
    for kind, sop_class in SOP_CLASSES.items():
        made.setdefault(sop_class, []).append(kind.replace("-", " "))
    made[SOP_CLASSES[FileKind.KEY_OBJECTS]].append("rejection note (IOCM, 113001 DCM) of what a newer result replaces")
    yield from table(("SOP class", "UID", "Objects"), ((UID(u).name, u, ", ".join(what)) for u, what in made.items()))
    yield "### 8.2 Data Dictionary of Private Attributes"
    yield ""
    yield "None are written."
    yield ""
    yield "### 8.3 Coded Terminology and Templates"
    yield ""
    yield (
        "SNOMED CT, DCM and UCUM; measurements in TID 1500. Codes of the scheme"
        f" `{SCHEME}`, besides the measurements defined in `docs/measurements.md`:"
    )
    yield ""
    reasons = (*UNMEASURED_CODES.values(), RECONSTRUCTION, *NOT_RECONSTRUCTED_CODES.values())
    own = (EXPECTED_ERROR, INFERRED, ON_SURFACE, *reasons)
    yield from table(("Code", "Meaning"), ((code.value, code.meaning) for code in own))
    yield "### 8.4 Greyscale Image Consistency"
    yield ""
    yield "Not applicable: pictures are written in RGB, and the viewer is no display for diagnosis."
    yield ""
    yield "### 8.5 Standard Extended, Specialized and Private SOP Classes"
    yield ""
    yield "Standard Extended: Encapsulated STL and Encapsulated OBJ Storage, with AnatomicRegionSequence. No others."
    yield ""
    yield "### 8.6 Private Transfer Syntaxes"
    yield ""
    yield "None."

"""Are reports complete, with a unit and an interval for every number, and is an enclosed model the bone it says?"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import trimesh
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedOBJStorage, EncapsulatedSTLStorage

from pipeline.dicom_check.finding import Check, Finding, complete, one_of

REPORT: Final = (
    *("CompletionFlag", "VerificationFlag", "ConceptNameCodeSequence", "ContentSequence"),
    "CurrentRequestedProcedureEvidenceSequence",
)
SELECTION: Final = ("ConceptNameCodeSequence", "ContentSequence", "CurrentRequestedProcedureEvidenceSequence")
MODEL: Final = (
    *("FrameOfReferenceUID", "MeasurementUnitsCodeSequence", "MIMETypeOfEncapsulatedDocument"),
    *("EncapsulatedDocument", "EncapsulatedDocumentLength", "DocumentTitle", "ReferencedSeriesSequence"),
)
MODEL_TYPES: Final = {EncapsulatedSTLStorage: "model/stl", EncapsulatedOBJStorage: "model/obj"}
DOCUMENT: Final = (
    *("ConversionType", "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocument", "EncapsulatedDocumentLength"),
    *("DocumentTitle", "BurnedInAnnotation", "SourceInstanceSequence"),
)
LONGEST_BONE_MM: Final = 700.0
SHORTEST_BONE_MM: Final = 25.0


@complete(REPORT, where="Report")
def check_report(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a measurement report (PS3.16 TID 1500)."""
    listed = _evidence(dataset)
    for item in _content(dataset):
        if item.get("ValueType") == "NUM":
            yield from _check_number(item)
        for reference in item.get("ReferencedSOPSequence") or ():
            if str(reference.get("ReferencedSOPInstanceUID")) not in listed:
                yield Finding(check=Check.REFERENCE, sentence="Report: the evidence lacks an instance that is used.")


@complete(SELECTION, where="Key objects")
def check_selection(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a Key Object Selection (PS3.3 C.17.6)."""
    named = {
        str(reference.ReferencedSOPInstanceUID)
        for item in _content(dataset)
        for reference in item.get("ReferencedSOPSequence") or ()
    }
    if not named or named != _evidence(dataset):
        yield Finding(check=Check.REFERENCE, sentence="Key objects: evidence and selection name different instances.")


@complete(MODEL, where="Model")
def check_model(dataset: Dataset) -> Iterator[Finding]:
    """Findings on an Encapsulated STL or OBJ (PS3.3 A.85)."""
    media_type = MODEL_TYPES[dataset.SOPClassUID]
    yield from one_of(dataset, "MIMETypeOfEncapsulatedDocument", (media_type,), where="Model")
    document = _enclosed(dataset)
    if document is None:
        yield Finding(check=Check.COUNT, sentence="Model: EncapsulatedDocumentLength is not the document's length.")
        return
    mesh: Any = trimesh.load_mesh(io.BytesIO(document), file_type=media_type.removeprefix("model/"))
    if not mesh.is_watertight or mesh.volume <= 0:
        yield Finding(check=Check.MANIFOLD, sentence="Model: the surface is open, or looks inwards.")
    if not SHORTEST_BONE_MM <= float(np.max(mesh.extents)) <= LONGEST_BONE_MM:
        yield Finding(check=Check.SIZE, sentence="Model: this is not the size of an adult's bone in mm.")


@complete(DOCUMENT, where="Document")
def check_document(dataset: Dataset) -> Iterator[Finding]:
    """Findings on an Encapsulated PDF (PS3.3 A.45.1)."""
    yield from one_of(dataset, "MIMETypeOfEncapsulatedDocument", ("application/pdf",), where="Document")
    document = _enclosed(dataset)
    if document is None:
        yield Finding(check=Check.COUNT, sentence="Document: EncapsulatedDocumentLength is not the document's length.")
    elif not (document.startswith(b"%PDF-") and document.rstrip().endswith(b"%%EOF")):
        yield Finding(check=Check.VALUE, sentence="Document: it is no whole PDF.")


def _enclosed(dataset: Dataset) -> bytes | None:
    """The document without its padding; None where its length is another one."""
    length, held = int(dataset.EncapsulatedDocumentLength), bytes(dataset.EncapsulatedDocument)
    return held[:length] if len(held) == length + length % 2 else None


def _check_number(item: Dataset) -> Iterator[Finding]:
    values: Any = item.get("MeasuredValueSequence") or ()
    if len(values) != 1 or not values[0].get("MeasurementUnitsCodeSequence"):
        yield Finding(check=Check.REQUIRED, sentence="Report: a number has no value or no unit.")
    elif not np.isfinite(float(values[0].NumericValue)):
        yield Finding(check=Check.FINITE, sentence="Report: a number is not finite.")


def _content(dataset: Dataset) -> Iterator[Dataset]:
    """Every content item, at any depth."""
    for item in dataset.get("ContentSequence") or ():
        yield item
        yield from _content(item)


def _evidence(dataset: Dataset) -> set[str]:
    return {
        str(reference.ReferencedSOPInstanceUID)
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }

"""Does a rejection note reject results of ours, of its own study, and list each where it must?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from pipeline.dicom_check.finding import Check, Finding, missing, one_of
from pipeline.dicom_write.uids import is_own_uid

REQUIRED: Final = (
    *("CurrentRequestedProcedureEvidenceSequence", "ValueType", "ConceptNameCodeSequence", "ContinuityOfContent"),
    *("ContentTemplateSequence", "ContentSequence"),
)
TITLE: Final = "ConceptNameCodeSequence"
SERIES: Final = "ReferencedSeriesSequence"
REJECTED: Final = [("113001", "DCM")]
"""(113001, DCM, "Rejected for Quality Reasons")."""
PICTURES: Final = frozenset({SecondaryCaptureImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage})
"""What a content item names as IMAGE among our results, and not as COMPOSITE (PS3.3 table C.17.3-7)."""


def is_rejection_note(dataset: Dataset) -> bool:
    """Whether it is a Key Object Selection that rejects what it names."""
    return dataset.get("SOPClassUID") == KeyObjectSelectionDocumentStorage and _titles(dataset) == REJECTED


def check_rejection_note(dataset: Dataset) -> Iterator[Finding]:
    """Findings on the Key Object Document and SR Document Content modules (PS3.3 C.17.6.2 and C.17.3)."""
    yield from missing(dataset, REQUIRED, where="Rejection note")
    yield from missing(
        dataset, ("ReferencedPerformedProcedureStepSequence",), where="Rejection note", may_be_empty=True
    )
    for keyword, value in (("Modality", "KO"), ("ValueType", "CONTAINER"), ("ContinuityOfContent", "SEPARATE")):
        yield from one_of(dataset, keyword, (value,), where="Rejection note")
    evidence = _items(dataset, "CurrentRequestedProcedureEvidenceSequence")
    if any(study.get("StudyInstanceUID") != dataset.get("StudyInstanceUID") for study in evidence):
        yield Finding(check=Check.REFERENCE, sentence="The note rejects something of another study.")
    listed = [found for study in evidence for series in _items(study, SERIES) for found in _references(series)]
    mentioned = [found for item in _items(dataset, "ContentSequence") for found in _references(item)]
    if not listed or sorted(listed) != sorted(mentioned):
        yield Finding(check=Check.REFERENCE, sentence="Evidence and content do not name the same instances.")
    if not all(_is_named_as_what_it_is(item) for item in _items(dataset, "ContentSequence")):
        yield Finding(check=Check.REFERENCE, sentence="The note names a picture as no image, or the other way round.")
    if not all(is_own_uid(uid) and uid != dataset.get("SOPInstanceUID") for _, uid in listed):
        yield Finding(check=Check.REFERENCE, sentence="The note rejects what is no earlier result of Bonecraft.")


def _is_named_as_what_it_is(item: Dataset) -> bool:
    return all((item.get("ValueType") == "IMAGE") == (sop_class in PICTURES) for sop_class, _ in _references(item))


def _titles(dataset: Dataset) -> list[tuple[str | None, str | None]]:
    return [(item.get("CodeValue"), item.get("CodingSchemeDesignator")) for item in _items(dataset, TITLE)]


def _items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    return tuple(dataset.get(keyword) or ())


def _references(item: Dataset) -> list[tuple[str, str]]:
    """(class, instance) of each reference of an item."""
    references = _items(item, "ReferencedSOPSequence")
    return [(str(r.get("ReferencedSOPClassUID")), str(r.get("ReferencedSOPInstanceUID"))) for r in references]

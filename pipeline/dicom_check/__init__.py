"""The project's own check of its DICOM results, before anything is sent.

The public validators look at attributes one by one; none sees that a triangle names a point that is not there, that a
mesh is open, or that a reference leads nowhere. This one does. It reads instances as a receiver would, and shares no
table with the writers: what they get wrong, it does not get wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedOBJStorage,
    EncapsulatedPDFStorage,
    EncapsulatedSTLStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    SurfaceSegmentationStorage,
)

from pipeline.dicom_check.documents import check_document, check_model, check_report, check_selection
from pipeline.dicom_check.finding import Check, Finding
from pipeline.dicom_check.identity import check_identity
from pipeline.dicom_check.overlays import check_film_segmentation, check_presentation
from pipeline.dicom_check.pictures import check_film, check_picture
from pipeline.dicom_check.references import check_references
from pipeline.dicom_check.rejection import check_rejection_note, is_rejection_note
from pipeline.dicom_check.surfaces import check_surface_segmentation
from pipeline.errors import BonecraftError

__all__ = ["Check", "Finding", "UnsoundResult", "check_instance", "require_sound"]

BY_CLASS: Final = MappingProxyType[str, Callable[[Dataset], Iterator[Finding]]](
    {
        SurfaceSegmentationStorage: check_surface_segmentation,
        SecondaryCaptureImageStorage: check_picture,
        MultiFrameTrueColorSecondaryCaptureImageStorage: check_film,
        Comprehensive3DSRStorage: check_report,
        KeyObjectSelectionDocumentStorage: check_selection,
        EncapsulatedSTLStorage: check_model,
        EncapsulatedOBJStorage: check_model,
        EncapsulatedPDFStorage: check_document,
        GrayscaleSoftcopyPresentationStateStorage: check_presentation,
        SegmentationStorage: check_film_segmentation,
    }
)


class UnsoundResult(BonecraftError):  # noqa: N818 - says what it is
    """A result of ours is not fit to be sent: a fault of the program, not of the sender.

    Attributes:
        findings: What is wrong.
    """

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("The result was not written, it failed its check: " + " ".join(f.sentence for f in findings))
        self.findings = findings


def check_instance(dataset: Dataset, *, sources: Sequence[Dataset]) -> tuple[Finding, ...]:
    """Everything that is wrong with a result.

    Args:
        dataset: Any of our results, as read from its file.
        sources: The headers of all radiographs it was made from; a rejection note's may be what it rejects.
            Empty where they are kept no longer: the result is judged by itself.

    Returns:
        The findings; empty when the instance is sound.
    """
    if is_rejection_note(dataset):
        return (*check_identity(dataset, sources), *check_rejection_note(dataset))
    check_content = BY_CLASS.get(str(dataset.get("SOPClassUID")))
    if check_content is None:
        return (Finding(check=Check.REQUIRED, sentence="SOPClassUID is none that Bonecraft writes."),)
    return (*check_identity(dataset, sources), *check_references(dataset, sources), *check_content(dataset))


def require_sound(dataset: Dataset, *, sources: Sequence[Dataset]) -> None:
    """Pass a sound result, stop any other.

    Args:
        dataset: See `check_instance`.
        sources: See `check_instance`.

    Raises:
        UnsoundResult: With every finding.
    """
    findings = check_instance(dataset, sources=sources)
    if findings:
        raise UnsoundResult(findings)

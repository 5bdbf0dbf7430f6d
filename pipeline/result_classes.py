"""As which SOP classes results are delivered, by what each file is for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.uid import (
    UID,
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

from pipeline.results import OPTIONAL_KINDS, FileKind

SOP_CLASSES: Final[Mapping[FileKind, UID]] = MappingProxyType(
    {
        FileKind.SURFACE_SEGMENTATION: SurfaceSegmentationStorage,
        FileKind.SECONDARY_CAPTURE: SecondaryCaptureImageStorage,
        FileKind.TURNTABLE: MultiFrameTrueColorSecondaryCaptureImageStorage,
        FileKind.KEY_RENDERING: SecondaryCaptureImageStorage,
        FileKind.MEASUREMENT_PAGE: SecondaryCaptureImageStorage,
        FileKind.MEASUREMENT_REPORT: Comprehensive3DSRStorage,
        FileKind.KEY_OBJECTS: KeyObjectSelectionDocumentStorage,
        FileKind.ENCAPSULATED_STL: EncapsulatedSTLStorage,
        FileKind.REFUSAL_REPORT: Comprehensive3DSRStorage,
        FileKind.REFUSAL_PICTURE: SecondaryCaptureImageStorage,
        FileKind.SURFACES_MANIFOLD_UNKNOWN: SurfaceSegmentationStorage,
        FileKind.PRESENTATION_STATE: GrayscaleSoftcopyPresentationStateStorage,
        FileKind.FILM_SEGMENTATION: SegmentationStorage,
        FileKind.REPORT_DOCUMENT: EncapsulatedPDFStorage,
        FileKind.TURNTABLE_FRAMES: SecondaryCaptureImageStorage,
        FileKind.ENCAPSULATED_OBJ: EncapsulatedOBJStorage,
    }
)
"""Key objects also reject what a newer result has replaced."""

OPTIONAL_CLASSES: Final = frozenset(SOP_CLASSES.values()) - {
    sop_class for kind, sop_class in SOP_CLASSES.items() if kind not in OPTIONAL_KINDS
}
"""Those of which nothing is sent unless a rule says so."""

STAND_INS: Final[Mapping[str, FileKind]] = MappingProxyType(
    {MultiFrameTrueColorSecondaryCaptureImageStorage: FileKind.TURNTABLE_FRAMES}
)
"""Optional kinds that a peer may get which does not take the class of the usual one."""


def or_instead(sop_class_uid: str) -> str:
    """What else can be done about a peer that does not take a class, as the end of a sentence; empty where nothing."""
    kind = STAND_INS.get(sop_class_uid)
    return f", or let a rule send {kind} to it" if kind else ""

"""As which SOP classes results are delivered, by what each file is for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EncapsulatedSTLStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    SurfaceSegmentationStorage,
)

from pipeline.results import FileKind

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
    }
)
"""Key objects also reject what a newer result has replaced."""

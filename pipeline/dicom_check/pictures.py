"""Is a Secondary Capture, of one frame or of many, a true-colour picture of the right size that says what it shows?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from pipeline.dicom_check.finding import Check, Finding, missing, one_of

REQUIRED: Final = (
    *("ConversionType", "ImageType", "BurnedInAnnotation", "DerivationDescription", "ImageComments"),
    *("SourceImageSequence", "Rows", "Columns", "PixelData"),
)
ENUMERATED: Final = {
    "ConversionType": ("WSD",),
    "BurnedInAnnotation": ("YES", "NO"),
    "SamplesPerPixel": (3,),
    "PhotometricInterpretation": ("RGB",),
    "PlanarConfiguration": (0,),
    "BitsAllocated": (8,),
    "BitsStored": (8,),
    "HighBit": (7,),
    "PixelRepresentation": (0,),
}


CINE: Final = ("NumberOfFrames", "FrameIncrementPointer", "FrameTime")


def check_film(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a multi-frame picture (PS3.3 A.8.5, C.7.6.6)."""
    yield from missing(dataset, CINE, where="Film")
    yield from _check_pixels(dataset)


def check_picture(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a Secondary Capture's own attributes (PS3.3 A.8.1)."""
    yield from _check_pixels(dataset)
    if "PixelSpacing" in dataset:
        yield from missing(
            dataset, ("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription"), where="Picture"
        )
        if min(dataset.PixelSpacing) <= 0:
            yield Finding(check=Check.SIZE, sentence="PixelSpacing is not positive.")


def _check_pixels(dataset: Dataset) -> Iterator[Finding]:
    """Image Pixel (PS3.3 C.7.6.3), and what every picture says of itself."""
    yield from missing(dataset, REQUIRED, where="Picture")
    yield from missing(dataset, ("Laterality",), where="Picture", may_be_empty=True)
    yield from one_of(dataset, "Laterality", ("L", "R", ""), where="Picture")
    for keyword, allowed in ENUMERATED.items():
        yield from one_of(dataset, keyword, allowed, where="Picture")
    expected = (
        int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0) * 3 * int(dataset.get("NumberOfFrames") or 1)
    )
    length = len(dataset.get("PixelData") or b"")
    if length != expected + expected % 2:
        yield Finding(check=Check.PIXELS, sentence=f"PixelData holds {length} bytes, the picture needs {expected}.")

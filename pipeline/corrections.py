"""Whether an image that comes again under its UID is the same picture, of a patient whose data were corrected.

Archives send a study again when a name was misspelt or an unknown patient was identified. The pixels are compared as
they are stored: decoding is for the worker's child, where what a codec makes of a malicious file hurts nobody else.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipeline.dicom_pixels import CODEC_ERRORS
from pipeline.dicom_read import lenient

IDENTITY: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
)
"""What is corrected. Other capitals, and what the later image leaves empty, are no correction: archives and gateways
change much on the way."""

SAME_PICTURE: Final = (
    *("StudyInstanceUID", "SOPClassUID", "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("PhotometricInterpretation", "PixelData"),
)
NATIVE: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})
"""Transfer syntaxes in which pixels are the same bytes (PS3.5 A.1, A.2 and A.5)."""


def is_correction(earlier: Dataset, later: Dataset) -> bool:
    """Whether `later` shows the same pixels and names the patient or the order otherwise.

    Args:
        earlier: What is in use, with pixels.
        later: What came under the same SOPInstanceUID, with pixels.
    """
    try:
        with lenient():
            return _names_otherwise(earlier, later) and _shows_the_same(earlier, later)
    except CODEC_ERRORS:  # a value of either cannot be read
        return False


def _names_otherwise(earlier: Dataset, later: Dataset) -> bool:
    said = [(_plain(earlier, keyword), _plain(later, keyword)) for keyword in IDENTITY]
    return any(after and after != before for before, after in said)


def _plain(dataset: Dataset, keyword: str) -> str:
    """A value without what people do not see; empty components at a name's end mean nothing (PS3.5 6.2.1.1)."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0").rstrip("^=").casefold()


def _shows_the_same(earlier: Dataset, later: Dataset) -> bool:
    syntaxes = {each.file_meta.TransferSyntaxUID for each in (earlier, later)}
    comparable = len(syntaxes) == 1 or syntaxes <= NATIVE
    return comparable and all(earlier.get(keyword) == later.get(keyword) for keyword in SAME_PICTURE)

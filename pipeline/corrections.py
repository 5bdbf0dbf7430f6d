"""Whether an image that comes again under its UID is the same picture, of a patient whose data were corrected.

Archives send a study again when a name was misspelt or an unknown patient was identified. The pixels are compared as
they are stored, piece by piece: nothing a sender may have made is decoded where images are taken in.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import data_element_generator
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipeline.dicom_pixels import CODEC_ERRORS
from pipeline.dicom_read import lenient, read_stored

IDENTITY: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "AccessionNumber"),
)
"""What is corrected. Other capitals, and what the later image leaves empty, are no correction: archives and gateways
change much on the way."""

SAME_PICTURE: Final = (
    *("StudyInstanceUID", "SOPClassUID", "Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    "PhotometricInterpretation",
)
"""And PixelData, which may be larger than memory should hold."""
NATIVE: Final = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian})
"""Transfer syntaxes in which pixels are the same bytes (PS3.5 A.1, A.2 and A.5)."""


PIXEL_DATA: Final = Tag("PixelData")
PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class _Extent:
    """Bytes of a file, from where it stands."""

    file: BinaryIO
    length: int


def is_correction(earlier: BinaryIO, later: BinaryIO) -> bool:
    """Whether `later` shows the same pixels and names the patient or the order otherwise.

    Args:
        earlier: The file in use.
        later: What came under the same SOPInstanceUID.

    Raises:
        InputError: One of them is damaged.
    """
    before, after = (read_stored(file, pixels=False) for file in (earlier, later))
    try:
        with lenient():
            if not _names_otherwise(before, after) or not _is_alike(before, after):
                return False
            return _same_bytes(_pixel_data(earlier, before), _pixel_data(later, after))
    except CODEC_ERRORS:  # a value of either cannot be read
        return False


def _names_otherwise(earlier: Dataset, later: Dataset) -> bool:
    said = [(_plain(earlier, keyword), _plain(later, keyword)) for keyword in IDENTITY]
    return any(after and after != before for before, after in said)


def _plain(dataset: Dataset, keyword: str) -> str:
    """A value without what people do not see; empty components at a name's end mean nothing (PS3.5 6.2.1.1)."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0").rstrip("^=").casefold()


def _is_alike(earlier: Dataset, later: Dataset) -> bool:
    """Whether the same pixels would be the same bytes, and the same picture."""
    syntaxes = {each.file_meta.TransferSyntaxUID for each in (earlier, later)}
    comparable = len(syntaxes) == 1 or syntaxes <= NATIVE
    return comparable and all(earlier.get(keyword) == later.get(keyword) for keyword in SAME_PICTURE)


def _pixel_data(file: BinaryIO, header: Dataset) -> _Extent:
    """Where the value of PixelData lies, in a file that was read up to there; of no length where there is none."""
    if header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        file.seek(0)
        value = bytes(read_stored(file).get("PixelData") or b"")
        return _Extent(file=BytesIO(value), length=len(value))
    implicit, little = header.original_encoding
    rest = data_element_generator(file, bool(implicit), bool(little), defer_size=0)
    found = next((each for each in rest if each.tag == PIXEL_DATA), None)
    if not isinstance(found, RawDataElement):
        return _Extent(file=file, length=0)
    length = file.tell() - found.value_tell
    file.seek(found.value_tell)
    return _Extent(file=file, length=length)


def _same_bytes(earlier: _Extent, later: _Extent) -> bool:
    left = earlier.length
    if left != later.length:
        return False
    while left > 0:
        wanted = min(left, PIECE_BYTES)
        piece = earlier.file.read(wanted)
        if len(piece) < wanted or piece != later.file.read(wanted):
            return False
        left -= wanted
    return True

"""A picture that says nothing, to try C-STORE with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

PATIENT_ID: Final = "BONECRAFT-TEST"
SIDE: Final = 16


def make_test_picture(now: datetime | None = None) -> Dataset:
    """A small grey Secondary Capture (PS3.3 A.8.1) in a study of its own, of a patient who does not exist."""
    moment = now or datetime.now(UTC)
    picture = Dataset()
    picture.SOPClassUID = SecondaryCaptureImageStorage
    for level in ("SOP", "Series", "Study"):
        setattr(picture, f"{level}InstanceUID", generate_uid(prefix=None))
    picture.PatientName, picture.PatientID = "Bonecraft^Test", PATIENT_ID
    picture.PatientBirthDate = picture.PatientSex = picture.AccessionNumber = picture.ReferringPhysicianName = ""
    picture.StudyDate, picture.StudyTime = f"{moment:%Y%m%d}", f"{moment:%H%M%S}"
    picture.StudyID, picture.SeriesNumber, picture.InstanceNumber = "", 1, 1
    picture.StudyDescription = picture.SeriesDescription = "Connection test, delete"
    picture.Modality, picture.ConversionType, picture.PatientOrientation = "OT", "SYN", ""
    picture.Laterality = ""
    picture.SamplesPerPixel, picture.PhotometricInterpretation, picture.PixelRepresentation = 1, "MONOCHROME2", 0
    picture.Rows = picture.Columns = SIDE
    picture.BitsAllocated = picture.BitsStored = 8
    picture.HighBit = 7
    picture.PixelData = bytes([128]) * SIDE * SIDE
    picture.file_meta = FileMetaDataset()
    picture.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return picture

"""What a person types at an upload, as DICOM: pictures wrapped into Secondary Captures, files given what they lack.

Everything typed is marked as such where DICOM has a place for it, so that no later reader takes it for a modality's
word: PixelSpacingCalibrationDescription (0028,0A04), DerivationDescription (0008,2111), ImageComments (0020,4000).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from pipeline.dicom_acquisition import TYPED_SPACING
from pipeline.picture_read import read_picture
from pipeline.radiograph import View
from pipeline.typed_facts import TypedFacts

VIEW_CODES: Final = {
    View.AP: ("399348003", "antero-posterior"),
    View.PA: ("272479007", "postero-anterior"),
    View.LATERAL: ("399067008", "lateral"),
}
"""PS3.16 CID 4010, SNOMED CT."""

TYPED_NOTE: Final = "View, side, body part or pixel spacing were typed by the person who uploaded the image."


@dataclass(frozen=True, kw_only=True)
class UploadStudy:
    """The study that an upload's pictures make; DICOM files bring their own.

    Attributes:
        study_instance_uid: The same for the same pictures of the same person, so that sending again adds nothing.
        patient_id: As typed; may be empty.
        uploaded_on: The day.
    """

    study_instance_uid: str
    patient_id: str
    uploaded_on: date


def study_of_pictures(pictures: Sequence[Path], *, patient_id: str, uploader: str, uploaded_on: date) -> UploadStudy:
    """The study that these pictures make together."""
    parts = ["study", uploader, patient_id, *(_digest(path) for path in pictures)]
    return UploadStudy(study_instance_uid=_uid(parts), patient_id=patient_id, uploaded_on=uploaded_on)


def wrap_picture(path: Path, *, typed: TypedFacts, study: UploadStudy) -> Dataset:
    """A PNG or JPEG picture as a Secondary Capture Image (PS3.3 A.8), ready to be written.

    Raises:
        InputError: The file is not a picture, or is damaged or too large.
    """
    shown = read_picture(path)
    identity = [study.study_instance_uid, _digest(path), *typed.choices()]
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = _uid(["instance", *identity])
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.SeriesInstanceUID = _uid(["series", study.study_instance_uid])
    dataset.PatientID = study.patient_id
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
        setattr(dataset, keyword, "")
    dataset.StudyID = "UPLOAD"
    dataset.StudyDescription = "Uploaded pictures"
    dataset.StudyDate = dataset.ContentDate = study.uploaded_on.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = ""  # the same picture again is the same file
    dataset.Modality = "RG"
    dataset.ConversionType = "DI"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.PatientOrientation = []
    dataset.Laterality = ""
    _set_pixels(dataset, path, is_coloured=shown.was_colour)
    _set_typed(dataset, typed)
    return _with_meta(dataset, ExplicitVRLittleEndian)


def with_typed_facts(path: Path, typed: TypedFacts) -> Dataset:
    """A DICOM file with what was typed in place of what it said: a derived image with a UID of its own."""
    dataset = dcmread(path, force=True)
    original = str(dataset.get("SOPInstanceUID") or _digest(path))
    source = Dataset()
    source.ReferencedSOPClassUID = dataset.SOPClassUID
    source.ReferencedSOPInstanceUID = original
    dataset.SourceImageSequence = [source]
    dataset.SOPInstanceUID = _uid(["typed", original, *typed.choices()])
    dataset.SeriesInstanceUID = _uid(["typed", str(dataset.SeriesInstanceUID)])
    dataset.ImageType = ["DERIVED", *list(dataset.get("ImageType") or ["DERIVED", "PRIMARY"])[1:]]
    dataset.DerivationDescription = TYPED_NOTE
    _set_typed(dataset, typed)
    meta = dataset.file_meta if hasattr(dataset, "file_meta") else FileMetaDataset()
    return _with_meta(dataset, UID(meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)))


def write(dataset: Dataset, path: Path) -> None:
    """Write a dataset of this module as a file of PS3.10."""
    dataset.save_as(path, enforce_file_format=True)


def _set_typed(dataset: Dataset, typed: TypedFacts) -> None:
    """In place of whatever says the same elsewhere in the file."""
    if typed.view is not None:
        view = _code(*VIEW_CODES[typed.view])
        if dataset.get("Modality") == "DX":
            view.ViewModifierCodeSequence = []  # type 2 in the DX Positioning Module (PS3.3 C.8.11.5)
        dataset.ViewCodeSequence = [view]
        # ViewPosition has no term for a lateral view from an unknown side.
        dataset.ViewPosition = typed.view.value if typed.view.is_frontal else ""
    if typed.side is not None:
        dataset.pop("Laterality", None)  # of the series, allowed only where no image has its own (PS3.3 C.7.3.1)
        dataset.ImageLaterality = typed.side.value
    if typed.body_part is not None:
        dataset.pop("AnatomicRegionSequence", None)
        dataset.BodyPartExamined = typed.body_part
    if typed.pixel_spacing_mm is not None:
        dataset.pop("ImagerPixelSpacing", None)
        dataset.PixelSpacing = [round(typed.pixel_spacing_mm, 6)] * 2
        dataset.PixelSpacingCalibrationType = "GEOMETRY"
        dataset.PixelSpacingCalibrationDescription = TYPED_SPACING
    if not typed.nothing:
        dataset.ImageComments = TYPED_NOTE


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _set_pixels(dataset: Dataset, path: Path, *, is_coloured: bool) -> None:
    """Grey with 8 or 16 bits, also of a colour file that shows only grey; colour stays colour, for the gate to know."""
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        upright = ImageOps.exif_transpose(picture)
        is_deep = upright.mode.startswith("I")
        is_grey = is_deep or not is_coloured
        array = np.asarray(upright if is_deep else upright.convert("L" if is_grey else "RGB"))
    pixels: npt.NDArray[np.uint16 | np.uint8] = array.astype(np.uint16 if is_deep else np.uint8)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if is_grey else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if is_grey else "RGB"
    if not is_grey:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 16 if is_deep else 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    raw = pixels.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)


def _with_meta(dataset: Dataset, transfer_syntax: UID) -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = transfer_syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta = meta
    return dataset


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _uid(parts: Sequence[str]) -> str:
    """A UID that the parts decide (PS3.5 B.2), of another kind than those of Bonecraft's results: these are inputs."""
    return f"2.25.{uuid5(NAMESPACE_OID, json.dumps(list(parts))).int}"

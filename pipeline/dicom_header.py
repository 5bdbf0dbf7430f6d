"""What the node must know of an instance to take it in: who it is, whose it is, and what it is to us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from pipeline.dicom_pixels import CODEC_ERRORS
from pipeline.dicom_read import RADIOGRAPHIC_MODALITIES, Labels, age_years, labels_of, lenient, read_header
from pipeline.dicom_write import recognise_own
from pipeline.errors import InputError
from pipeline.records.instances import InstanceRole
from pipeline.records.studies import StudyHeader

RADIOGRAPHIC_CLASSES: Final = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        DigitalXRayImageStorageForProcessing,
        SecondaryCaptureImageStorage,
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        MultiFrameTrueColorSecondaryCaptureImageStorage,
        XRayAngiographicImageStorage,
        XRayRadiofluoroscopicImageStorage,
    }
)
"""SOP classes that plain radiographs come in; XA, RF and multi-frame SC only with a single frame."""

DESCRIPTIONS: Final = ("StudyDescription", "SeriesDescription", "ProtocolName")
"""Where people and devices write in words what was taken."""

LONGEST_UID: Final = 64
"""PS3.5 9.1"""


@dataclass(frozen=True, kw_only=True)
class InstanceHeader:
    """An instance's header.

    Attributes:
        sop_class_uid: SOPClassUID.
        sop_instance_uid: SOPInstanceUID.
        series_instance_uid: SeriesInstanceUID.
        transfer_syntax_uid: Of the file.
        study: What it says of its study and patient.
        role: What it is to us.
        facts: For lists, settling and rules: modality, body_part, view, side, rows, columns, series_number,
            instance_number, descriptions, station_name, age_years, requested_priority.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    study: StudyHeader
    role: InstanceRole
    facts: Mapping[str, Any]


def read_instance_header(path: Path) -> InstanceHeader:
    """Read a file up to its pixels.

    Raises:
        InputError: It is not DICOM, or one of the UIDs that identify it is missing or malformed.
    """
    dataset = read_header(path)
    try:
        with lenient():
            return _header(dataset)
    except CODEC_ERRORS as error:
        raise InputError("the header holds values that cannot be read: send the file again") from error


def _header(dataset: Dataset) -> InstanceHeader:
    return InstanceHeader(
        sop_class_uid=_uid(dataset, "SOPClassUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
        study=StudyHeader(
            study_instance_uid=_uid(dataset, "StudyInstanceUID"),
            patient_id=_text(dataset, "PatientID"),
            patient_name=_text(dataset, "PatientName"),
            accession_number=_text(dataset, "AccessionNumber"),
            study_date=_text(dataset, "StudyDate"),
            study_description=_text(dataset, "StudyDescription"),
        ),
        role=_role(dataset),
        facts=_facts(dataset, labels_of(dataset)),
    )


def _role(dataset: Dataset) -> InstanceRole:
    if recognise_own(dataset):
        return InstanceRole.OWN_RESULT
    is_single_frame = _text(dataset, "NumberOfFrames") in ("", "0", "1")
    is_picture = _number(dataset, "Rows") > 1 and _number(dataset, "Columns") > 1
    is_radiographic = (
        str(dataset.SOPClassUID) in RADIOGRAPHIC_CLASSES
        and _text(dataset, "Modality").upper() in RADIOGRAPHIC_MODALITIES
    )
    return InstanceRole.RADIOGRAPH if is_radiographic and is_single_frame and is_picture else InstanceRole.OUT_OF_SCOPE


def _facts(dataset: Dataset, labels: Labels) -> dict[str, Any]:
    return {
        "modality": _text(dataset, "Modality"),
        "body_part": labels.body_part or "",
        "view": labels.view.value if labels.view else "",
        "side": labels.side.value if labels.side else "",
        "rows": _number(dataset, "Rows"),
        "columns": _number(dataset, "Columns"),
        "series_number": _number(dataset, "SeriesNumber"),
        "instance_number": _number(dataset, "InstanceNumber"),
        "descriptions": [text for keyword in DESCRIPTIONS if (text := _text(dataset, keyword))],
        "station_name": _text(dataset, "StationName"),
        "age_years": age_years(dataset),
        "requested_priority": _text(dataset, "RequestedProcedurePriority") or _text(dataset, "StudyPriorityID"),
    }


def _uid(dataset: Dataset, keyword: str) -> str:
    value = _text(dataset, keyword)
    if not value:
        raise InputError(f"{keyword} is missing: without it the instance cannot be kept apart from others")
    if len(value) > LONGEST_UID or not UID(value, validation_mode=0).is_valid:
        raise InputError(f"{keyword} is not a UID (PS3.5 9.1): digits and dots, at most {LONGEST_UID}")
    return value


def _text(dataset: Dataset, keyword: str) -> str:
    """A value as text; PostgreSQL cannot hold NUL, which some devices pad with."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).replace("\0", "").strip()


def _number(dataset: Dataset, keyword: str) -> int:
    text = _text(dataset, keyword)
    return int(text) if text.isascii() and text.isdigit() else 0

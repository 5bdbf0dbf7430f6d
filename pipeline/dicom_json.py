"""Datasets in the DICOM JSON Model (PS3.18 F): what a search answers, and a whole dataset without its bulk data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Final

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from pipeline.dicom_pixels import CODEC_ERRORS
from pipeline.dicom_read import lenient

Json = dict[str, Any]

BULK_BYTES: Final = 1024
"""Longer binary values are left out of a dataset's JSON, which then says where they are to be had."""

STUDY_KEYWORDS: Final = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "StudyDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)
SERIES_KEYWORDS: Final = (
    "SeriesDate",
    "SeriesTime",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
    "Laterality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
)
INSTANCE_KEYWORDS: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ContentDate",
    "ContentTime",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
)
SEARCHED: Final = (*STUDY_KEYWORDS, *SERIES_KEYWORDS, *INSTANCE_KEYWORDS)
"""What can be searched for and is answered: PS3.18 Tables 10.6.1-5 and 10.6.3-3 to 10.6.3-5, and a little more."""


def tag_of(keyword: str) -> str:
    """`00100020` for `PatientID`."""
    return f"{tag_for_keyword(keyword) or 0:08X}"


def attributes_of(file: BinaryIO) -> Json:
    """What a search answers of an instance.

    Raises:
        Exception: One of `CODEC_ERRORS`: the file is damaged.
    """
    tags = [Tag(keyword) for keyword in SEARCHED]
    with lenient():
        # Forced: intake takes files without the preamble of PS3.10 7.1 too.
        dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=[*tags, Tag("SpecificCharacterSet")])
        return as_json(Dataset({tag: dataset[tag] for tag in tags if tag in dataset}))


def as_json(dataset: Dataset, *, bulk_uri: Callable[[str], str] | None = None, path: str = "") -> Json:
    """A dataset in the DICOM JSON Model; what cannot be read as its value representation says is left out.

    Args:
        dataset: With values decoded, so that the answer is Unicode.
        bulk_uri: Where the value at a path is to be had; None: every value is part of the answer.
        path: Where the dataset is, as tags and item numbers: `00660002/0/`.
    """
    plain: Json = {}
    for tag in list(dataset.keys()):  # not the elements themselves: reading one may fail
        name = f"{tag:08X}"
        try:
            plain[name] = _element(dataset[tag], path + name, bulk_uri)
        except CODEC_ERRORS:
            continue
    if (charset := tag_of("SpecificCharacterSet")) in plain:
        plain[charset]["Value"] = ["ISO_IR 192"]  # JSON is UTF-8: F.1.3
    return plain


def value_at(dataset: Dataset, path: str) -> bytes:
    """The bytes at a path that `as_json` gave out.

    Raises:
        LookupError: There is nothing.
    """
    *parents, last = path.split("/")
    try:
        for sequence, item in zip(parents[::2], parents[1::2], strict=True):
            dataset = dataset[Tag(int(sequence, 16))].value[int(item)]
        value = dataset[Tag(int(last, 16))].value
    except (AttributeError, TypeError, ValueError) as error:
        raise LookupError(path) from error
    if isinstance(value, bytes):
        return value
    raise LookupError(path)


def _element(element: DataElement, path: str, bulk_uri: Callable[[str], str] | None) -> Json:
    if element.VR == "SQ":
        items = [
            as_json(item, bulk_uri=bulk_uri, path=f"{path}/{number}/") for number, item in enumerate(element.value)
        ]
        return {"vr": "SQ", "Value": items}
    handler = None if bulk_uri is None else lambda _: bulk_uri(path)
    plain: Json = element.to_json_dict(handler, BULK_BYTES)
    return plain

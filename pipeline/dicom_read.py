"""DICOM files as the values that the science knows: the only place where tags become meaning.

View, side and body part are what the sender said; they are wrong or missing in real life, so later stages hold them
against the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO, Final

from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipeline.dicom_acquisition import codes, read_acquisition
from pipeline.dicom_deflated import check_inflated_size
from pipeline.dicom_head import Head
from pipeline.dicom_pixels import CODEC_ERRORS, displayed_pixels
from pipeline.errors import InputError, Refusal, RefusalCode
from pipeline.radiograph import Radiograph, Side, View

RADIOGRAPHIC_MODALITIES: Final = ("", "CR", "DX", "RG", "RF", "XA", "OT", "SC", "XC", "HC")
"""Values of Modality (0008,0060) under which plain radiographs travel; empty where it was stripped."""

VIEW_POSITIONS: Final = {
    "AP": View.AP,
    "PA": View.PA,
    "LL": View.LATERAL,
    "RL": View.LATERAL,
    "LAT": View.LATERAL,
    "LATERAL": View.LATERAL,
    "ML": View.LATERAL,
    "LM": View.LATERAL,
}
"""ViewPosition (0018,5101). Decubitus (LLD, RLD) says how the patient lies, obliques are neither: no view."""

VIEW_CODES: Final = {
    "399348003": View.AP, "R-10206": View.AP,  # antero-posterior
    "399033003": View.AP, "R-10202": View.AP,  # frontal
    "272479007": View.PA, "R-10214": View.PA, "R-40888": View.PA,  # postero-anterior
    "399067008": View.LATERAL, "R-102CD": View.LATERAL,  # lateral
    "399173006": View.LATERAL, "R-10236": View.LATERAL,  # left lateral
    "399198007": View.LATERAL, "R-10232": View.LATERAL,  # right lateral
    "399260004": View.LATERAL, "R-10224": View.LATERAL,  # medial-lateral
    "399352003": View.LATERAL, "R-10228": View.LATERAL,  # lateral-medial
}  # fmt: skip
"""ViewCodeSequence, CID 4010: SNOMED CT, and SNOMED RT as older devices write it."""

REGION_CODES: Final = {
    "71341001": "FEMUR", "T-12710": "FEMUR",
    "68367000": "THIGH", "T-D9100": "THIGH",
    "24136001": "HIP", "T-15710": "HIP", "29836001": "HIP", "T-D2500": "HIP",
    "12921003": "PELVIS", "T-D6000": "PELVIS",
    "72696002": "KNEE", "T-D9200": "KNEE",
    "30021000": "LEG", "T-D9400": "LEG",
    "56459004": "FOOT", "T-D9700": "FOOT",
    "51185008": "CHEST", "T-D3000": "CHEST",
}  # fmt: skip
"""AnatomicRegionSequence as the terms of BodyPartExamined (PS3.16 Annex L)."""

SIDE_CODES: Final = {"24028007": Side.RIGHT, "G-A100": Side.RIGHT, "7771000": Side.LEFT, "G-A101": Side.LEFT}

AGE_UNITS_IN_YEARS: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
OLDEST_YEARS: Final = 120.0


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What the sender said a radiograph shows; None where it said nothing that we know."""

    view: View | None
    side: Side | None
    body_part: str | None


def read_header(path: Path) -> Dataset:
    """A file's elements before its pixels, none of them decoded yet.

    Raises:
        InputError: The file is not DICOM.
    """
    return _read(path, pixels=False)


def read_stored(file: BinaryIO, *, pixels: bool = True) -> Dataset:
    """A file that was taken in before, or that we wrote: its size when inflated was judged then.

    Raises:
        InputError: It is damaged.
    """
    try:
        with lenient():
            return _with_syntax(dcmread(file, force=True, stop_before_pixels=not pixels))
    except (*CODEC_ERRORS, InvalidDicomError) as error:
        raise InputError("the stored file is damaged: see the log of the blob store") from error


def read_radiograph(path: Path) -> Radiograph:
    """Read one DICOM file.

    Raises:
        InputError: The file is not DICOM, or holds no picture that can be decoded.
        Refusal: The file is sound but no plain radiograph.
    """
    return radiograph_of(_read(path, pixels=True), name=path.name)


def radiograph_of(dataset: Dataset, *, name: str) -> Radiograph:
    """A dataset as a radiograph.

    Args:
        dataset: With pixels.
        name: What to call it where its SOPInstanceUID was stripped.

    Raises:
        InputError: There is no picture, or it cannot be decoded.
        Refusal: It is no plain radiograph.
    """
    try:
        with lenient():
            return _radiograph(dataset, name)
    except CODEC_ERRORS as error:
        raise InputError(f"{name} holds values that cannot be read; send or export it again") from error


def _radiograph(dataset: Dataset, name: str) -> Radiograph:
    _check_kind(dataset)
    shown = displayed_pixels(dataset)
    geometry = read_acquisition(dataset)
    return Radiograph(
        identifier=str(dataset.get("SOPInstanceUID") or name),
        pixels=shown.pixels,
        view=_view(dataset),
        side=_side(dataset),
        body_part=_body_part(dataset),
        acquisition=geometry.acquisition,
        patient_age_years=age_years(dataset),
        was_colour=shown.was_colour,
        notes=shown.notes + geometry.notes,
    )


def labels_of(dataset: Dataset) -> Labels:
    """What the sender said a radiograph shows; a header (`read_header`) suffices."""
    with lenient():
        return Labels(view=_view(dataset), side=_side(dataset), body_part=_body_part(dataset))


def _read(path: Path, *, pixels: bool) -> Dataset:
    """Also of a file without preamble or file meta information."""
    try:
        with lenient(), path.open("rb") as file:
            head = Head(file)
            check_inflated_size(path, head)
            dataset = dcmread(path if pixels else head, force=True, stop_before_pixels=not pixels)
    except (*CODEC_ERRORS, InvalidDicomError) as error:
        raise InputError(f"{path.name} is not a readable DICOM file; export it again") from error
    dataset.buffer = None  # of a header nothing is read later
    if "SOPClassUID" not in dataset and "Rows" not in dataset:
        raise InputError(f"{path.name} is not a DICOM file; give DICOM, PNG or JPEG")
    return _with_syntax(dataset)


def _with_syntax(dataset: Dataset) -> Dataset:
    """With the encoding that was found where the file itself says none."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset


@contextmanager
def lenient() -> Iterator[None]:
    """Real files break the rules for values in many harmless ways: each value is judged where it is used."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _check_kind(dataset: Dataset) -> None:
    modality = str(dataset.get("Modality") or "").strip().upper()
    if modality not in RADIOGRAPHIC_MODALITIES:
        raise Refusal(RefusalCode.NOT_A_RADIOGRAPH, f"The image is of modality {modality}, not a plain radiograph.")
    if str(dataset.get("NumberOfFrames") or "1").strip() not in ("0", "1"):
        raise Refusal(RefusalCode.NOT_A_RADIOGRAPH, "The image has several frames: not a plain radiograph.")


def _view(dataset: Dataset) -> View | None:
    coded = (VIEW_CODES[code] for code in codes(dataset, "ViewCodeSequence") if code in VIEW_CODES)
    position = str(dataset.get("ViewPosition") or "").strip().upper()
    return next(coded, None) or VIEW_POSITIONS.get(position)


def _side(dataset: Dataset) -> Side | None:
    """ImageLaterality, Laterality or the region's modifier; B(oth), U(npaired) and anything else is no side."""
    letters = [str(dataset.get(keyword) or "").strip().upper() for keyword in ("ImageLaterality", "Laterality")]
    letter = next(filter(None, letters), "")
    if letter:
        return Side(letter) if letter in ("L", "R") else None
    region = codes(dataset, "AnatomicRegionSequence")
    return next((SIDE_CODES[code] for code in region if code in SIDE_CODES), None)


def _body_part(dataset: Dataset) -> str | None:
    region = codes(dataset, "AnatomicRegionSequence")
    coded = next((REGION_CODES[code] for code in region if code in REGION_CODES), None)
    return coded or str(dataset.get("BodyPartExamined") or "").strip().upper() or None


def age_years(dataset: Dataset) -> float | None:
    """PatientAge, else from birth and study date; None where the result is no person's age."""
    text = str(dataset.get("PatientAge") or "").strip().upper()
    if len(text) > 1 and text[:-1].isdigit() and text[-1] in AGE_UNITS_IN_YEARS:
        age = int(text[:-1]) * AGE_UNITS_IN_YEARS[text[-1]]
    else:
        born, taken = (_date(dataset, keyword) for keyword in ("PatientBirthDate", "StudyDate"))
        age = (taken - born).days / 365.25 if born and taken else -1.0
    return age if 0 <= age < OLDEST_YEARS else None


def _date(dataset: Dataset, keyword: str) -> date | None:
    text = str(dataset.get(keyword) or "").strip()
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])) if len(text) == 8 else None
    except ValueError:
        return None

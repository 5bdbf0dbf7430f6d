"""A simulated view as a modality would send it: Digital X-Ray Image Storage, For Presentation (PS3.3 A.26)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from models.training.fields import BoneField
from models.training.positioning import Beam, Field
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side, View

BITS_STORED = 12

_FEMUR = ("71341001", "Femur", "FEMUR")
_HIP = ("24136001", "Hip joint", "HIP")
_KNEE = ("72696002", "Knee", "KNEE")
_LEG = ("30021000", "Lower leg", "LEG")

_REGIONS: dict[Field | BoneField, tuple[str, str, str]] = {
    Field.WHOLE: _FEMUR,
    Field.HIP: _HIP,
    Field.DISTAL: _KNEE,
    BoneField.PELVIS_AP: ("12921003", "Pelvis", "PELVIS"),
    BoneField.HIP_AP: _HIP,
    BoneField.HIP_FROG_LEG: _HIP,
    BoneField.HIP_CROSS_TABLE: _HIP,
    BoneField.FEMUR_AP: _FEMUR,
    BoneField.FEMUR_LATERAL: _FEMUR,
    BoneField.KNEE_AP: _KNEE,
    BoneField.KNEE_LATERAL: _KNEE,
    BoneField.LOWER_LEG_AP: _LEG,
    BoneField.LOWER_LEG_LATERAL: _LEG,
}
"""Code value, meaning and Defined Term of BodyPartExamined (PS3.16 Annex L)."""

_VIEWS: dict[tuple[View, str], tuple[str, str]] = {
    (View.AP, "ML"): ("399348003", "antero-posterior"),
    (View.PA, "ML"): ("272479007", "postero-anterior"),
    (View.LATERAL, "ML"): ("399260004", "medio-lateral"),
    (View.LATERAL, "LM"): ("399352003", "latero-medial"),
}
"""PS3.16 CID 4010."""

_LATERALITY = {Side.LEFT: ("7771000", "Left"), Side.RIGHT: ("24028007", "Right")}


class Picture(Protocol):
    """What a detector delivers."""

    @property
    def image(self) -> npt.NDArray[np.float32]:
        """(rows, columns) display values in 0..1, bone bright."""

    @property
    def geometry(self) -> ProjectionGeometry:
        """Where source and detector stood."""


class Console(Protocol):
    """What a technologist's console knows of a radiograph."""

    @property
    def field(self) -> Field | BoneField:
        """What is to be shown."""

    @property
    def view(self) -> View:
        """Frontal or lateral."""

    @property
    def beam(self) -> Beam:
        """Through which side a lateral beam enters."""

    @property
    def columns_reversed(self) -> bool:
        """Whether the picture is seen from the detector's back."""

    @property
    def source_to_detector_mm(self) -> float:
        """SID."""

    @property
    def bone_to_detector_mm(self) -> float:
        """From the middle of the field to the detector."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """Who the simulated study is about.

    Attributes:
        name: In DICOM's form, Family^Given.
        identifier: PatientID.
        sex: M, F or O.
        age_years: At the study.
    """

    name: str = "Simulated^Femur"
    identifier: str = "SIMULATED"
    sex: str = "O"
    age_years: int = 50


@dataclass(frozen=True, kw_only=True)
class Study:
    """What all radiographs of a study share.

    Attributes:
        seed_text: All UIDs are derived from it, so that a study simulated twice is the same study.
        patient: Whose study.
        description: StudyDescription.
        day: StudyDate.
    """

    seed_text: str
    patient: Patient = Patient()
    description: str = "Femur, two views, simulated"
    day: date = date(2025, 1, 15)

    def uid(self, *parts: object) -> UID:
        """A UID for a part of this study, always the same."""
        return generate_uid(entropy_srcs=["bonecraft simulated study", self.seed_text, *(str(part) for part in parts)])


def write_dx(
    view: Picture,
    setup: Console,
    side: Side | None,
    study: Study,
    *,
    number: int = 1,
    monochrome1: bool = False,
    compressed: bool = True,
) -> Dataset:
    """The view as a DX instance.

    Args:
        view: Simulated radiograph.
        setup: As what it was set up: view, field and distances go into the tags as a technologist's console knows
            them, that is without the slips.
        side: Laterality; None: both.
        study: What all radiographs of the study share.
        number: Series and instance number within the study.
        monochrome1: Store it with dark bone and say so.
        compressed: RLE Lossless, else uncompressed.
    """
    dataset = Dataset()
    _patient_and_study(dataset, study)
    _series_and_equipment(dataset, study, number)
    _anatomy(dataset, setup, side)
    _geometry(dataset, view, setup)
    _pixels(dataset, view.image, monochrome1=monochrome1)
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = study.uid("instance", number)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    if compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    return dataset


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _patient_and_study(dataset: Dataset, study: Study) -> None:
    day = study.day.strftime("%Y%m%d")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.PatientID = study.patient.name, study.patient.identifier
    dataset.PatientBirthDate = ""
    dataset.PatientSex = study.patient.sex
    dataset.PatientAge = f"{study.patient.age_years:03d}Y"
    dataset.StudyInstanceUID = study.uid("study")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = day
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "101500"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.StudyDescription = study.description


def _series_and_equipment(dataset: Dataset, study: Study, number: int) -> None:
    dataset.Modality = "DX"
    dataset.SeriesInstanceUID = study.uid("series", number)
    dataset.SeriesNumber = dataset.InstanceNumber = number
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer = "Bonecraft"
    dataset.ManufacturerModelName = "Radiograph simulator"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.AcquisitionContextSequence = []


def _anatomy(dataset: Dataset, setup: Console, side: Side | None) -> None:
    value, meaning, body_part = _REGIONS[setup.field]
    region = _code(value, meaning)
    if side is not None:
        region.AnatomicRegionModifierSequence = [_code(*_LATERALITY[side])]
    dataset.AnatomicRegionSequence = [region]
    dataset.BodyPartExamined = body_part
    dataset.ImageLaterality = str(side or "B")
    view_code = _code(*_VIEWS[setup.view, setup.beam if setup.view is View.LATERAL else "ML"])
    view_code.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view_code]
    lateral_position = "LL" if side is Side.LEFT else "RL"
    dataset.ViewPosition = lateral_position if setup.view is View.LATERAL else str(setup.view)
    dataset.PatientOrientation = _orientation(setup)


def _orientation(setup: Console) -> list[str]:
    """Where rows and columns of the picture run to in the patient (PS3.3 C.7.6.1.1.1)."""
    across = "P" if setup.view is View.LATERAL else "L"
    opposite = {"P": "A", "L": "R"}
    return [opposite[across] if setup.columns_reversed else across, "F"]


def _geometry(dataset: Dataset, view: Picture, setup: Console) -> None:
    row_spacing, column_spacing = view.geometry.pixel_spacing
    distance = setup.source_to_detector_mm
    to_patient = distance - setup.bone_to_detector_mm
    dataset.ImagerPixelSpacing = [round(row_spacing, 6), round(column_spacing, 6)]
    dataset.DistanceSourceToDetector = round(distance, 1)
    dataset.DistanceSourceToPatient = round(to_patient, 1)
    dataset.EstimatedRadiographicMagnificationFactor = round(distance / to_patient, 4)
    dataset.PositionerType = "NONE"
    dataset.DetectorType = "DIRECT"
    dataset.KVP = 75


def _pixels(dataset: Dataset, image: npt.NDArray[np.float32], *, monochrome1: bool) -> None:
    largest = 2**BITS_STORED - 1
    stored = np.round(np.clip(image, 0, 1) * largest).astype(np.uint16)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if monochrome1 else "IDENTITY"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS_STORED, BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1 if monochrome1 else 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.WindowCenter, dataset.WindowWidth = 2 ** (BITS_STORED - 1), 2**BITS_STORED
    dataset.PixelData = (largest - stored if monochrome1 else stored).astype("<u2").tobytes()

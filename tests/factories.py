"""What tests are made of: small valid radiographs, and a bone."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from pipeline.radiograph import Side
from pipeline.surface import Bone, BoneSurface

VIEW_CODES = {"AP": ("399348003", "antero-posterior"), "LATERAL": ("399067008", "lateral projection")}
VIEW_ORIENTATIONS = {"AP": ["L", "F"], "LATERAL": ["P", "F"]}


def stable_uid(*parts: object) -> str:
    """A UID that is always the same for the same parts."""
    return generate_uid(entropy_srcs=[str(part) for part in parts])


def make_dx(
    *,
    study: str = "a study",
    view: str = "AP",
    side: str = "R",
    patient_name: str = "Sample^Bonecraft",
    character_set: str | list[str] | None = None,
    rows: int = 48,
    columns: int = 40,
    pixels: np.ndarray | None = None,
    burned_in: str = "NO",
) -> Dataset:
    """A Digital X-Ray Image For Presentation of a hip that dciodvfy accepts, ready for `save_as`.

    Args:
        study: Tells studies apart; the same word gives the same patient and study.
        view: `AP` or `LATERAL`.
        side: `L` or `R`.
        patient_name: As shown.
        character_set: SpecificCharacterSet, where the name needs one.
        rows: Of the noise that is shown when no pixels are given.
        columns: The same.
        pixels: (rows, columns) uint16, 12 bits used.
        burned_in: BurnedInAnnotation.
    """
    if pixels is None:
        pixels = np.random.default_rng(7).integers(0, 4096, (rows, columns), dtype=np.uint16)
    dataset = Dataset()
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    _add_patient_and_study(dataset, study, patient_name)
    _add_series_and_instance(dataset, study, view, side)
    _add_acquisition(dataset, view, side)
    dataset.BurnedInAnnotation = burned_in
    _add_pixels(dataset, pixels)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    """The dataset as a DICOM file."""
    dataset.save_as(path, enforce_file_format=True)
    return path


def _add_patient_and_study(dataset: Dataset, study: str, patient_name: str) -> None:
    dataset.PatientName = patient_name
    dataset.PatientID = f"ID {study}"
    dataset.PatientBirthDate = "19600101"
    dataset.PatientSex = "F"
    dataset.PatientAge = "066Y"
    dataset.StudyInstanceUID = stable_uid(study, "study")
    dataset.StudyID = "1"
    dataset.StudyDate, dataset.StudyTime = "20260102", "101500"
    dataset.AccessionNumber = "A1"
    dataset.ReferringPhysicianName = "Referring^Doctor"
    dataset.StudyDescription = "Hip, two views"


def _add_series_and_instance(dataset: Dataset, study: str, view: str, side: str) -> None:
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = stable_uid(study, "instance", view, side)
    dataset.SeriesInstanceUID = stable_uid(study, "series", view, side)
    dataset.SeriesNumber = 1 if view == "AP" else 2
    dataset.InstanceNumber = 1
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Manufacturer = "Test X-ray"
    dataset.ContentDate, dataset.ContentTime = "20260102", "101600"
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20260102", "101600"
    dataset.SeriesDate, dataset.SeriesTime = "20260102", "101600"


def _add_acquisition(dataset: Dataset, view: str, side: str) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ImageLaterality = side
    dataset.PatientOrientation = VIEW_ORIENTATIONS[view]
    dataset.ViewPosition = "AP" if view == "AP" else "LL"
    dataset.ViewCodeSequence = [_code(*VIEW_CODES[view])]
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
    region = codes.SCT.Hip
    dataset.AnatomicRegionSequence = [_code(region.value, region.meaning)]
    dataset.BodyPartExamined = "HIP"
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.DistanceSourceToDetector = 1150
    dataset.DistanceSourceToPatient = 1000
    dataset.EstimatedRadiographicMagnificationFactor = 1.15
    dataset.PositionerType = ""
    dataset.DetectorType = "DIRECT"
    dataset.DetectorConfiguration = "AREA"
    dataset.DetectorID = "D1"
    dataset.DetectorTemperature = 25
    dataset.AcquisitionContextSequence = []
    dataset.LossyImageCompression = "00"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item


def _add_pixels(dataset: Dataset, pixels: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.add_new("PixelData", "OW", pixels.astype("<u2").tobytes())


def make_bone(*, side: Side = Side.RIGHT, length_mm: float = 430.0, around: int = 24, along: int = 40) -> BoneSurface:
    """A closed, slightly bent shaft with thick ends, in mm LPS, head up.

    Args:
        side: Which side it is called.
        length_mm: From end to end.
        around: Points around the shaft.
        along: Rings along the shaft.
    """
    height = np.linspace(0, 1, along)
    radius = 14 + 18 * (2 * height - 1) ** 4
    angle = np.arange(around) * 2 * np.pi / around
    bend = 20 * np.sin(np.pi * height)
    rings = np.stack(
        np.broadcast_arrays(
            100 + radius[:, None] * np.cos(angle),
            -bend[:, None] + radius[:, None] * np.sin(angle),
            length_mm * height[:, None] - 300,
        ),
        axis=-1,
    ).reshape(-1, 3)
    caps = np.array([[100.0, 0.0, -310.0], [100.0, 0.0, length_mm - 290.0]])
    vertices = np.vstack([rings, caps])
    triangles = _tube_triangles(around, along)
    count = len(vertices)
    return BoneSurface(
        bone=Bone.FEMUR,
        side=side,
        vertices=vertices,
        triangles=triangles,
        standard_deviation=np.linspace(0.5, 2.0, count),
        inferred=np.arange(count) < count // 4,
    )


def _tube_triangles(around: int, along: int) -> np.ndarray:
    """Triangles of a tube of rings, counter-clockwise seen from outside; bottom and top are the last two points."""
    bottom, top = around * along, around * along + 1
    triangles = []
    for here in range(around):
        there = (here + 1) % around
        triangles.append((bottom, there, here))
        triangles.append((top, around * (along - 1) + here, around * (along - 1) + there))
        for ring in range(along - 1):
            low, high = around * ring, around * (ring + 1)
            triangles.append((low + here, low + there, high + there))
            triangles.append((low + here, high + there, high + here))
    return np.array(triangles)

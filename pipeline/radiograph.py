"""A plain radiograph as the science sees it: numbers, and what is known of how they were taken.

Knows no tags: `pipeline.dicom_read` maps DICOM onto these values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt


class Side(StrEnum):
    """Laterality (0020,0060), in DICOM's own letters."""

    LEFT = "L"
    RIGHT = "R"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.LEFT if self is Side.RIGHT else Side.RIGHT


class View(StrEnum):
    """How the beam passed the patient; the values are what ViewPosition (0018,5101) users type."""

    AP = "AP"
    PA = "PA"
    LATERAL = "LATERAL"

    @property
    def is_frontal(self) -> bool:
        """Whether the patient is seen from the front or the back."""
        return self in (View.AP, View.PA)


class ScaleProvenance(StrEnum):
    """Where the size in mm came from, in the order of trust."""

    CALIBRATED = "calibrated PixelSpacing"
    MAGNIFICATION_FACTOR = "ImagerPixelSpacing and EstimatedRadiographicMagnificationFactor"
    SOURCE_DISTANCES = "ImagerPixelSpacing and source distances"
    USER = "typed by the user"
    TYPICAL_MAGNIFICATION = "ImagerPixelSpacing and a typical magnification"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The size of a pixel in the plane of the bone, with its doubt.

    Attributes:
        mm_per_pixel: Size of one source pixel in the bone's plane; None where nothing says (then: shape only).
        relative_uncertainty: One standard deviation divided by the value.
        provenance: Where the value came from.
    """

    mm_per_pixel: float | None
    relative_uncertainty: float
    provenance: ScaleProvenance

    def __post_init__(self) -> None:
        if (self.mm_per_pixel is None) != (self.provenance is ScaleProvenance.NONE):
            raise ValueError("a scale has a value exactly when it has a provenance")

    @property
    def known(self) -> bool:
        """Whether lengths in mm may be claimed."""
        return self.mm_per_pixel is not None


UNKNOWN_SCALE: Final = Scale(mm_per_pixel=None, relative_uncertainty=1.0, provenance=ScaleProvenance.NONE)
"""Nothing says how large a pixel is, or nobody asked."""


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """What the sender said of how the radiograph was taken; None where it said nothing.

    Attributes:
        imager_pixel_spacing: (row, column) mm at the detector (0018,1164).
        pixel_spacing: (row, column) mm (0028,0030), meaning see `pixel_spacing_calibrated`.
        pixel_spacing_calibrated: PixelSpacingCalibrationType (0028,0A02) says GEOMETRY or FIDUCIAL, or a user typed it.
        source_to_detector_mm: DistanceSourceToDetector (0018,1110).
        source_to_patient_mm: DistanceSourceToPatient (0018,1111).
        magnification: EstimatedRadiographicMagnificationFactor (0018,1114).
        column_axis: Where columns grow to, one of L R A P H F (PatientOrientation (0020,0020), value 1).
        row_axis: The same for rows (value 2).
        beam: "ML" or "LM" where a lateral view says through which side the beam entered.
        typed: The values were typed by a person rather than written by a modality.
    """

    imager_pixel_spacing: tuple[float, float] | None = None
    pixel_spacing: tuple[float, float] | None = None
    pixel_spacing_calibrated: bool = False
    source_to_detector_mm: float | None = None
    source_to_patient_mm: float | None = None
    magnification: float | None = None
    column_axis: str | None = None
    row_axis: str | None = None
    beam: str | None = None
    typed: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Radiograph:
    """One plain radiograph.

    Attributes:
        identifier: Unique within the study: its SOPInstanceUID, or the file's name for a plain picture.
        pixels: (rows, columns) float32, after modality and VOI transformation, larger = brighter on a light box
            (bone bright, as MONOCHROME2 shows it). Read-only.
        view: As the sender said, or None.
        side: As the sender said, or None.
        body_part: As the sender said, upper case (BodyPartExamined (0018,0015)), or None.
        acquisition: What the sender said of the geometry.
        patient_age_years: As the sender said, or None.
        was_colour: The picture came in colour, which no radiographic detector delivers.
        notes: What was odd while reading, in sentences that name no patient.
    """

    identifier: str
    pixels: npt.NDArray[np.float32]
    view: View | None = None
    side: Side | None = None
    body_part: str | None = None
    acquisition: Acquisition = field(default_factory=Acquisition)
    patient_age_years: float | None = None
    was_colour: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels = np.array(self.pixels, dtype=np.float32)
        if pixels.ndim != 2 or min(pixels.shape) < 1:
            raise ValueError(f"a radiograph has rows and columns, got shape {pixels.shape}")
        if not np.isfinite(pixels).all():
            raise ValueError("a radiograph's pixels must be finite")
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that a reconstruction takes from it, however its file encodes the pixels."""
        said = [self.view, self.side, self.body_part, self.patient_age_years, self.was_colour, asdict(self.acquisition)]
        digest = hashlib.sha256(json.dumps([*self.pixels.shape, *said]).encode())
        digest.update(self.pixels.tobytes())
        return digest.hexdigest()

"""How a radiograph was taken, from its tags; nonsense is noted and left out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from pipeline.radiograph import Acquisition

Spacing = tuple[float, float]

SPACING_RANGE_MM: Final = (0.02, 2.0)
"""Sizes of a pixel from the finest detector to a picture reduced for display."""

FIELD_RANGE_MM: Final = (60.0, 1500.0)
"""Longest side of a radiograph that shows a bone's end: a dental film is smaller, a stitched whole body longer."""

DISTANCE_RANGE_MM: Final = (300.0, 4000.0)
MAGNIFICATION_RANGE: Final = (1.0, 2.0)

CALIBRATED_TYPES: Final = ("GEOMETRY", "FIDUCIAL")
"""PixelSpacingCalibrationType (0028,0A02): corrected to a plane in the patient (PS3.3 10.7.1.2)."""

TYPED_SPACING: Final = "Typed by the person who uploaded the image"
"""PixelSpacingCalibrationDescription (0028,0A04) of a PixelSpacing that no device wrote."""

LATERAL_BEAM: Final = {"399260004": "ML", "R-10224": "ML", "399352003": "LM", "R-10228": "LM"}
"""Codes of CID 4010, DX View."""


@dataclass(frozen=True, kw_only=True)
class ReadAcquisition:
    """An acquisition, and what was odd in its tags."""

    acquisition: Acquisition
    notes: tuple[str, ...]


def read_acquisition(dataset: Dataset) -> ReadAcquisition:
    """The geometry that a dataset's tags tell."""
    imager, imager_notes = _spacing(dataset, "ImagerPixelSpacing")
    pixel, pixel_notes = _spacing(dataset, "PixelSpacing")
    calibrated = pixel is not None and str(dataset.get("PixelSpacingCalibrationType", "")).upper() in CALIBRATED_TYPES
    notes = imager_notes + pixel_notes
    if imager and pixel and not calibrated and not _alike(imager, pixel):
        # Differing without a calibration type, PixelSpacing has been corrected for magnification (PS3.3 10.7.1.3).
        calibrated = 1 < imager[0] / pixel[0] <= MAGNIFICATION_RANGE[1]
        if not calibrated:
            imager = pixel = None
            notes = (*notes, "ImagerPixelSpacing and PixelSpacing contradict each other: both were ignored.")
    column_axis, row_axis = _axes(dataset)
    acquisition = Acquisition(
        imager_pixel_spacing=imager,
        pixel_spacing=pixel,
        pixel_spacing_calibrated=calibrated,
        source_to_detector_mm=_number(dataset, "DistanceSourceToDetector", DISTANCE_RANGE_MM),
        source_to_patient_mm=_number(dataset, "DistanceSourceToPatient", DISTANCE_RANGE_MM),
        magnification=_number(dataset, "EstimatedRadiographicMagnificationFactor", MAGNIFICATION_RANGE),
        column_axis=column_axis,
        row_axis=row_axis,
        beam=_beam(dataset),
        typed=calibrated and str(dataset.get("PixelSpacingCalibrationDescription") or "").strip() == TYPED_SPACING,
    )
    return ReadAcquisition(acquisition=acquisition, notes=notes)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """An element's finite numbers; none where it is absent, empty or not numeric."""
    return tuple(_finite(dataset, keyword))


def codes(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Code values of a code sequence's items, with those of their modifiers."""
    items = list(dataset.get(keyword) or ())
    modifiers = [m for item in items for name in MODIFIERS for m in (item.get(name) or ())]
    return tuple(str(item.get("CodeValue") or "") for item in (*items, *modifiers))


MODIFIERS: Final = ("AnatomicRegionModifierSequence", "ViewModifierCodeSequence")


def _finite(dataset: Dataset, keyword: str) -> Iterator[float]:
    try:
        value = dataset.get(keyword)
        values = (
            [] if value is None or value == "" else [value] if isinstance(value, (str, float, int)) else list(value)
        )
        yield from (number for number in map(float, values) if math.isfinite(number))
    except (TypeError, ValueError, OverflowError):
        return


def _number(dataset: Dataset, keyword: str, limits: tuple[float, float]) -> float | None:
    found = numbers(dataset, keyword)
    return found[0] if found and limits[0] <= found[0] <= limits[1] else None


def _spacing(dataset: Dataset, keyword: str) -> tuple[Spacing | None, tuple[str, ...]]:
    """(row, column) mm, or None and why."""
    found = numbers(dataset, keyword)
    if len(found) != 2:
        return None, (f"{keyword} is not a pair of numbers and was ignored.",) if found else ()
    row, column = found
    if not all(SPACING_RANGE_MM[0] <= value <= SPACING_RANGE_MM[1] for value in found):
        return None, (f"{keyword} of {row:g} × {column:g} mm cannot be a detector's and was ignored.",)
    if row == column == 1.0:
        return None, (f"{keyword} of exactly 1 mm is what converters write that know nothing: it was ignored.",)
    longest = max(row * dataset.Rows, column * dataset.Columns)
    if not FIELD_RANGE_MM[0] <= longest <= FIELD_RANGE_MM[1]:
        return None, (f"{keyword} would make the picture {longest:.0f} mm long and was ignored.",)
    return (row, column), ()


def _alike(one: Spacing, other: Spacing) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(one, other, strict=True))


def _axes(dataset: Dataset) -> tuple[str | None, str | None]:
    """Main directions in which columns and rows grow: the first letter of each (PS3.3 C.7.6.1.1.1)."""
    value = dataset.get("PatientOrientation")
    parts = [str(part) for part in value] if value is not None and not isinstance(value, str) else []
    if len(parts) != 2 or any(part[:1] not in "LRAPHF" or not part for part in parts):
        return None, None
    return parts[0][0], parts[1][0]


def _beam(dataset: Dataset) -> str | None:
    """`ML` or `LM` where the sender says through which side a lateral view's beam entered."""
    position = str(dataset.get("ViewPosition") or "").strip().upper()
    if position in ("ML", "LM"):
        return position
    return next((LATERAL_BEAM[code] for code in codes(dataset, "ViewCodeSequence") if code in LATERAL_BEAM), None)

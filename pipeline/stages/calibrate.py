"""From what the sender said of a radiograph to rays in space, and how far its millimetres can be trusted.

The nominal frame of a view is the patient's (LPS, mm) with the origin where the central ray meets the bone. No
attribute names the principal point, so the central ray is taken to meet the middle of the picture; a pose per view
absorbs the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import Acquisition, Radiograph, Scale, ScaleProvenance, Side, View

TYPICAL_SOURCE_TO_DETECTOR_MM: Final = 1100.0
"""Bucky tables and wall stands are used at 1000 to 1200 mm."""

TYPICAL_MAGNIFICATION: Final = 1.16
"""Published means: hip 1.14 to 1.21, knee 1.12 to 1.15; spread 2 to 5 %."""

TYPICAL_LONGEST_SIDE_MM: Final = 430.0
"""The longest cassette; only a start where nothing says how large a pixel is."""

MAGNIFICATION_RANGE: Final = (1.0, 2.0)
"""A factor of exactly 1 is what modalities write that estimated nothing; above 2 no bone is radiographed."""

SPACING_RANGE_MM: Final = (0.02, 4.0)
"""Pixel sizes of detectors, and of pictures reduced for display."""

RELATIVE_UNCERTAINTY: Final = {
    ScaleProvenance.CALIBRATED: 0.01,
    ScaleProvenance.MAGNIFICATION_FACTOR: 0.015,
    ScaleProvenance.SOURCE_DISTANCES: 0.02,
    ScaleProvenance.USER: 0.03,
    ScaleProvenance.TYPICAL_MAGNIFICATION: 0.04,
    ScaleProvenance.NONE: 0.25,
}
"""One standard deviation of the size of a pixel in the bone's plane."""

AXES: Final = {
    "L": (1.0, 0.0, 0.0),
    "R": (-1.0, 0.0, 0.0),
    "P": (0.0, 1.0, 0.0),
    "A": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
"""Patient directions by their letter in PatientOrientation (PS3.3 C.7.6.1.1.1)."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What is known of a view's geometry before anything is fitted.

    Attributes:
        identifier: The radiograph's.
        view: Frontal or lateral, as decided.
        geometry: In the nominal frame of the view (see the module).
        scale: Size of a pixel in the bone's plane.
        depth_sd_mm: One standard deviation of the bone's distance from the nominal plane, along the central ray. It
            carries the scale's doubt: what lies nearer to the focal spot is shown larger.
        mirroring_known: The sender said which way the picture faces; otherwise its mirror image is as likely.
        notes: What was assumed, in sentences.
    """

    identifier: str
    view: View
    geometry: ProjectionGeometry
    scale: Scale
    depth_sd_mm: float
    mirroring_known: bool
    notes: tuple[str, ...] = ()


def calibrate(radiograph: Radiograph, *, view: View, side: Side) -> Calibration:
    """The geometry of a radiograph as far as its sender described it, completed by what is typical.

    Args:
        radiograph: With its acquisition.
        view: As decided by the gate; overrides what was tagged.
        side: Side of the bone, which decides from where a mediolateral beam comes.
    """
    rows, columns = radiograph.pixels.shape
    acquisition = radiograph.acquisition
    spacing, magnification, provenance = _detector_spacing(acquisition, longest=max(rows, columns))
    source_to_detector = acquisition.source_to_detector_mm or TYPICAL_SOURCE_TO_DETECTOR_MM
    beam = _beam(view, side, acquisition.beam)
    column_axis, row_axis, known = _image_axes(acquisition, beam)
    source_to_bone = source_to_detector / magnification
    geometry = ProjectionGeometry(
        source=-beam * source_to_bone,
        detector_origin=beam * (source_to_detector - source_to_bone)
        - column_axis * spacing[1] * (columns - 1) / 2
        - row_axis * spacing[0] * (rows - 1) / 2,
        column_direction=column_axis,
        row_direction=row_axis,
        pixel_spacing=spacing,
        rows=rows,
        columns=columns,
    )
    uncertainty = RELATIVE_UNCERTAINTY[provenance]
    known_scale = provenance is not ScaleProvenance.NONE
    return Calibration(
        identifier=radiograph.identifier,
        view=view,
        geometry=geometry,
        scale=Scale(
            mm_per_pixel=math.sqrt(spacing[0] * spacing[1]) / magnification if known_scale else None,
            relative_uncertainty=uncertainty,
            provenance=provenance,
        ),
        depth_sd_mm=source_to_bone * uncertainty,
        mirroring_known=known,
        notes=_notes(acquisition, provenance, orientation_known=known),
    )


def _detector_spacing(acquisition: Acquisition, *, longest: int) -> tuple[tuple[float, float], float, ScaleProvenance]:
    """Spacing at the detector (mm), magnification of the bone's plane and their provenance, in the order of trust."""
    imager = _sane(acquisition.imager_pixel_spacing)
    spacing = _sane(acquisition.pixel_spacing)
    magnification, provenance = _magnification(acquisition)
    if spacing is not None and acquisition.pixel_spacing_calibrated:
        provenance = ScaleProvenance.USER if acquisition.typed else ScaleProvenance.CALIBRATED
        in_plane = imager[0] / spacing[0] if imager is not None else 0.0
        magnification = in_plane if _plausible(in_plane) else magnification
        return (spacing[0] * magnification, spacing[1] * magnification), magnification, provenance
    # PixelSpacing without a calibration type is the detector's (PS3.3 10.7.1.3 leaves its meaning open).
    at_detector = imager or spacing
    if at_detector is None:
        guess = TYPICAL_LONGEST_SIDE_MM / longest
        return (guess, guess), magnification, ScaleProvenance.NONE
    return at_detector, magnification, provenance


def _magnification(acquisition: Acquisition) -> tuple[float, ScaleProvenance]:
    if acquisition.magnification is not None and _plausible(acquisition.magnification):
        return acquisition.magnification, ScaleProvenance.MAGNIFICATION_FACTOR
    to_detector, to_patient = acquisition.source_to_detector_mm, acquisition.source_to_patient_mm
    if to_detector and to_patient and _plausible(to_detector / to_patient):
        return to_detector / to_patient, ScaleProvenance.SOURCE_DISTANCES
    return TYPICAL_MAGNIFICATION, ScaleProvenance.TYPICAL_MAGNIFICATION


def _plausible(magnification: float) -> bool:
    return MAGNIFICATION_RANGE[0] < magnification <= MAGNIFICATION_RANGE[1]


def _sane(spacing: tuple[float, float] | None) -> tuple[float, float] | None:
    lowest, highest = SPACING_RANGE_MM
    return spacing if spacing is not None and all(lowest <= value <= highest for value in spacing) else None


def _beam(view: View, side: Side, through: str | None) -> FloatArray:
    """Unit vector from the focal spot to the detector; laterals are mediolateral unless the sender says LM."""
    if view.is_frontal:
        return np.array(AXES["P" if view is View.AP else "A"])
    towards_lateral = np.array(AXES["R" if side is Side.RIGHT else "L"])
    return -towards_lateral if through == "LM" else towards_lateral


def _image_axes(acquisition: Acquisition, beam: FloatArray) -> tuple[FloatArray, FloatArray, bool]:
    """Directions in which columns and rows grow, and whether the sender said so.

    Without PatientOrientation the picture hangs head up: frontal views with the patient's left on the right, laterals
    as seen from the tube.
    """
    column, row = (AXES.get(letter or "") for letter in (acquisition.column_axis, acquisition.row_axis))
    if column is not None and row is not None and _spans_detector(np.array(column), np.array(row), beam):
        return np.array(column), np.array(row), True
    head = np.array(AXES["H"])
    seen_from_tube = np.cross(beam, head)
    column_axis = np.array(AXES["L"]) if abs(beam[1]) > abs(beam[0]) else seen_from_tube
    return column_axis, -head, False


def _spans_detector(column: FloatArray, row: FloatArray, beam: FloatArray) -> bool:
    return not (column @ row or column @ beam or row @ beam)


def _notes(acquisition: Acquisition, provenance: ScaleProvenance, *, orientation_known: bool) -> tuple[str, ...]:
    notes = []
    if provenance is ScaleProvenance.NONE:
        notes.append("Nothing says how large a pixel is: shape only.")
    elif provenance is ScaleProvenance.TYPICAL_MAGNIFICATION:
        notes.append(f"Magnification not given: a typical factor of {TYPICAL_MAGNIFICATION} is assumed.")
    if acquisition.source_to_detector_mm is None:
        notes.append(f"Source to detector distance not given: {TYPICAL_SOURCE_TO_DETECTOR_MM:.0f} mm is assumed.")
    if not orientation_known:
        notes.append("PatientOrientation is missing or contradicts the view: the usual hanging is assumed.")
    return tuple(notes)

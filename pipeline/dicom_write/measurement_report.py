"""Comprehensive 3D SR (PS3.3 A.35.13) after TID 1500: the measurements with their intervals, and how far to trust them.

A measurement group for each bone, tracked by the UID that its segment has; in it every measurement with its 90 %
interval (TID 310), the landmarks it stands on as points of the surfaces' frame of reference, and where the views do not
support one, a coded reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from highdicom import UID
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    CoordinatesForMeasurement3D,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues3D,
    MeasurementProperties,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumericMeasurement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.dicom_write.codes import (
    BONE_CODES,
    EXPECTED_ERROR,
    INFERRED,
    ON_SURFACE,
    SCHEME,
    SIDE_CODES,
    UNITS,
    UNMEASURED_CODES,
)
from pipeline.dicom_write.inputs import MeasuredBone
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME
from pipeline.results import DISCLAIMER, Measurement
from pipeline.surface import BoneSurface

SERIES_NUMBER: Final = 9032

DECIMALS: Final = {"mm": 1, "deg": 1}
"""What the intervals justify."""

PROCEDURE: Final = codes.SCT.ImagingProcedure


class BoneMeasurementReport(Comprehensive3DSR):
    """The one report of a reconstruction."""

    def __init__(self, bones: tuple[MeasuredBone, ...], origin: Origin, *, frames: Mapping[str, str]) -> None:
        """Build the instance in memory.

        Args:
            bones: Each with its measurements; at least one.
            origin: What they were made from.
            frames: The frame of reference UID of each bone by its name; none without a scale.
        """
        author = _Author(origin=origin, frames=frames)
        report = MeasurementReport(
            observation_context=ObservationContext(observer_device_context=observed_by_device(origin)),
            procedure_reported=PROCEDURE,
            imaging_measurements=[author.group(bone) for bone in bones],
            title=codes.DCM.ImagingMeasurementReport,
        )
        super().__init__(
            evidence=[bare(source) for source in origin.sources],
            content=report[0],
            series_instance_uid=origin.uid("series/measurement-report"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=origin.uid("instance/measurement-report"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            series_description="Bonecraft: measurements",
        )
        for container in _containers(self):  # highdicom's are continuous, which viewers show as prose without names
            container.ContinuityOfContent = "SEPARATE"
        origin.stamp(self)


def _containers(item: Dataset) -> Iterator[Dataset]:
    """The containers of a content tree (PS3.3 C.18.8), its root first."""
    if item.ValueType == "CONTAINER":
        yield item
        for child in item.get("ContentSequence", ()):
            yield from _containers(child)


class _Author:
    """Turns bones into the groups of a report."""

    def __init__(self, *, origin: Origin, frames: Mapping[str, str]) -> None:
        self._origin = origin
        self._frames = frames

    def group(self, bone: MeasuredBone) -> MeasurementsAndQualitativeEvaluations:
        """TID 1501 for a bone."""
        measured = [*self._trust(bone), *(self._measured(m) for m in bone.measurements if m.value is not None)]
        unmeasured = [_unmeasured(m) for m in bone.measurements if m.unmeasured is not None]
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self._origin.tracking_uid(bone.surface), identifier=bone.surface.name
            ),
            finding_type=BONE_CODES[bone.surface.bone],
            method=ON_SURFACE,
            algorithm_id=self._algorithm(),
            finding_sites=[_site(bone.surface)],
            measurements=measured or None,
            qualitative_evaluations=unmeasured or None,
            source_images=[
                SourceImageForMeasurementGroup(
                    referenced_sop_class_uid=str(source.SOPClassUID),
                    referenced_sop_instance_uid=str(source.SOPInstanceUID),
                )
                for source in self._origin.sources
            ],
        )

    def _algorithm(self) -> AlgorithmIdentification:
        """Of the whole group; what it says holds for every measurement in it."""
        return AlgorithmIdentification(
            name="Statistical shape model fitted to radiographs",
            version=self._origin.software_version,
            family=codes.DCM.DeformableModels,
            manufacturer=MANUFACTURER,
            parameters=[
                DISCLAIMER,
                f"views: {len(self._origin.sources)}",
                f"scale: {self._origin.scale_sentence()}",
                "uncertainties are the half-widths of 90 % intervals",
                *self._origin.software_versions[1:],
            ],
        )

    def _trust(self, bone: MeasuredBone) -> Iterator[NumericMeasurement]:
        """One figure to trust the bone by, and how much of it nobody has seen."""
        if self._origin.scale.known:
            yield NumericMeasurement(name=EXPECTED_ERROR, value=round(bone.expected_error_mm, 2), unit=UNITS["mm"])
        inferred = round(100 * bone.surface.inferred_fraction)
        yield NumericMeasurement(name=INFERRED, value=inferred, unit=codes.UCUM.Percent)

    def _measured(self, measurement: Measurement) -> NumericMeasurement:
        if measurement.value is None or measurement.lower is None or measurement.upper is None:
            raise ValueError(f"{measurement.name} has no value")
        decimals = DECIMALS[measurement.unit]
        return NumericMeasurement(
            name=_name(measurement),
            value=round(measurement.value, decimals),
            unit=UNITS[measurement.unit],
            properties=_interval(
                above=round(measurement.upper - measurement.value, decimals),
                below=round(measurement.value - measurement.lower, decimals),
                unit=UNITS[measurement.unit],
            ),
            referenced_coordinates=self._coordinates(measurement) or None,
        )

    def _coordinates(self, measurement: Measurement) -> list[CoordinatesForMeasurement3D]:
        """The landmarks, in the frame of the surfaces, which that of the measurement's bone is."""
        frame = self._frames.get(measurement.bone)
        if frame is None:
            return []
        return [
            CoordinatesForMeasurement3D(
                graphic_type=GraphicTypeValues3D.POINT,
                graphic_data=np.array([point.position]),
                frame_of_reference_uid=UID(frame),
            )
            for point in measurement.points
        ]


def _interval(*, above: float, below: float, unit: Code) -> MeasurementProperties:
    """How far the 90 % interval reaches (TID 310), in the measurement's own unit: highdicom writes "no units"."""
    properties = MeasurementProperties(upper_measurement_uncertainty=above, lower_measurement_uncertainty=below)
    for item in properties:
        item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence = [CodedConcept.from_code(unit)]
    return properties


def observed_by_device(origin: Origin) -> ObserverContext:
    """A program observed, nobody else (TID 1004)."""
    device = DeviceObserverIdentifyingAttributes(
        uid=origin.uid("device"),
        name=MODEL_NAME,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL_NAME,
        serial_number=origin.device_serial_number,
    )
    return ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)


def _name(measurement: Measurement) -> Code:
    """The measurement's definition as a code of our scheme: PS3.16 has none of these."""
    return Code(measurement.code, SCHEME, measurement.name)


def _unmeasured(measurement: Measurement) -> QualitativeEvaluation:
    if measurement.unmeasured is None:
        raise ValueError(f"{measurement.name} was measured")
    return QualitativeEvaluation(name=_name(measurement), value=UNMEASURED_CODES[measurement.unmeasured])


def _site(surface: BoneSurface) -> FindingSite:
    side = SIDE_CODES[surface.side] if surface.side is not None else None
    return FindingSite(anatomic_location=CodedConcept.from_code(BONE_CODES[surface.bone]), laterality=side)


def bare(source: Dataset) -> Dataset:
    """A source with no more than its identifiers and, of a picture, its size.

    highdicom copies patient and study from its evidence, and would decode the text on the way; `Origin.stamp` copies it
    byte for byte. What has rows and columns it names as an image.
    """
    bare = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(bare, keyword, source[keyword].value)
    for keyword in ("Rows", "Columns"):
        if keyword in source:
            setattr(bare, keyword, source[keyword].value)
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"):
        setattr(bare, keyword, None)
    bare.AccessionNumber = bare.StudyID = bare.ReferringPhysicianName = None
    return bare

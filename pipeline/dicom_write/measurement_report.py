"""The measurement report: the measurements with their intervals, and how far to trust them.

A measurement group for each bone, tracked by the UID that its segment has; in it every measurement with its 90 %
interval (TID 310), the landmarks it stands on as points of the surfaces' frame of reference, and where the views do not
support one, a coded reason. What was not reconstructed beside the bones has a group of its own, with a coded reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from highdicom import UID
from highdicom.sr import (
    CodedConcept,
    CoordinatesForMeasurement3D,
    GraphicTypeValues3D,
    MeasurementProperties,
    MeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    TrackingIdentifier,
)
from highdicom.sr import Measurement as NumericMeasurement
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from pipeline.dicom_write.codes import (
    BONE_CODES,
    EXPECTED_ERROR,
    INFERRED,
    ON_SURFACE,
    SCHEME,
    UNITS,
    UNMEASURED_CODES,
)
from pipeline.dicom_write.imaging_report import (
    ImagingReport,
    algorithm,
    left_out_group,
    measured_images,
    site,
    source_images,
)
from pipeline.dicom_write.inputs import MeasuredBone
from pipeline.dicom_write.origin import Origin
from pipeline.refusals import LeftOut
from pipeline.results import Measurement

SERIES_NUMBER: Final = 9032

DECIMALS: Final = {"mm": 1, "deg": 1}
"""What the intervals justify."""


class BoneMeasurementReport(ImagingReport):
    """The one report of a reconstruction."""

    def __init__(
        self,
        bones: tuple[MeasuredBone, ...],
        origin: Origin,
        *,
        frames: Mapping[str, str],
        left_out: tuple[LeftOut, ...] = (),
    ) -> None:
        """Build the instance in memory.

        Args:
            bones: Each with its measurements; at least one.
            origin: What they were made from.
            frames: The frame of reference UID of each bone by its name; none without a scale.
            left_out: What was not reconstructed beside them.
        """
        author = _Author(origin=origin, frames=frames)
        without = (
            left_out_group(each, origin, tracked=f"left_out_{number}") for number, each in enumerate(left_out, start=1)
        )
        super().__init__(
            [*(author.group(bone) for bone in bones), *without],
            origin,
            kind="measurement-report",
            series_number=SERIES_NUMBER,
            series_description="Bonecraft: measurements",
        )


class _Author:
    """Turns bones into the groups of a report."""

    def __init__(self, *, origin: Origin, frames: Mapping[str, str]) -> None:
        self._origin = origin
        self._frames = frames

    def group(self, bone: MeasuredBone) -> MeasurementsAndQualitativeEvaluations:
        """TID 1501 for a bone."""
        images = measured_images(self._origin, bone.radiographs)
        measured = [*self._trust(bone), *(self._measured(m, images) for m in bone.measurements if m.value is not None)]
        unmeasured = [_unmeasured(m) for m in bone.measurements if m.unmeasured is not None]
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(
                uid=self._origin.tracking_uid(bone.surface), identifier=bone.surface.name
            ),
            finding_type=BONE_CODES[bone.surface.bone],
            method=ON_SURFACE,
            algorithm_id=algorithm(self._origin, "uncertainties are the half-widths of 90 % intervals"),
            finding_sites=[site((bone.surface.bone, bone.surface.side))],
            measurements=measured or None,
            qualitative_evaluations=unmeasured or None,
            source_images=source_images(self._origin),
        )

    def _trust(self, bone: MeasuredBone) -> Iterator[NumericMeasurement]:
        """One figure to trust the bone by, and how much of it nobody has seen."""
        if self._origin.scale.known:
            yield NumericMeasurement(name=EXPECTED_ERROR, value=round(bone.expected_error_mm, 2), unit=UNITS["mm"])
        inferred = round(100 * bone.surface.inferred_fraction)
        yield NumericMeasurement(name=INFERRED, value=inferred, unit=codes.UCUM.Percent)

    def _measured(self, measurement: Measurement, images: list[SourceImageForMeasurement]) -> NumericMeasurement:
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
            referenced_images=images or None,
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


def _name(measurement: Measurement) -> Code:
    """The measurement's definition as a code of our scheme: PS3.16 has none of these."""
    return Code(measurement.code, SCHEME, measurement.name)


def _unmeasured(measurement: Measurement) -> QualitativeEvaluation:
    if measurement.unmeasured is None:
        raise ValueError(f"{measurement.name} was measured")
    return QualitativeEvaluation(name=_name(measurement), value=UNMEASURED_CODES[measurement.unmeasured])

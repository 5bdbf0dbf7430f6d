"""What our structured reports have in common: Comprehensive 3D SR (PS3.3 A.35.13) after TID 1500."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from pipeline.dicom_write.codes import (
    BONE_CODES,
    FINDING_CODES,
    NOT_RECONSTRUCTED_CODES,
    RECONSTRUCTION,
    SIDE_CODES,
)
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME
from pipeline.refusals import LeftOut
from pipeline.results import DISCLAIMER
from pipeline.surface import Name, bone_name


class ImagingReport(Comprehensive3DSR):
    """A report of measurement groups, one for each thing that something is said of."""

    def __init__(
        self,
        groups: Sequence[MeasurementsAndQualitativeEvaluations],
        origin: Origin,
        *,
        kind: str,
        series_number: int,
        series_description: str,
    ) -> None:
        """Build the instance in memory.

        Args:
            groups: TID 1501; at least one.
            origin: What the report is made from.
            kind: What tells it from other reports of the same origin, enters the UIDs.
            series_number: As in SeriesNumber (0020,0011).
            series_description: At most 64 ASCII characters.
        """
        report = MeasurementReport(
            observation_context=ObservationContext(observer_device_context=observed_by_device(origin)),
            procedure_reported=codes.SCT.ImagingProcedure,
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        super().__init__(
            evidence=[bare(source) for source in origin.sources],
            content=report[0],
            series_instance_uid=origin.uid(f"series/{kind}"),
            series_number=series_number,
            sop_instance_uid=origin.uid(f"instance/{kind}"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            series_description=series_description,
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


def left_out_group(left_out: LeftOut, origin: Origin, *, tracked: str = "") -> MeasurementsAndQualitativeEvaluations:
    """TID 1501 for what was not reconstructed: why as a code, and in words.

    Args:
        left_out: A bone, some radiographs, or the study.
        origin: What the report is made from.
        tracked: What the group is called where it is about no bone.
    """
    shown = [source for source in origin.sources if str(source.SOPInstanceUID) in left_out.radiographs]
    called = bone_name(*left_out.bone) if left_out.bone else tracked
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=origin.uid(f"tracking/{called}"), identifier=called),
        finding_type=BONE_CODES[left_out.bone[0]] if left_out.bone else FINDING_CODES.get(left_out.code),
        algorithm_id=algorithm(origin),
        finding_sites=[site(left_out.bone)] if left_out.bone else None,
        qualitative_evaluations=[
            QualitativeEvaluation(name=RECONSTRUCTION, value=NOT_RECONSTRUCTED_CODES[left_out.code])
        ],
        source_images=[_source_image(source) for source in shown],
    )
    group[0].ContentSequence.append(
        TextContentItem(
            name=codes.DCM.Comment, value=left_out.sentence, relationship_type=RelationshipTypeValues.CONTAINS
        )
    )
    return group


def source_images(origin: Origin) -> list[SourceImageForMeasurementGroup]:
    """All radiographs, as what a group is about."""
    return [_source_image(source) for source in origin.sources]


def measured_images(origin: Origin, radiographs: Collection[str]) -> list[SourceImageForMeasurement]:
    """Some radiographs, as what a single value was measured on (TID 300); those that came as DICOM."""
    return [
        SourceImageForMeasurement(
            referenced_sop_class_uid=str(source.SOPClassUID), referenced_sop_instance_uid=str(source.SOPInstanceUID)
        )
        for source in origin.sources
        if str(source.SOPInstanceUID) in radiographs
    ]


def _source_image(source: Dataset) -> SourceImageForMeasurementGroup:
    return SourceImageForMeasurementGroup(
        referenced_sop_class_uid=str(source.SOPClassUID), referenced_sop_instance_uid=str(source.SOPInstanceUID)
    )


def algorithm(origin: Origin, *parameters: str) -> AlgorithmIdentification:
    """Of a whole group; what it says holds for everything in it."""
    return AlgorithmIdentification(
        name="Statistical shape model fitted to radiographs",
        version=origin.software_version,
        family=codes.DCM.DeformableModels,
        manufacturer=MANUFACTURER,
        parameters=[
            DISCLAIMER,
            f"views: {len(origin.sources)}",
            f"scale: {origin.scale_sentence()}",
            *parameters,
            *origin.software_versions[1:],
        ],
    )


def site(bone: Name) -> FindingSite:
    """A bone with its side."""
    kind, side = bone
    laterality = SIDE_CODES[side] if side is not None else None
    return FindingSite(anatomic_location=CodedConcept.from_code(BONE_CODES[kind]), laterality=laterality)


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

"""What every segment of ours says of its bone, in space or on a radiograph."""

from __future__ import annotations

from highdicom.content import AlgorithmIdentificationSequence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from pipeline.dicom_write.codes import BONE_CODES, SIDE_CODES, code_item
from pipeline.dicom_write.origin import Origin
from pipeline.results import DISCLAIMER
from pipeline.surface import BoneSurface


def described_segment(number: int, surface: BoneSurface, origin: Origin) -> Dataset:
    """An item of SegmentSequence (PS3.3 C.8.20.2 and C.8.23.1): which bone, and what tracks it.

    Args:
        number: From 1.
        surface: The bone.
        origin: What it was made from.
    """
    segment = Dataset()
    segment.SegmentNumber = number
    segment.SegmentLabel = surface.title
    segment.SegmentDescription = DISCLAIMER
    segment.SegmentAlgorithmType = "AUTOMATIC"
    segment.SegmentedPropertyCategoryCodeSequence = [code_item(codes.SCT.AnatomicalStructure)]
    segment.SegmentedPropertyTypeCodeSequence = [code_item(BONE_CODES[surface.bone])]
    segment.AnatomicRegionSequence = [code_item(BONE_CODES[surface.bone])]
    if surface.side is not None:
        side = SIDE_CODES[surface.side]
        segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [code_item(side)]
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [code_item(side)]
    segment.TrackingID = surface.name
    segment.TrackingUID = origin.tracking_uid(surface)
    return segment


def algorithm_item(origin: Origin) -> AlgorithmIdentificationSequence:
    """How the bone was made, from where its size, and what its coordinates mean (PS3.3 table 10-19)."""
    return AlgorithmIdentificationSequence(
        name="Statistical shape model fitted to radiographs",
        family=codes.DCM.DeformableModels,
        version=origin.software_version,
        source="Bonecraft",
        parameters={
            "views": str(len(origin.sources)),
            "frame": "patient axes LPS in mm from the nominal views; position and orientation are not measured",
            "scale": origin.scale_sentence(),
            "models": "; ".join(origin.software_versions[1:]),
        },
    )

"""Segmentation Storage (PS3.3 A.51), BINARY: the bones' shadows on one radiograph, pixel by pixel."""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset

from pipeline.dicom_write.imaging_report import bare
from pipeline.dicom_write.inputs import BoneOnFilm, FilmBones
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.segments import algorithm_item, described_segment
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME
from pipeline.results import DISCLAIMER
from pipeline.stages.palette import BONE_COLOURS, cielab

SERIES_NUMBER: Final = 9071


class FilmSegmentation(Segmentation):
    """A segment for each bone of a radiograph; bones lie over each other, and so do their segments."""

    def __init__(self, film: FilmBones, source: Dataset, origin: Origin, *, number: int) -> None:
        """Build the instance in memory.

        Args:
            film: The radiograph's bones.
            source: Its header.
            origin: What the reconstruction was made from.
            number: Of the radiograph among those of the study, from 1; each has a series of its own, as highdicom and
                the size of its pixels want it.
        """
        shadows = np.stack([bone.shadow for bone in film.bones], axis=-1)[None]
        super().__init__(
            source_images=[_as_source(source)],
            pixel_array=shadows.astype(np.uint8),
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(n, bone, origin) for n, bone in enumerate(film.bones, start=1)],
            series_instance_uid=origin.uid(f"series/film-segmentation/{source.SOPInstanceUID}"),
            series_number=SERIES_NUMBER + number - 1,
            series_description=f"Bonecraft: bones' shadows, {film.title}"[:64],
            sop_instance_uid=origin.uid(f"instance/film-segmentation/{source.SOPInstanceUID}"),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL_NAME,
            software_versions=origin.software_versions[0],
            device_serial_number=origin.device_serial_number,
            content_label="BONE_SHADOWS",
            content_description=DISCLAIMER,
            omit_empty_frames=False,
        )
        origin.stamp(self)
        self["PixelData"].VR = "OB"
        # Type 1C, as the radiograph has no frame of reference (PS3.3 C.7.6.1.1.1).
        self.PatientOrientation = source.get("PatientOrientation")


def _as_source(source: Dataset) -> Dataset:
    """What highdicom needs to know of the radiograph, and nothing that it could copy."""
    known = bare(source)
    known.Modality = source.get("Modality")
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in source:
            setattr(known, keyword, source[keyword].value)
    return known


def _segment(number: int, bone: BoneOnFilm, origin: Origin) -> SegmentDescription:
    segment = described_segment(number, bone.surface, origin)
    segment.SegmentAlgorithmName = "Statistical shape model fitted to radiographs"
    segment.SegmentationAlgorithmIdentificationSequence = algorithm_item(origin)
    segment.RecommendedDisplayCIELabValue = list(CIELabColor(*cielab(BONE_COLOURS[bone.surface.bone])).value)
    return SegmentDescription.from_dataset(segment)

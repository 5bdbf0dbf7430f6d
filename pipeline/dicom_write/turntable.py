"""Multi-frame True Color Secondary Capture Image Storage (PS3.3 A.8.5): the bones turning, for every workstation.

A workstation that plays ultrasound plays this.
"""

from __future__ import annotations

from typing import Final

from highdicom.base import SOPClass
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage
from pydicom.valuerep import DS

from pipeline.dicom_write.codes import code_item
from pipeline.dicom_write.inputs import Turntable
from pipeline.dicom_write.origin import Origin, instance_item
from pipeline.dicom_write.secondary_capture import SOURCE_PURPOSE
from pipeline.dicom_write.true_colour import set_pixels
from pipeline.radiograph import Side
from pipeline.results import DISCLAIMER, SHAPE_ONLY

SERIES_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9021, Side.LEFT: 9022, None: 9023}
"""A series per side: Laterality (0020,0060) belongs to the series (PS3.3 C.7.3.1)."""


class TurntableCapture(SOPClass):
    """The bones of one frame of reference from all around, as one multi-frame picture."""

    def __init__(self, turntable: Turntable, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            turntable: What to show.
            origin: What the reconstruction was made from.
            instance_number: Its place among the turntables of the study, from 1.
        """
        super().__init__(
            study_instance_uid=origin.sources[0].StudyInstanceUID,
            series_instance_uid=origin.uid(f"series/turntable/{turntable.side}"),
            series_number=SERIES_NUMBERS[turntable.side],
            series_description="Bonecraft: bones turning",
            sop_instance_uid=origin.uid(f"instance/turntable/{instance_number}"),
            sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage,
            instance_number=instance_number,
            modality="OT",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        self.Laterality = turntable.side.value if turntable.side else ""
        self.ConversionType = "WSD"
        self.ImageType = ["DERIVED", "SECONDARY"]
        self.PatientOrientation = ""
        self.DerivationDescription = (
            f"{turntable.title}, seen from all around; rendered from the reconstructed surfaces."
        )
        self.ImageComments = DISCLAIMER if origin.scale.known else f"{SHAPE_ONLY} {DISCLAIMER}"
        self.BurnedInAnnotation = "NO"  # our own words only: no name of a patient is among them
        self.SourceImageSequence = [instance_item(source) for source in origin.sources]
        for item in self.SourceImageSequence:
            item.PurposeOfReferenceCodeSequence = [code_item(SOURCE_PURPOSE)]
        self._set_cine(turntable)
        set_pixels(self, turntable.frames)

    def _set_cine(self, turntable: Turntable) -> None:
        """Multi-frame and Cine modules (PS3.3 C.7.6.6, C.7.6.5)."""
        self.NumberOfFrames = len(turntable.frames)
        self.FrameIncrementPointer = Tag("FrameTime")
        self.FrameTime = DS(turntable.frame_ms, auto_format=True)
        rate = round(1000 / turntable.frame_ms)
        self.CineRate = self.RecommendedDisplayFrameRate = rate
        self.PreferredPlaybackSequencing = 0  # around and around

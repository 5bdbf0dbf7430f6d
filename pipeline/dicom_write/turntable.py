"""Multi-frame True Color Secondary Capture Image Storage (PS3.3 A.8.5): the bones turning, for every workstation.

A workstation that plays ultrasound plays this. For an archive that takes no multi-frame pictures some of the frames can
be had one by one.
"""

from __future__ import annotations

from typing import Final

from pydicom.tag import Tag
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, SecondaryCaptureImageStorage
from pydicom.valuerep import DS

from pipeline.dicom_write.colour_capture import ColourCapture, Place
from pipeline.dicom_write.inputs import Turntable
from pipeline.dicom_write.origin import Origin
from pipeline.radiograph import Side

SERIES_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9021, Side.LEFT: 9022, None: 9023}
"""A series per side: Laterality (0020,0060) belongs to the series (PS3.3 C.7.3.1)."""

STILL_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9027, Side.LEFT: 9028, None: 9029}
MOST_STILLS: Final = 12
"""Of a turntable: enough to leaf round the bones."""


class TurntableCapture(ColourCapture):
    """The bones of one frame of reference from all around, as one multi-frame picture."""

    def __init__(self, turntable: Turntable, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            turntable: What to show.
            origin: What the reconstruction was made from.
            instance_number: Its place among the turntables of the study, from 1.
        """
        super().__init__(
            turntable.frames,
            origin,
            Place(
                series=f"turntable/{turntable.side}",
                series_number=SERIES_NUMBERS[turntable.side],
                series_description="Bonecraft: bones turning",
                instance=f"turntable/{instance_number}",
                instance_number=instance_number,
            ),
            sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage,
            sources=origin.sources,
            side=turntable.side,
            description=f"{turntable.title}, seen from all around; rendered from the reconstructed surfaces.",
        )
        self._set_cine(turntable)

    def _set_cine(self, turntable: Turntable) -> None:
        """Multi-frame and Cine modules (PS3.3 C.7.6.6, C.7.6.5)."""
        self.NumberOfFrames = len(turntable.frames)
        self.FrameIncrementPointer = Tag("FrameTime")
        self.FrameTime = DS(turntable.frame_ms, auto_format=True)
        self.CineRate = self.RecommendedDisplayFrameRate = round(1000 / turntable.frame_ms)
        self.PreferredPlaybackSequencing = 0  # around and around


class TurntableStill(ColourCapture):
    """One frame of a turntable, as a picture by itself."""

    def __init__(self, turntable: Turntable, frame: int, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            turntable: What it is taken from.
            frame: Which, from 0.
            origin: What the reconstruction was made from.
            instance_number: Its place among the stills of the study, from 1: leafing through them turns the bones.
        """
        degrees = round(360 * frame / len(turntable.frames))
        super().__init__(
            turntable.frames[frame],
            origin,
            Place(
                series=f"turntable-frames/{turntable.side}",
                series_number=STILL_NUMBERS[turntable.side],
                series_description="Bonecraft: bones turning, single frames",
                instance=f"turntable-frames/{instance_number}",
                instance_number=instance_number,
            ),
            sop_class_uid=SecondaryCaptureImageStorage,
            sources=origin.sources,
            side=turntable.side,
            description=f"{turntable.title}, seen from {degrees} degrees to the left of the front; "
            "rendered from the reconstructed surfaces.",
        )


def stills(turntable: Turntable) -> range:
    """The frames that are given one by one, evenly spaced."""
    count = len(turntable.frames)
    return range(0, count, -(-count // MOST_STILLS))

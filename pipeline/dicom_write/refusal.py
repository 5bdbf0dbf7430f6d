"""What a study gets that is not reconstructed, where its institution wants an answer: a report and a picture."""

from __future__ import annotations

from typing import Final

from pydicom.uid import SecondaryCaptureImageStorage

from pipeline.dicom_write.colour_capture import ColourCapture, Place
from pipeline.dicom_write.imaging_report import ImagingReport, left_out_group
from pipeline.dicom_write.inputs import PlainPicture
from pipeline.dicom_write.origin import Origin
from pipeline.refusals import LeftOut

PICTURE_NUMBER: Final = 9061
REPORT_NUMBER: Final = 9062


class RefusalReport(ImagingReport):
    """Why nothing was reconstructed, as a code and in words."""

    def __init__(self, refused: LeftOut, origin: Origin) -> None:
        """Build the instance in memory.

        Args:
            refused: Why.
            origin: The radiographs that nothing was made from.
        """
        super().__init__(
            [left_out_group(refused, origin, tracked="study")],
            origin,
            kind=f"refusal-report/{refused.code}",
            series_number=REPORT_NUMBER,
            series_description="Bonecraft: why not reconstructed",
        )


class RefusalCapture(ColourCapture):
    """The same for workstations that show no reports: the radiographs, small, above the words."""

    def __init__(self, picture: PlainPicture, refused: LeftOut, origin: Origin) -> None:
        """Build the instance in memory.

        Args:
            picture: What to show.
            refused: Why.
            origin: The radiographs that nothing was made from.
        """
        super().__init__(
            picture.pixels,
            origin,
            Place(
                series=f"refusal-picture/{refused.code}",
                series_number=PICTURE_NUMBER,
                series_description="Bonecraft: not reconstructed",
                instance=f"refusal-picture/{refused.code}",
                instance_number=1,
            ),
            sop_class_uid=SecondaryCaptureImageStorage,
            sources=origin.sources,
            side=picture.side,
            description=f"{picture.title}: {refused.sentence}",
        )
        self.take_over(origin.sources)

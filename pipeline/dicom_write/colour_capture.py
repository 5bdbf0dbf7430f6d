"""What all our true-colour pictures have in common, of one frame (PS3.3 A.8.1) and of many (A.8.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.dicom_write.codes import code_item
from pipeline.dicom_write.origin import Origin, instance_item
from pipeline.radiograph import Side
from pipeline.results import DISCLAIMER, SHAPE_ONLY


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a picture is among the results of a study.

    Attributes:
        series: What tells its series from the others, enters the UID.
        series_number: As in SeriesNumber (0020,0011).
        series_description: At most 64 ASCII characters.
        instance: What tells it from the others, enters the UID.
        instance_number: Its place in the series, from 1.
    """

    series: str
    series_number: int
    series_description: str
    instance: str
    instance_number: int


class ColourCapture(SOPClass):
    """A picture made from all or some of the radiographs."""

    SOURCE_PURPOSE: Final = codes.DCM.SourceImageForImageProcessingOperation

    def __init__(
        self,
        pixels: npt.NDArray[Any],
        origin: Origin,
        place: Place,
        *,
        sop_class_uid: str,
        sources: Sequence[Dataset],
        side: Side | None,
        description: str,
    ) -> None:
        """Build the instance in memory; it says that no name is burned into it.

        Args:
            pixels: (..., H, W, 3) uint8 RGB.
            origin: What the reconstruction was made from.
            place: Where it is among the results.
            sop_class_uid: Of one frame, or of many.
            sources: The headers of the radiographs that it was made from.
            side: That everything shown shares; None where there is none.
            description: What it shows and how it was made, ASCII.
        """
        super().__init__(
            study_instance_uid=origin.sources[0].StudyInstanceUID,
            series_instance_uid=origin.uid(f"series/{place.series}"),
            series_number=place.series_number,
            series_description=place.series_description,
            sop_instance_uid=origin.uid(f"instance/{place.instance}"),
            sop_class_uid=sop_class_uid,
            instance_number=place.instance_number,
            modality="OT",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        # A pelvis has no side: empty, which type 2C allows (PS3.3 C.7.3.1).
        self.Laterality = side.value if side else ""
        self.ConversionType = "WSD"
        self.ImageType = ["DERIVED", "SECONDARY"]
        self.PatientOrientation = ""
        self.DerivationDescription = description
        self.ImageComments = DISCLAIMER if origin.scale.known else f"{SHAPE_ONLY} {DISCLAIMER}"
        self.BurnedInAnnotation = "NO"
        self.SourceImageSequence = [instance_item(source) for source in sources]
        for item in self.SourceImageSequence:
            item.PurposeOfReferenceCodeSequence = [code_item(self.SOURCE_PURPOSE)]
        self._set_pixels(pixels)

    def take_over(self, shown: Sequence[Dataset]) -> None:
        """What a picture inherits from the radiographs whose pixels are in it."""
        # Only the radiograph can say that no name is burned into it.
        self.BurnedInAnnotation = "NO" if all(each.get("BurnedInAnnotation") == "NO" for each in shown) else "YES"
        for source in shown:
            if source.get("LossyImageCompression") == "01":
                # Once lossy, always lossy (PS3.3 C.7.6.1.1.5).
                self.LossyImageCompression = "01"
                for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                    if keyword in source:
                        setattr(self, keyword, source[keyword].value)

    def _set_pixels(self, pixels: npt.NDArray[Any]) -> None:
        """Image Pixel module (PS3.3 C.7.6.3), colour by pixel."""
        self.Rows, self.Columns = pixels.shape[-3:-1]
        self.SamplesPerPixel, self.PhotometricInterpretation, self.PlanarConfiguration = 3, "RGB", 0
        self.BitsAllocated, self.BitsStored, self.HighBit, self.PixelRepresentation = 8, 8, 7, 0
        data = np.ascontiguousarray(pixels).tobytes()
        self.add_new("PixelData", "OB", data + bytes(len(data) % 2))

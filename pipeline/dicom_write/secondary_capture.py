"""Secondary Capture Image Storage (PS3.3 A.8.1): pictures that every workstation shows.

Few show a Surface Segmentation. The radiographs with the reconstruction drawn on them are the proof; the bones from the
standard sides and the measurements as a page are for looking at.
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage
from pydicom.valuerep import DS

from pipeline.dicom_write.colour_capture import ColourCapture, Place
from pipeline.dicom_write.inputs import PlainPicture, ProofPicture
from pipeline.dicom_write.origin import SCALE_WORDS, Origin
from pipeline.radiograph import Side
from pipeline.surface import SIDE_WORDS

PROOF_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9011, Side.LEFT: 9012, None: 9013}
RENDERING_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9024, Side.LEFT: 9025, None: 9026}
"""A series per side: Laterality (0020,0060) belongs to the series (PS3.3 C.7.3.1)."""

MEASUREMENTS_NUMBER: Final = 9031


class ProofCapture(ColourCapture):
    """A radiograph with the outlines of its bones."""

    def __init__(self, picture: ProofPicture, source: Dataset, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            picture: What to show.
            source: The header of the radiograph that it shows.
            origin: What the reconstruction was made from.
            instance_number: Its place among the pictures of its side, from 1.
        """
        side = picture.side
        super().__init__(
            picture.pixels,
            origin,
            Place(
                series=f"proof/{side}",
                series_number=PROOF_NUMBERS[side],
                series_description=f"Bonecraft{f' {SIDE_WORDS[side]}' if side else ''}: bones on radiographs",
                instance=f"proof/{side}/{source.SOPInstanceUID}",
                instance_number=instance_number,
            ),
            sop_class_uid=SecondaryCaptureImageStorage,
            sources=[source],
            side=side,
            description=f"{picture.title}: the outline of the reconstructed bone, drawn on the radiograph. "
            f"Scale: {origin.scale_sentence()}.",
        )
        self.PatientOrientation = source.get("PatientOrientation")
        self.take_over([source])
        self._set_spacing(picture, origin)

    def _set_spacing(self, picture: ProofPicture, origin: Origin) -> None:
        """Let a workstation measure in the plane of the bone, where that can be claimed (PS3.3 10.7.1)."""
        if picture.spacing_mm is None or not origin.scale.known:
            return
        self.PixelSpacing = [DS(spacing, auto_format=True) for spacing in picture.spacing_mm]
        self.PixelSpacingCalibrationType = "GEOMETRY"
        doubt = f"{100 * origin.scale.relative_uncertainty:.0f}%"
        self.PixelSpacingCalibrationDescription = (
            f"In the plane of the bone; {SCALE_WORDS[origin.scale.provenance]} +-{doubt}"
        )


class RenderingCapture(ColourCapture):
    """The bones from one side."""

    def __init__(self, picture: PlainPicture, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            picture: What to show.
            origin: What the reconstruction was made from.
            instance_number: Its place among the renderings of its side, from 1.
        """
        side = picture.side
        super().__init__(
            picture.pixels,
            origin,
            Place(
                series=f"rendering/{side}",
                series_number=RENDERING_NUMBERS[side],
                series_description=f"Bonecraft{f' {SIDE_WORDS[side]}' if side else ''}: bones from all sides",
                instance=f"rendering/{side}/{instance_number}",
                instance_number=instance_number,
            ),
            sop_class_uid=SecondaryCaptureImageStorage,
            sources=origin.sources,
            side=side,
            description=f"{picture.title}; rendered from the reconstructed surfaces. Scale: {origin.scale_sentence()}.",
        )


class MeasurementCapture(ColourCapture):
    """The measurements as a page."""

    def __init__(self, picture: PlainPicture, origin: Origin) -> None:
        """Build the instance in memory.

        Args:
            picture: The page.
            origin: What the reconstruction was made from.
        """
        super().__init__(
            picture.pixels,
            origin,
            Place(
                series="measurement-page",
                series_number=MEASUREMENTS_NUMBER,
                series_description="Bonecraft: measurements as a picture",
                instance="measurement-page",
                instance_number=1,
            ),
            sop_class_uid=SecondaryCaptureImageStorage,
            sources=origin.sources,
            side=picture.side,
            description=f"{picture.title}, each with its 90 % interval. Scale: {origin.scale_sentence()}.",
        )

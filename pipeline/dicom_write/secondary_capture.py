"""Secondary Capture Image Storage (PS3.3 A.8.1): a radiograph with the reconstruction drawn on it, for every screen.

Few workstations show a Surface Segmentation; all show a colour picture.
"""

from __future__ import annotations

from typing import Final

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage
from pydicom.valuerep import DS

from pipeline.dicom_write.codes import code_item
from pipeline.dicom_write.inputs import ProofPicture
from pipeline.dicom_write.origin import SCALE_WORDS, Origin, instance_item
from pipeline.dicom_write.true_colour import set_pixels
from pipeline.radiograph import Side
from pipeline.results import DISCLAIMER, SHAPE_ONLY
from pipeline.surface import SIDE_WORDS

SERIES_NUMBERS: Final[dict[Side | None, int]] = {Side.RIGHT: 9011, Side.LEFT: 9012, None: 9013}
"""A series per side: Laterality (0020,0060) belongs to the series (PS3.3 C.7.3.1). A pelvis has none:
empty, which type 2C allows."""


SOURCE_PURPOSE: Final = codes.DCM.SourceImageForImageProcessingOperation


class ProofCapture(SOPClass):
    """One true-colour picture, as a single-frame Secondary Capture."""

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
            study_instance_uid=source.StudyInstanceUID,
            series_instance_uid=origin.uid(f"series/proof/{side}"),
            series_number=SERIES_NUMBERS[side],
            series_description=f"Bonecraft{f' {SIDE_WORDS[side]}' if side else ''}: bones on radiographs",
            sop_instance_uid=origin.uid(f"instance/proof/{side}/{source.SOPInstanceUID}"),
            sop_class_uid=SecondaryCaptureImageStorage,
            instance_number=instance_number,
            modality="OT",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        self.Laterality = side.value if side else ""
        self.ConversionType = "WSD"
        self._describe(picture, source, origin)
        self._set_spacing(picture, origin)
        set_pixels(self, picture.pixels)

    def _describe(self, picture: ProofPicture, source: Dataset, origin: Origin) -> None:
        """General Image module (PS3.3 C.7.6.1) and the references to the radiograph."""
        self.ImageType = ["DERIVED", "SECONDARY"]
        self.PatientOrientation = source.get("PatientOrientation")
        self.DerivationDescription = (
            f"{picture.title}: the outline of the reconstructed bone, drawn on the radiograph. "
            f"Scale: {origin.scale_sentence()}."
        )
        self.ImageComments = DISCLAIMER if origin.scale.known else f"{SHAPE_ONLY} {DISCLAIMER}"
        self.SourceImageSequence = [instance_item(source)]
        self.SourceImageSequence[0].PurposeOfReferenceCodeSequence = [code_item(SOURCE_PURPOSE)]
        # The radiograph's own pixels are in the picture: only it can say that no name is burned into them.
        self.BurnedInAnnotation = "NO" if source.get("BurnedInAnnotation") == "NO" else "YES"
        if source.get("LossyImageCompression") == "01":
            # Once lossy, always lossy (PS3.3 C.7.6.1.1.5).
            self.LossyImageCompression = "01"
            for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                if keyword in source:
                    setattr(self, keyword, source[keyword].value)

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

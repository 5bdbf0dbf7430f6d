"""Encapsulated STL Storage (PS3.3 A.85.1): one bone as the file that printing and planning programs open.

highdicom has no class for it, so this is one in its style.
"""

from __future__ import annotations

from typing import Final

from highdicom.base import SOPClass
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import EncapsulatedSTLStorage, ExplicitVRLittleEndian

from pipeline.dicom_write.codes import BONE_CODES, SCHEME, SIDE_CODES, code_item
from pipeline.dicom_write.encapsulated import enclose
from pipeline.dicom_write.origin import SCALE_WORDS, Origin, instance_item, series_items
from pipeline.mesh_files import AXES, stl
from pipeline.results import DISCLAIMER
from pipeline.stages.palette import BONE_COLOURS, cielab
from pipeline.surface import BoneSurface

SERIES_NUMBER: Final = 9051

MODEL: Final = Code("XR3DMODEL", SCHEME, "Radiographic 3D CAM model")
"""The kind of document, beside those of CID 7061 (extensible), which are of CT, MR and others."""


class EncapsulatedStl(SOPClass):
    """One instance that holds one bone; all bones of a frame share its frame of reference and make one series."""

    def __init__(
        self, surface: BoneSurface, origin: Origin, *, frame_of_reference_uid: str, series: int, instance_number: int
    ) -> None:
        """Build the instance in memory.

        Args:
            surface: mm LPS.
            origin: What it was made from.
            frame_of_reference_uid: The one of the Surface Segmentation that holds the same bone.
            series: Number of this frame among those of the study, from 1.
            instance_number: Its place among the bones of the frame, from 1.

        Raises:
            ValueError: No known scale.
        """
        if not origin.scale.known:
            raise ValueError("an encapsulated model needs a scale: its unit is mm")
        super().__init__(
            study_instance_uid=origin.sources[0].StudyInstanceUID,
            series_instance_uid=origin.uid(f"series/encapsulated-stl/{series}"),
            series_number=SERIES_NUMBER + series - 1,
            series_description="Bonecraft 3D: bones as STL",
            sop_instance_uid=origin.uid(f"instance/encapsulated-stl/{surface.name}"),
            sop_class_uid=EncapsulatedSTLStorage,
            instance_number=instance_number,
            modality="M3D",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        self.FrameOfReferenceUID = frame_of_reference_uid
        self.PositionReferenceIndicator = ""
        # PS3.17 RRRR.3: models of one group are meant to be seen together.
        self.ModelGroupUID = origin.uid(f"model-group/{series}")
        self._describe(surface, origin)
        enclose(self, stl(surface, header=f"Bonecraft {surface.name} {AXES} mm"), media_type="model/stl")

    def _describe(self, surface: BoneSurface, origin: Origin) -> None:
        """Manufacturing 3D Model (PS3.3 C.35.1) and what the document is called."""
        self.AcquisitionDateTime = ""
        self.ImageLaterality = surface.side.value if surface.side else "U"
        self.BurnedInAnnotation = "NO"
        self.DocumentTitle = f"{surface.title}, STL in mm. {DISCLAIMER}"
        self.ConceptNameCodeSequence = [code_item(MODEL)]
        self.MeasurementUnitsCodeSequence = [code_item(codes.UCUM.Millimeter)]
        self.ModelModification = "NO"
        self.ModelMirroring = "NO"
        self.RecommendedDisplayCIELabValue = list(CIELabColor(*cielab(BONE_COLOURS[surface.bone])).value)
        self.RecommendedPresentationOpacity = 1.0
        self.ContentDescription = f"mm LPS; scale: {SCALE_WORDS[origin.scale.provenance]}"
        region = code_item(BONE_CODES[surface.bone])
        if surface.side is not None:
            region.AnatomicRegionModifierSequence = [code_item(SIDE_CODES[surface.side])]
        self.AnatomicRegionSequence = [region]
        self.SourceInstanceSequence = [instance_item(source) for source in origin.sources]
        self.ReferencedSeriesSequence = series_items(origin.sources)

"""Encapsulated STL and OBJ Storage (PS3.3 A.85): one bone as a file that printing and planning programs open.

highdicom has no classes for them, so these are in its style.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final

from highdicom.base import SOPClass
from highdicom.color import CIELabColor
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID, EncapsulatedOBJStorage, EncapsulatedSTLStorage, ExplicitVRLittleEndian

from pipeline.dicom_write.codes import BONE_CODES, SCHEME, SIDE_CODES, code_item
from pipeline.dicom_write.encapsulated import enclose
from pipeline.dicom_write.origin import SCALE_WORDS, Origin, instance_item, series_items
from pipeline.mesh_files import AXES, obj, stl
from pipeline.results import DISCLAIMER
from pipeline.stages.palette import BONE_COLOURS, cielab
from pipeline.surface import BoneSurface

MODEL: Final = Code("XR3DMODEL", SCHEME, "Radiographic 3D CAM model")
"""The kind of document, beside those of CID 7061 (extensible), which are of CT, MR and others."""


class EncapsulatedModel(SOPClass):
    """One instance that holds one bone; all bones of a frame share its frame of reference and make one series.

    Attributes:
        FORMAT: What the enclosed file is called.
        SERIES_NUMBER: Of the first frame; four more may follow.
    """

    FORMAT: ClassVar[str]
    SERIES_NUMBER: ClassVar[int]
    STORAGE: ClassVar[UID]

    @staticmethod
    @abstractmethod
    def enclosed(surface: BoneSurface, *, header: str) -> bytes:
        """The file; `header` is for its comment."""

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
            series_instance_uid=origin.uid(f"series/encapsulated-{self.FORMAT.lower()}/{series}"),
            series_number=self.SERIES_NUMBER + series - 1,
            series_description=f"Bonecraft 3D: bones as {self.FORMAT}",
            sop_instance_uid=origin.uid(f"instance/encapsulated-{self.FORMAT.lower()}/{surface.name}"),
            sop_class_uid=self.STORAGE,
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
        document = self.enclosed(surface, header=f"Bonecraft {surface.name} {AXES} mm")
        enclose(self, document, media_type=f"model/{self.FORMAT.lower()}")

    def _describe(self, surface: BoneSurface, origin: Origin) -> None:
        """Manufacturing 3D Model (PS3.3 C.35.1) and what the document is called."""
        self.AcquisitionDateTime = ""
        self.ImageLaterality = surface.side.value if surface.side else "U"
        self.BurnedInAnnotation = "NO"
        self.DocumentTitle = f"{surface.title}, {self.FORMAT} in mm. {DISCLAIMER}"
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


class EncapsulatedStl(EncapsulatedModel):
    """PS3.3 A.85.1: triangles alone."""

    FORMAT = "STL"
    SERIES_NUMBER = 9051
    STORAGE = EncapsulatedSTLStorage

    @staticmethod
    def enclosed(surface: BoneSurface, *, header: str) -> bytes:
        """Binary STL."""
        return stl(surface, header=header)


class EncapsulatedObj(EncapsulatedModel):
    """PS3.3 A.85.2: triangles with normals. Its colour is the instance's, so it needs no material library."""

    FORMAT = "OBJ"
    SERIES_NUMBER = 9056
    STORAGE = EncapsulatedOBJStorage

    @staticmethod
    def enclosed(surface: BoneSurface, *, header: str) -> bytes:
        """Wavefront OBJ."""
        return obj(surface, header=header)

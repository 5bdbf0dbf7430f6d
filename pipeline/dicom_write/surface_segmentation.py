"""Surface Segmentation Storage (PS3.3 A.57): the bones as triangle meshes, the primary result.

highdicom has no class for it, so this is one in its style.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from highdicom.base import SOPClass
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SurfaceSegmentationStorage

from pipeline.dicom_write.compact import NORMAL_GRID, on_grid
from pipeline.dicom_write.origin import SCALE_WORDS, Origin, instance_item, series_items
from pipeline.dicom_write.segments import algorithm_item, described_segment
from pipeline.geometry import FloatArray
from pipeline.stages.palette import BONE_COLOURS, cielab
from pipeline.surface import BoneSurface

SERIES_NUMBER: Final = 9001
"""Large enough to come behind what modalities number."""

UNDECLARED_SERIES_NUMBER: Final = 9006

MOST_TITLE: Final = 45
"""Of the 64 letters of a LO (PS3.5 6.2), the rest says that it is ours."""

BONE_GREY: Final = 0xE0E0
"""RecommendedDisplayGrayscaleValue (0062,000C), a P-value of 16 bits."""

EMPTY_PRIMITIVES: Final = (
    *("LongVertexPointIndexList", "LongEdgePointIndexList"),
    *("TriangleStripSequence", "TriangleFanSequence", "LineSequence", "FacetSequence"),
)
"""Type 2 in the Surface Mesh Primitives macro (PS3.3 C.27.4): present and empty."""


class SurfaceSegmentation(SOPClass):
    """One instance that holds one segment, of one surface, for each bone; its frame of reference holds them all."""

    MANIFOLD = "YES"
    VARIANT = "surface-segmentation"
    FIRST_SERIES_NUMBER = SERIES_NUMBER

    def __init__(self, surfaces: tuple[BoneSurface, ...], origin: Origin, *, series: int = 1) -> None:
        """Build the instance in memory.

        Args:
            surfaces: At least one; mm LPS, in one frame.
            origin: What they were made from.
            series: Number of this frame among those of the study, from 1.

        Raises:
            ValueError: No surface, or no known scale: the unit of a Surface Segmentation is mm (PS3.3 C.27.1).
        """
        if not surfaces or not origin.scale.known:
            raise ValueError("a Surface Segmentation needs a surface and a scale: its unit is mm")
        bones = bone_names(surfaces)
        super().__init__(
            study_instance_uid=origin.sources[0].StudyInstanceUID,
            series_instance_uid=origin.uid(f"series/{self.VARIANT}/{bones}"),
            series_number=self.FIRST_SERIES_NUMBER + series - 1,
            series_description=f"Bonecraft 3D: {bones_title(surfaces)}",
            sop_instance_uid=origin.uid(f"instance/{self.VARIANT}/{bones}"),
            sop_class_uid=SurfaceSegmentationStorage,
            instance_number=1,
            modality="SEG",
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        origin.stamp(self)
        # A radiograph has no frame of reference; PS3.3 A.57.1 lets the surface set its own.
        self.FrameOfReferenceUID = frame_of_reference_uid(surfaces, origin)
        self._describe_content(origin)
        self.SegmentSequence = Sequence(_segment(n, surface, origin) for n, surface in enumerate(surfaces, start=1))
        self.NumberOfSurfaces = len(surfaces)
        self.SurfaceSequence = Sequence(
            _surface(n, surface, self.MANIFOLD) for n, surface in enumerate(surfaces, start=1)
        )

    def _describe_content(self, origin: Origin) -> None:
        """Content identification and the references to the radiographs."""
        self.PositionReferenceIndicator = ""
        self.ContentLabel = "BONE_SURFACES"
        doubt = f"{100 * origin.scale.relative_uncertainty:.0f}%"
        self.ContentDescription = f"mm LPS, nominal views; scale: {SCALE_WORDS[origin.scale.provenance]} +-{doubt}"
        self.ContentCreatorName = ""
        self.ReferencedSeriesSequence = series_items(origin.sources)


class UndeclaredSurfaceSegmentation(SurfaceSegmentation):
    """The same for a reader that refuses a declared manifold (0066,0010).

    It has UIDs of its own, for one UID has one content; frame of reference and segments are those of the other.
    """

    MANIFOLD = "UNKNOWN"
    VARIANT = "surface-segmentation-manifold-unknown"
    FIRST_SERIES_NUMBER = UNDECLARED_SERIES_NUMBER


def bone_names(surfaces: tuple[BoneSurface, ...]) -> str:
    """`femur_R+tibia_R`: what tells a frame from the others of a study."""
    return "+".join(surface.name for surface in surfaces)


def frame_of_reference_uid(surfaces: tuple[BoneSurface, ...], origin: Origin) -> str:
    """Of the frame that these bones share."""
    return origin.uid(f"frame-of-reference/{bone_names(surfaces)}")


def _segment(number: int, surface: BoneSurface, origin: Origin) -> Dataset:
    """An item of SegmentSequence (PS3.3 C.8.23.1): which bone, and its surface."""
    segment = described_segment(number, surface, origin)
    segment.SurfaceCount = 1
    segment.ReferencedSurfaceSequence = [_surface_reference(number, origin)]
    return segment


def _surface_reference(number: int, origin: Origin) -> Dataset:
    """A segment's surface, how it was made and from what."""
    reference = Dataset()
    reference.ReferencedSurfaceNumber = number
    reference.SegmentSurfaceGenerationAlgorithmIdentificationSequence = algorithm_item(origin)
    reference.SegmentSurfaceSourceInstanceSequence = [instance_item(source) for source in origin.sources]
    return reference


def _surface(number: int, surface: BoneSurface, manifold: str) -> Dataset:
    """An item of SurfaceSequence (PS3.3 C.27.1)."""
    item = Dataset()
    item.SurfaceNumber = number
    item.SurfaceComments = (
        f"{surface.title}. {100 * surface.inferred.mean():.0f} % of the points are inferred by the model: "
        "no radiograph shows them."
    )
    item.SurfaceProcessing = "NO"
    item.RecommendedDisplayGrayscaleValue = BONE_GREY
    item.RecommendedDisplayCIELabValue = list(CIELabColor(*cielab(BONE_COLOURS[surface.bone])).value)
    item.RecommendedPresentationOpacity = 1.0
    item.RecommendedPresentationType = "SURFACE"
    item.FiniteVolume = "YES" if surface.watertight else "NO"
    item.Manifold = manifold
    item.SurfacePointsSequence = [_points(surface)]
    item.SurfacePointsNormalsSequence = [_normals(surface)]
    item.SurfaceMeshPrimitivesSequence = [_primitives(surface)]
    return item


def _points(surface: BoneSurface) -> Dataset:
    """The vertices, mm LPS, with their standard deviation along each axis (PS3.3 C.27.2)."""
    points = Dataset()
    points.NumberOfSurfacePoints = len(surface.vertices)
    points.PointCoordinatesData = surface.vertices.astype("<f4").tobytes()
    points.PointPositionAccuracy = [float(deviation) for deviation in axis_deviations(surface)]
    points.PointsBoundingBoxCoordinates = [
        float(value) for corner in (surface.vertices.min(axis=0), surface.vertices.max(axis=0)) for value in corner
    ]
    return points


def axis_deviations(surface: BoneSurface) -> FloatArray:
    """(3,) mm: one standard deviation of the points' positions along left, posterior and head.

    A vertex is uncertain along its normal; along an axis that leaves the normal's share, as a root mean square.
    """
    along_axes = surface.standard_deviation[:, None] * surface.normals()
    return np.asarray(np.sqrt((along_axes**2).mean(axis=0)).astype(np.float32), dtype=np.float64)


def _normals(surface: BoneSurface) -> Dataset:
    """Outward unit normals (PS3.3 C.27.3). Always written: GDCM's reader crashes where they are missing."""
    normals = Dataset()
    normals.NumberOfVectors = len(surface.vertices)
    normals.VectorDimensionality = 3
    normals.VectorCoordinateData = on_grid(surface.normals(), NORMAL_GRID).astype("<f4").tobytes()
    return normals


def _primitives(surface: BoneSurface) -> Dataset:
    """The triangles, counter-clockwise from outside, counted from 1 (PS3.3 C.27.4); nothing else."""
    primitives = Dataset()
    primitives.LongTrianglePointIndexList = (surface.triangles.astype("<u4") + 1).astype("<u4").tobytes()
    for keyword in EMPTY_PRIMITIVES:
        setattr(primitives, keyword, Sequence() if keyword.endswith("Sequence") else b"")
    return primitives


def bones_title(surfaces: tuple[BoneSurface, ...]) -> str:
    """`Right femur, left femur`; `5 bones` where their names would not fit into a list's 64 letters."""
    names = ", ".join(surface.title for surface in surfaces).capitalize()
    return names if len(names) <= MOST_TITLE else f"{len(surfaces)} bones"

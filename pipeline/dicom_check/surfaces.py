"""Is a Surface Segmentation complete, and does it hold sound meshes of the size of adult bones?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from pipeline.dicom_check.finding import Check, Finding, missing, one_of
from pipeline.dicom_check.identity import not_minted
from pipeline.dicom_check.mesh import check_mesh

INSTANCE_REQUIRED: Final = (
    *("DeviceSerialNumber", "FrameOfReferenceUID", "ContentLabel", "NumberOfSurfaces", "SegmentSequence"),
    *("SurfaceSequence", "ReferencedSeriesSequence", "ContentDescription"),
)
SEGMENT_REQUIRED: Final = (
    *("SegmentNumber", "SegmentLabel", "SegmentAlgorithmType", "SegmentedPropertyCategoryCodeSequence"),
    *("SegmentedPropertyTypeCodeSequence", "TrackingID", "TrackingUID", "SurfaceCount", "ReferencedSurfaceSequence"),
)
REFERENCE_REQUIRED: Final = (
    *("ReferencedSurfaceNumber", "SegmentSurfaceGenerationAlgorithmIdentificationSequence"),
    "SegmentSurfaceSourceInstanceSequence",
)
SURFACE_REQUIRED: Final = (
    *("SurfaceNumber", "SurfaceProcessing", "RecommendedDisplayGrayscaleValue", "RecommendedDisplayCIELabValue"),
    *("RecommendedPresentationOpacity", "RecommendedPresentationType", "FiniteVolume", "Manifold"),
    *("SurfacePointsSequence", "SurfacePointsNormalsSequence", "SurfaceMeshPrimitivesSequence"),
)
SURFACE_ENUMERATED: Final = {
    "SurfaceProcessing": ("NO",),
    "RecommendedPresentationType": ("SURFACE", "WIREFRAME", "POINTS"),
    "FiniteVolume": ("YES",),
    "Manifold": ("YES", "UNKNOWN"),
}

UNPAIRED: Final = ("54735007",)
"""SNOMED CT codes of bones that have no side: the sacrum."""


def check_surface_segmentation(dataset: Dataset) -> Iterator[Finding]:
    """Findings on the Surface Segmentation and Surface Mesh modules (PS3.3 C.8.23.1 and C.27.1)."""
    yield from missing(dataset, INSTANCE_REQUIRED, where="Instance")
    yield from missing(
        dataset, ("ContentCreatorName", "PositionReferenceIndicator"), where="Instance", may_be_empty=True
    )
    yield from one_of(dataset, "Modality", ("SEG",), where="Instance")
    yield from not_minted(dataset, ("FrameOfReferenceUID",), where="Instance")
    segments, surfaces = tuple(dataset.get("SegmentSequence") or ()), tuple(dataset.get("SurfaceSequence") or ())
    if dataset.get("NumberOfSurfaces") != len(surfaces):
        yield Finding(check=Check.COUNT, sentence="NumberOfSurfaces is not the number of surfaces.")
    yield from _check_numbers(segments, surfaces)
    for segment in segments:
        yield from _check_segment(segment)
    bones = dict(_bones(segments))
    for surface in surfaces:
        yield from _check_surface(surface, bones.get(surface.get("SurfaceNumber"), ""))


def _check_numbers(segments: tuple[Dataset, ...], surfaces: tuple[Dataset, ...]) -> Iterator[Finding]:
    """Segments and surfaces are counted from 1, and each surface belongs to one segment."""
    for name, items in (("SegmentNumber", segments), ("SurfaceNumber", surfaces)):
        if [item.get(name) for item in items] != list(range(1, len(items) + 1)):
            yield Finding(check=Check.SURFACE_NUMBER, sentence=f"{name} does not count 1, 2, 3 ...")
    referenced = [
        reference.get("ReferencedSurfaceNumber")
        for segment in segments
        for reference in segment.get("ReferencedSurfaceSequence") or ()
    ]
    if sorted(referenced, key=str) != sorted((surface.get("SurfaceNumber") for surface in surfaces), key=str):
        yield Finding(check=Check.SURFACE_NUMBER, sentence="The segments do not name each surface exactly once.")


def _check_segment(segment: Dataset) -> Iterator[Finding]:
    where = f"Segment {segment.get('SegmentNumber')}"
    yield from missing(segment, SEGMENT_REQUIRED, where=where)
    yield from one_of(segment, "SegmentAlgorithmType", ("AUTOMATIC",), where=where)
    yield from not_minted(segment, ("TrackingUID",), where=where)
    for reference in segment.get("ReferencedSurfaceSequence") or ():
        yield from missing(reference, REFERENCE_REQUIRED, where=where)
    if segment.get("SurfaceCount") != len(segment.get("ReferencedSurfaceSequence") or ()):
        yield Finding(check=Check.COUNT, sentence=f"{where}: SurfaceCount is not the number of its surfaces.")
    for kind in segment.get("SegmentedPropertyTypeCodeSequence") or ():
        if kind.get("CodeValue") not in UNPAIRED:
            yield from missing(kind, ("SegmentedPropertyTypeModifierCodeSequence",), where=where)


def _bones(segments: tuple[Dataset, ...]) -> Iterator[tuple[int, str]]:
    """Number of each surface, and the code of the segment that refers to it."""
    for segment in segments:
        kinds = segment.get("SegmentedPropertyTypeCodeSequence") or (Dataset(),)
        for reference in segment.get("ReferencedSurfaceSequence") or ():
            yield reference.get("ReferencedSurfaceNumber"), str(kinds[0].get("CodeValue"))


def _check_surface(surface: Dataset, bone: str) -> Iterator[Finding]:
    where = f"Surface {surface.get('SurfaceNumber')}"
    absent = tuple(missing(surface, SURFACE_REQUIRED, where=where))
    yield from absent
    for keyword, allowed in SURFACE_ENUMERATED.items():
        yield from one_of(surface, keyword, allowed, where=where)
    opacity = surface.get("RecommendedPresentationOpacity")
    if opacity is not None and not 0 <= opacity <= 1:
        yield Finding(check=Check.OPACITY, sentence=f"{where}: the opacity {opacity} is not within 0 and 1.")
    if not absent:
        yield from check_mesh(surface, where=where, bone=bone)

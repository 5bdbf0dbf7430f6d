"""Do outlines and shadows lie on the radiograph that they are to be laid over, and does each belong to a named bone?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from pipeline.dicom_check.finding import Check, Finding, complete, one_of

PRESENTATION: Final = (
    *("ContentLabel", "PresentationCreationDate", "PresentationCreationTime", "ReferencedSeriesSequence"),
    *("DisplayedAreaSelectionSequence", "GraphicAnnotationSequence", "GraphicLayerSequence", "PresentationLUTShape"),
)
SEGMENTATION: Final = (
    *("SegmentationType", "SegmentSequence", "NumberOfFrames", "Rows", "Columns", "PixelData", "ContentLabel"),
    *("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "ReferencedSeriesSequence"),
)


@complete(PRESENTATION, where="Presentation")
def check_presentation(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a presentation state with lines on it (PS3.3 A.33.1)."""
    layers = [str(layer.GraphicLayer) for layer in dataset.GraphicLayerSequence]
    used = [str(annotation.GraphicLayer) for annotation in dataset.GraphicAnnotationSequence]
    if len(set(layers)) != len(layers) or set(layers) != set(used):
        yield Finding(check=Check.REFERENCE, sentence="Presentation: layers and what lies on them do not match.")
    size = [float(value) for value in dataset.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner]
    for annotation in dataset.GraphicAnnotationSequence:
        for line in annotation.GraphicObjectSequence:
            yield from _check_line(line, size)


def _check_line(line: Dataset, size: list[float]) -> Iterator[Finding]:
    """A polyline in pixels of the picture (PS3.3 C.10.5)."""
    yield from one_of(line, "GraphicAnnotationUnits", ("PIXEL",), where="Line")
    yield from one_of(line, "GraphicType", ("POLYLINE",), where="Line")
    values = np.asarray(line.GraphicData, dtype=np.float64)
    if len(values) != 2 * int(line.NumberOfGraphicPoints) or len(values) < 4:
        yield Finding(check=Check.COUNT, sentence="Line: NumberOfGraphicPoints is not the number of its points.")
        return
    points = values.reshape(-1, 2)
    if not np.isfinite(points).all():
        yield Finding(check=Check.FINITE, sentence="Line: a point is not finite.")
    elif (points < 0).any() or (points > size).any():
        yield Finding(check=Check.SIZE, sentence="Line: a point lies outside the picture.")


@complete(SEGMENTATION, where="Segmentation")
def check_film_segmentation(dataset: Dataset) -> Iterator[Finding]:
    """Findings on a segmentation of one radiograph, bit by bit (PS3.3 A.51)."""
    yield from one_of(dataset, "SegmentationType", ("BINARY",), where="Segmentation")
    yield from one_of(dataset, "BitsAllocated", (1,), where="Segmentation")
    described = [int(segment.SegmentNumber) for segment in dataset.SegmentSequence]
    shown = [_segment_of(frame, dataset) for frame in dataset.PerFrameFunctionalGroupsSequence]
    if sorted(number or 0 for number in shown) != described or len(shown) != int(dataset.NumberOfFrames):
        yield Finding(check=Check.COUNT, sentence="Segmentation: there is not one frame for each segment.")
    length = -(-int(dataset.Rows) * int(dataset.Columns) * int(dataset.NumberOfFrames) // 8)
    if len(dataset.PixelData) != length + length % 2:
        yield Finding(check=Check.PIXELS, sentence="Segmentation: PixelData is not as long as its frames.")
    elif not any(dataset.PixelData):
        yield Finding(check=Check.PIXELS, sentence="Segmentation: no pixel belongs to a bone.")


def _segment_of(frame: Dataset, dataset: Dataset) -> int | None:
    """The segment that a frame shows: a lone one is said of all frames together (PS3.3 C.7.6.16.1)."""
    groups = (frame, *dataset.SharedFunctionalGroupsSequence)
    named = next((group.SegmentIdentificationSequence for group in groups if _names_a_segment(group)), None)
    return int(named[0].ReferencedSegmentNumber) if named else None


def _names_a_segment(group: Dataset) -> bool:
    return bool(group.get("SegmentIdentificationSequence"))

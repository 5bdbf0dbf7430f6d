"""Grayscale Softcopy Presentation State (PS3.3 A.33.1): a radiograph as it was sent, with the bones' outlines over it.

A workstation that shows it can switch each bone's layer on and off; the radiograph itself is left alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from highdicom import PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
)
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from pipeline.dicom_write.imaging_report import bare
from pipeline.dicom_write.inputs import BoneOnFilm, FilmBones
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME
from pipeline.geometry import FloatArray
from pipeline.results import DISCLAIMER
from pipeline.stages.palette import BONE_COLOURS, cielab

SERIES_NUMBER: Final = 9081

TOLERANCE_PIXELS: Final = 0.35
"""By which a line may run beside the traced outline."""

RESCALE: Final = ("RescaleIntercept", "RescaleSlope", "RescaleType")
WINDOW: Final = ("WindowCenter", "WindowWidth", "VOILUTFunction")


class OutlinePresentation(GrayscaleSoftcopyPresentationState):
    """One layer of lines for each bone of one radiograph."""

    def __init__(self, film: FilmBones, source: Dataset, origin: Origin, *, instance_number: int) -> None:
        """Build the instance in memory.

        Args:
            film: The radiograph's bones.
            source: Its header.
            origin: What the reconstruction was made from.
            instance_number: Of the radiograph among those of the study, from 1.
        """
        shown = bare(source)
        shown.SamplesPerPixel = 1
        inverse = source.get("PhotometricInterpretation") == "MONOCHROME1"
        drawn = {bone: lines for bone in film.bones if (lines := tuple(_lines(bone, shown)))}
        layers = [_layer(order, bone) for order, bone in enumerate(drawn, start=1)]
        super().__init__(
            referenced_images=[shown],
            series_instance_uid=origin.uid("series/presentation-state"),
            series_number=SERIES_NUMBER,
            series_description="Bonecraft: outlines to lay over radiographs",
            sop_instance_uid=origin.uid(f"instance/presentation-state/{source.SOPInstanceUID}"),
            instance_number=instance_number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=MODEL_NAME,
            software_versions=origin.software_versions[0],
            device_serial_number=origin.device_serial_number,
            content_label="BONE_OUTLINES",
            content_description=DISCLAIMER,
            graphic_layers=layers,
            graphic_annotations=[
                GraphicAnnotation(referenced_images=[shown], graphic_layer=layer, graphic_objects=lines)
                for layer, lines in zip(layers, drawn.values(), strict=True)
            ],
            presentation_lut_transformation=PresentationLUTTransformation(
                presentation_lut_shape="INVERSE" if inverse else "IDENTITY"
            ),
        )
        origin.stamp(self)
        sides = {bone.surface.side for bone in film.bones}
        # Of both sides, or of the middle: empty, which type 2C allows (PS3.3 C.7.3.1).
        self.Laterality = (sides.pop() or "") if len(sides) == 1 else ""
        self._say_when(origin)
        self._show_as_sent(source)

    def _say_when(self, origin: Origin) -> None:
        """In its own attributes (PS3.3 C.11.10); ContentDate belongs to none of its modules."""
        del self.ContentDate, self.ContentTime
        made = origin.created_locally
        self.PresentationCreationDate = DA(made.date())
        self.PresentationCreationTime = TM(made.time().replace(microsecond=0))

    def _show_as_sent(self, source: Dataset) -> None:
        """Take the radiograph's own grey scale over: a state without it would show raw values (PS3.4 N.2)."""
        del self.DisplayedAreaSelectionSequence[0].PixelOriginInterpretation  # of tiled pictures alone
        if "ModalityLUTSequence" in source:
            self.ModalityLUTSequence = copy.deepcopy(source.ModalityLUTSequence)
        elif all(keyword in source for keyword in RESCALE[:2]):
            self.RescaleIntercept, self.RescaleSlope = source.RescaleIntercept, source.RescaleSlope
            self.RescaleType = source.get("RescaleType") or "US"
        window = Dataset()
        if "VOILUTSequence" in source:
            window.VOILUTSequence = copy.deepcopy(source.VOILUTSequence)
        elif all(source.get(keyword) is not None for keyword in WINDOW[:2]):
            for keyword in WINDOW:
                if source.get(keyword):
                    setattr(window, keyword, source[keyword].value)
        if window:
            self.SoftcopyVOILUTSequence = [window]


def _layer(order: int, bone: BoneOnFilm) -> GraphicLayer:
    surface = bone.surface
    return GraphicLayer(
        layer_name=surface.name.upper(),
        order=order,
        description=surface.title,
        display_color=CIELabColor(*cielab(BONE_COLOURS[surface.bone])),
    )


def _lines(bone: BoneOnFilm, shown: Dataset) -> Iterator[GraphicObject]:
    """The outline as far as it lies on the picture."""
    size = np.array([shown.Columns, shown.Rows], dtype=np.float64)
    for outline in bone.outlines:
        for run in _runs_inside(outline + 0.5, size):  # the first pixel's corner is 0, 0 (PS3.3 C.10.5.1.2)
            yield GraphicObject(
                graphic_type=GraphicTypeValues.POLYLINE, graphic_data=run, units=AnnotationUnitsValues.PIXEL
            )


def _runs_inside(outline: FloatArray, size: FloatArray) -> list[FloatArray]:
    """Stretches of a closed outline that lie on the picture; the whole outline, closed, where all of it does.

    Args:
        outline: (N, 2) column and row.
        size: (2,) of the picture, columns and rows.
    """
    inside = ((outline >= 0) & (outline <= size)).all(axis=1)
    if inside.all():
        few = _simplified(outline, closed=True)
        return [np.concatenate([few, few[:1]])]
    begin = int(np.flatnonzero(~inside)[0])
    outline, inside = np.roll(outline, -begin, axis=0), np.roll(inside, -begin)
    turns = np.flatnonzero(np.diff(inside.astype(int))) + 1
    runs = zip(np.split(outline, turns), np.r_[0, turns], strict=True)
    return [_simplified(run, closed=False) for run, first in runs if inside[first] and len(run) > 1]


def _simplified(line: FloatArray, *, closed: bool) -> FloatArray:
    """With as few points as the tolerance allows."""
    few = cv2.approxPolyDP(line.astype(np.float32)[:, None], TOLERANCE_PIXELS, closed)
    return np.asarray(few[:, 0], dtype=np.float64)

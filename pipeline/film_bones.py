"""The bones of each radiograph as their shadows fall on it, in its own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.dicom_write import BoneOnFilm, FilmBones
from pipeline.projector import shadow
from pipeline.shown_radiographs import ShownBone, ShownRadiograph
from pipeline.stages.overlay import ReprojectedContour

FINEST_PIXELS: Final = 3000
"""Longest side of the grid that shadows are drawn on; a finer radiograph's are enlarged from it."""


def film_bones(film: ShownRadiograph, contours: Sequence[ReprojectedContour]) -> FilmBones:
    """A radiograph's bones.

    Args:
        film: The radiograph.
        contours: Of its bones, in their order.
    """
    bones = tuple(
        BoneOnFilm(surface=shown.surface, outlines=contour.polygons, shadow=_shadow(shown))
        for shown, contour in zip(film.bones, contours, strict=True)
    )
    return FilmBones(radiograph=film.view.radiograph.identifier, title=film.proof_title, bones=bones)


def _shadow(shown: ShownBone) -> npt.NDArray[np.bool_]:
    """(rows, columns) of the source, True where a ray through the pixel meets the bone."""
    geometry, surface = shown.geometry, shown.surface
    factor = min(1.0, FINEST_PIXELS / max(geometry.rows, geometry.columns))
    shape = (max(round(geometry.rows * factor), 1), max(round(geometry.columns * factor), 1))
    pixels = (geometry.project(surface.vertices) + 0.5) * factor - 0.5
    mask = shadow(pixels, surface.triangles, shape)
    whole = cv2.resize(mask, (geometry.columns, geometry.rows), interpolation=cv2.INTER_NEAREST)
    return np.asarray(whole > 0)

"""What is written of each radiograph: as sent, with the outlines on it, and the depths that its rays meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.dicom_write import ProofPicture
from pipeline.export import npz, png, write_file
from pipeline.geometry import FloatArray
from pipeline.made_with import MadeWith
from pipeline.results import DISCLAIMER, NOT_RECOGNISED, SHAPE_ONLY, BoneContour, FileKind, RadiographReport, ResultFile
from pipeline.shown_radiographs import ShownBone, ShownRadiograph
from pipeline.stages.depth_pictures import depth_pictures, view_depth
from pipeline.stages.lettering import QUIET, WARNING, Line, Picture
from pipeline.stages.overlay import Caption, ReprojectedContour, proof_picture, shown_factor, windowed
from pipeline.stages.palette import BONE_COLOURS, MISS, MISS_MM

SHAPE_ONLY_WORDS: Final = "SHAPE ONLY: no lengths in mm"
POLYGON_TOLERANCE: Final = 0.35
"""Source pixels by which the outline in `report.json` may run beside the traced one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RadiographFiles:
    """What was written of one radiograph, paths relative to the result folder."""

    files: tuple[ResultFile, ...]
    report: RadiographReport
    proof: ProofPicture
    contours: tuple[ReprojectedContour, ...]


def write_radiograph(film: ShownRadiograph, out: Path, *, made_with: MadeWith) -> RadiographFiles:
    """Write a radiograph's pictures.

    Args:
        film: The radiograph and its bones.
        out: The result folder.
        made_with: Software and models.
    """
    radiograph = film.view.radiograph
    contours = tuple(shown.contour() for shown in film.bones)
    proof = proof_picture(radiograph.pixels, contours, _caption(film, made_with))
    plain = _write(film, out, "radiographs", png(windowed(radiograph.pixels)), FileKind.RADIOGRAPH, "as sent")
    outlined = _write(film, out, "contours", png(proof), FileKind.CONTOUR_PICTURE, "with outline")
    return RadiographFiles(
        files=(plain, outlined, *_write_depths(film, out)),
        report=_report(film, plain.path, contours),
        proof=_proof(film, proof),
        contours=contours,
    )


def _write(film: ShownRadiograph, out: Path, folder: str, data: bytes, kind: FileKind, words: str) -> ResultFile:
    title, identifier = f"{film.title}, {words}", film.view.radiograph.identifier
    return write_file(out, f"{folder}/{film.name}.png", data, kind=kind, title=title, radiograph=identifier)


def _write_depths(film: ShownRadiograph, out: Path) -> list[ResultFile]:
    """Front, back and thickness of all bones together, as pictures and as numbers."""
    depth = view_depth([(shown.surface, shown.geometry) for shown in film.bones])
    unit, note = ("mm", "") if film.scale_known else ("", SHAPE_ONLY_WORDS)
    suffix = "mm" if film.scale_known else "shape-only"
    identifier = film.view.radiograph.identifier
    written = []
    for what, picture in depth_pictures(depth, title=film.title, unit=unit, note=note).items():
        path, words, kind = f"depth/{film.name}_{what}.png", f"{film.title}, {what}", FileKind.DEPTH_PICTURE
        written.append(write_file(out, path, png(picture), kind=kind, title=words, radiograph=identifier))
    arrays = {f"{what}_{suffix.replace('-', '_')}": values for what, values in vars(depth.maps).items()}
    path, words = f"depth/{film.name}_{suffix}.npz", f"{film.title}, depth arrays ({suffix})"
    written.append(write_file(out, path, npz(arrays), kind=FileKind.DEPTH_ARRAY, title=words, radiograph=identifier))
    return written


def _caption(film: ShownRadiograph, made_with: MadeWith) -> Caption:
    """What a proof says: each bone's error in the plane of this image and, separately, its expected error in space."""
    lines = _bone_lines(film.bones) if len(film.bones) > 1 else _lone_bone_lines(film.bones[0])
    origin = Line(text=made_with.words({shown.surface.bone for shown in film.bones}), colour=QUIET, size=0.8)
    return Caption(
        title=film.title,
        sides=film.markers,
        lines=(*lines, origin, Line(text=NOT_RECOGNISED, colour=QUIET, size=0.8), Line(text=DISCLAIMER, colour=QUIET)),
        mm_per_pixel=film.mm_per_pixel,
    )


def _lone_bone_lines(shown: ShownBone) -> list[Line]:
    views = _views(shown)
    if not shown.bone.scale.known:
        return [Line(text=SHAPE_ONLY, colour=WARNING), Line(text=f"Views used: {views}", colour=QUIET)]
    return [
        Line(text=f"Contour error {_error_words(shown)}: mean distance to the outline seen here"),
        Line(text=f"Expected 3D error {_in_space(shown)}; views used: {views}"),
        _scale_line([shown]),
    ]


def _bone_lines(bones: Sequence[ShownBone]) -> list[Line]:
    """A line for each bone in the colour of its outline, which is the picture's legend too."""
    if not all(shown.bone.scale.known for shown in bones):
        named = [Line(text=shown.surface.title, colour=BONE_COLOURS[shown.surface.bone]) for shown in bones]
        return [Line(text=SHAPE_ONLY, colour=WARNING), *named]
    lines = [
        Line(
            text=f"{shown.surface.title}: contour error {_error_words(shown)}; in 3D {_in_space(shown)}; "
            f"from {_views(shown)}",
            colour=BONE_COLOURS[shown.surface.bone],
        )
        for shown in bones
    ]
    missed = f"Red: the outline misses what is seen here by more than {MISS_MM:g} mm. Pale: nothing is seen there."
    return [*lines, Line(text=missed, colour=MISS, size=0.9), _scale_line(bones)]


def _error_words(shown: ShownBone) -> str:
    return "not measured" if shown.contour_error_mm is None else f"{shown.contour_error_mm:.1f} mm"


def _in_space(shown: ShownBone) -> str:
    """The calibrated error of the surface where the films show it, with its interval."""
    judged = shown.bone.assessment
    return f"{judged.expected_error_mm:.1f} mm (90 % within {judged.interval_mm:.1f} mm)"


def _views(shown: ShownBone) -> str:
    return ", ".join(str(view.decision.view) for view in shown.bone.views)


def _scale_line(bones: Sequence[ShownBone]) -> Line:
    """The scale, where bones rest on several the least certain one."""
    scale = max((shown.bone.scale for shown in bones), key=lambda scale: scale.relative_uncertainty)
    return Line(text=f"Scale: {scale.provenance}, ± {scale.relative_uncertainty:.1%}", colour=QUIET, size=0.8)


def _report(film: ShownRadiograph, picture: str, contours: Sequence[ReprojectedContour]) -> RadiographReport:
    rows, columns = film.view.radiograph.pixels.shape
    return RadiographReport(
        identifier=film.view.radiograph.identifier,
        view=str(film.view.decision.view),
        side=film.laterality,
        picture=picture,
        contours=tuple(
            BoneContour(
                bone=shown.surface.name,
                polygons=tuple(_simplified(polygon) for polygon in contour.polygons),
                error_mm=None if shown.contour_error_mm is None else round(shown.contour_error_mm, 3),
            )
            for shown, contour in zip(film.bones, contours, strict=True)
        ),
        rows=rows,
        columns=columns,
        mm_per_pixel=film.mm_per_pixel,
    )


def _simplified(polygon: FloatArray) -> tuple[tuple[float, float], ...]:
    """The polygon with as few corners as the tolerance allows."""
    few = cv2.approxPolyDP(polygon.astype(np.float32)[:, None], POLYGON_TOLERANCE, True)[:, 0]
    return tuple((round(float(column), 1), round(float(row), 1)) for column, row in few)


def _proof(film: ShownRadiograph, picture: Picture) -> ProofPicture:
    spacing, factor = film.mm_per_pixel, shown_factor(film.view.radiograph.pixels.shape)
    return ProofPicture(
        radiograph=film.view.radiograph.identifier,
        pixels=picture,
        title=film.proof_title,
        side=film.side,
        view=film.view.decision.view,
        spacing_mm=(spacing / factor, spacing / factor) if spacing is not None else None,
    )

"""A reconstructed bone as files: meshes, points, renderings, depth maps, and the proof on each radiograph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipeline.dicom_write import ProofPicture
from pipeline.export import npz, png, write_file, write_meshes
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.reconstruct import ReconstructedBone
from pipeline.results import DISCLAIMER, SHAPE_ONLY, FileKind, RadiographReport, ResultFile, SurfaceReport
from pipeline.stages.camera import camera, standard_cameras
from pipeline.stages.depth_pictures import depth_pictures, view_depth
from pipeline.stages.drawn_radiograph import draw_radiographs
from pipeline.stages.fit import FittedView
from pipeline.stages.lettering import QUIET, WARNING, Line, Picture, with_scale_bar, with_text
from pipeline.stages.overlay import Caption, ReprojectedContour, proof_picture, reproject, shown_factor, windowed
from pipeline.stages.render import Rendering, prepare, render_shaded
from pipeline.surface import BoneSurface

DRAWN_ANGLES_DEG: Final = (0, 30, 60, 90)
"""From which sides the bone is drawn as a radiograph: from the front to its lateral side."""

SHAPE_ONLY_WORDS: Final = "SHAPE ONLY: no lengths in mm"
POLYGON_TOLERANCE: Final = 0.35
"""Source pixels by which the outline in `report.json` may run beside the traced one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Presentation:
    """What was written of one bone, paths relative to the result folder."""

    files: tuple[ResultFile, ...]
    surface: SurfaceReport
    radiographs: tuple[RadiographReport, ...]
    proofs: tuple[ProofPicture, ...]
    contours: tuple[ReprojectedContour, ...]
    renderings: tuple[Picture, ...]


def present(bone: ReconstructedBone, out: Path) -> Presentation:
    """Write everything that shows a bone, apart from DICOM and the report.

    Args:
        bone: The reconstruction.
        out: The result folder.
    """
    known = bone.scale.known
    surface = bone.assessment.surface
    meshes = write_meshes(surface, out, scale_known=known)
    rendered = list(_novel_views(surface, known))
    views = [
        write_file(out, f"views/{surface.name}_{name}.png", png(picture), kind=FileKind.NOVEL_VIEW, title=title)
        for name, title, picture in rendered
    ]
    shown = [_present_view(bone, index, out) for index in range(len(bone.views))]
    return Presentation(
        files=(*meshes, *views, *(file for view in shown for file in view.files)),
        surface=_surface_report(bone),
        radiographs=tuple(view.report for view in shown),
        proofs=tuple(view.proof for view in shown),
        contours=tuple(view.contour for view in shown),
        renderings=tuple(picture for _, _, picture in rendered),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _PresentedView:
    files: tuple[ResultFile, ...]
    report: RadiographReport
    proof: ProofPicture
    contour: ReprojectedContour


def _present_view(bone: ReconstructedBone, index: int, out: Path) -> _PresentedView:
    """One radiograph: windowed, with the outline on it, and the depth maps that its rays meet."""
    view, fitted, surface = bone.views[index], bone.fit.views[index], bone.assessment.surface
    name = f"{surface.name}_{index + 1}_{view.decision.view}"
    title = f"{surface.title}, {view.decision.view}"
    identifier = view.radiograph.identifier
    contour = reproject(surface.vertices, surface.triangles, fitted.geometry, view.perception)
    proof = proof_picture(view.radiograph.pixels, contour, _caption(bone, index, title))
    plain = windowed(view.radiograph.pixels)

    def file(path: str, data: bytes, kind: FileKind, words: str) -> ResultFile:
        return write_file(out, path, data, kind=kind, title=words, radiograph=identifier)

    radiograph = file(f"radiographs/{name}.png", png(plain), FileKind.RADIOGRAPH, f"{title}, as sent")
    contour_file = file(f"contours/{name}.png", png(proof), FileKind.CONTOUR_PICTURE, f"{title}, with outline")
    depth = view_depth(surface, fitted.geometry)
    unit = "mm" if bone.scale.known else ""
    note = "" if bone.scale.known else SHAPE_ONLY_WORDS
    pictures = depth_pictures(depth, title=title, unit=unit, note=note)
    suffix = "mm" if bone.scale.known else "shape-only"
    arrays = {f"{what}_{suffix.replace('-', '_')}": values for what, values in vars(depth.maps).items()}
    depths = [
        *(
            file(f"depth/{name}_{what}.png", png(picture), FileKind.DEPTH_PICTURE, f"{title}, {what}")
            for what, picture in pictures.items()
        ),
        file(f"depth/{name}_{suffix}.npz", npz(arrays), FileKind.DEPTH_ARRAY, f"{title}, depth arrays ({suffix})"),
    ]
    return _PresentedView(
        files=(radiograph, contour_file, *depths),
        report=_radiograph_report(bone, index, radiograph.path, contour),
        proof=_proof(bone, index, proof),
        contour=contour,
    )


def _novel_views(surface: BoneSurface, known: bool) -> Iterator[tuple[str, str, Picture]]:
    """Name, title and picture of the renderings."""
    body = prepare(surface)
    cameras = standard_cameras(surface.side)
    renderings = {view.name: (view.name, render_shaded(body, view)) for view in cameras}
    if surface.inferred.any() and not surface.inferred.all():
        seen = surface.vertices[~surface.inferred]
        words = "the part that was seen"
        renderings["close-up"] = (words, render_shaded(body, cameras[-1], around=seen))
    towards_lateral = 1 if surface.side is Side.LEFT else -1
    sides = [camera(f"drawn as a radiograph, {a}°", azimuth_deg=towards_lateral * a) for a in DRAWN_ANGLES_DEG]
    for angle, side, drawn in zip(DRAWN_ANGLES_DEG, sides, draw_radiographs(surface, sides), strict=True):
        renderings[f"radiographic_{angle:03d}"] = (side.name, drawn)
    for name, (words, rendering) in renderings.items():
        cool = bool(surface.inferred.any()) and not name.startswith("radiographic")
        yield name, f"{surface.title}, {words}", _labelled(rendering, surface, words, known, cool=cool)


def _labelled(rendering: Rendering, surface: BoneSurface, words: str, known: bool, *, cool: bool) -> Picture:
    """The rendering with its words and its scale; `cool` explains the colour of what was not seen."""
    marked = with_scale_bar(rendering.pixels, rendering.mm_per_pixel if known else None)
    heading = [Line(text=surface.title, size=1.25), Line(text=words, colour=QUIET)]
    heading += [] if known else [Line(text=SHAPE_ONLY_WORDS, colour=WARNING)]
    footing = [Line(text="blue: inferred, not seen", colour=QUIET, size=0.85)] if cool else []
    footing += [Line(text=DISCLAIMER, colour=QUIET, size=0.75)]
    return with_text(with_text(marked, "top left", *heading), "bottom left", *footing)


def _caption(bone: ReconstructedBone, index: int, title: str) -> Caption:
    """What a proof says: the error in the plane of this image and, separately, the expected error in space."""
    views = ", ".join(str(view.decision.view) for view in bone.views)
    error, scale = bone.assessment.contour_error_mm[index], bone.scale
    if scale.known:
        lines = [
            Line(text=f"Contour error {error:.1f} mm: mean distance to the outline seen here"),
            Line(text=f"Expected 3D error {bone.assessment.expected_error_mm:.1f} mm; views used: {views}"),
            Line(text=f"Scale: {scale.provenance}, ± {scale.relative_uncertainty:.1%}", colour=QUIET, size=0.8),
        ]
    else:
        lines = [Line(text=SHAPE_ONLY, colour=WARNING), Line(text=f"Views used: {views}", colour=QUIET)]
    return Caption(
        title=title,
        side=str(bone.assessment.surface.side),
        lines=(*lines, Line(text=DISCLAIMER, colour=QUIET)),
        mm_per_pixel=_mm_per_pixel(bone.fit.views[index], bone),
    )


def _mm_per_pixel(fitted: FittedView, bone: ReconstructedBone) -> float | None:
    """Size of a source pixel where the bone lies after the fit."""
    if not bone.scale.known:
        return None
    row, column = fitted.geometry.pixel_spacing
    centre: FloatArray = bone.assessment.surface.vertices.mean(axis=0)
    return float(np.sqrt(row * column) / fitted.geometry.magnification(centre))


def _radiograph_report(
    bone: ReconstructedBone, index: int, picture: str, contour: ReprojectedContour
) -> RadiographReport:
    view = bone.views[index]
    rows, columns = view.radiograph.pixels.shape
    error = bone.assessment.contour_error_mm[index]
    return RadiographReport(
        identifier=view.radiograph.identifier,
        view=str(view.decision.view),
        side=str(bone.assessment.surface.side),
        picture=picture,
        contour=tuple(_simplified(polygon) for polygon in contour.polygons),
        rows=rows,
        columns=columns,
        contour_error_mm=round(error, 3) if bone.scale.known and np.isfinite(error) else None,
        mm_per_pixel=_mm_per_pixel(bone.fit.views[index], bone),
    )


def _simplified(polygon: FloatArray) -> tuple[tuple[float, float], ...]:
    """The polygon with as few corners as the tolerance allows."""
    few = cv2.approxPolyDP(polygon.astype(np.float32)[:, None], POLYGON_TOLERANCE, True)[:, 0]
    return tuple((round(float(column), 1), round(float(row), 1)) for column, row in few)


def _proof(bone: ReconstructedBone, index: int, picture: Picture) -> ProofPicture:
    view, surface = bone.views[index], bone.assessment.surface
    spacing = _mm_per_pixel(bone.fit.views[index], bone)
    factor = shown_factor(view.radiograph.pixels.shape)
    return ProofPicture(
        radiograph=view.radiograph.identifier,
        pixels=picture,
        title=f"{surface.title} on {view.decision.view}",
        side=surface.side,
        view=view.decision.view,
        spacing_mm=(spacing / factor, spacing / factor) if spacing is not None else None,
    )


def _surface_report(bone: ReconstructedBone) -> SurfaceReport:
    surface = bone.assessment.surface
    left, posterior, head = surface.extent.tolist()
    return SurfaceReport(
        name=surface.name,
        bone=str(surface.bone),
        side=str(surface.side) if surface.side else None,
        vertices=len(surface.vertices),
        triangles=len(surface.triangles),
        watertight=surface.watertight,
        extent=(left, posterior, head),
        expected_error=bone.assessment.expected_error_mm,
        inferred_fraction=surface.inferred_fraction,
    )

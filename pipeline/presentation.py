"""Reconstructed bones as files: meshes, points, renderings, depth maps, and the proof on each radiograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.dicom_write import PlainPicture, ProofPicture, Turntable
from pipeline.export import png, write_file, write_meshes
from pipeline.made_with import MadeWith
from pipeline.novel_views import Shown, novel_views, shown
from pipeline.radiograph_files import write_radiograph
from pipeline.reconstruct import ReconstructedBone, Reconstruction
from pipeline.results import FileKind, RadiographReport, ResultFile, SurfaceReport
from pipeline.shown_radiographs import ShownRadiograph, frames, shown_radiographs
from pipeline.stages.lettering import Picture
from pipeline.stages.overlay import ReprojectedContour
from pipeline.stages.palette import BONE_COLOURS, hexadecimal
from pipeline.turning import turning


@dataclass(frozen=True, kw_only=True, eq=False)
class Presentation:
    """What was written of a study, paths relative to the result folder.

    Attributes:
        files: Everything.
        surfaces: For the report, in the order of the bones.
        radiographs: For the report.
        proofs: For the PACS.
        films: The radiographs with their bones.
        contours: Of each film's bones.
        scenes: Bones that share a frame, as they were rendered.
        renderings: Of the scenes.
        turntables: Of the scenes, for the PACS.
        key_renderings: Of the scenes from the standard sides, for the PACS.
    """

    files: tuple[ResultFile, ...]
    surfaces: tuple[SurfaceReport, ...]
    radiographs: tuple[RadiographReport, ...]
    proofs: tuple[ProofPicture, ...]
    films: tuple[ShownRadiograph, ...]
    contours: tuple[tuple[ReprojectedContour, ...], ...]
    scenes: tuple[Shown, ...]
    renderings: tuple[Picture, ...]
    turntables: tuple[Turntable, ...]
    key_renderings: tuple[PlainPicture, ...]


def present(reconstruction: Reconstruction, out: Path, *, made_with: MadeWith) -> Presentation:
    """Write everything that shows the bones, apart from DICOM and the report.

    Args:
        reconstruction: Of a study, at least one bone.
        out: The result folder.
        made_with: Software and models.
    """
    films = shown_radiographs(reconstruction.bones)
    scenes = [_scene(bones, number) for number, bones in enumerate(frames(reconstruction.bones), start=1)]
    meshes = [file for s in scenes for file in write_meshes(s.surfaces, out, scale_known=s.scale_known, scene=s.name)]
    views = [view for scene in scenes for view in novel_views(scene)]
    rendered = [
        write_file(out, f"views/{view.name}.png", png(view.picture), kind=FileKind.NOVEL_VIEW, title=view.title)
        for view in views
    ]
    written = [write_radiograph(film, out, made_with=made_with) for film in films]
    return Presentation(
        files=(*meshes, *rendered, *(file for each in written for file in each.files)),
        surfaces=tuple(_surface_report(bone) for bone in reconstruction.bones),
        radiographs=tuple(each.report for each in written),
        proofs=tuple(each.proof for each in written),
        films=films,
        contours=tuple(each.contours for each in written),
        scenes=tuple(scenes),
        renderings=tuple(view.picture for view in views),
        turntables=tuple(turning(scene) for scene in scenes),
        key_renderings=tuple(
            PlainPicture(pixels=view.picture, title=view.title, side=view.side) for view in views if view.is_key
        ),
    )


def _scene(bones: tuple[ReconstructedBone, ...], number: int) -> Shown:
    known = all(bone.scale.known for bone in bones)
    return shown([bone.assessment.surface for bone in bones], scale_known=known, number=number)


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
        colour=hexadecimal(BONE_COLOURS[surface.bone]),
    )

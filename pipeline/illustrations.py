"""A picture for each stage of a reconstruction, written below `stages/` of the result folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.export import png, write_file
from pipeline.presentation import Presentation
from pipeline.radiograph import Radiograph
from pipeline.reconstruct import ReconstructedBone, Reconstruction
from pipeline.results import FileKind, ResultFile
from pipeline.shape_model import mirrored
from pipeline.stages.camera import standard_cameras
from pipeline.stages.lettering import Picture
from pipeline.stages.overlay import ReprojectedContour, reproject
from pipeline.stages.stage_pictures import (
    beam_picture,
    enhanced_picture,
    fit_picture,
    gate_picture,
    input_picture,
    montage,
    perceived_picture,
    uncertainty_picture,
)

MOST_RENDERINGS: Final = 9


def illustrate_input(radiographs: Sequence[Radiograph], out: Path) -> str:
    """Write the picture of the stage `read`; returns its path."""
    return _write("read", input_picture(radiographs), out)


def illustrate(reconstruction: Reconstruction, shown: Sequence[Presentation], out: Path) -> dict[str, str]:
    """Write the pictures of the stages from `gate` to `render`.

    Args:
        reconstruction: Of the study.
        shown: Its bones, as presented, in the same order.
        out: The result folder.

    Returns:
        Path of each picture by the stage's name.
    """
    bones = reconstruction.bones
    views = [view for bone in bones for view in bone.views]
    after = [contour for presentation in shown for contour in presentation.contours]
    calibrations = [fitted.observation.calibration for bone in bones for fitted in bone.fit.views]
    renderings = [picture for presentation in shown for picture in presentation.renderings]
    surface = bones[0].assessment.surface
    unit = "mm" if bones[0].scale.known else ""
    drawn = {
        "gate": gate_picture([view.decision for view in views]),
        "enhance": enhanced_picture([view.enhanced for view in views]),
        "perceive": perceived_picture([view.enhanced for view in views], [view.perception for view in views]),
        "calibrate": beam_picture(calibrations),
        "fit": fit_picture(
            [view.radiograph for view in views], [c for bone in bones for c in _mean_contours(bone)], after
        ),
        "assess": uncertainty_picture(surface, standard_cameras(surface.side)[:4], unit=unit),
        "render": montage(renderings[:MOST_RENDERINGS]),
    }
    return {name: _write(name, picture, out) for name, picture in drawn.items()}


def stage_picture_files(pictures: Mapping[str, str]) -> tuple[ResultFile, ...]:
    """The written pictures for the table of contents."""
    return tuple(
        ResultFile(path=path, kind=FileKind.STAGE_PICTURE, media_type="image/png", title=f"Stage {name}")
        for name, path in pictures.items()
    )


def _mean_contours(bone: ReconstructedBone) -> list[ReprojectedContour]:
    """Outlines of the model's mean bone where the fit put the bone: what the shape alone improved."""
    fit = bone.fit
    mean = fit.pose.apply(mirrored(fit.model.mean, fit.side))
    return [
        reproject(mean, fit.triangles, fitted.geometry, view.perception)
        for fitted, view in zip(fit.views, bone.views, strict=True)
    ]


def _write(name: str, picture: Picture, out: Path) -> str:
    return write_file(out, f"stages/{name}.png", png(picture), kind=FileKind.STAGE_PICTURE, title=name).path

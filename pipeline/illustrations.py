"""A picture for each stage of a reconstruction, written below `stages/` of the result folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.export import png, write_file
from pipeline.novel_views import Shown
from pipeline.presentation import Presentation
from pipeline.radiograph import Radiograph
from pipeline.results import FileKind, ResultFile
from pipeline.shape_model import mirrored
from pipeline.shown_radiographs import ShownRadiograph
from pipeline.stages.camera import standard_cameras
from pipeline.stages.lettering import Picture
from pipeline.stages.overlay import ReprojectedContour, reproject
from pipeline.stages.palette import uncertainty_colours
from pipeline.stages.perceive import Perception
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
from pipeline.surface import Bone

MOST_RENDERINGS: Final = 9
UNCERTAINTY_VIEWS: Final = 3


def illustrate_input(radiographs: Sequence[Radiograph], out: Path) -> str:
    """Write the picture of the stage `read`; returns its path."""
    return _write("read", input_picture(radiographs), out)


def illustrate(shown: Presentation, out: Path) -> dict[str, str]:
    """Write the pictures of the stages from `gate` to `render`.

    Args:
        shown: The study's bones, as presented.
        out: The result folder.

    Returns:
        Path of each picture by the stage's name.
    """
    films = shown.films
    views = [film.view for film in films]
    drawn = {
        "gate": gate_picture([view.decision for view in views]),
        "enhance": enhanced_picture([view.enhanced for view in views]),
        "perceive": perceived_picture([view.enhanced for view in views], [_seen(film) for film in films]),
        "calibrate": beam_picture([film.bones[0].fitted.observation.calibration for film in films]),
        "fit": fit_picture([view.radiograph for view in views], [_mean_contours(f) for f in films], shown.contours),
        "assess": _uncertainty(shown.scenes[0]),
        "render": montage(shown.renderings[:MOST_RENDERINGS]),
    }
    return {name: _write(name, picture, out) for name, picture in drawn.items()}


def stage_picture_files(pictures: Mapping[str, str]) -> tuple[ResultFile, ...]:
    """The written pictures for the table of contents."""
    return tuple(
        ResultFile(path=path, kind=FileKind.STAGE_PICTURE, media_type="image/png", title=f"Stage {name}")
        for name, path in pictures.items()
    )


def _seen(film: ShownRadiograph) -> list[tuple[Bone, Perception]]:
    return [(shown.surface.bone, shown.fitted.observation.perception) for shown in film.bones]


def _uncertainty(scene: Shown) -> Picture:
    painted = scene.body.painted(np.concatenate([uncertainty_colours(surface) for surface in scene.surfaces]))
    around = scene.seen() if scene.together else None
    cameras = standard_cameras(scene.side)[:UNCERTAINTY_VIEWS]
    return uncertainty_picture(painted, cameras, around=around, unit="mm" if scene.scale_known else "")


def _mean_contours(film: ShownRadiograph) -> list[ReprojectedContour]:
    """Outlines of the models' mean bones where the fit put the bones: what the shape alone improved."""
    contours = []
    for shown in film.bones:
        fit, seen = shown.bone.fit, shown.fitted.observation.perception
        mean = fit.pose.apply(mirrored(fit.model.mean, fit.side))
        contours.append(reproject(shown.surface.bone, mean, fit.triangles, shown.geometry, seen))
    return contours


def _write(name: str, picture: Picture, out: Path) -> str:
    return write_file(out, f"stages/{name}.png", png(picture), kind=FileKind.STAGE_PICTURE, title=name).path

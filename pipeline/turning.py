"""The bones seen from all around: the frames of a film that a workstation plays."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.dicom_write import Turntable
from pipeline.geometry import FloatArray
from pipeline.novel_views import Shown
from pipeline.radiograph_files import SHAPE_ONLY_WORDS
from pipeline.results import DISCLAIMER
from pipeline.stages.camera import camera
from pipeline.stages.lettering import QUIET, WARNING, Line, Picture, with_scale_bar, with_text
from pipeline.stages.render import render_shaded

FRAMES: Final = 36
LONGEST_SIDE: Final = 480
"""Of a frame, pixels: 36 of them are 17 MB of a lone femur, 25 MB at most."""


def turning(bones: Shown) -> Turntable:
    """The bones of one frame of reference, seen from in front and then on around them to the patient's left."""
    around = _drum(bones.seen())
    frames = [_frame(bones, number, around) for number in range(FRAMES)]
    return Turntable(frames=np.stack(frames), title=bones.title, side=bones.side)


def _frame(bones: Shown, number: int, around: FloatArray) -> Picture:
    view = camera("turning", azimuth_deg=360 / FRAMES * number)
    rendering = render_shaded(bones.body, view, longest_side=LONGEST_SIDE, around=around)
    heading = [Line(text=bones.title)]
    heading += [] if bones.scale_known else [Line(text=SHAPE_ONLY_WORDS, colour=WARNING)]
    marked = with_scale_bar(rendering.pixels, rendering.mm_per_pixel if bones.scale_known else None)
    return with_text(
        with_text(marked, "top left", *heading), "bottom left", Line(text=DISCLAIMER, colour=QUIET, size=0.75)
    )


def _drum(points: FloatArray) -> FloatArray:
    """(2 FRAMES, 3) a drum around points, upright: it looks the same from every side that a frame is taken from."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    radius = np.linalg.norm((points - middle)[:, :2], axis=1).max()
    angles = 2 * np.pi / FRAMES * np.arange(FRAMES)
    ring = middle[:2] + radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([np.insert(ring, 2, height, axis=1) for height in (low[2], high[2])])

"""The bones seen from all around: the frames of a film that a workstation plays."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipeline.dicom_write import Turntable
from pipeline.geometry import FloatArray
from pipeline.novel_views import Shown, bands_of
from pipeline.stages.bands import framed
from pipeline.stages.camera import camera
from pipeline.stages.render import Rendering, render_shaded

FRAMES: Final = 36
LONGEST_SIDE: Final = 480
"""Of a frame without its words, pixels: 36 of them with words are some 25 MB, 30 MB at most."""


def turning(bones: Shown) -> Turntable:
    """The bones of one frame of reference, seen from in front and then on around them to the patient's left."""
    around = _drum(bones.seen())
    renderings = [_rendering(bones, number, around) for number in range(FRAMES)]
    header, footer = bands_of(bones, renderings[0])
    frames = np.stack([framed(header, rendering.pixels, footer) for rendering in renderings])
    return Turntable(frames=frames, title=bones.title, side=bones.side)


def _rendering(bones: Shown, number: int, around: FloatArray) -> Rendering:
    view = camera("turning", azimuth_deg=360 / FRAMES * number)
    return render_shaded(bones.body, view, longest_side=LONGEST_SIDE, around=around)


def _drum(points: FloatArray) -> FloatArray:
    """(2 FRAMES, 3) a drum around points, upright: it looks the same from every side that a frame is taken from."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    radius = np.linalg.norm((points - middle)[:, :2], axis=1).max()
    angles = 2 * np.pi / FRAMES * np.arange(FRAMES)
    ring = middle[:2] + radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([np.insert(ring, 2, height, axis=1) for height in (low[2], high[2])])

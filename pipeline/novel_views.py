"""Pictures of the reconstructed bones from sides that nobody radiographed, with their words on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.radiograph_files import SHAPE_ONLY_WORDS
from pipeline.results import DISCLAIMER
from pipeline.stages.bands import band, framed, scale_block
from pipeline.stages.camera import Camera, camera, standard_cameras
from pipeline.stages.drawn_radiograph import draw_radiographs
from pipeline.stages.lettering import QUIET, WARNING, Line, Picture
from pipeline.stages.palette import BONE_COLOURS, bone_colours
from pipeline.stages.render import Body, Rendering, prepare, render_shaded
from pipeline.surface import SIDE_WORDS, BoneSurface

DRAWN_ANGLES_DEG: Final = (0, 30, 60, 90)
DRAWN_ANGLES_TOGETHER_DEG: Final = (0, 90)
"""From which sides bones are drawn as a radiograph: from the front to the lateral side."""

LONE_PIXELS: Final = 1000
SCENE_PIXELS: Final = 720
OF_SCENE_PIXELS: Final = 640
"""Longest sides of the pictures of a lone bone, of several together, and of each of those by itself."""

STRAIGHT: Final = 0.999
"""Share of a camera's axis that lies along an axis of the patient, where it looks along one."""

PICTURES_OF_BONES: Final = 6
"""Pictures of single bones where several are shown together: more bones, fewer pictures of each, at least one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NovelView:
    """A finished picture.

    Attributes:
        name: File-name friendly, unique within the study.
        title: What a person calls it.
        picture: (H, W, 3) uint8 RGB.
        side: That all bones in it share; None where there is none.
        is_key: Whether the PACS gets it too.
    """

    name: str
    title: str
    picture: Picture
    side: Side | None = None
    is_key: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Bones in one frame, ready to be looked at.

    Attributes:
        number: Of the frame in the study, from 1.
        surfaces: The bones.
        body: The same, prepared for rendering.
        scale_known: Whether their lengths are mm.
    """

    number: int
    surfaces: tuple[BoneSurface, ...]
    body: Body
    scale_known: bool

    @property
    def together(self) -> bool:
        """Whether there are several."""
        return len(self.surfaces) > 1

    @property
    def side(self) -> Side | None:
        """The side that all share, those without side apart; None where there is none."""
        sides = {surface.side for surface in self.surfaces} - {None}
        return sides.pop() if len(sides) == 1 else None

    @property
    def title(self) -> str:
        """`Right femur`, `All bones`."""
        return "All bones" if self.together else self.surfaces[0].title

    @property
    def heading(self) -> str:
        """The same with the side: `Right femur`, `All bones (right)`."""
        return f"{self.title} ({SIDE_WORDS[self.side]})" if self.together and self.side else self.title

    @property
    def name(self) -> str:
        """`femur_R`, `scene`, `scene_2`."""
        if not self.together:
            return self.surfaces[0].name
        return "scene" if self.number == 1 else f"scene_{self.number}"

    @property
    def partly_inferred(self) -> bool:
        """Whether radiographs show a part and not all."""
        inferred = np.concatenate([surface.inferred for surface in self.surfaces])
        return bool(inferred.any() and not inferred.all())

    def seen(self) -> FloatArray:
        """(N, 3) vertices that a radiograph shows; all where none does."""
        parts = [surface.vertices[~surface.inferred] for surface in self.surfaces]
        return np.concatenate(parts) if any(map(len, parts)) else self.body.outer


def shown(surfaces: Sequence[BoneSurface], *, scale_known: bool, number: int = 1) -> Shown:
    """Prepare bones for being looked at: alone in ivory, several each in its colour; cool where inferred.

    Args:
        surfaces: The bones, in one frame.
        scale_known: Whether their lengths are mm.
        number: Of the frame in the study, from 1.
    """
    colours = np.concatenate([bone_colours(s) for s in surfaces]) if len(surfaces) > 1 else None
    body = prepare(*surfaces, colours=colours)
    return Shown(number=number, surfaces=tuple(surfaces), body=body, scale_known=scale_known)


def novel_views(bones: Shown) -> Iterator[NovelView]:
    """All renderings: of the scene, drawn as radiographs, and of each bone where there are several."""
    yield from _lit(bones)
    yield from _drawn_as_radiographs(bones)
    if bones.together:
        count = max(PICTURES_OF_BONES // len(bones.surfaces), 1)
        for surface in bones.surfaces:
            yield from _alone(surface, bones.scale_known, count=count)


def _lit(bones: Shown) -> Iterator[NovelView]:
    """Standard views; of several bones what was seen fills the picture, of a single one a close-up shows it."""
    cameras = standard_cameras(bones.side)
    pixels = SCENE_PIXELS if bones.together else LONE_PIXELS
    around = bones.seen() if bones.together else None
    for view in cameras:
        rendering = render_shaded(bones.body, view, longest_side=pixels, around=around)
        size = size_words(bones.seen(), view) if bones.scale_known else ""
        yield replace(_labelled(bones, view.name, view.name, rendering, size=size), is_key=True)
    if bones.partly_inferred and bones.together:
        rendering = render_shaded(bones.body, cameras[0], longest_side=pixels)
        yield _labelled(bones, "whole", "with all that is inferred", rendering)
    elif bones.partly_inferred:
        rendering = render_shaded(bones.body, cameras[-1], around=bones.seen())
        yield _labelled(bones, "close-up", "the part that was seen", rendering)


def _drawn_as_radiographs(bones: Shown) -> Iterator[NovelView]:
    towards_lateral = 1 if bones.side is Side.LEFT else -1
    angles = DRAWN_ANGLES_TOGETHER_DEG if bones.together else DRAWN_ANGLES_DEG
    views = [_drawn_from(angle, towards_lateral) for angle in angles]
    around = bones.seen() if bones.together else None
    drawings = draw_radiographs(bones.surfaces, views, around=around)
    for angle, view, drawn in zip(angles, views, drawings, strict=True):
        yield _labelled(bones, f"radiographic_{angle:03d}", view.name, drawn, coloured=False)


def _drawn_from(angle: int, towards_lateral: int) -> Camera:
    return camera(f"drawn as a radiograph, {angle}°", azimuth_deg=towards_lateral * angle)


def _alone(surface: BoneSurface, scale_known: bool, *, count: int) -> Iterator[NovelView]:
    bone = shown((surface,), scale_known=scale_known)
    for view in standard_cameras(surface.side)[:count]:
        yield _labelled(bone, view.name, view.name, render_shaded(bone.body, view, longest_side=OF_SCENE_PIXELS))


def size_words(points: FloatArray, view: Camera) -> str:
    """How large points (N, 3) in mm are in a picture; empty where they are seen at a slant."""
    if min(np.abs(view.right).max(), np.abs(view.up).max()) < STRAIGHT:
        return ""
    width, height = (np.ptp(points @ axis) for axis in (view.right, view.up))
    return f"seen part {width:.0f} mm across, {height:.0f} mm high"


def _labelled(
    bones: Shown, name: str, words: str, rendering: Rendering, *, coloured: bool = True, size: str = ""
) -> NovelView:
    """The rendering with its words, its size and scale, and what its colours mean."""
    said = Line(text=", ".join(filter(None, (words, size))), colour=QUIET)
    header, footer = bands_of(bones, rendering, said, legend=_legend(bones) if coloured else ())
    picture = framed(header, rendering.pixels, footer)
    file_name = f"{bones.name}_{name.replace(' ', '-')}"
    return NovelView(name=file_name, title=f"{bones.title}, {words}", picture=picture, side=bones.side)


def bands_of(bones: Shown, rendering: Rendering, *said: Line, legend: Sequence[Line] = ()) -> tuple[Picture, Picture]:
    """What stands above and below a rendering, so that no word covers a bone.

    Args:
        bones: What it shows.
        rendering: The picture without words.
        said: Below the title.
        legend: What its colours mean.
    """
    width = rendering.pixels.shape[1]
    warning = () if bones.scale_known else (Line(text=SHAPE_ONLY_WORDS, colour=WARNING),)
    scale = (scale_block(width, rendering.mm_per_pixel),) if bones.scale_known else ()
    header = band(width, Line(text=bones.heading, size=1.25), *said, *warning)
    return header, band(width, *legend, Line(text=DISCLAIMER, colour=QUIET), right=scale)


def _legend(bones: Shown) -> list[Line]:
    kinds = dict.fromkeys(surface.bone for surface in bones.surfaces) if bones.together else {}
    lines = [Line(text=bone.words, colour=BONE_COLOURS[bone]) for bone in kinds]
    inferred = any(surface.inferred.any() for surface in bones.surfaces)
    return [*lines, *([Line(text="blue: inferred, not seen", colour=QUIET)] if inferred else [])]

"""Depth maps of the reconstruction as each radiograph's rays meet it, drawn with their legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.projector import DepthMaps, depth_maps, resampled
from pipeline.stages.bands import band, framed, legend_block
from pipeline.stages.lettering import WARNING, Line, Picture
from pipeline.surface import BoneSurface

LONGEST_PIXELS: Final = 800
"""Of the maps: finer than the surface's own triangles."""

NARROWEST_PIXELS: Final = 640


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewDepth:
    """The depth maps of one view.

    Attributes:
        geometry: Of the maps: the radiograph's own, with larger pixels.
        maps: See `pipeline.projector.DepthMaps`.
    """

    geometry: ProjectionGeometry
    maps: DepthMaps


def view_depth(shown: Sequence[tuple[BoneSurface, ProjectionGeometry]]) -> ViewDepth:
    """Cast a radiograph's rays at the bones that it shows.

    Args:
        shown: Each bone, and how the radiograph was taken in that bone's frame: between two radiographs a knee may have
            bent, so that the frames differ. The apparatus is the same.
    """
    apparatus = shown[0][1]
    coarse = resampled(apparatus, longest=min(LONGEST_PIXELS, max(apparatus.rows, apparatus.columns)))
    starts = np.cumsum([0, *(len(surface.vertices) for surface, _ in shown[:-1])]).tolist()
    vertices = [_as_exposed(surface.vertices, geometry, apparatus) for surface, geometry in shown]
    triangles = [surface.triangles + start for (surface, _), start in zip(shown, starts, strict=True)]
    maps = depth_maps(np.concatenate(vertices), np.concatenate(triangles).astype(np.int32), coarse)
    return ViewDepth(geometry=coarse, maps=maps)


def _as_exposed(vertices: FloatArray, geometry: ProjectionGeometry, apparatus: ProjectionGeometry) -> FloatArray:
    """Vertices (V, 3) of one frame in another one, in which the same focal spot and detector stand elsewhere."""
    here, there = (np.stack([g.column_direction, g.row_direction, g.normal]) for g in (geometry, apparatus))
    return np.asarray((vertices - geometry.source) @ here.T @ there + apparatus.source)


def depth_pictures(depth: ViewDepth, *, title: str, unit: str, note: str) -> dict[str, Picture]:
    """Front, back and thickness as pictures (H, W, 3) by name, near and thick being bright.

    Args:
        depth: From `view_depth`.
        title: Which bones in which view.
        unit: Unit of the maps, empty where they have none.
        note: A warning below the picture; may be empty.
    """
    maps = depth.maps
    thickness = np.where(maps.thickness > 0, maps.thickness, np.nan)
    return {
        "front": _drawn(maps.front, "front, from the focal spot", cv2.COLORMAP_VIRIDIS, title, unit, note, near=True),
        "back": _drawn(maps.back, "back, from the focal spot", cv2.COLORMAP_VIRIDIS, title, unit, note, near=True),
        "thickness": _drawn(thickness, "thickness of bone", cv2.COLORMAP_INFERNO, title, unit, note, near=False),
    }


def _drawn(
    values: npt.NDArray[np.float32], what: str, colour_map: int, title: str, unit: str, note: str, *, near: bool
) -> Picture:
    met = np.isfinite(values)
    low, high = (float(values[met].min()), float(values[met].max())) if met.any() else (0.0, 1.0)
    levels = np.arange(30, 256, dtype=np.uint8)[:, None]
    strip = np.asarray(cv2.applyColorMap(levels, colour_map)[:, 0, ::-1], dtype=np.uint8)
    place = (np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-6)
    index = np.round((1 - place if near else place) * (len(strip) - 1)).astype(int)
    picture = np.where(met[..., None], strip[index], 0).astype(np.uint8)
    width = max(picture.shape[1], NARROWEST_PIXELS)
    colours = strip[::-1] if near else strip
    legend = legend_block(
        width,
        colours,
        low=f"{low:.0f} {unit}",
        high=f"{high:.0f} {unit}",
        title="near to far" if near else "thin to thick",
    )
    header = band(width, Line(text=title, size=1.2), *([Line(text=note, colour=WARNING)] if note else []))
    return framed(header, picture, band(width, Line(text=what.capitalize()), right=(legend,)))

"""Pictures of the reconstructed bone from any side, as a photographer would light it.

Rays are cast with Open3D's RaycastingScene: no GPU, no display. Cameras are orthographic, so that a scale bar holds
everywhere. Shading is smooth: a refined mesh is lit at its vertices, hollows darkened by ambient occlusion per vertex
(Zhukov 1998), and pixels at edges are the mean of several rays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import open3d as o3d

from pipeline.geometry import FloatArray
from pipeline.projector import vertex_normals
from pipeline.stages.camera import Camera, Frame, frame_around, reach
from pipeline.stages.palette import linear, plain_colours, srgb
from pipeline.stages.subdivision import Refinement, loop_refinement
from pipeline.surface import BoneSurface

Picture = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

OVERSAMPLING: Final = 3
"""Rays along either side of a pixel at the edge of a surface; inside one is enough, for shading is smooth there."""

EDGE_PIXELS: Final = 4.0
"""A step in depth of so many pixels is an edge."""

OCCLUSION_RAYS: Final = 48
OCCLUSION_REACH_MM: Final = 60.0
"""Hollows narrower than this are darkened."""

LIGHTS: Final = (
    ((-0.75, 0.60, 0.45), 1.10),
    ((0.85, 0.05, 0.35), 0.16),
    ((0.20, -0.90, 0.25), 0.06),
)
"""Key, fill and bounce: direction towards the light (right, up, towards the viewer) and strength."""

AMBIENT: Final = 0.08
RIM: Final = 0.14
SPECULAR: Final = 0.07

BACKGROUND_TOP: Final = (0.014, 0.017, 0.022)
BACKGROUND_BOTTOM: Final = (0.003, 0.0035, 0.005)
"""Linear: the near black of a reading room, a little lighter above."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """Surfaces prepared for rendering: refined, with what does not depend on the camera.

    Attributes:
        outer: (V, 3) mm LPS, the vertices as they were.
        refinement: From the vertices as they were to those that are drawn.
        vertices: (W, 3) mm LPS, refined.
        normals: (W, 3) outward.
        openness: (W,) share of the sky that a vertex sees, 0 to 1.
        colours: (W, 3) linear red, green, blue.
        scene: The refined mesh in Open3D's terms.
        reach: mm from any of its points to the nearest vertex, at most.
    """

    outer: FloatArray
    refinement: Refinement
    vertices: FloatArray
    normals: FloatArray
    openness: FloatArray
    colours: FloatArray
    scene: o3d.t.geometry.RaycastingScene
    reach: float

    def painted(self, colours: Picture) -> Body:
        """The same in other colours.

        Args:
            colours: (V, 3) uint8 sRGB, of the surfaces' vertices one after another.
        """
        return replace(self, colours=np.clip(self.refinement.refined(linear(colours)), 0, 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendering:
    """A picture and how large its pixels are.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB. Read-only.
        mm_per_pixel: Size of a pixel (units of the assumed scale where the scale is not known).
    """

    pixels: Picture
    mm_per_pixel: float


def prepare(*surfaces: BoneSurface, colours: Picture | None = None) -> Body:
    """Refine surfaces once by Loop's scheme and work out how they shade themselves and each other.

    Args:
        surfaces: Bones in one frame, at least one.
        colours: (V, 3) uint8 sRGB of their vertices one after another; by default ivory, and cool where inferred.
    """
    outer, faces = merged(surfaces)
    painted = np.concatenate([plain_colours(surface) for surface in surfaces]) if colours is None else colours
    refinement = loop_refinement(faces, len(outer))
    vertices = refinement.refined(outer)
    normals = vertex_normals(vertices, refinement.triangles)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    scene = ray_scene(vertices, refinement.triangles)
    openness = _openness(scene, vertices[: len(outer)], normals[: len(outer)])
    return Body(
        outer=outer,
        refinement=refinement,
        vertices=vertices,
        normals=normals,
        openness=refinement.refined(openness),
        colours=np.clip(refinement.refined(linear(painted)), 0, 1),
        scene=scene,
        reach=reach(vertices, refinement.triangles),
    )


def render_shaded(body: Body, view: Camera, *, longest_side: int = 1000, around: FloatArray | None = None) -> Rendering:
    """A lit picture of the bones.

    Args:
        body: From `prepare`.
        view: Where from.
        longest_side: Of the picture, pixels.
        around: (N, 3) what the picture shall show; by default everything.
    """
    frame = frame_around(body.vertices if around is None else around, view, longest_side=longest_side)
    lit = _lit(body, view)
    row, column = np.nonzero(frame.near(body.vertices, within_mm=body.reach))
    colours, reached = _cast(body, lit, frame.rays(row, column))
    background = _background((frame.rows, frame.columns))
    picture, depth = background.copy(), np.full(background.shape[:2], np.inf, dtype=np.float32)
    depth[row, column] = reached
    struck = np.isfinite(reached)
    picture[row[struck], column[struck]] = colours[struck]
    row, column = np.nonzero(_edges(depth, least=EDGE_PIXELS * frame.mm_per_pixel))
    picture[row, column] = _blended(body, lit, frame, row, column, background[row, column])
    return Rendering(pixels=_encoded(picture), mm_per_pixel=frame.mm_per_pixel)


def _cast(body: Body, lit: FloatImage, rays: npt.NDArray[np.float32]) -> tuple[FloatImage, FloatImage]:
    """What rays (n, 6) meet.

    Returns:
        (n, 3) linear colours, black where nothing is met; (n,) mm along the ray, infinite where nothing is met.
    """
    hits = body.scene.cast_rays(o3d.core.Tensor.from_numpy(rays))
    reached = hits["t_hit"].numpy()
    struck = np.isfinite(reached)
    corners = body.refinement.triangles[hits["primitive_ids"].numpy()[struck]]
    colours = np.zeros((len(reached), 3), dtype=np.float32)
    colours[struck] = _between(lit, corners, hits["primitive_uvs"].numpy()[struck])
    return colours, reached


def _edges(depth: FloatImage, *, least: float) -> npt.NDArray[np.bool_]:
    """(rows, columns) where one surface ends before another or before nothing, either side of it.

    Args:
        depth: (rows, columns) mm, infinite where there is nothing.
        least: Step in depth that is an edge, mm.
    """
    edges = np.zeros(depth.shape, dtype=np.bool_)
    solid = np.where(np.isfinite(depth), depth, np.float32(1e6))
    for axis in (0, 1):
        step = abs(np.diff(solid, axis=axis)) > least
        one, other = ([(0, 1), (0, 0)], [(1, 0), (0, 0)]) if axis == 0 else ([(0, 0), (0, 1)], [(0, 0), (1, 0)])
        edges |= np.pad(step, one) | np.pad(step, other)
    return edges


def _blended(
    body: Body,
    lit: FloatImage,
    frame: Frame,
    row: npt.NDArray[np.intp],
    column: npt.NDArray[np.intp],
    behind: FloatImage,
) -> FloatImage:
    """(n, 3) linear colours of the pixels in these rows and columns (n,): the mean of several rays through each.

    `behind` (n, 3) is what a ray sees that meets nothing.
    """
    within = np.indices((OVERSAMPLING, OVERSAMPLING)).reshape(2, -1)
    rows, columns = (
        (OVERSAMPLING * of_pixel[:, None] + step).ravel() for of_pixel, step in zip((row, column), within, strict=True)
    )
    colours, reached = _cast(body, lit, frame.finer(OVERSAMPLING).rays(rows, columns))
    missed = ~np.isfinite(reached)
    colours[missed] = np.repeat(behind, OVERSAMPLING**2, axis=0)[missed]
    return np.asarray(colours.reshape(len(row), -1, 3).mean(axis=1))


def _openness(scene: o3d.t.geometry.RaycastingScene, vertices: FloatArray, normals: FloatArray) -> FloatArray:
    """Cosine-weighted share of the hemisphere over every vertex that nothing near covers."""
    directions = _hemisphere(OCCLUSION_RAYS)
    tangent = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    basis = np.stack([tangent, np.cross(normals, tangent), normals], axis=1)
    world = np.einsum("rk,vkd->vrd", directions, basis)
    starts = np.broadcast_to((vertices + 0.3 * normals)[:, None, :], world.shape)
    rays = np.concatenate([starts, world], axis=2).astype(np.float32)
    covered = scene.test_occlusions(o3d.core.Tensor.from_numpy(rays), 0.0, OCCLUSION_REACH_MM).numpy()
    return np.asarray(1.0 - covered.mean(axis=1))


def _hemisphere(count: int) -> FloatArray:
    """(count, 3) directions around +z, cosine-weighted, evenly spread on a golden spiral."""
    number = np.arange(count) + 0.5
    radius, angle = np.sqrt(number / count), number * math.pi * (3 - math.sqrt(5))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.sqrt(1 - radius**2)], axis=1)


def _lit(body: Body, view: Camera) -> FloatImage:
    """(W, 3) linear colour of the refined vertices: they lie closer than highlights are wide, pixels are more."""
    normals = (body.normals @ view.axes().T).astype(np.float32)
    openness, colours = body.openness.astype(np.float32), body.colours.astype(np.float32)
    light, gloss = AMBIENT * openness, np.zeros(len(normals), dtype=np.float32)
    covered = 0.35 + 0.65 * openness
    for towards, strength in LIGHTS:
        direction = np.array(towards, dtype=np.float32) / np.linalg.norm(towards).astype(np.float32)
        wrapped = np.clip((normals @ direction + 0.2) / 1.2, 0, 1) ** 1.3  # light wraps a little round porous bone
        light += strength * wrapped * covered
        half = direction + np.array([0, 0, 1], dtype=np.float32)
        gloss += strength * _highlight(np.clip(normals @ (half / np.linalg.norm(half)), 0, 1))
    edge = 1 - np.clip(normals[:, 2], 0, 1)
    light += RIM * edge * edge * edge * openness
    return np.asarray(colours * light[:, None] + (SPECULAR * gloss * openness)[:, None], dtype=np.float32)


def _highlight(cosine: FloatImage) -> FloatImage:
    """The 28th power (Blinn and Phong's shininess), by squaring: a general power takes ten times longer."""
    fourth = np.square(np.square(cosine))
    eighth = np.square(fourth)
    return np.asarray(np.square(eighth) * eighth * fourth)


def _between(values: FloatImage, corners: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]) -> FloatImage:
    """(n, C) values (W, C) of vertices in between, by barycentric coordinates (n, 2) of the second and third corner."""
    shares = (1 - weights.sum(axis=1), weights[:, 0], weights[:, 1])
    result = np.zeros((len(corners), values.shape[1]), dtype=np.float32)
    for corner, share in zip(corners.T, shares, strict=True):
        part = values.take(corner, axis=0)
        part *= share[:, None]
        result += part
    return result


def _background(shape: tuple[int, int]) -> FloatImage:
    """Dark, a little lighter above."""
    height = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    ramp = (1 - height) * np.array(BACKGROUND_TOP, dtype=np.float32) + height * np.array(
        BACKGROUND_BOTTOM, dtype=np.float32
    )
    return np.repeat(ramp[:, None, :], shape[1], axis=1)


def _encoded(light: npt.NDArray[Any]) -> Picture:
    """Linear light as 8-bit sRGB, highlights rolled off."""
    picture = srgb(np.where(light > 0.7, 0.7 + 0.3 * np.tanh((light - 0.7) / 0.3), light))
    picture.flags.writeable = False
    return picture


def merged(surfaces: Sequence[BoneSurface]) -> tuple[FloatArray, npt.NDArray[np.int32]]:
    """Vertices (V, 3) and triangles (T, 3) of several surfaces as one mesh of several pieces."""
    starts = np.cumsum([0, *(len(surface.vertices) for surface in surfaces[:-1])])
    triangles = [surface.triangles + int(start) for surface, start in zip(surfaces, starts, strict=True)]
    vertices = np.concatenate([surface.vertices for surface in surfaces])
    return vertices, np.concatenate(triangles).astype(np.int32)


def ray_scene(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> o3d.t.geometry.RaycastingScene:
    """A mesh in the terms of Open3D's ray caster."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(vertices.astype(np.float32)), o3d.core.Tensor.from_numpy(triangles.astype(np.uint32))
    )
    return scene

"""Pictures of the reconstructed bone from any side, as a photographer would light it.

Rays are cast with Open3D's RaycastingScene: no GPU, no display. Cameras are orthographic, so that a scale bar holds
everywhere. Shading is smooth: vertex normals are interpolated, hollows darkened by ambient occlusion per vertex
(Zhukov 1998), and every pixel is the mean of several rays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d

from pipeline.geometry import FloatArray
from pipeline.stages.camera import Camera, frame_around
from pipeline.stages.palette import linear, plain_colours, srgb
from pipeline.surface import BoneSurface

Picture = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

OVERSAMPLING: Final = 2
"""Rays per pixel along each axis."""

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
SHININESS: Final = 28.0

BACKGROUND_TOP: Final = (0.014, 0.017, 0.022)
BACKGROUND_BOTTOM: Final = (0.003, 0.0035, 0.005)
"""Linear: the near black of a reading room, a little lighter above."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A surface prepared for rendering: refined, with what does not depend on the camera.

    Attributes:
        surface: As it was.
        vertices: (V, 3) mm LPS.
        triangles: (T, 3).
        normals: (V, 3) outward.
        openness: (V,) share of the sky that a vertex sees, 0 to 1.
        colours: (V, 3) linear red, green, blue.
        scene: The same mesh in Open3D's terms.
    """

    surface: BoneSurface
    vertices: FloatArray
    triangles: npt.NDArray[np.int32]
    normals: FloatArray
    openness: FloatArray
    colours: FloatArray
    scene: o3d.t.geometry.RaycastingScene


@dataclass(frozen=True, kw_only=True, eq=False)
class Rendering:
    """A picture and how large its pixels are.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB. Read-only.
        mm_per_pixel: Size of a pixel (units of the assumed scale where the scale is not known).
    """

    pixels: Picture
    mm_per_pixel: float


def prepare(surface: BoneSurface, *, colours: Picture | None = None) -> Body:
    """Refine a surface once by Loop's scheme and work out its occlusion.

    Args:
        surface: The bone.
        colours: (V, 3) uint8 sRGB per vertex; by default ivory, and cool where inferred.
    """
    painted = linear(plain_colours(surface) if colours is None else colours)
    coarse = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(np.array(surface.vertices)), o3d.utility.Vector3iVector(np.array(surface.triangles))
    )
    coarse.vertex_colors = o3d.utility.Vector3dVector(painted)
    fine = coarse.subdivide_loop(number_of_iterations=1)
    fine.compute_vertex_normals()
    vertices, triangles = np.asarray(fine.vertices), np.asarray(fine.triangles, dtype=np.int32)
    normals = np.asarray(fine.vertex_normals)
    scene = ray_scene(vertices, triangles)
    return Body(
        surface=surface,
        vertices=vertices,
        triangles=triangles,
        normals=normals,
        openness=_openness(scene, vertices, normals),
        colours=np.clip(np.asarray(fine.vertex_colors), 0, 1),
        scene=scene,
    )


def render_shaded(body: Body, view: Camera, *, longest_side: int = 1000, around: FloatArray | None = None) -> Rendering:
    """A lit picture of the bone.

    Args:
        body: From `prepare`.
        view: Where from.
        longest_side: Of the picture, pixels.
        around: (N, 3) what the picture shall show; by default the whole bone.
    """
    frame = frame_around(body.vertices if around is None else around, view, longest_side=longest_side)
    fine = frame.finer(OVERSAMPLING)
    near = fine.covered(body.surface.vertices, body.surface.triangles)
    hits = body.scene.cast_rays(o3d.core.Tensor.from_numpy(fine.rays(near)))
    struck = np.isfinite(hits["t_hit"].numpy())
    corners = body.triangles[hits["primitive_ids"].numpy()[struck]]
    colour = _background(near.shape)
    near[near] = struck
    colour[near] = _shade(body, view, corners, hits["primitive_uvs"].numpy()[struck])
    picture = cv2.resize(colour, (frame.columns, frame.rows), interpolation=cv2.INTER_AREA)
    return Rendering(pixels=_encoded(picture), mm_per_pixel=frame.mm_per_pixel)


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


def _shade(body: Body, view: Camera, corners: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]) -> FloatImage:
    """(n, 3) linear colour of struck points, from their triangles' corners and barycentric coordinates."""
    u, v = weights[:, :1], weights[:, 1:]
    w = 1 - u - v

    def blend(values: FloatArray) -> FloatImage:
        first, second, third = (values.astype(np.float32)[corners[:, k]] for k in range(3))
        return np.asarray(first * w + second * u + third * v)

    normals = blend(body.normals @ view.axes().T)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    openness = blend(body.openness[:, None])
    light = AMBIENT * openness
    gloss = np.zeros_like(light)
    for towards, strength in LIGHTS:
        direction = np.array(towards, dtype=np.float32) / np.linalg.norm(towards).astype(np.float32)
        facing = normals @ direction
        wrapped = np.clip((facing + 0.2) / 1.2, 0, 1) ** 1.3  # light wraps a little round porous bone
        light += (strength * wrapped * (0.35 + 0.65 * openness[:, 0]))[:, None]
        half = direction + np.array([0, 0, 1], dtype=np.float32)
        gloss += (strength * np.clip(normals @ (half / np.linalg.norm(half)), 0, 1) ** SHININESS)[:, None]
    rim = RIM * (1 - np.clip(normals[:, 2:], 0, 1)) ** 3 * openness
    return np.asarray(blend(body.colours) * (light + rim) + SPECULAR * gloss * openness, dtype=np.float32)


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


def ray_scene(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> o3d.t.geometry.RaycastingScene:
    """A mesh in the terms of Open3D's ray caster."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(vertices.astype(np.float32)), o3d.core.Tensor.from_numpy(triangles.astype(np.uint32))
    )
    return scene

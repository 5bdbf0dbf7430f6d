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

from pipeline.geometry import FloatArray, read_only
from pipeline.radiograph import Side
from pipeline.stages.palette import linear, plain_colours, srgb
from pipeline.surface import BoneSurface

Picture = npt.NDArray[np.uint8]
FloatImage = npt.NDArray[np.float32]

OVERSAMPLING: Final = 2
"""Rays per pixel along each axis."""

MARGIN_SHARE: Final = 0.04
HEADER_SHARE: Final = 0.07
FOOTER_SHARE: Final = 0.045
"""Empty borders around the bone and room for lettering, shares of the bone's longest side."""

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
class Camera:
    """An orthographic camera.

    Attributes:
        name: What a person calls the view ("anterior").
        towards: (3,) unit vector along which the camera looks, LPS.
        up: (3,) unit vector that is up in the picture, LPS; square to `towards`.
    """

    name: str
    towards: FloatArray
    up: FloatArray

    def __post_init__(self) -> None:
        for field in ("towards", "up"):
            object.__setattr__(self, field, read_only(getattr(self, field), shape=(3,)))

    @property
    def right(self) -> FloatArray:
        """(3,) unit vector to the right in the picture, LPS."""
        return np.cross(self.towards, self.up)

    def axes(self) -> FloatArray:
        """(3, 3) rows: right, up, towards the viewer."""
        return np.stack([self.right, self.up, -self.towards])


def camera(name: str, *, azimuth_deg: float, elevation_deg: float = 0.0) -> Camera:
    """A camera that looks at an upright patient.

    Args:
        name: Of the view.
        azimuth_deg: Where the viewer stands: 0 in front, 90 at the patient's left, 180 behind, -90 at the right.
        elevation_deg: How far above the horizontal the viewer stands.
    """
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    sideways, forward = math.sin(azimuth), -math.cos(azimuth)
    position = np.array(
        [sideways * math.cos(elevation), forward * math.cos(elevation), math.sin(elevation)], dtype=np.float64
    )
    up = np.array([-sideways * math.sin(elevation), -forward * math.sin(elevation), math.cos(elevation)])
    return Camera(name=name, towards=-position, up=up)


def standard_cameras(side: Side) -> tuple[Camera, ...]:
    """Anterior, lateral, posterior, medial and an anterolateral three-quarter view of a bone of that side."""
    lateral = 90.0 if side is Side.LEFT else -90.0
    return (
        camera("anterior", azimuth_deg=0),
        camera("lateral", azimuth_deg=lateral),
        camera("posterior", azimuth_deg=180),
        camera("medial", azimuth_deg=-lateral),
        camera("three-quarter", azimuth_deg=lateral * 0.45, elevation_deg=18),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Body:
    """A surface prepared for rendering: refined, with what does not depend on the camera.

    Attributes:
        vertices: (V, 3) mm LPS.
        triangles: (T, 3).
        normals: (V, 3) outward.
        openness: (V,) share of the sky that a vertex sees, 0 to 1.
        colours: (V, 3) linear red, green, blue.
        scene: The same mesh in Open3D's terms.
    """

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
    scene = _scene(vertices, triangles)
    return Body(
        vertices=vertices,
        triangles=triangles,
        normals=normals,
        openness=_openness(scene, vertices, normals),
        colours=np.clip(np.asarray(fine.vertex_colors), 0, 1),
        scene=scene,
    )


def render_shaded(body: Body, view: Camera, *, longest_side: int = 1000) -> Rendering:
    """A lit picture of the bone.

    Args:
        body: From `prepare`.
        view: Where from.
        longest_side: Of the picture, pixels.
    """
    frame = _frame(body.vertices, view, longest_side)
    rays = frame.rays(OVERSAMPLING)
    hits = body.scene.cast_rays(o3d.core.Tensor.from_numpy(rays.reshape(-1, 6)))
    distance = hits["t_hit"].numpy()
    struck = np.isfinite(distance)
    colour = _background(rays.shape[:2]).reshape(-1, 3)
    corners = body.triangles[hits["primitive_ids"].numpy()[struck]]
    colour[struck] = _shade(body, view, corners, hits["primitive_uvs"].numpy()[struck])
    picture = cv2.resize(colour.reshape(*rays.shape[:2], 3), (frame.columns, frame.rows), interpolation=cv2.INTER_AREA)
    return Rendering(pixels=_encoded(picture), mm_per_pixel=frame.mm_per_pixel)


def render_radiographic(surface: BoneSurface, view: Camera, *, longest_side: int = 640) -> Rendering:
    """What a radiograph of the reconstructed bone alone would look like from there: a drawing, not a measurement.

    The outside is the reconstruction; the marrow cavity is drawn from a typical cortex (see `_cortex`).

    Args:
        surface: The bone.
        view: Where the detector's rays run from; they are parallel.
        longest_side: Of the picture, pixels.
    """
    frame = _frame(surface.vertices, view, longest_side)
    rays = frame.rays(1)
    outer, inner = (_path_lengths(v, surface.triangles, rays) for v in (surface.vertices, _cortex(surface)))
    absorbed = CORTICAL_PER_MM * (outer - inner).clip(0) + TRABECULAR_PER_MM * inner
    softened = cv2.GaussianBlur(absorbed.astype(np.float32), (0, 0), 0.7)
    grey = (1 - np.exp(-softened)) ** 0.85
    picture = np.round(255 * (0.03 + 0.94 * grey)).astype(np.uint8)
    return Rendering(pixels=np.repeat(picture[..., None], 3, axis=2), mm_per_pixel=frame.mm_per_pixel)


CORTICAL_PER_MM: Final = 0.060
TRABECULAR_PER_MM: Final = 0.014
"""Absorption of a drawn radiograph, chosen to look like a film at 75 kV."""

SHAFT_CORTEX_MM: Final = 6.0
END_CORTEX_MM: Final = 1.3
"""Typical compact bone in the middle of a femur's shaft and over its ends (Treece 2010)."""

THICKEST_SHARE: Final = 0.3
"""Of the bone's local width, so that a marrow cavity remains."""


def _cortex(surface: BoneSurface) -> FloatArray:
    """(V, 3) inner surface of compact bone: vertices moved inwards, far in the shaft, little at the ends."""
    normals, vertices = surface.normals(), surface.vertices
    centred = vertices - vertices.mean(axis=0)
    along = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    from_end = 0.5 - np.abs((along - along.min()) / np.ptp(along) - 0.5)
    thickness = END_CORTEX_MM + (SHAFT_CORTEX_MM - END_CORTEX_MM) * np.clip((from_end - 0.10) / 0.18, 0, 1)
    starts = np.concatenate([vertices - 0.2 * normals, -normals], axis=1).astype(np.float32)
    width = _scene(vertices, surface.triangles).cast_rays(o3d.core.Tensor.from_numpy(starts))["t_hit"].numpy()
    width = np.where(np.isfinite(width), width, 0.0).astype(np.float64)
    return np.asarray(vertices - normals * np.minimum(thickness, THICKEST_SHARE * width)[:, None])


def _path_lengths(vertices: FloatArray, triangles: npt.NDArray[np.int32], rays: FloatImage) -> FloatArray:
    """(rows, columns) mm that rays (rows, columns, 6) run inside a closed mesh: way out minus way in, added up."""
    hits = _scene(vertices, triangles).list_intersections(o3d.core.Tensor.from_numpy(rays.reshape(-1, 6)))
    ray, distance = hits["ray_ids"].numpy().astype(np.int64), hits["t_hit"].numpy().astype(np.float64)
    corners = vertices[triangles]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    direction = rays.reshape(-1, 6)[ray, 3:]
    leaving = np.sign(np.einsum("ij,ij->i", direction, outward[hits["primitive_ids"].numpy()]))
    lengths = np.bincount(ray, weights=leaving * distance, minlength=rays.shape[0] * rays.shape[1])
    return np.asarray(lengths.clip(0).reshape(rays.shape[:2]))


def _scene(vertices: FloatArray, triangles: npt.NDArray[np.int32]) -> o3d.t.geometry.RaycastingScene:
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(vertices.astype(np.float32)), o3d.core.Tensor.from_numpy(triangles.astype(np.uint32))
    )
    return scene


@dataclass(frozen=True, kw_only=True, eq=False)
class _Frame:
    """The rectangle that a camera sees: its upper left corner in (right, up) mm, and its pixels."""

    view: Camera
    left: float
    top: float
    nearest: float
    mm_per_pixel: float
    rows: int
    columns: int

    def rays(self, oversampling: int) -> FloatImage:
        """(rows, columns, 6) origin and direction of rays, `oversampling` times finer than the pixels."""
        step = self.mm_per_pixel / oversampling
        across = self.left + (np.arange(self.columns * oversampling) + 0.5) * step
        down = self.top - (np.arange(self.rows * oversampling) + 0.5) * step
        right, up, viewer = self.view.axes()
        origins = across[None, :, None] * right + down[:, None, None] * up + (self.nearest + 10.0) * viewer
        directions = np.broadcast_to(self.view.towards, origins.shape)
        return np.concatenate([origins, directions], axis=2).astype(np.float32)


def _frame(vertices: FloatArray, view: Camera, longest_side: int) -> _Frame:
    """A frame around the bone with borders, at least half as wide as high so that lettering has room."""
    seen = vertices @ view.axes().T
    low, high = seen.min(axis=0), seen.max(axis=0)
    longest = max(high[0] - low[0], high[1] - low[1])
    top = high[1] + (MARGIN_SHARE + HEADER_SHARE) * longest
    height = top - low[1] + (MARGIN_SHARE + FOOTER_SHARE) * longest
    width = max(high[0] - low[0] + 2 * MARGIN_SHARE * longest, height / 2)
    step = float(max(width, height) / longest_side)
    return _Frame(
        view=view,
        left=float((low[0] + high[0] - width) / 2),
        top=float(top),
        nearest=float(high[2]),
        mm_per_pixel=step,
        rows=round(height / step),
        columns=round(width / step),
    )


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
        first, second, third = (values[corners[:, k]].astype(np.float32) for k in range(3))
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

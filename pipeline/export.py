"""Reconstructed bones as files: meshes in full and low-poly, points, depth maps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d
from scipy.spatial import cKDTree

from pipeline import mesh_files
from pipeline.geometry import FloatArray
from pipeline.print_pack import print_pack
from pipeline.results import FileKind, ResultFile
from pipeline.stages.palette import uncertainty_colours
from pipeline.surface import BoneSurface
from pipeline.zipped import zipped

LOW_POLY_TRIANGLES: Final = 2000
"""Enough for a surgeon's eye on a telephone."""

CLOUD_POINTS: Final = 20_000
CLOUD_SEED: Final = 20_000

PNG_COMPRESSION: Final = 1
"""Of zlib: higher levels take several times longer for a tenth of the size."""

MEDIA_TYPES: Final = {
    "stl": "model/stl",
    "obj": "model/obj",
    "mtl": "model/mtl",
    "3mf": "model/3mf",
    "ply": "application/octet-stream",
    "glb": "model/gltf-binary",
    "png": "image/png",
    "npz": "application/octet-stream",
}

UNITS: Final = {"stl": "mm", "obj": "mm", "mtl": "colour", "ply": "mm", "glb": "metres", "3mf": "mm"}
"""What a title says of a file's numbers; glTF knows only metres (glTF 2.0, 3.4)."""


def write_meshes(
    surfaces: Sequence[BoneSurface], out: Path, *, scale_known: bool, scene: str = "scene"
) -> tuple[ResultFile, ...]:
    """Write the meshes and points of bones in one frame below `out/meshes`: each alone, and all together as a scene.

    Without a scale the files' names and titles say that their units are not mm, and there is none to print.

    Args:
        surfaces: The bones.
        out: The result folder.
        scale_known: Whether the vertices are mm.
        scene: Name of the file of several bones together.

    Returns:
        The files, paths relative to `out`; the scene first.
    """
    place = _Place(out=out, scale_known=scale_known)
    reduced = [low_poly(surface, triangles=LOW_POLY_TRIANGLES) for surface in surfaces]
    scenes = [place.scene(scene, surfaces, ""), place.scene(scene, reduced, "low-poly")] if len(surfaces) > 1 else []
    written = [place.print_pack(scene if len(surfaces) > 1 else surfaces[0].name, surfaces)] if scale_known else []
    for surface, small in zip(surfaces, reduced, strict=True):
        written += place.meshes(surface, "", FileKind.MESH)
        written += place.meshes(small, "low-poly", FileKind.MESH_LOW_POLY)
        written.append(place.points(surface))
    return (*scenes, *written)


def low_poly(surface: BoneSurface, *, triangles: int) -> BoneSurface:
    """The surface with at most about that many triangles, closed and consistently oriented like the original.

    Quadric error decimation (Garland and Heckbert 1997); deviation and inferred flag come from the nearest vertex.

    Args:
        surface: The bone.
        triangles: How many to aim at; more are kept where fewer would open the surface.
    """
    if len(surface.triangles) <= triangles:
        return surface
    full = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(np.array(surface.vertices)), o3d.utility.Vector3iVector(np.array(surface.triangles))
    )
    reduced = full.simplify_quadric_decimation(triangles)
    reduced.remove_degenerate_triangles()
    reduced.remove_unreferenced_vertices()
    vertices = np.asarray(reduced.vertices)
    nearest = _nearest(surface.vertices, vertices)
    result = BoneSurface(
        bone=surface.bone,
        side=surface.side,
        vertices=vertices,
        triangles=np.asarray(reduced.triangles),
        standard_deviation=surface.standard_deviation[nearest],
        inferred=surface.inferred[nearest],
    )
    return result if result.watertight else low_poly(surface, triangles=triangles + triangles // 4)


def sample_points(
    surface: BoneSurface, *, count: int, seed: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Points spread evenly over the surface.

    Args:
        surface: The bone.
        count: How many.
        seed: Of the random numbers.

    Returns:
        Points (count, 3), their normals (count, 3), and the vertex (count,) nearest in each point's triangle.
    """
    random = np.random.default_rng(seed)
    corners = surface.vertices[surface.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    # Stratified over the running area: even coverage without clumps.
    place = (np.arange(count) + random.random(count)) / count
    triangle = np.searchsorted(np.cumsum(area) / area.sum(), place).clip(max=len(area) - 1)
    first, second = np.sqrt(random.random(count)), random.random(count)
    weights = np.stack([1 - first, first * (1 - second), first * second], axis=1)
    points = np.einsum("nk,nkd->nd", weights, corners[triangle])
    normals = np.einsum("nk,nkd->nd", weights, surface.normals()[surface.triangles[triangle]])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    nearest = surface.triangles[triangle, weights.argmax(axis=1)].astype(np.int64)
    return points, normals, nearest


def png(picture: npt.NDArray[Any]) -> bytes:
    """A picture (H, W) or (H, W, 3) RGB, uint8 or uint16, as PNG."""
    ordered = picture[..., ::-1] if picture.ndim == 3 else picture
    done, data = cv2.imencode(".png", np.ascontiguousarray(ordered), (cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION))
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape} and type {picture.dtype}")
    return bytes(data)


def npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Named arrays as a compressed NumPy archive without the time of day in it."""
    return zipped({f"{name}.npy": _npy(array) for name, array in arrays.items()})


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def write_file(
    out: Path, relative: str, data: bytes, *, kind: FileKind, title: str, radiograph: str | None = None
) -> ResultFile:
    """Write a file of the result folder and say what it is."""
    path = out / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    media_type = MEDIA_TYPES[path.suffix[1:]]
    return ResultFile(path=relative, kind=kind, media_type=media_type, title=title, radiograph=radiograph)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where meshes go, and what their names, titles and headers say of their unit."""

    out: Path
    scale_known: bool

    def scene(self, name: str, surfaces: Sequence[BoneSurface], detail: str) -> ResultFile:
        colours = [uncertainty_colours(surface) for surface in surfaces]
        data = mesh_files.glb(surfaces, colours, header=self._glb_header(name, detail), scale_known=self.scale_known)
        kind = FileKind.SCENE_LOW_POLY if detail else FileKind.SCENE
        return self._write(name, "All bones", data, kind=kind, suffix="glb", detail=detail)

    def meshes(self, surface: BoneSurface, detail: str, kind: FileKind) -> list[ResultFile]:
        header, colours = self._header(surface.name, detail), uncertainty_colours(surface)
        glb_header = self._glb_header(surface.name, detail)
        known, materials = self.scale_known, f"{self._stem(surface.name, detail)}.mtl"
        encoded = {
            "stl": mesh_files.stl(surface, header=f"Bonecraft {header}"),
            "obj": mesh_files.obj(surface, header=f"Bonecraft {header}", materials=materials),
            "mtl": mesh_files.mtl(surface.bone, header=f"Bonecraft {header}"),
            "ply": mesh_files.ply(surface, colours, header=f"Bonecraft {header}", scale_known=known),
            "glb": mesh_files.glb([surface], [colours], header=glb_header, scale_known=known),
        }
        return [
            self._write(surface.name, surface.title, data, kind=kind, suffix=suffix, detail=detail)
            for suffix, data in encoded.items()
        ]

    def print_pack(self, name: str, surfaces: Sequence[BoneSurface]) -> ResultFile:
        title = "All bones" if len(surfaces) > 1 else surfaces[0].title
        data = print_pack(surfaces, title=title)
        return self._write(name, title, data, kind=FileKind.PRINT_PACK, suffix="3mf", detail="print")

    def points(self, surface: BoneSurface) -> ResultFile:
        points, normals, nearest = sample_points(surface, count=CLOUD_POINTS, seed=CLOUD_SEED)
        header = self._header(surface.name, "points")
        data = mesh_files.point_cloud_ply(points, normals, uncertainty_colours(surface)[nearest], header=header)
        kind = FileKind.POINT_CLOUD
        return self._write(surface.name, surface.title, data, kind=kind, suffix="ply", detail="points")

    def _header(self, name: str, detail: str, axes: str = mesh_files.AXES, unit: str = "mm") -> str:
        return " ".join(
            filter(None, (name, detail, axes, unit if self.scale_known else "SHAPE ONLY, units are not mm"))
        )

    def _glb_header(self, name: str, detail: str) -> str:
        return self._header(name, detail, "y up", "metres")

    def _stem(self, name: str, detail: str) -> str:
        return "_".join(filter(None, (name, detail, "" if self.scale_known else "shape-only")))

    def _write(self, name: str, title: str, data: bytes, *, kind: FileKind, suffix: str, detail: str) -> ResultFile:
        unit = UNITS[suffix] if self.scale_known else "shape only, not mm"
        words = ", ".join(filter(None, (title, detail, unit)))
        path = f"meshes/{self._stem(name, detail)}.{suffix}"
        return write_file(self.out, path, data, kind=kind, title=f"{words}, {suffix.upper()}")


def _nearest(points: FloatArray, queries: FloatArray) -> npt.NDArray[np.int64]:
    return np.asarray(cKDTree(points).query(queries)[1], dtype=np.int64)

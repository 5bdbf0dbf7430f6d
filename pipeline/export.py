"""Reconstructed bones as files: meshes in full and low-poly, points, depth maps."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import open3d as o3d
from scipy.spatial import cKDTree

from pipeline import mesh_files
from pipeline.geometry import FloatArray
from pipeline.results import FileKind, ResultFile
from pipeline.stages.palette import plain_colours, uncertainty_colours
from pipeline.surface import BoneSurface

LOW_POLY_TRIANGLES: Final = 2000
"""Enough for a surgeon's eye on a telephone."""

CLOUD_POINTS: Final = 20_000
CLOUD_SEED: Final = 20_000

PNG_COMPRESSION: Final = 1
"""Of zlib: higher levels take several times longer for a tenth of the size."""

MEDIA_TYPES: Final = {
    "stl": "model/stl",
    "obj": "model/obj",
    "ply": "application/octet-stream",
    "glb": "model/gltf-binary",
    "png": "image/png",
    "npz": "application/octet-stream",
}

EARLIEST_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Archives name a time for each member; this one makes equal arrays equal bytes."""


def write_meshes(surface: BoneSurface, out: Path, *, scale_known: bool) -> tuple[ResultFile, ...]:
    """Write a bone's meshes and points below `out/meshes`.

    Without a scale the files' names and titles say that their units are not mm.

    Args:
        surface: The bone.
        out: The result folder.
        scale_known: Whether the vertices are mm.

    Returns:
        The files, paths relative to `out`.
    """
    written = []
    for detail, kind, mesh in (
        ("", FileKind.MESH, surface),
        ("low-poly", FileKind.MESH_LOW_POLY, low_poly(surface, triangles=LOW_POLY_TRIANGLES)),
    ):
        for suffix, data in _encodings(mesh, _header(mesh, detail, scale_known)).items():
            written.append(_write(surface, out, data, kind=kind, suffix=suffix, detail=detail, scale_known=scale_known))
    points, normals, nearest = sample_points(surface, count=CLOUD_POINTS, seed=CLOUD_SEED)
    header = _header(surface, "points", scale_known)
    cloud = mesh_files.point_cloud_ply(points, normals, uncertainty_colours(surface)[nearest], header=header)
    kind = FileKind.POINT_CLOUD
    written.append(_write(surface, out, cloud, kind=kind, suffix="ply", detail="points", scale_known=scale_known))
    return tuple(written)


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
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            information = zipfile.ZipInfo(f"{name}.npy", EARLIEST_ZIP_TIME)
            information.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(information, member.getvalue())
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


def _encodings(mesh: BoneSurface, header: str) -> dict[str, bytes]:
    return {
        "stl": mesh_files.stl(mesh, header=f"Bonecraft {header}"),
        "obj": mesh_files.obj(mesh, header=f"Bonecraft {header}"),
        "ply": mesh_files.ply(mesh, uncertainty_colours(mesh), header=f"Bonecraft {header}"),
        "glb": mesh_files.glb(mesh, plain_colours(mesh), header=header),
    }


def _header(mesh: BoneSurface, detail: str, scale_known: bool) -> str:
    unit = "LPS mm" if scale_known else "SHAPE ONLY, units are not mm"
    return " ".join(filter(None, (mesh.name, detail, unit)))


def _write(
    surface: BoneSurface, out: Path, data: bytes, *, kind: FileKind, suffix: str, detail: str, scale_known: bool
) -> ResultFile:
    shape_only = "" if scale_known else "shape-only"
    name = "_".join(filter(None, (surface.name, detail, shape_only)))
    words = ", ".join(filter(None, (surface.title, detail, "shape only, not mm" if shape_only else "")))
    return write_file(out, f"meshes/{name}.{suffix}", data, kind=kind, title=f"{words}, {suffix.upper()}")


def _nearest(points: FloatArray, queries: FloatArray) -> npt.NDArray[np.int64]:
    return np.asarray(cKDTree(points).query(queries)[1], dtype=np.int64)

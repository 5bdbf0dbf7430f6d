"""Surfaces and points as bytes of STL, OBJ, PLY and GLB: the same surface always gives the same bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.surface import BoneSurface

Colours = npt.NDArray[np.uint8]

FLOAT: Final = np.dtype("<f4")
METRES_PER_MM: Final = 0.001
GLTF_FROM_LPS: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Head up (+y), the front of the body towards the viewer (+z), as glTF 2.0, 3.4 wants it."""

BONE_MATERIAL: Final = {"metallicFactor": 0.0, "roughnessFactor": 0.75}


def stl(surface: BoneSurface, *, header: str) -> bytes:
    """Binary STL; mm, LPS.

    Args:
        surface: The bone.
        header: At most 79 ASCII characters; it must not begin with "solid", which marks text files.
    """
    corners = surface.vertices[surface.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    facet = np.dtype([("normal", FLOAT, 3), ("corners", FLOAT, (3, 3)), ("attributes", "<u2")])
    facets = np.zeros(len(corners), dtype=facet)
    facets["normal"], facets["corners"] = normals, corners
    return header.encode("ascii")[:79].ljust(80) + struct.pack("<I", len(facets)) + facets.tobytes()


def obj(surface: BoneSurface, *, header: str) -> bytes:
    """Wavefront OBJ with normals; mm, LPS.

    Args:
        surface: The bone.
        header: A line of comment.
    """
    lines = [f"# {header}", f"o {surface.name}"]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.vertices.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.normals().tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (surface.triangles + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def ply(surface: BoneSurface, colours: Colours, *, header: str) -> bytes:
    """Binary PLY with normals, colours, the standard deviation and the inferred flag of every vertex; mm, LPS.

    Args:
        surface: The bone.
        colours: (V, 3) uint8.
        header: A line of comment.
    """
    record = np.dtype([*_POINT, ("standard_deviation", FLOAT), ("inferred", "u1")])
    vertices = np.zeros(len(surface.vertices), dtype=record)
    _fill(vertices, surface.vertices, surface.normals(), colours)
    vertices["standard_deviation"], vertices["inferred"] = surface.standard_deviation, surface.inferred
    faces = np.zeros(len(surface.triangles), dtype=np.dtype([("count", "u1"), ("corners", "<i4", 3)]))
    faces["count"], faces["corners"] = 3, surface.triangles
    face_header = f"element face {len(faces)}\nproperty list uchar int vertex_indices\n"
    return _ply_header(vertices, header, face_header) + vertices.tobytes() + faces.tobytes()


def point_cloud_ply(points: FloatArray, normals: FloatArray, colours: Colours, *, header: str) -> bytes:
    """Binary PLY of points with normals and colours; mm, LPS.

    Args:
        points: (N, 3).
        normals: (N, 3).
        colours: (N, 3) uint8.
        header: A line of comment.
    """
    vertices = np.zeros(len(points), dtype=np.dtype(_POINT))
    _fill(vertices, points, normals, colours)
    return _ply_header(vertices, header, "") + vertices.tobytes()


def glb(surface: BoneSurface, colours: Colours, *, header: str) -> bytes:
    """Binary glTF 2.0 with normals and colours; metres, y up.

    Args:
        surface: The bone.
        colours: (V, 3) uint8 sRGB.
        header: Goes to `asset.extras.note`.
    """
    positions = (surface.vertices @ GLTF_FROM_LPS.T * METRES_PER_MM).astype(FLOAT)
    normals = (surface.normals() @ GLTF_FROM_LPS.T).astype(FLOAT)
    linear = np.round(((colours / 255.0) ** 2.2) * 65535).astype("<u2")
    rgba = np.concatenate([linear, np.full((len(linear), 1), 65535, dtype="<u2")], axis=1)
    scalars = [values.astype(FLOAT).tobytes() for values in (surface.standard_deviation, surface.inferred)]
    indices = surface.triangles.astype("<u4").tobytes()
    parts = [positions.tobytes(), normals.tobytes(), rgba.tobytes(), *scalars, indices]
    document = _gltf(surface, positions, [len(part) for part in parts], header)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(parts)
    chunks = _chunk(b"JSON", text) + _chunk(b"BIN\0", binary)
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


_POINT: Final = [
    *((name, FLOAT) for name in ("x", "y", "z", "nx", "ny", "nz")),
    *((name, "u1") for name in ("red", "green", "blue")),
]
_PLY_TYPES: Final = {"<f4": "float", "|u1": "uchar"}


def _fill(vertices: npt.NDArray[Any], points: FloatArray, normals: FloatArray, colours: Colours) -> None:
    for axis, name in enumerate("xyz"):
        vertices[name], vertices[f"n{name}"] = points[:, axis], normals[:, axis]
    for channel, name in enumerate(("red", "green", "blue")):
        vertices[name] = colours[:, channel]


def _ply_header(vertices: npt.NDArray[Any], comment: str, more: str) -> bytes:
    fields: Mapping[str, Any] = vertices.dtype.fields or {}
    properties = "".join(f"property {_PLY_TYPES[kind[0].str]} {name}\n" for name, kind in fields.items())
    start = f"ply\nformat binary_little_endian 1.0\ncomment {comment}\nelement vertex {len(vertices)}\n"
    return f"{start}{properties}{more}end_header\n".encode()


def _gltf(surface: BoneSurface, positions: npt.NDArray[Any], sizes: list[int], note: str) -> dict[str, Any]:
    """The JSON of a glTF file whose one buffer holds these parts, of these sizes.

    Positions, normals, colours, each vertex's standard deviation in mm, whether it is inferred (0 or 1), indices.
    """
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    targets = (34962, 34962, 34962, 34962, 34962, 34963)  # array and element array buffers
    count = len(positions)
    bounds = {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    floats, shorts, integers = 5126, 5123, 5125
    accessors = [
        {"bufferView": 0, "componentType": floats, "count": count, "type": "VEC3", **bounds},
        {"bufferView": 1, "componentType": floats, "count": count, "type": "VEC3"},
        {"bufferView": 2, "componentType": shorts, "normalized": True, "count": count, "type": "VEC4"},
        {"bufferView": 3, "componentType": floats, "count": count, "type": "SCALAR"},
        {"bufferView": 4, "componentType": floats, "count": count, "type": "SCALAR"},
        {"bufferView": 5, "componentType": integers, "count": surface.triangles.size, "type": "SCALAR"},
    ]
    views = [
        {"buffer": 0, "byteOffset": start, "byteLength": size, "target": target}
        for start, size, target in zip(starts, sizes, targets, strict=True)
    ]
    attributes = {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2, "_STANDARD_DEVIATION": 3, "_INFERRED": 4}
    return {
        "asset": {"version": "2.0", "generator": "Bonecraft", "extras": {"note": note}},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": surface.name}],
        "materials": [{"pbrMetallicRoughness": BONE_MATERIAL, "name": "bone"}],
        "meshes": [{"name": surface.name, "primitives": [{"attributes": attributes, "indices": 5, "material": 0}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(sizes)}],
    }


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + kind + data

"""Surfaces and points as bytes of STL, OBJ with MTL, PLY and GLB: the same surface always gives the same bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.stages.palette import BONE_COLOURS
from pipeline.surface import Bone, BoneSurface

Colours = npt.NDArray[np.uint8]

FLOAT: Final = np.dtype("<f4")
AXES: Final = "SPACE=LPS"
"""Said in the headers: 3D Slicer reads it there, and takes files that say nothing for LPS only since 4.11 (2020)."""

METRES_PER_MM: Final = 0.001
GLTF_FROM_LPS: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""Head up (+y), the front of the body towards the viewer (+z), as glTF 2.0, 3.4 wants it."""

BONE_MATERIAL: Final = {"metallicFactor": 0.0, "roughnessFactor": 0.75}
SPECULAR: Final = "KHR_materials_specular"
BONE_SPECULAR: Final = {"specularFactor": 0.4}
"""Bone shines less than plastic, which glTF's own material is like; who does not know the extension shows it so."""

DULL: Final = ("Ks 0.0500 0.0500 0.0500", "Ns 10", "illum 2")
"""The same in a MTL: hardly any highlight, and a wide one."""


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


def obj(surface: BoneSurface, *, header: str, materials: str | None = None) -> bytes:
    """Wavefront OBJ with normals; mm, LPS.

    Args:
        surface: The bone.
        header: A line of comment.
        materials: Name of the file that `mtl` makes, beside this one; None where it stands alone.
    """
    lines = [f"# {header}", *([f"mtllib {materials}"] if materials else []), f"o {surface.name}"]
    lines += [f"usemtl {surface.bone}"] if materials else []
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.vertices.tolist()]
    lines += [f"vn {x:.4f} {y:.4f} {z:.4f}" for x, y, z in surface.normals().tolist()]
    lines += [f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (surface.triangles + 1).tolist()]
    return ("\n".join(lines) + "\n").encode()


def mtl(bone: Bone, *, header: str) -> bytes:
    """The material of a kind of bone, in its colour and as dull as bone is, for `obj`.

    Args:
        bone: Which.
        header: A line of comment.
    """
    red, green, blue = (channel / 255 for channel in BONE_COLOURS[bone])
    lines = [f"# {header}", f"newmtl {bone}", f"Kd {red:.4f} {green:.4f} {blue:.4f}", *DULL]
    return ("\n".join(lines) + "\n").encode()


def ply(surface: BoneSurface, colours: Colours, *, header: str, scale_known: bool) -> bytes:
    """Binary PLY with normals, colours, the standard deviation and the inferred flag of every vertex; mm, LPS.

    Args:
        surface: The bone.
        colours: (V, 3) uint8.
        header: A line of comment.
        scale_known: Whether lengths are mm: the deviation is called `sd_mm`, otherwise `sd`.
    """
    deviation = _deviation_name(scale_known)
    record = np.dtype([*_POINT, (deviation, FLOAT), ("inferred", "u1")])
    vertices = np.zeros(len(surface.vertices), dtype=record)
    _fill(vertices, surface.vertices, surface.normals(), colours)
    vertices[deviation], vertices["inferred"] = surface.standard_deviation, surface.inferred
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


def glb(surfaces: Sequence[BoneSurface], colours: Sequence[Colours], *, header: str, scale_known: bool) -> bytes:
    """Binary glTF 2.0 with a node for each bone, called like the bone; with normals and colours; metres, y up.

    Every vertex carries its standard deviation (`_SD_MM`, in mm; `_SD` in a shape without scale) and whether it is
    inferred (`_INFERRED`, 0 or 1). A node's `extras` say the bone's title and side.

    Args:
        surfaces: The bones, in one frame.
        colours: (V, 3) uint8 sRGB of each.
        header: Goes to `asset.extras.note`.
        scale_known: Whether lengths are mm.
    """
    parts = [part for pair in zip(surfaces, colours, strict=True) for part in _glb_parts(*pair)]
    document = _gltf(surfaces, [len(part) for part in parts], header, _deviation_name(scale_known).upper())
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(parts)
    chunks = _chunk(b"JSON", text) + _chunk(b"BIN\0", binary)
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _deviation_name(scale_known: bool) -> str:
    return "sd_mm" if scale_known else "sd"


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


def _gltf_positions(surface: BoneSurface) -> npt.NDArray[np.float32]:
    return np.asarray(surface.vertices @ GLTF_FROM_LPS.T * METRES_PER_MM, dtype=FLOAT)


def _glb_parts(surface: BoneSurface, colours: Colours) -> tuple[bytes, ...]:
    """What a bone puts into the buffer, in the order of `_LAYOUT`: all parts are multiples of four bytes."""
    normals = (surface.normals() @ GLTF_FROM_LPS.T).astype(FLOAT)
    linear = np.round(((colours / 255.0) ** 2.2) * 65535).astype("<u2")
    rgba = np.concatenate([linear, np.full((len(linear), 1), 65535, dtype="<u2")], axis=1)
    arrays = (
        *(_gltf_positions(surface), normals, rgba),
        *(surface.standard_deviation.astype(FLOAT), surface.inferred.astype(FLOAT)),
        surface.triangles.astype("<u4"),
    )
    return tuple(array.tobytes() for array in arrays)


_FLOATS, _SHORTS, _INTEGERS = 5126, 5123, 5125
_VERTEX_BUFFER, _INDEX_BUFFER = 34962, 34963
_LAYOUT: Final = (
    {"componentType": _FLOATS, "type": "VEC3"},
    {"componentType": _FLOATS, "type": "VEC3"},
    {"componentType": _SHORTS, "type": "VEC4", "normalized": True},
    {"componentType": _FLOATS, "type": "SCALAR"},
    {"componentType": _FLOATS, "type": "SCALAR"},
    {"componentType": _INTEGERS, "type": "SCALAR"},
)
"""Positions, normals, colours, standard deviation, inferred or not, corners of the triangles (glTF 2.0, 3.6.2.2)."""


def _gltf(surfaces: Sequence[BoneSurface], sizes: Sequence[int], note: str, deviation: str) -> dict[str, Any]:
    """The JSON of a glTF file whose one buffer holds the parts of each bone, of these sizes."""
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    per_bone = len(_LAYOUT)
    accessors, meshes = [], []
    for number, surface in enumerate(surfaces):
        first = number * per_bone
        counts = (*[len(surface.vertices)] * (per_bone - 1), surface.triangles.size)
        own = [{"bufferView": first + k, "count": counts[k], **_LAYOUT[k]} for k in range(per_bone)]
        positions = _gltf_positions(surface)
        own[0] |= {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
        accessors += own
        names = ("POSITION", "NORMAL", "COLOR_0", f"_{deviation}", "_INFERRED")
        attributes = {name: first + k for k, name in enumerate(names)}
        primitive = {"attributes": attributes, "indices": first + per_bone - 1, "material": 0}
        meshes.append({"name": surface.name, "primitives": [primitive]})
    views = [
        {
            "buffer": 0,
            "byteOffset": start,
            "byteLength": size,
            "target": _INDEX_BUFFER if number % per_bone == per_bone - 1 else _VERTEX_BUFFER,
        }
        for number, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]
    return {
        "asset": {"version": "2.0", "generator": "Bonecraft", "extras": {"note": note}},
        "scene": 0,
        "scenes": [{"nodes": list(range(len(surfaces)))}],
        "nodes": [{"mesh": k, "name": s.name, "extras": _node_extras(s)} for k, s in enumerate(surfaces)],
        "extensionsUsed": [SPECULAR],
        "materials": [{"pbrMetallicRoughness": BONE_MATERIAL, "name": "bone", "extensions": {SPECULAR: BONE_SPECULAR}}],
        "meshes": meshes,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": sum(sizes)}],
    }


def _node_extras(surface: BoneSurface) -> dict[str, str | None]:
    return {"title": surface.title, "bone": str(surface.bone), "side": str(surface.side) if surface.side else None}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + kind + data

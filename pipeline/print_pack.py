"""Bones for a 3D printer: a 3MF file (3MF Core Specification 1.3) in mm, with a cube beside them to measure.

A printer's program that takes mm for inches, or scales to fit, spoils the cube as it spoils the bones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.results import DISCLAIMER
from pipeline.stages.palette import BONE_COLOURS, Colour
from pipeline.surface import BoneSurface
from pipeline.zipped import zipped

CUBE_MM: Final = 20.0
GAP_MM: Final = 10.0
"""Between the bones and the cube."""

CUBE_COLOUR: Final[Colour] = (128, 128, 128)
CUBE_CORNERS: Final = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=np.float64)
CUBE_TRIANGLES: Final = np.array(
    [
        *([0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6]),  # below, above
        *([0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7]),  # in front, behind
        *([0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]),  # one side, the other
    ],
    dtype=np.int32,
)
"""Counter-clockwise seen from outside."""

CONTENT_TYPES: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/>
</Types>
"""
RELATIONSHIPS: Final = """<?xml version="1.0" encoding="UTF-8"?>
<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="model" Target="/3D/3dmodel.model" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"/>
</Relationships>
"""
MODEL: Final = """<?xml version="1.0" encoding="UTF-8"?>
<model unit="millimeter" xml:lang="en" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02">
<metadata name="Title">{title}</metadata>
<metadata name="Application">Bonecraft</metadata>
<metadata name="Description">{description}</metadata>
<resources>
<basematerials id="1">
{materials}
</basematerials>
{objects}
</resources>
<build>
{items}
</build>
</model>
"""
DESCRIPTION: Final = (
    f"{DISCLAIMER} Unit mm; x left, y posterior, z head. Measure the printed cube: its edges have {CUBE_MM:.0f} mm."
)

FIRST_OBJECT: Final = 2
"""Resource IDs count on from that of the materials."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """An object to print: (V, 3) vertices in mm, (T, 3) triangles."""

    name: str
    colour: Colour
    vertices: FloatArray
    triangles: npt.NDArray[np.int32]


def print_pack(surfaces: Sequence[BoneSurface], *, title: str) -> bytes:
    """The bones as they lie to each other, an object each, and the cube on the floor beside them.

    Args:
        surfaces: At least one; mm LPS, in one frame.
        title: What a program shows.
    """
    bones = [
        _Part(name=f"{s.title}, mm", colour=BONE_COLOURS[s.bone], vertices=s.vertices, triangles=s.triangles)
        for s in surfaces
    ]
    parts = [*bones, _cube_beside(np.concatenate([bone.vertices for bone in bones]))]
    members = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": RELATIONSHIPS,
        "3D/3dmodel.model": _model(parts, title),
    }
    return zipped({name: text.encode() for name, text in members.items()})


def _cube_beside(points: FloatArray) -> _Part:
    """On the patient's left of the points, as low and as far in front as they are."""
    low, high = points.min(axis=0), points.max(axis=0)
    corner = np.array([high[0] + GAP_MM, low[1], low[2]])
    name = f"Scale cube, {CUBE_MM:.0f} mm"
    return _Part(name=name, colour=CUBE_COLOUR, vertices=corner + CUBE_MM * CUBE_CORNERS, triangles=CUBE_TRIANGLES)


def _model(parts: Sequence[_Part], title: str) -> str:
    """The document; everything is moved together to where a printer's plate is: no coordinate is negative."""
    x, y, z = (-np.concatenate([part.vertices for part in parts]).min(axis=0)).tolist()
    place = f"1 0 0 0 1 0 0 0 1 {x:.4f} {y:.4f} {z:.4f}"
    numbers = range(FIRST_OBJECT, FIRST_OBJECT + len(parts))
    return MODEL.format(
        title=escape(title),
        description=DESCRIPTION,
        materials="\n".join(_material(part) for part in parts),
        objects="\n".join(_object(number, part) for number, part in zip(numbers, parts, strict=True)),
        items="\n".join(f'<item objectid="{number}" transform="{place}"/>' for number in numbers),
    )


def _material(part: _Part) -> str:
    red, green, blue = part.colour
    return f'<base name={quoteattr(part.name)} displaycolor="#{red:02X}{green:02X}{blue:02X}"/>'


def _object(number: int, part: _Part) -> str:
    vertices = "\n".join(f'<vertex x="{x:.4f}" y="{y:.4f}" z="{z:.4f}"/>' for x, y, z in part.vertices.tolist())
    triangles = "\n".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in part.triangles.tolist())
    return (
        f'<object id="{number}" type="model" name={quoteattr(part.name)} pid="1" pindex="{number - FIRST_OBJECT}">\n'
        f"<mesh>\n<vertices>\n{vertices}\n</vertices>\n<triangles>\n{triangles}\n</triangles>\n</mesh>\n</object>"
    )

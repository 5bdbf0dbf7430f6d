"""Is it a sound mesh: every number finite, every index a point, closed, outward, of the size of an adult's bone?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.dicom_check.finding import Check, Finding, missing

ADULT_BONES_MM: Final = {
    "71341001": (150.0, 700.0),  # femur
    "118645006": (120.0, 320.0),  # bone of the pelvis: a hip bone
    "54735007": (60.0, 220.0),  # sacrum
    "12611008": (150.0, 600.0),  # tibia
    "87342007": (150.0, 600.0),  # fibula
    "64234005": (25.0, 80.0),  # patella
}
"""Longest side of the bounding box by the bone's SNOMED CT code: half the smallest adult's to beyond the largest's. An
error of the unit (cm, inches, metres) leaves this range."""

LARGEST_DEVIATION_MM: Final = 50.0
"""A standard deviation above this says that nothing is known of the position."""

UNIT_TOLERANCE: Final = 1e-3
"""How far a normal's length may be from 1 in single precision."""

RETIRED: Final = ("VertexPointIndexList", "EdgePointIndexList", "TrianglePointIndexList", "PrimitivePointIndexList")
"""16-bit lists that the Long... lists replaced (PS3.6, RET)."""

EMPTY: Final = (
    *("LongVertexPointIndexList", "LongEdgePointIndexList"),
    *("TriangleStripSequence", "TriangleFanSequence", "LineSequence", "FacetSequence"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mesh:
    """Points (V, 3) mm LPS, normals (V, 3), triangles (T, 3) counted from 0."""

    points: npt.NDArray[np.float64]
    normals: npt.NDArray[np.float64]
    triangles: npt.NDArray[np.int64]


def check_mesh(surface: Dataset, *, where: str, bone: str) -> Iterator[Finding]:
    """Findings on one item of SurfaceSequence (PS3.3 C.27.1 to C.27.4).

    Args:
        surface: The item.
        where: It is, for the findings.
        bone: SNOMED CT code of its segment; empty where none refers to it, which is a finding of its own.
    """
    points, normals = surface.SurfacePointsSequence[0], surface.SurfacePointsNormalsSequence[0]
    primitives = surface.SurfaceMeshPrimitivesSequence[0]
    broken = (
        *_check_points(points, where),
        *_check_normals(normals, points, where),
        *_check_primitives(primitives, points, where),
    )
    yield from broken
    if broken:
        return
    indices = _numbers(primitives.LongTrianglePointIndexList, "<u4").astype(np.int64) - 1
    mesh = _Mesh(
        points=_vectors(points.PointCoordinatesData),
        normals=_vectors(normals.VectorCoordinateData),
        triangles=indices.reshape(-1, 3),
    )
    yield from _check_topology(mesh, where)
    yield from _check_geometry(mesh, where)
    yield from _check_size(mesh, where, bone)


def _check_points(points: Dataset, where: str) -> Iterator[Finding]:
    if absent := tuple(
        missing(points, ("NumberOfSurfacePoints", "PointCoordinatesData", "PointPositionAccuracy"), where=where)
    ):
        yield from absent
        return
    if len(points.PointCoordinatesData) != 12 * points.NumberOfSurfacePoints:
        yield Finding(check=Check.COUNT, sentence=f"{where}: NumberOfSurfacePoints is not the number of points.")
    if not np.isfinite(_numbers(points.PointCoordinatesData, "<f4")).all():
        yield Finding(check=Check.FINITE, sentence=f"{where}: a coordinate is not a finite number.")
    deviations = np.atleast_1d(np.asarray(points.PointPositionAccuracy, dtype=np.float64))
    if deviations.shape != (3,):
        yield Finding(check=Check.COUNT, sentence=f"{where}: PointPositionAccuracy needs three values.")
    if not ((deviations >= 0) & (deviations <= LARGEST_DEVIATION_MM)).all():
        yield Finding(check=Check.SIZE, sentence=f"{where}: PointPositionAccuracy is no plausible deviation in mm.")


def _check_normals(normals: Dataset, points: Dataset, where: str) -> Iterator[Finding]:
    if absent := tuple(
        missing(normals, ("NumberOfVectors", "VectorDimensionality", "VectorCoordinateData"), where=where)
    ):
        yield from absent
        return
    count = normals.NumberOfVectors
    if count != points.get("NumberOfSurfacePoints") or len(normals.VectorCoordinateData) != 12 * count:
        yield Finding(check=Check.COUNT, sentence=f"{where}: there is not one normal for each point.")
    elif normals.VectorDimensionality != 3:
        yield Finding(check=Check.VALUE, sentence=f"{where}: VectorDimensionality is not 3.")
    elif not (abs(np.linalg.norm(_vectors(normals.VectorCoordinateData), axis=1) - 1) < UNIT_TOLERANCE).all():
        yield Finding(check=Check.NORMALS, sentence=f"{where}: a normal is not of unit length.")


def _check_primitives(primitives: Dataset, points: Dataset, where: str) -> Iterator[Finding]:
    yield from missing(primitives, EMPTY, where=where, may_be_empty=True)
    for keyword in EMPTY:
        if keyword in primitives and not primitives[keyword].is_empty:
            yield Finding(
                check=Check.VALUE, sentence=f"{where}: {keyword} is not empty, readers expect triangles only."
            )
    for keyword in RETIRED:
        if keyword in primitives:
            yield Finding(check=Check.RETIRED, sentence=f"{where}: {keyword} is retired.")
    if absent := tuple(missing(primitives, ("LongTrianglePointIndexList",), where=where)):
        yield from absent
        return
    if len(primitives.LongTrianglePointIndexList) % 12:
        yield Finding(check=Check.INDEX, sentence=f"{where}: the triangle list is not divisible by 3.")
        return
    indices = _numbers(primitives.LongTrianglePointIndexList, "<u4")
    if indices.min() < 1 or indices.max() > points.get("NumberOfSurfacePoints", 0):
        yield Finding(check=Check.INDEX, sentence=f"{where}: an index names no point; points count from 1.")


def _check_topology(mesh: _Mesh, where: str) -> Iterator[Finding]:
    """Each edge is run along once each way, and the triangles around each point form one fan."""
    triangles, count = mesh.triangles, len(mesh.points)
    if (triangles == np.roll(triangles, 1, axis=1)).any():
        yield Finding(check=Check.MANIFOLD, sentence=f"{where}: a triangle names a point twice.")
        return
    if len(np.unique(triangles)) != count:
        yield Finding(check=Check.MANIFOLD, sentence=f"{where}: a point belongs to no triangle.")
    start, end = triangles.ravel(), np.roll(triangles, -1, axis=1).ravel()
    undirected = np.minimum(start, end) * count + np.maximum(start, end)
    if (np.unique(undirected, return_counts=True)[1] != 2).any():
        yield Finding(check=Check.MANIFOLD, sentence=f"{where}: an edge does not belong to exactly two triangles.")
        return
    if len(np.unique(start * count + end)) != len(start):
        yield Finding(check=Check.ORIENTATION, sentence=f"{where}: neighbouring triangles are turned differently.")
        return
    if _fans(len(triangles), undirected) != len(np.unique(triangles)):
        yield Finding(check=Check.MANIFOLD, sentence=f"{where}: the surface touches itself in a point.")


def _fans(triangles: int, undirected: npt.NDArray[np.int64]) -> int:
    """Number of fans of triangles around points: corners that meet along an edge belong to the same fan.

    Half-edge h leaves corner h for the next corner of its triangle; its twin runs the other way in the neighbour.
    `undirected` (3 T,) tells the edges apart, whichever way they are run along.
    """
    half_edges = np.arange(3 * triangles)
    following = np.where(half_edges % 3 == 2, half_edges - 2, half_edges + 1)
    pairs = np.argsort(undirected, kind="stable").reshape(-1, 2)
    twin = np.empty_like(half_edges)
    twin[pairs[:, 0]], twin[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    meets = coo_array((np.ones(3 * triangles), (half_edges, following[twin])), shape=(3 * triangles, 3 * triangles))
    count, _ = connected_components(meets, directed=False)
    return int(count)


def _check_geometry(mesh: _Mesh, where: str) -> Iterator[Finding]:
    corners = mesh.points[mesh.triangles]
    facets = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    if float((corners[:, 0] * facets).sum()) <= 0:
        yield Finding(check=Check.ORIENTATION, sentence=f"{where}: the triangles look inwards.")
    if float((mesh.normals[mesh.triangles].mean(axis=1) * facets).sum()) <= 0:
        yield Finding(
            check=Check.NORMALS, sentence=f"{where}: the normals and the triangles look in opposite directions."
        )


def _check_size(mesh: _Mesh, where: str, bone: str) -> Iterator[Finding]:
    if not bone:
        return
    if bone not in ADULT_BONES_MM:
        yield Finding(check=Check.CODE, sentence=f"{where}: {bone!r} is the code of no bone that Bonecraft writes.")
        return
    low, high = ADULT_BONES_MM[bone]
    longest = float(np.ptp(mesh.points, axis=0).max())
    if not low <= longest <= high:
        yield Finding(check=Check.SIZE, sentence=f"{where}: {longest:.3g} mm is not the size of an adult's bone.")


def _numbers(data: bytes, kind: str) -> npt.NDArray[Any]:
    """Raw values as numbers; incomplete ones at the end are left to the check of the counts."""
    item = np.dtype(kind).itemsize
    return np.frombuffer(data[: len(data) // item * item], dtype=kind)


def _vectors(data: bytes) -> npt.NDArray[np.float64]:
    return _numbers(data, "<f4").astype(np.float64).reshape(-1, 3)

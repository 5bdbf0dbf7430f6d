"""A mesh that deflates well (PS3.5 A.5): neighbours in space are neighbours in the file, coordinates lie on a grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.surface import BoneSurface

GRID_MM: Final = 2.0**-7
"""0.0078 mm, a hundredth of the error: a power of two, which leaves zeros at the end of a coordinate's mantissa."""

NORMAL_GRID: Final = 2.0**-11
"""Of a normal's components: less than 0.03 degrees."""

MORTON_BITS: Final = 10
"""Cells along each axis: 2 to this power."""


def compact(surface: BoneSurface) -> BoneSurface:
    """The surface with its vertices on the grid and in Morton order (1966), its triangles in the order of those."""
    vertices = on_grid(surface.vertices, GRID_MM)
    order = np.argsort(morton_codes(vertices), kind="stable")
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return replace(
        surface,
        vertices=vertices[order],
        triangles=_in_order(place[surface.triangles]),
        standard_deviation=surface.standard_deviation[order],
        inferred=surface.inferred[order],
    )


def on_grid(values: FloatArray, step: float) -> FloatArray:
    """The nearest multiples of a step; never minus zero."""
    return np.asarray(np.round(values / step) * step + 0.0)


def morton_codes(points: FloatArray) -> npt.NDArray[np.uint64]:
    """(N,) where each point of (N, 3) lies on the curve that fills their bounding cube."""
    lowest = points.min(axis=0)
    cell = max(float((points.max(axis=0) - lowest).max()), GRID_MM) / (2**MORTON_BITS - 1)
    cells = ((points - lowest) / cell).astype(np.uint64)
    codes = np.zeros(len(points), dtype=np.uint64)
    for bit in range(MORTON_BITS):
        for axis in range(3):
            codes |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return codes


def _in_order(triangles: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Each triangle from its lowest corner on, turning as before; sorted by their corners."""
    first = triangles.argmin(axis=1)[:, None]
    turned = np.take_along_axis(triangles, (first + np.arange(3)) % 3, axis=1)
    return turned[np.lexsort(turned.T[::-1])]

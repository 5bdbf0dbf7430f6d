"""Loop's subdivision as a matrix, so that whatever belongs to a mesh's vertices is refined with them (Loop 1987)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, vstack

from pipeline.geometry import FloatArray

Triangles = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Refinement:
    """A mesh with four triangles for each one.

    Attributes:
        weights: (V + E, V) sparse: each new vertex as a mean of old ones; the old vertices come first, then one for
            each edge.
        triangles: (4 T, 3).
    """

    weights: csr_array
    triangles: Triangles

    def refined(self, values: npt.NDArray[Any]) -> FloatArray:
        """(V + E, ...) positions, colours or whatever else (V, ...) says of the old vertices."""
        return np.asarray(self.weights @ np.asarray(values, dtype=np.float64))


def loop_refinement(triangles: Triangles, count: int) -> Refinement:
    """Refine a mesh once.

    Args:
        triangles: (T, 3) of a closed mesh; along a border the surface shrinks.
        count: Number V of vertices.
    """
    sides = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    low, high = np.sort(sides, axis=1).T
    edges, edge_of = np.unique(low * count + high, return_inverse=True)
    ends = np.stack(np.divmod(edges, count), axis=1)
    edge_of = edge_of.reshape(-1, 3)
    weights = cast(csr_array, vstack([_moved(ends, count), _halved(triangles, ends, edge_of, count)], format="csr"))
    a, b, c = triangles.T
    ab, bc, ca = (edge_of + count).T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    fine = np.concatenate([np.stack(corner, axis=1) for corner in corners])
    return Refinement(weights=weights, triangles=fine.astype(np.int32))


def _moved(ends: npt.NDArray[np.int64], count: int) -> coo_array:
    """(V, V) where the old vertices go: towards the mean of their neighbours, by Loop's weights."""
    one, other = np.concatenate([ends, ends[:, ::-1]]).T
    degree = np.maximum(np.bincount(one, minlength=count), 1)
    share = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / degree) / 4) ** 2) / degree
    here = np.arange(count)
    rows, columns = np.concatenate([one, here]), np.concatenate([other, here])
    values = np.concatenate([share[one], 1 - degree * share])
    return coo_array((values, (rows, columns)), shape=(count, count))


def _halved(triangles: Triangles, ends: npt.NDArray[np.int64], edge_of: npt.NDArray[np.int64], count: int) -> coo_array:
    """(E, V) the new vertices in the middle of the edges: three eighths of either end, one of either corner beside."""
    number = np.arange(len(ends))
    beside = triangles[:, [2, 0, 1]]
    rows = np.concatenate([number, number, edge_of.ravel()])
    columns = np.concatenate([ends[:, 0], ends[:, 1], beside.ravel()])
    values = np.concatenate([np.full(2 * len(ends), 3 / 8), np.full(beside.size, 1 / 8)])
    sums = np.bincount(rows, values, len(ends))
    return coo_array((values / sums[rows], (rows, columns)), shape=(len(ends), count))

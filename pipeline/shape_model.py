"""A statistical shape model: a mean bone and the ways in which people's bones differ from it.

The model is linear, ``vertices = mean + sum_k coefficients[k] * modes[k]``, with modes scaled so that each coefficient
is a standard normal variable. Frame: the RIGHT bone in patient axes (LPS, mm) as it stands in a person upright, the
mechanical axis along z, the transepicondylar axis along x, the origin at the mean surface's centroid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, read_only
from pipeline.radiograph import Side

IntArray = npt.NDArray[np.int64]

WEIGHT_TOLERANCE = 1e-6

STORED_STEP_MM = 0.002
"""Modes are stored as whole multiples of this: far below any error, and small modes compress well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Landmark:
    """A point that moves with the surface: a weighted mean of vertices. The centre of the head lies on none of them.

    Attributes:
        indices: (n,) vertices.
        weights: (n,) adding up to 1.
    """

    indices: IntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", read_only(self.weights, shape=(len(self.indices),)))
        if abs(self.weights.sum() - 1) > WEIGHT_TOLERANCE:
            raise ValueError("a landmark's weights must add up to 1")

    def position(self, vertices: FloatArray) -> FloatArray:
        """The landmark on a surface; `vertices` are (..., V, 3)."""
        return np.asarray(np.tensordot(vertices[..., self.indices, :], self.weights, axes=([-2], [0])))


@dataclass(frozen=True, kw_only=True, eq=False)
class ShapeModel:
    """A bone's mean, modes, landmarks and regions.

    Attributes:
        name: Name of the model.
        version: Grows with every change of the numbers.
        licence: Of the numbers, inherited from the bones they were learned from.
        mean: (V, 3) mm.
        modes: (K, V, 3) mm per standard deviation.
        triangles: (T, 3) int32, outward on the right bone.
        residual_sd: (V,) mm along the normal, what people's bones keep that no mode explains.
        landmarks: By name: `head_centre`, `greater_trochanter`, `lesser_trochanter`, `medial_epicondyle`, ...
        regions: Vertex indices by name: `head`, `neck`, `trochanters`, `shaft`, `distal`.
        interval_factor: Widens the predicted standard deviation to a calibrated 90 % interval.
    """

    name: str
    version: str
    licence: str
    mean: FloatArray
    modes: FloatArray
    triangles: npt.NDArray[np.int32]
    residual_sd: FloatArray
    landmarks: Mapping[str, Landmark]
    regions: Mapping[str, IntArray]
    interval_factor: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", read_only(self.mean, shape=(None, 3)))
        count = len(self.mean)
        object.__setattr__(self, "modes", read_only(self.modes, shape=(None, count, 3)))
        object.__setattr__(self, "residual_sd", read_only(self.residual_sd, shape=(count,)))
        triangles = np.array(self.triangles, dtype=np.int32)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or triangles.min() < 0 or triangles.max() >= count:
            raise ValueError("triangles must be (T, 3) indices of the model's vertices")
        triangles.flags.writeable = False
        object.__setattr__(self, "triangles", triangles)
        object.__setattr__(self, "landmarks", MappingProxyType(dict(self.landmarks)))
        object.__setattr__(self, "regions", MappingProxyType(dict(self.regions)))

    @property
    def size(self) -> int:
        """Number of modes."""
        return len(self.modes)

    def instance(self, coefficients: npt.ArrayLike) -> FloatArray:
        """The right bone with these coefficients.

        Args:
            coefficients: (K,) in standard deviations.

        Returns:
            (V, 3) mm.
        """
        return np.asarray(self.mean + np.tensordot(np.asarray(coefficients, dtype=np.float64), self.modes, axes=1))

    def triangles_of(self, side: Side | None) -> npt.NDArray[np.int32]:
        """(T, 3), outward on the given side's bone: mirroring turns a surface inside out."""
        return np.ascontiguousarray(self.triangles[:, ::-1]) if side is Side.LEFT else self.triangles


MIRROR = read_only([-1.0, 1.0, 1.0], shape=(3,))
"""Turns right into left in patient axes."""


def mirrored(points: npt.ArrayLike, side: Side | None) -> FloatArray:
    """Points (..., 3) of a right bone, or of one without side, as the given side's."""
    values = np.asarray(points, dtype=np.float64)
    return np.asarray(values * MIRROR) if side is Side.LEFT else values


def load(path: Path) -> ShapeModel:
    """Read a model that `save` wrote.

    Raises:
        ValueError: The file is not a shape model.
    """
    with np.load(path, allow_pickle=False) as file:
        if "header" not in file:
            raise ValueError(f"{path.name} is not a shape model: it has no header")
        header = json.loads(str(file["header"]))
        return ShapeModel(
            name=header["name"],
            version=header["version"],
            licence=header["licence"],
            mean=file["mean"].astype(np.float64),
            modes=file["modes"].astype(np.float64) * STORED_STEP_MM,
            triangles=file["triangles"].astype(np.int32),
            residual_sd=file["residual_sd"].astype(np.float64),
            landmarks={
                name: Landmark(indices=np.array(indices, dtype=np.int64), weights=np.array(weights))
                for name, (indices, weights) in header["landmarks"].items()
            },
            regions={name: np.array(indices, dtype=np.int64) for name, indices in header["regions"].items()},
            interval_factor=header["interval_factor"],
        )


def save(model: ShapeModel, path: Path) -> None:
    """Write a model as a compressed NumPy archive, its modes rounded to `STORED_STEP_MM`."""
    header = {
        "name": model.name,
        "version": model.version,
        "licence": model.licence,
        "landmarks": {
            name: (landmark.indices.tolist(), landmark.weights.tolist()) for name, landmark in model.landmarks.items()
        },
        "regions": {name: indices.tolist() for name, indices in model.regions.items()},
        "interval_factor": model.interval_factor,
    }
    np.savez_compressed(
        path,
        header=np.array(json.dumps(header)),
        mean=model.mean.astype(np.float32),
        modes=np.round(model.modes / STORED_STEP_MM).astype(np.int16),
        triangles=model.triangles.astype(np.uint16 if len(model.mean) < 2**16 else np.int32),
        residual_sd=model.residual_sd.astype(np.float32),
    )

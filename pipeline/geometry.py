"""How a radiograph was taken: a cone of rays from one focal spot onto a flat detector.

All positions and directions are in patient axes (LPS: x to the patient's left, y to the back, z to the head), in mm.
Pixels are addressed as (column, row), zero-based, whole numbers at pixel centres (PS3.3 C.7.6.2.1.1 counts alike).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

UNIT_TOLERANCE: Final = 1e-6
"""How far a direction's length may be from 1, or two directions' scalar product from 0."""


def read_only(values: npt.ArrayLike, *, shape: tuple[int | None, ...]) -> FloatArray:
    """A float64 copy of `values` that cannot be written to.

    Args:
        values: Anything NumPy reads as numbers.
        shape: The expected shape; None stands for any length.

    Raises:
        ValueError: `values` has another shape, or a value that is not finite.
    """
    array = np.array(values, dtype=np.float64)
    if len(array.shape) != len(shape) or any(w is not None and w != s for w, s in zip(shape, array.shape, strict=True)):
        raise ValueError(f"expected an array of shape {shape}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("expected finite numbers only")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectionGeometry:
    """A focal spot and a flat detector.

    Attributes:
        source: (3,) focal spot, mm LPS.
        detector_origin: (3,) centre of the pixel (column 0, row 0), mm LPS.
        column_direction: (3,) unit vector along which the column index grows.
        row_direction: (3,) unit vector along which the row index grows; square to `column_direction`.
        pixel_spacing: (row, column) spacing in mm at the detector, in DICOM's order: the distance between rows first.
        rows: Number of rows.
        columns: Number of columns.
    """

    source: FloatArray
    detector_origin: FloatArray
    column_direction: FloatArray
    row_direction: FloatArray
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        for name in ("source", "detector_origin", "column_direction", "row_direction"):
            object.__setattr__(self, name, read_only(getattr(self, name), shape=(3,)))
        lengths = np.linalg.norm([self.column_direction, self.row_direction], axis=1)
        if abs(lengths - 1).max() > UNIT_TOLERANCE or abs(self.column_direction @ self.row_direction) > UNIT_TOLERANCE:
            raise ValueError("column_direction and row_direction must be perpendicular unit vectors")
        if min(self.pixel_spacing) <= 0 or min(self.rows, self.columns) < 1:
            raise ValueError("pixel_spacing, rows and columns must be positive")

    @property
    def normal(self) -> FloatArray:
        """(3,) unit normal of the detector, from the source to the detector."""
        normal = np.cross(self.column_direction, self.row_direction)
        towards_detector = float(np.sign(normal @ (self.detector_origin - self.source)))
        return np.asarray(normal * towards_detector)

    @property
    def source_to_detector(self) -> float:
        """Distance from the focal spot to the detector along its normal, mm (DistanceSourceToDetector, 0018,1110)."""
        return float(self.normal @ (self.detector_origin - self.source))

    def project(self, points: npt.ArrayLike) -> FloatArray:
        """Pixel coordinates at which points cast their shadow.

        Args:
            points: (..., 3) mm LPS, in front of the source.

        Returns:
            (..., 2) as (column, row); they may lie outside the detector.
        """
        rays = np.asarray(points, dtype=np.float64) - self.source
        depth = rays @ self.normal
        on_detector = self.source + rays * (self.source_to_detector / depth)[..., None] - self.detector_origin
        row_spacing, column_spacing = self.pixel_spacing
        return np.stack(
            [on_detector @ self.column_direction / column_spacing, on_detector @ self.row_direction / row_spacing],
            axis=-1,
        )

    def pixel_position(self, pixels: npt.ArrayLike) -> FloatArray:
        """Positions on the detector of pixel coordinates.

        Args:
            pixels: (..., 2) as (column, row).

        Returns:
            (..., 3) mm LPS.
        """
        column, row = np.moveaxis(np.asarray(pixels, dtype=np.float64), -1, 0)
        row_spacing, column_spacing = self.pixel_spacing
        return np.asarray(
            self.detector_origin
            + (column * column_spacing)[..., None] * self.column_direction
            + (row * row_spacing)[..., None] * self.row_direction
        )

    def magnification(self, point: npt.ArrayLike) -> float:
        """By how much the detector enlarges an object at `point` (3,) mm LPS; above 1 in front of the detector."""
        depth = float((np.asarray(point, dtype=np.float64) - self.source) @ self.normal)
        return self.source_to_detector / depth


@dataclass(frozen=True, kw_only=True, eq=False)
class RigidPose:
    """A rotation and a translation: `moved = points @ rotation.T + translation`.

    Attributes:
        rotation: (3, 3) proper rotation.
        translation: (3,) mm.
    """

    rotation: FloatArray = field(default_factory=lambda: np.eye(3))
    translation: FloatArray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", read_only(self.rotation, shape=(3, 3)))
        object.__setattr__(self, "translation", read_only(self.translation, shape=(3,)))
        if abs(self.rotation @ self.rotation.T - np.eye(3)).max() > UNIT_TOLERANCE or np.linalg.det(self.rotation) < 0:
            raise ValueError("rotation must be a proper rotation matrix")

    def apply(self, points: npt.ArrayLike) -> FloatArray:
        """Points (..., 3) mm, moved."""
        return np.asarray(np.asarray(points, dtype=np.float64) @ self.rotation.T + self.translation)

    def inverse(self) -> RigidPose:
        """The pose that undoes this one."""
        return RigidPose(rotation=self.rotation.T, translation=-self.rotation.T @ self.translation)


def nearest_sphere(points: FloatArray) -> tuple[FloatArray, float]:
    """Centre (3,) and radius of the sphere nearest to points (N, 3), least squares in the algebraic sense."""
    system = np.hstack([2 * points, np.ones((len(points), 1))])
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))

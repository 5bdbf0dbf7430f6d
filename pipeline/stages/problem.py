"""What one fit holds constant, and what it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.projector import edges_of
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel, mirrored
from pipeline.stages.calibrate import Calibration
from pipeline.stages.contour import Contour, depth_in_field, seen_contour
from pipeline.stages.perceive import Perception
from pipeline.stages.posture import Posture

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One view, prepared for iterations.

    Attributes:
        geometry: In the nominal frame of the view.
        contour: Seen outline, source pixels.
        tree: Of the seen outline's points.
        mask: (h, w) probability of the bone's shadow on the working grid.
        field_depth: (h, w) working pixels from the field's edge.
        pixel_to_working: (2, 3).
        mm_per_pixel: Nominal size of a source pixel in the bone's plane.
        depth_sd_mm: Of the bone along the beam.
        landmarks: Name, pixel (2,) and standard deviation in source pixels.
    """

    geometry: ProjectionGeometry
    contour: Contour
    tree: cKDTree
    mask: npt.NDArray[np.float32]
    field_depth: npt.NDArray[np.float32]
    pixel_to_working: FloatArray
    mm_per_pixel: float
    depth_sd_mm: float
    landmarks: tuple[tuple[str, FloatArray, float], ...]

    @property
    def beam(self) -> FloatArray:
        """(3,) nominal direction of the central ray."""
        return self.geometry.normal

    def field_depth_at(self, pixels: FloatArray) -> FloatArray:
        """Working pixels (N,) that source pixels (N, 2) lie inside the field; 0 outside."""
        working = np.round(pixels @ self.pixel_to_working[:, :2].T + self.pixel_to_working[:, 2]).astype(np.int64)
        rows, columns = self.field_depth.shape
        column, row = working.T
        held = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        column, row = np.where(held, column, 0), np.where(held, row, 0)
        return np.where(held, self.field_depth[row, column], 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What one fit holds constant: the model as the given side's bone, and the views."""

    model: ShapeModel
    side: Side | None
    posture: Posture
    mean: FloatArray
    modes: FloatArray
    triangles: npt.NDArray[np.int32]
    edges: IntArray
    views: tuple[View, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The unknowns.

    Attributes:
        coefficients: (K,) in standard deviations.
        rotations: (views, 3, 3) from the model's frame to the nominal frame of each view.
        translations: (views, 3) mm.
    """

    coefficients: FloatArray
    rotations: FloatArray
    translations: FloatArray

    def vertices(self, problem: Problem) -> FloatArray:
        """(V, 3) of the side's bone in the model's frame."""
        return np.asarray(problem.mean + np.tensordot(self.coefficients, problem.modes, axes=1))

    def placed(self, vertices: FloatArray, view: int) -> FloatArray:
        """Vertices in the nominal frame of a view."""
        return np.asarray(vertices @ self.rotations[view].T + self.translations[view])


def prepare(
    model: ShapeModel, views: Sequence[tuple[Calibration, Perception]], side: Side | None, posture: Posture
) -> Problem:
    """Everything that can be computed once."""
    return Problem(
        model=model,
        side=side,
        posture=posture,
        mean=mirrored(model.mean, side),
        modes=mirrored(model.modes, side),
        triangles=model.triangles_of(side),
        edges=edges_of(model.triangles),
        views=tuple(_prepared(calibration, perception) for calibration, perception in views),
    )


def _prepared(calibration: Calibration, perception: Perception) -> View:
    geometry, contour = calibration.geometry, seen_contour(perception)
    return View(
        geometry=geometry,
        contour=contour,
        tree=cKDTree(contour.pixels),
        mask=perception.mask,
        field_depth=depth_in_field(perception.field),
        pixel_to_working=np.linalg.inv(np.vstack([perception.working_to_pixel, [0, 0, 1]]))[:2],
        mm_per_pixel=float(np.sqrt(np.prod(geometry.pixel_spacing))) / geometry.magnification(np.zeros(3)),
        depth_sd_mm=calibration.depth_sd_mm,
        landmarks=tuple((str(name), seen.pixel, seen.sd_pixels) for name, seen in perception.landmarks.items()),
    )

"""The shape and the poses that best explain what the radiographs show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel
from pipeline.stages.calibrate import Calibration


@dataclass(frozen=True, kw_only=True, eq=False)
class LandmarkObservation:
    """Where a landmark was seen.

    Attributes:
        pixel: (2,) column and row in source pixels.
        sd_pixels: One standard deviation of either coordinate, source pixels.
    """

    pixel: FloatArray
    sd_pixels: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewObservation:
    """What one radiograph shows of the bone.

    Attributes:
        calibration: Its geometry.
        mask: (h, w) float32, probability that the bone's shadow covers a pixel of the working grid.
        working_to_pixel: (2, 3) affine from (column, row) of the working grid to (column, row) of the source.
        field: (h, w) bool, True inside the exposed field: beyond it the bone goes on unseen.
        landmarks: By the shape model's landmark names.
    """

    calibration: Calibration
    mask: npt.NDArray[np.float32]
    working_to_pixel: FloatArray
    field: npt.NDArray[np.bool_]
    landmarks: Mapping[str, LandmarkObservation]


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedView:
    """One view after the fit.

    Attributes:
        calibration: As it went in.
        geometry: How the radiograph was taken, in the surface's frame: projecting the surface with it gives the shadow.
        residual_mm: (n,) distances between the seen contour and the model's, in the bone's plane.
    """

    calibration: Calibration
    geometry: ProjectionGeometry
    residual_mm: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The best explanation found, with how sure it is.

    Attributes:
        model: The shape model.
        side: Side of the bone.
        coefficients: (K,) in standard deviations.
        coefficient_covariance: (K, K) Laplace posterior.
        vertices: (V, 3) LPS mm, in the nominal frame of the first view, of the given side.
        triangles: (T, 3), outward for that side.
        views: In the order of the observations.
        in_field: (V,) True where at least one view's field holds the vertex.
        start_spread_mm: Mean distance between the surfaces of the best two starts that end equally well.
    """

    model: ShapeModel
    side: Side
    coefficients: FloatArray
    coefficient_covariance: FloatArray
    vertices: FloatArray
    triangles: npt.NDArray[np.int32]
    views: tuple[FittedView, ...]
    in_field: npt.NDArray[np.bool_]
    start_spread_mm: float


def fit(model: ShapeModel, observations: tuple[ViewObservation, ...], *, side: Side) -> Fit:
    """Fit the shape model to one or more views of one bone.

    Args:
        model: Shape model of the right bone.
        observations: Of the same bone, frontal view first.
        side: Side of the bone.
    """
    raise NotImplementedError

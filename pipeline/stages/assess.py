"""How good the fit is, how sure one may be of it, and when it must not be given out."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.stages.fit import Fit
from pipeline.surface import BoneSurface


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """The judged result.

    Attributes:
        surface: The whole bone in the surface's frame, with a standard deviation per vertex and its inferred part.
        contour_error_mm: Per view, in the order of the fit: mean distance of seen and reprojected contour.
        shape_distance: Root mean square of the shape coefficients, in standard deviations.
        expected_error_mm: Expected mean surface error of the visible part, calibrated on people not in the model.
        interval_factor: What a standard deviation is multiplied with to reach the ends of the 90 % interval.
        warnings: Sentences for the reader of the report.
    """

    surface: BoneSurface
    contour_error_mm: tuple[float, ...]
    shape_distance: float
    expected_error_mm: float
    interval_factor: float
    warnings: tuple[str, ...]


def assess(fit: Fit) -> Assessment:
    """Judge a fit.

    Raises:
        Refusal: The fit contradicts the images, the views contradict each other, or no adult's femur has this shape.
    """
    raise NotImplementedError

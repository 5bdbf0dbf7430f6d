"""How good a fit is, how sure one may be of it, and when it must not be given out.

The doubt of a vertex is the posterior's (Laplace) plus what the model cannot express, times a factor that was
calibrated on people whom the model had not seen (conformal prediction, Vovk 2005), so that the 90 % interval holds nine
in ten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.errors import Refusal, RefusalCode
from pipeline.geometry import FloatArray
from pipeline.projector import vertex_normals
from pipeline.radiograph import ScaleProvenance
from pipeline.shape_model import mirrored
from pipeline.stages.fit import Fit, FittedView
from pipeline.stages.intervals import interval_factor
from pipeline.surface import Bone, BoneSurface, bone_title

BoolArray = npt.NDArray[np.bool_]

MEAN_OF_ABSOLUTE: Final = 0.8
"""Mean absolute value of a normal variable in standard deviations, sqrt(2 / pi)."""
NINE_TENTHS: Final = 1.645
"""Standard deviations on either side of the mean between which nine tenths of a normal variable lie."""

MOST_CONTOUR_ERROR_MM: Final = {
    Bone.FEMUR: 1.6,
    Bone.HIP_BONE: 2.4,
    Bone.SACRUM: 2.8,
    Bone.TIBIA: 1.8,
    Bone.FIBULA: 1.8,
    Bone.PATELLA: 1.8,
}
"""Simulated bones of unseen people stay below; see models/cards/reconstruction.md."""

MOST_UNMATCHED: Final = {
    Bone.FEMUR: 0.3,
    Bone.HIP_BONE: 0.35,
    Bone.SACRUM: 0.4,
    Bone.TIBIA: 0.3,
    Bone.FIBULA: 0.35,
    Bone.PATELLA: 0.35,
}
"""Largest share of the outlines that may find no counterpart."""

NEEDED: Final[Mapping[Bone, tuple[tuple[str, ...], ...]]] = {
    Bone.FEMUR: (("head", "neck"), ("distal",)),
    Bone.HIP_BONE: (("acetabulum",),),
    Bone.SACRUM: (("endplate", "middle"),),
    Bone.TIBIA: (("plateau",), ("plafond",)),
    Bone.FIBULA: (("proximal",), ("distal",)),
    Bone.PATELLA: (("articular",),),
}
"""Regions of which one group must be in the field: without a joint surface, a bone would be invented, not seen."""

NEEDED_SHARE: Final = 0.85
"""Share of such a region that a field must hold."""

LEAST_CONTOUR_POINTS: Final = 60
"""With less outline there is no bone to speak of."""

MOST_SHAPE_DISTANCE: Final = 1.25
"""Root mean square of the coefficients; people whom the model had not seen stay below 0.9."""

MOST_SIZE: Final = 3.5
"""Standard deviations of the first mode, which is size: femora from 33 to 62 cm."""

MOST_DEPTH_DEVIATION: Final = 4.0
"""Standard deviations by which a view may put the bone nearer or farther than its scale says."""

LEAST_INFERRED: Final = 0.01
"""Of a surface: less outside every view is not worth a sentence."""

NOTABLE_SPREAD_MM: Final = 2.0
"""From here on the reader is told that two different shapes explain the images about as well."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Assessment:
    """The judged result.

    Attributes:
        surface: The whole bone in the surface's frame, with a standard deviation per vertex and its inferred part.
        contour_error_mm: Per view, in the order of the fit: mean distance of seen and reprojected contour.
        shape_distance: Root mean square of the shape coefficients, in standard deviations.
        expected_error_mm: Expected mean surface error of the visible part, calibrated on people not in the model.
        interval_mm: Half of its 90 % interval: within this of nine tenths of its points the true surface is expected.
        warnings: Sentences for the reader of the report.
    """

    surface: BoneSurface
    contour_error_mm: tuple[float, ...]
    shape_distance: float
    expected_error_mm: float
    interval_mm: float
    warnings: tuple[str, ...]


def assess(fit: Fit) -> Assessment:
    """Judge a fit.

    Raises:
        Refusal: The fit contradicts the images, the views contradict each other, no adult's bone has this shape, or too
            little of it is in the field.
    """
    errors = tuple(_mean_error(view) for view in fit.views)
    _refuse_corners(fit)
    distance = float(np.sqrt((fit.coefficients**2).mean()))
    _refuse_where_nothing_is_seen(fit)
    _refuse_bad_contours(fit, errors)
    _refuse_contradicting_scale(fit)
    _refuse_unlikely_shape(fit, distance)
    deviation = vertex_sd(fit)
    visible = float(np.sqrt((deviation[_shown(fit)] ** 2).mean()))
    surface = BoneSurface(
        bone=fit.bone,
        side=fit.side,
        vertices=fit.vertices,
        triangles=fit.triangles,
        standard_deviation=deviation,
        inferred=~fit.in_field,
    )
    return Assessment(
        surface=surface,
        contour_error_mm=errors,
        shape_distance=distance,
        expected_error_mm=MEAN_OF_ABSOLUTE * visible,
        interval_mm=NINE_TENTHS * visible,
        warnings=_warnings(fit, surface),
    )


def vertex_sd(fit: Fit) -> FloatArray:
    """(V,) one calibrated standard deviation, mm, of each vertex along its normal."""
    normals = vertex_normals(fit.vertices, fit.triangles)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    in_model_frame = normals @ fit.pose.rotation
    in_place = fit.pose.inverse().apply(fit.vertices)
    modes = without_rigid_motion(mirrored(fit.model.modes, fit.side), in_place, _shown(fit))
    along = np.einsum("kvc,vc->kv", modes, in_model_frame, optimize=True)
    root = np.linalg.cholesky(fit.covariance)
    variance = ((root.T @ along) ** 2).sum(axis=0) + fit.model.residual_sd**2
    return np.asarray(interval_factor(fit) * np.sqrt(variance))


def without_rigid_motion(modes: FloatArray, vertices: FloatArray, anchored: BoolArray) -> FloatArray:
    """Modes (K, V, 3) less the rotation and translation that hold the `anchored` (V,) part of the bone in place.

    Doubt of the length of a femur whose hip is seen is doubt of where the knee lies, not of where the hip does.
    """
    axes = np.eye(3)
    motions = np.stack(
        [np.broadcast_to(axis, vertices.shape) for axis in axes] + [np.cross(axis, vertices) for axis in axes]
    )
    held = motions[:, anchored].reshape(6, -1)
    moved = modes[:, anchored].reshape(len(modes), -1)
    shares = np.linalg.solve(held @ held.T, held @ moved.T)
    return np.asarray(modes - np.tensordot(shares.T, motions, axes=1))


def _shown(fit: Fit) -> BoolArray:
    return fit.in_field if fit.in_field.any() else np.ones_like(fit.in_field)


def _mean_error(view: FittedView) -> float:
    return float(np.abs(view.residual_mm).mean()) if len(view.residual_mm) else float("inf")


def _words(fit: Fit) -> str:
    """``right femur``."""
    return bone_title(fit.bone, fit.side).lower()


def _refuse_corners(fit: Fit) -> None:
    shown = [
        min(float(fit.in_field[fit.model.regions[region]].mean()) for region in together)
        for together in NEEDED[fit.bone]
    ]
    if max(shown) < NEEDED_SHARE:
        raise Refusal(
            RefusalCode.POOR_IMAGE,
            f"Only a corner of the {_words(fit)} is in the field, none of its joint surfaces: it is not reconstructed.",
        )


def _refuse_where_nothing_is_seen(fit: Fit) -> None:
    for view in fit.views:
        if len(view.residual_mm) < LEAST_CONTOUR_POINTS:
            raise Refusal(
                RefusalCode.POOR_IMAGE,
                f"Too little of the {_words(fit)}'s outline can be made out in the picture to reconstruct it.",
            )


def _refuse_bad_contours(fit: Fit, errors: tuple[float, ...]) -> None:
    bad = [
        error > MOST_CONTOUR_ERROR_MM[fit.bone] or view.unmatched > MOST_UNMATCHED[fit.bone]
        for error, view in zip(errors, fit.views, strict=True)
    ]
    if not any(bad):
        return
    worst, unmatched = max(errors), max(view.unmatched for view in fit.views)
    if len(fit.views) > 1:
        raise Refusal(
            RefusalCode.VIEWS_CONTRADICT,
            f"No adult {_words(fit)} explains these views together: outlines differ by {worst:.1f} mm on average and "
            f"{unmatched:.0%} of them find no counterpart; the pictures may show different sides or people.",
        )
    raise Refusal(
        RefusalCode.POOR_FIT,
        f"No adult {_words(fit)} explains this picture: outlines differ by {worst:.1f} mm on average and "
        f"{unmatched:.0%} of them find no counterpart.",
    )


def _refuse_contradicting_scale(fit: Fit) -> None:
    worst = max(abs(view.depth_deviation) for view in fit.views)
    if worst <= MOST_DEPTH_DEVIATION:
        return
    if len(fit.views) > 1:
        raise Refusal(
            RefusalCode.VIEWS_CONTRADICT,
            f"The views show the {_words(fit)} in different sizes: they may be of different people, or the spacing or "
            "magnification of one of them is wrong.",
        )
    raise Refusal(
        RefusalCode.UNLIKELY_SHAPE,
        f"The {_words(fit)}'s proportions contradict the scale that the picture claims: spacing or magnification may "
        "be wrong.",
    )


def _refuse_unlikely_shape(fit: Fit, distance: float) -> None:
    if distance > MOST_SHAPE_DISTANCE or abs(fit.coefficients[0]) > MOST_SIZE:
        raise Refusal(
            RefusalCode.UNLIKELY_SHAPE,
            f"The {_words(fit)} in the picture is unlike the adult ones that the model knows (a child's, a fractured "
            "or a deformed bone, or a wrong scale).",
        )


def _warnings(fit: Fit, surface: BoneSurface) -> tuple[str, ...]:
    sentences = []
    if fit.start_spread_mm > NOTABLE_SPREAD_MM:
        sentences.append(
            f"Two shapes of the {_words(fit)} that differ by {fit.start_spread_mm:.1f} mm explain the pictures about "
            "equally well; the likelier one is shown."
        )
    if not fit.crossed:
        sentences.append(
            f"The {_words(fit)} is reconstructed from a single view: depth along the beam is inferred from the shape "
            "model."
        )
    if any(
        view.observation.calibration.scale.provenance is ScaleProvenance.TYPICAL_MAGNIFICATION for view in fit.views
    ):
        sentences.append("The magnification is assumed; sizes in mm carry its uncertainty.")
    if surface.inferred_fraction > LEAST_INFERRED:
        sentences.append(
            f"{surface.inferred_fraction:.0%} of the {_words(fit)}'s surface lie outside every view and are inferred."
        )
    return tuple(sentences)

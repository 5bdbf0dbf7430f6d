"""What surgeons and radiologists measure on a femur, each with an interval or the reason why there is none.

Intervals come from the posterior: the measurement is repeated on shapes drawn from it. Landmarks move with the surface
(`pipeline.shape_model.Landmark`); positions are mm in the model's frame, as a right bone's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray, nearest_sphere
from pipeline.results import Measurement
from pipeline.shape_model import ShapeModel
from pipeline.stages.assess import Assessment
from pipeline.stages.fit import Fit

DRAWS: Final = 200
SEED: Final = 20
NORMAL_90_PERCENT: Final = 1.645

LANDMARK_RESIDUAL_MM: Final = 0.5
"""What averaging over a landmark's vertices leaves of the model's residual."""

NEEDS_MM: Final = "No scale: the study does not say how large a pixel is."
NEEDS_TWO_VIEWS: Final = "A frontal view alone does not show it: a lateral view is needed."
NEEDS_FRONTAL: Final = "Needs a frontal view."


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """One shape as it is measured; positions in mm.

    Attributes:
        at: Landmarks by name.
        head_radius: Of the sphere whose centre is `head_centre`.
        vertices: (V, 3).
    """

    at: Mapping[str, FloatArray]
    head_radius: float
    vertices: FloatArray


@dataclass(frozen=True, kw_only=True)
class Definition:
    """How something is measured, and what must be in the field for it.

    Attributes:
        name: The surgeon's own name.
        unit: UCUM.
        measured: The measurement on one shape.
        needs: Landmarks that a view must show.
        two_views: Whether one view leaves it undetermined.
        residual: Standard deviation, in its unit, that the shape model itself leaves.
    """

    name: str
    unit: str
    measured: Callable[[Anatomy], float]
    needs: tuple[str, ...]
    two_views: bool = False
    residual: float = LANDMARK_RESIDUAL_MM


def head_diameter(anatomy: Anatomy) -> float:
    """Of the sphere nearest to the articular surface of the head (least squares)."""
    return 2 * anatomy.head_radius


def neck_shaft_angle(anatomy: Anatomy) -> float:
    """Between the neck's axis (isthmus centre to head centre) and the axis of the upper shaft, in 3D (Müller 1957)."""
    neck = anatomy.at["head_centre"] - anatomy.at["neck_centre"]
    down = anatomy.at["shaft_lower"] - anatomy.at["shaft_upper"]
    return _angle(neck, down)


def offset(anatomy: Anatomy) -> float:
    """Distance of the head's centre from the axis of the upper shaft."""
    along = anatomy.at["shaft_upper"] - anatomy.at["shaft_lower"]
    along = along / np.linalg.norm(along)
    arm = anatomy.at["head_centre"] - anatomy.at["shaft_lower"]
    return float(np.linalg.norm(arm - (arm @ along) * along))


def length(anatomy: Anatomy) -> float:
    """From the top of the head to the lowest point of the condyles along the mechanical axis."""
    knee = (anatomy.at["medial_epicondyle"] + anatomy.at["lateral_epicondyle"]) / 2
    axis = anatomy.at["head_centre"] - knee
    return float(np.ptp(anatomy.vertices @ (axis / np.linalg.norm(axis))))


def anteversion(anatomy: Anatomy) -> float:
    """Of the neck against the posterior condyles, seen along the mechanical axis (Murphy 1987); positive is forward."""
    knee = (anatomy.at["medial_epicondyle"] + anatomy.at["lateral_epicondyle"]) / 2
    axis = anatomy.at["head_centre"] - knee
    axis = axis / np.linalg.norm(axis)
    medial = _across(anatomy.at["posterior_medial_condyle"] - anatomy.at["posterior_lateral_condyle"], axis)
    neck = _across(anatomy.at["head_centre"] - anatomy.at["neck_centre"], axis)
    forward = np.cross(medial, axis)
    return float(np.rad2deg(np.arctan2(neck @ forward, neck @ medial)))


def distal_femoral_angle(anatomy: Anatomy) -> float:
    """Mechanical axis against the line through the lowest points of the condyles, on the lateral side (Paley 2002)."""
    up = anatomy.at["head_centre"] - anatomy.at["intercondylar_notch"]
    lateral = anatomy.at["distal_lateral_condyle"] - anatomy.at["distal_medial_condyle"]
    frontal = np.array([1.0, 0.0, 1.0])
    return _angle(up * frontal, lateral * frontal)


def epicondylar_width(anatomy: Anatomy) -> float:
    """Distance of the epicondyles."""
    return float(np.linalg.norm(anatomy.at["medial_epicondyle"] - anatomy.at["lateral_epicondyle"]))


HIP: Final = ("head_centre", "greater_trochanter", "lesser_trochanter", "shaft_upper")
KNEE: Final = ("medial_epicondyle", "lateral_epicondyle", "distal_medial_condyle")

DEFINITIONS: Final = (
    Definition(name="Femoral length", unit="mm", measured=length, needs=(*HIP, *KNEE), residual=0.7),
    Definition(name="Femoral head diameter", unit="mm", measured=head_diameter, needs=("head_centre",), residual=0.5),
    Definition(name="Neck-shaft angle", unit="deg", measured=neck_shaft_angle, needs=HIP, residual=1.0),
    Definition(name="Femoral offset", unit="mm", measured=offset, needs=HIP, residual=0.7),
    Definition(name="Anteversion", unit="deg", measured=anteversion, needs=(*HIP, *KNEE), two_views=True, residual=1.5),
    Definition(
        name="Mechanical lateral distal femoral angle",
        unit="deg",
        measured=distal_femoral_angle,
        needs=(*HIP, *KNEE),
        residual=0.7,
    ),
    Definition(name="Epicondylar width", unit="mm", measured=epicondylar_width, needs=KNEE, residual=0.9),
)


def measure(fit: Fit, assessment: Assessment) -> tuple[Measurement, ...]:
    """Measurements of the reconstructed femur with 90 % intervals.

    Args:
        fit: The fit.
        assessment: Its judgement, which names the bone.
    """
    drawn = _drawn(fit)
    return tuple(_measurement(fit, assessment.surface.name, definition, drawn) for definition in DEFINITIONS)


def _measurement(fit: Fit, bone: str, definition: Definition, drawn: tuple[Anatomy, ...]) -> Measurement:
    reason = _why_not(fit, definition)
    if reason:
        return Measurement(
            name=definition.name, bone=bone, unit=definition.unit, value=None, lower=None, upper=None, reason=reason
        )
    value, *repeated = (definition.measured(anatomy) for anatomy in drawn)
    spread = np.hypot(fit.model.interval_factor * float(np.std(repeated)), definition.residual)
    return Measurement(
        name=definition.name,
        bone=bone,
        unit=definition.unit,
        value=value,
        lower=value - NORMAL_90_PERCENT * float(spread),
        upper=value + NORMAL_90_PERCENT * float(spread),
    )


def _why_not(fit: Fit, definition: Definition) -> str:
    """Why the views do not support a measurement; empty where they do."""
    frontal = [view.observation.calibration.view.is_frontal for view in fit.views]
    if definition.unit == "mm" and not any(view.observation.calibration.scale.known for view in fit.views):
        return NEEDS_MM
    if not any(frontal):
        return NEEDS_FRONTAL
    if definition.two_views and all(frontal):
        return NEEDS_TWO_VIEWS
    unseen = [name for name in definition.needs if not fit.in_field[fit.model.landmarks[name].indices].all()]
    return f"Outside the field of view: {', '.join(unseen).replace('_', ' ')}." if unseen else ""


def _drawn(fit: Fit) -> tuple[Anatomy, ...]:
    """The fitted shape, then shapes drawn from the posterior around it; as right bones, of which only needed points."""
    random = np.random.default_rng(SEED)
    root = np.linalg.cholesky(fit.covariance)
    draws = fit.coefficients + random.standard_normal((DRAWS, len(root))) @ root.T
    return tuple(_anatomy(fit.model, coefficients) for coefficients in (fit.coefficients, *draws))


def _anatomy(model: ShapeModel, coefficients: FloatArray) -> Anatomy:
    vertices = model.instance(coefficients)
    centre, radius = nearest_sphere(vertices[model.regions["head"]])
    # Not the model's own landmark: corresponding points slide along a ball, and its centre strays by 2 mm.
    landmarks = {name: landmark.position(vertices) for name, landmark in model.landmarks.items()}
    return Anatomy(at={**landmarks, "head_centre": centre}, head_radius=radius, vertices=vertices)


def _angle(one: FloatArray, other: FloatArray) -> float:
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def _across(vector: FloatArray, axis: FloatArray) -> FloatArray:
    """The part of a vector that is square to a unit axis."""
    return np.asarray(vector - (vector @ axis) * axis)

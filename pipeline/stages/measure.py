"""What surgeons and radiologists measure on the bones, each with an interval or the reason why there is none.

Intervals come from the posterior: the measurement is repeated on shapes drawn from it. Definitions, their sources and
how well they agree with people's hands are in docs/measurements.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.results import Measurement, NamedPoint, Unmeasured
from pipeline.shape_model import mirrored
from pipeline.stages.fit import Fit
from pipeline.stages.intervals import interval_factor
from pipeline.stages.measure_anatomy import Anatomy
from pipeline.stages.measure_definitions import ANATOMIES, DEFINITIONS, Definition, Part
from pipeline.surface import Bone, Name, bone_name, bone_title

DRAWS: Final = 100
SEED: Final = 20
NORMAL_90_PERCENT: Final = 1.645


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why the views do not support a measurement, and in words."""

    code: Unmeasured
    sentence: str


NEEDS_MM: Final = Reason(code=Unmeasured.NO_SCALE, sentence="No scale: the study does not say how large a pixel is.")
NEEDS_TWO_VIEWS: Final = Reason(
    code=Unmeasured.NEEDS_LATERAL, sentence="A frontal view alone does not show it: a lateral view is needed."
)
NEEDS_FRONTAL: Final = Reason(code=Unmeasured.NEEDS_FRONTAL, sentence="Needs a frontal view.")
FRONTAL_ONLY: Final = Reason(
    code=Unmeasured.FRONTAL_ONLY, sentence="The pelvis is taken from frontal films, which do not show it."
)


def measure(fit: Fit) -> tuple[Measurement, ...]:
    """What is measured on one bone by itself, with 90 % intervals."""
    return _Frame([fit]).measurements(definition for definition in DEFINITIONS if len(definition.parts) == 1)


def measure_together(fits: Sequence[Fit]) -> tuple[Measurement, ...]:
    """What takes several bones of one study; each measurement is listed with the first bone of its definition.

    Bones are compared where their first view is the same radiograph: it gives them a frame in common.

    Args:
        fits: Of all bones of a study.
    """
    frames: dict[str, list[Fit]] = {}
    for fit in fits:
        frames.setdefault(fit.views[0].observation.calibration.identifier, []).append(fit)
    several = [definition for definition in DEFINITIONS if len(definition.parts) > 1]
    return tuple(measurement for bones in frames.values() for measurement in _Frame(bones).measurements(several))


class _Frame:
    """Bones that lie in one frame, and shapes drawn around each."""

    def __init__(self, fits: Sequence[Fit]) -> None:
        self._fits: dict[Name, Fit] = {(fit.bone, fit.side): fit for fit in fits}
        self._drawn: dict[tuple[Name, Side], tuple[Anatomy, ...]] = {}

    def measurements(self, definitions: Iterable[Definition]) -> tuple[Measurement, ...]:
        """Whatever is defined for bones that are there."""
        return tuple(
            self._measurement(definition, side) for definition in definitions for side in self._sides(definition)
        )

    def _sides(self, definition: Definition) -> list[Side]:
        sides = [side for side in (Side.RIGHT, Side.LEFT) if _name(definition.parts[0], side) in self._fits]
        return sides[:1] if definition.symmetric else sides

    def _measurement(self, definition: Definition, side: Side) -> Measurement:
        names = [_name(part, side) for part in definition.parts]
        unmeasured = Measurement(
            name=definition.name,
            bone=bone_name(*names[0]),
            unit=definition.unit,
            value=None,
            lower=None,
            upper=None,
            code=definition.code,
        )
        if reason := self._why_not(definition, names):
            return replace(unmeasured, reason=reason.sentence, unmeasured=reason.code)
        shapes = zip(*(self._shapes(name, side) for name in names), strict=True)
        value, *repeated = (definition.measured(*bones) for bones in shapes)
        factor = max(interval_factor(self._fits[name]) for name in names)
        reach = NORMAL_90_PERCENT * float(np.hypot(factor * float(np.std(repeated)), definition.residual))
        points = [
            point for part, name in zip(definition.parts, names, strict=True) for point in self._points(part, name)
        ]
        return replace(unmeasured, value=value, lower=value - reach, upper=value + reach, points=tuple(points))

    def _points(self, part: Part, name: Name) -> Iterable[NamedPoint]:
        """Where a part's landmarks are."""
        fit = self._fits[name]
        if not _has_scale(fit):
            return
        (vertices,) = _placed(fit, fit.coefficients[None])
        for landmark in part.needs:
            left, posterior, head = fit.model.landmarks[landmark].position(vertices).tolist()
            yield NamedPoint(name=f"{bone_name(*name)}/{landmark}", position=(left, posterior, head))

    def _why_not(self, definition: Definition, names: Sequence[Name]) -> Reason | None:
        """Why the views do not support a measurement; None where they do."""
        absent = [bone_title(*name).lower() for name in names if name not in self._fits]
        if absent:
            return Reason(
                code=Unmeasured.NEEDS_BONES,
                sentence=f"Needs more bones on the same radiograph: {', '.join(absent)}.",
            )
        fits = [self._fits[name] for name in names]
        return next(filter(None, (_missing_view(definition, fit) for fit in fits)), None) or _outside_field(
            [(part, fit) for part, fit in zip(definition.parts, fits, strict=True)]
        )

    def _shapes(self, name: Name, seen_from: Side) -> tuple[Anatomy, ...]:
        """A bone as fitted, then as drawn from the posterior, where it lies; in the mirror when seen from the left."""
        if (name, seen_from) not in self._drawn:
            fit = self._fits[name]
            kind = ANATOMIES[fit.bone]
            self._drawn[name, seen_from] = tuple(
                kind(
                    landmarks=fit.model.landmarks,
                    regions=fit.model.regions,
                    vertices=mirrored(vertices, seen_from),
                )
                for vertices in _placed(fit, _coefficients(fit))
            )
        return self._drawn[name, seen_from]


def _name(part: Part, side: Side) -> Name:
    return part.bone, side.other if part.opposite else side


def _has_scale(fit: Fit) -> bool:
    return any(view.observation.calibration.scale.known for view in fit.views)


def _missing_view(definition: Definition, fit: Fit) -> Reason | None:
    if definition.unit == "mm" and not _has_scale(fit):
        return NEEDS_MM
    frontal = [view.observation.calibration.view.is_frontal for view in fit.views]
    if definition.frontal and not any(frontal):
        return NEEDS_FRONTAL
    if not definition.lateral or not all(frontal):
        return None
    return FRONTAL_ONLY if fit.bone in (Bone.HIP_BONE, Bone.SACRUM) else NEEDS_TWO_VIEWS


def _outside_field(parts: Sequence[tuple[Part, Fit]]) -> Reason | None:
    unseen = [
        landmark if len(parts) == 1 else f"{landmark} of the {part.bone.words}"
        for part, fit in parts
        for landmark in part.needs
        if not fit.in_field[fit.model.landmarks[landmark].indices].all()
    ]
    if not unseen:
        return None
    words = ", ".join(unseen).replace("_", " ")
    return Reason(code=Unmeasured.OUTSIDE_FIELD, sentence=f"Outside the field of view: {words}.")


def _coefficients(fit: Fit) -> FloatArray:
    """(1 + DRAWS, K): those of the fitted shape, then of shapes drawn from the posterior around it."""
    random = np.random.default_rng([SEED, list(Bone).index(fit.bone), fit.side is Side.LEFT])
    draws = random.standard_normal((DRAWS, len(fit.coefficients))) @ np.linalg.cholesky(fit.covariance).T
    return np.vstack([fit.coefficients, fit.coefficients + draws])


def _placed(fit: Fit, coefficients: FloatArray) -> FloatArray:
    """(n, V, 3) mm LPS: shapes where the bone lies, in the frame of its first view.

    The pose is taken as fitted; how sure it is of the way bones lie to each other is the place for more doubt, here.
    """
    modes = fit.model.modes.reshape(fit.model.size, -1)
    shapes = (coefficients @ modes).reshape(-1, *fit.model.mean.shape) + fit.model.mean
    return fit.pose.apply(mirrored(shapes, fit.side))

"""A reconstructed bone, laid onto the true one and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

import numpy as np

from models.training.bodies import Body, PlacedBone
from models.training.correspondence import closest_points
from models.training.evaluation.films import BoolArray, Film, TrueBone
from models.training.evaluation.results import BoneResult, MeasurementResult
from models.training.primitives import Mesh
from models.training.scoring import score, turn_onto
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.results import Measurement
from pipeline.shape_model import ShapeModel, mirrored
from pipeline.stages.assess import vertex_sd
from pipeline.stages.enhance import to_working_grid
from pipeline.stages.fit import Fit, FittedView
from pipeline.stages.measure_anatomy import Anatomy
from pipeline.stages.measure_definitions import ANATOMIES, DEFINITIONS, Definition
from pipeline.surface import Bone, Name, bone_name

NORMAL_90_PERCENT: Final = 1.645
ALIGNMENT_ROUNDS: Final = 40
PERCENTILES: Final = np.arange(1, 100) / 100


def judged_bone(fit: Fit, films: Sequence[Film], *, another: PlacedBone | None, baselines: bool) -> BoneResult:
    """How far a bone is from the truth.

    Args:
        fit: As the product gave it out.
        films: Of the study, frontal first: what that shows is judged.
        another: Somebody else's bone, to compare with.
        baselines: Whether to measure the mean shape and the other person's bone as well.
    """
    truth = films[0].bones[fit.bone, fit.side]
    found = Mesh(vertices=fit.vertices, triangles=fit.triangles.astype(np.int64))
    errors, predicted = vertex_errors(fit, truth), vertex_sd(fit)[fit.in_field]
    held = errors <= NORMAL_90_PERCENT * predicted
    measured = BoneResult(
        bone=bone_name(fit.bone, fit.side),
        views=len(fit.views),
        **asdict(score(found, truth.surface, truth.shown_range, _middle(truth) - _shown_middle(fit, fit.vertices))),
        dice=min(_dice(view, films, fit) for view in fit.views),
        held=float(held.mean()),
        held_by_region=tuple(_by_region(fit, held)),
        half_width=float(np.median(NORMAL_90_PERCENT * predicted)),
        vertex_error=float(np.median(errors)),
        ratios=tuple(float(each) for each in np.quantile(errors / predicted, PERCENTILES).round(3)),
        contour_error=max(float(np.abs(view.residual_mm).mean()) for view in fit.views),
        shape_distance=float(np.sqrt((fit.coefficients**2).mean())),
    )
    if not baselines:
        return measured
    return replace(measured, mean_shape=_mean_shape(fit, truth), another=_another(another, truth))


def vertex_errors(fit: Fit, truth: TrueBone) -> FloatArray:
    """(n,) mm, distances of the vertices in the field from the true surface, after rigid alignment of these."""
    surface = truth.surface
    placed = fit.vertices[fit.in_field]
    moved = placed + _middle(truth) - placed.mean(axis=0)
    for _ in range(ALIGNMENT_ROUNDS):
        moved = turn_onto(moved, closest_points(surface.vertices, surface.triangles, moved))
    closest = closest_points(surface.vertices, surface.triangles, moved)
    return np.asarray(np.linalg.norm(closest - moved, axis=1))


def _middle(truth: TrueBone) -> FloatArray:
    return np.asarray(truth.surface.vertices[truth.shown].mean(axis=0))


def _shown_middle(fit: Fit, vertices: FloatArray) -> FloatArray:
    return np.asarray(vertices[fit.in_field].mean(axis=0))


def _by_region(fit: Fit, held: BoolArray) -> list[tuple[str, float]]:
    """Share of a region's vertices in the field that lie within their interval."""
    holds = np.full(len(fit.vertices), np.nan)
    holds[fit.in_field] = held
    regions = ((name, holds[indices]) for name, indices in fit.model.regions.items())
    return [(name, float(np.nanmean(each))) for name, each in regions if not np.isnan(each).all()]


def _mean_shape(fit: Fit, truth: TrueBone) -> float:
    """ASD of the mean shape."""
    mean = mirrored(fit.model.mean, fit.side)
    mesh = Mesh(vertices=mean, triangles=fit.triangles.astype(np.int64))
    return score(mesh, truth.surface, truth.shown_range, _middle(truth) - _shown_middle(fit, mean)).asd


def _another(another: PlacedBone | None, truth: TrueBone) -> float:
    """ASD of somebody else's bone, turned first as the same vertices of the shape model lie on both."""
    if another is None or another.registered is None:
        return float("nan")
    low, high = truth.shown_range
    shown = (truth.registered[:, 2] >= low) & (truth.registered[:, 2] <= high)
    vertices = turn_onto(another.registered[shown], truth.registered[shown], also=another.mesh.vertices)
    return score(another.mesh.moved(vertices), truth.surface, truth.shown_range, np.zeros(3)).asd


def _dice(view: FittedView, films: Sequence[Film], fit: Fit) -> float:
    """Of what was perceived of a bone in a film, against its true shadow; 1 where the film shows none of it."""
    film = next(film for film in films if film.identifier == view.observation.calibration.identifier)
    truth = film.bones.get((fit.bone, fit.side))
    if truth is None:
        return 1.0
    mask = view.observation.perception.mask > 0.5
    shadow, _ = to_working_grid(film.shadow(truth.looks), max(mask.shape))
    true_mask = shadow > 0.5
    return float(2 * (mask & true_mask).sum() / max(mask.sum() + true_mask.sum(), 1))


def somebody_else(name: Name, person: str, bodies: Mapping[str, Body]) -> PlacedBone | None:
    """The same bone of the next person, by name, who has it; None where nobody else does."""
    people = sorted(bodies)
    after = [*(other for other in people if other > person), *(other for other in people if other < person)]
    return next((bodies[other].bones[name] for other in after if name in bodies[other].bones), None)


def judged_measurements(
    given: Sequence[Measurement], film: Film, models: Mapping[Bone, ShapeModel]
) -> tuple[MeasurementResult, ...]:
    """Measurements of the product against the same on the true surfaces, as far as these are all there.

    Args:
        given: By the product.
        film: The frontal one, in whose pose bones are compared.
        models: Shape models whose vertices were registered onto the true bones.
    """
    definitions = {definition.name: definition for definition in DEFINITIONS}
    judged = []
    for each in given:
        truth = true_measurement(definitions[each.name], _side(each.bone), film, models)
        if truth is not None:
            judged.append(_against(each, truth))
    return tuple(judged)


def _against(given: Measurement, truth: float) -> MeasurementResult:
    return MeasurementResult(
        name=given.name,
        bone=given.bone,
        unit=given.unit,
        truth=truth,
        value=given.value,
        lower=given.lower,
        upper=given.upper,
        unmeasured=str(given.unmeasured or ""),
    )


def _side(bone: str) -> Side:
    return Side.LEFT if bone.endswith("_L") else Side.RIGHT


def true_measurement(definition: Definition, side: Side, film: Film, models: Mapping[Bone, ShapeModel]) -> float | None:
    """A measurement on the true surfaces as they lay for a film; None where one of its bones is not known."""
    names = [(part.bone, side.other if part.opposite else side) for part in definition.parts]
    if any(name not in film.bones for name in names):
        return None
    return definition.measured(*(_anatomy(name, side, film, models) for name in names))


def _anatomy(name: Name, seen_from: Side, film: Film, models: Mapping[Bone, ShapeModel]) -> Anatomy:
    """A true bone where it lay; in the mirror when seen from the left."""
    model = models[name[0]]
    vertices = mirrored(film.bones[name].registered, seen_from)
    return ANATOMIES[name[0]](landmarks=model.landmarks, regions=model.regions, vertices=vertices)

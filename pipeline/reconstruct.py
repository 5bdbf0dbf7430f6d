"""The story: from radiographs of one study to bones in 3D, or to a refusal that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pipeline.errors import Refusal, RefusalCode
from pipeline.progress import Journal
from pipeline.radiograph import Radiograph, Scale, Side
from pipeline.results import NOT_RECOGNISED, Measurement, ModelVersion
from pipeline.shape_model import ShapeModel
from pipeline.stages.assess import Assessment, assess
from pipeline.stages.calibrate import calibrate
from pipeline.stages.enhance import EnhancedImage, enhance
from pipeline.stages.fit import Fit, ViewObservation, fit, fit_either_side
from pipeline.stages.gate import Gate, GateDecision, gate
from pipeline.stages.measure import measure, measure_together
from pipeline.stages.perceive import Network, Perception, perceive

Given = TypeVar("Given")
Made = TypeVar("Made")

WHOLE_STUDY: Final = (RefusalCode.CHILD,)
"""What one picture shows of the patient holds for the others too; other refusals only concern the picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """The models that take part, and what the report says of them."""

    gate: Gate
    perception: Network
    femur: ShapeModel
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class AdmittedView:
    """A radiograph that the gate let through, with what the stages up to perception made of it."""

    radiograph: Radiograph
    decision: GateDecision
    enhanced: EnhancedImage
    perception: Perception


@dataclass(frozen=True, kw_only=True, eq=False)
class ReconstructedBone:
    """One bone, and how it came about; `views`, `fit.views` and the assessment's errors are in the same order."""

    views: tuple[AdmittedView, ...]
    fit: Fit
    assessment: Assessment
    measurements: tuple[Measurement, ...]

    @property
    def scale(self) -> Scale:
        """The best known scale of its views: the one the size of the bone rests on."""
        scales = [view.observation.calibration.scale for view in self.fit.views]
        return min(scales, key=lambda scale: (not scale.known, scale.relative_uncertainty))


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """The bones of a study, and what the reader should know of them."""

    bones: tuple[ReconstructedBone, ...]
    warnings: tuple[str, ...]


def reconstruct(radiographs: Sequence[Radiograph], models: Models, journal: Journal) -> Reconstruction:
    """Reconstruct every bone that the radiographs of one study show.

    Args:
        radiographs: Of one study.
        models: What takes part.
        journal: Keeps the stages' times and tells of progress.

    Raises:
        Refusal: The models do not apply to any of the radiographs, or no reconstruction holds.
    """
    with journal.stage("gate", "Checking what the pictures show") as note:
        passed, warnings = _each(radiographs, lambda radiograph: _admit(radiograph, models.gate))
        note.summary = f"{len(passed)} of {len(radiographs)} pictures show a femur that can be reconstructed"
    with journal.stage("enhance", "Making the pictures comparable") as note:
        enhanced = [enhance(radiograph) for radiograph, _ in passed]
        note.summary = ", ".join(f"{e.image.shape[1]} × {e.image.shape[0]}" for e in enhanced) + " working pixels"
    with journal.stage("perceive", "Finding the bone and its landmarks") as note:
        perceptions = [perceive(image, models.perception) for image in enhanced]
        note.summary = ", ".join(f"{len(p.landmarks)} landmarks" for p in perceptions)
    admitted = [
        AdmittedView(radiograph=radiograph, decision=decision, enhanced=image, perception=perception)
        for (radiograph, decision), image, perception in zip(passed, enhanced, perceptions, strict=True)
    ]
    with journal.stage("calibrate", "Working out how the beam ran") as note:
        groups, unplaced = _by_side(admitted)
        observed = [(side, views, _observations(views, side)) for side, views in groups]
        scales = {str(o.calibration.scale.provenance) for _, _, views in observed for o in views}
        note.summary = f"scale: {', '.join(sorted(scales))}"
    with journal.stage("fit", "Fitting the shape model") as note:
        fits = [(views, _fit(models.femur, observations, side)) for side, views, observations in observed]
        note.summary = ", ".join(f"{len(found.vertices)} vertices from {len(views)} view(s)" for views, found in fits)
    with journal.stage("assess", "Judging the result") as note:
        judged, refused = _each(fits, lambda pair: _judged(*pair))
        bones = _measured_together(judged)
        note.summary = ", ".join(_verdict(bone) for bone in bones)
    own = (sentence for bone in bones for sentence in _bone_warnings(bone))
    sentences = (NOT_RECOGNISED, *warnings, *unplaced, *refused, *own)
    return Reconstruction(bones=bones, warnings=tuple(dict.fromkeys(sentences)))


def _each(items: Iterable[Given], make: Callable[[Given], Made]) -> tuple[list[Made], tuple[str, ...]]:
    """What could be made of the items, and why the others were refused.

    Raises:
        Refusal: One holds for the whole study, or none of the items passed: then the first.
    """
    made, refusals = [], []
    for item in items:
        try:
            made.append(make(item))
        except Refusal as refusal:
            if refusal.code in WHOLE_STUDY:
                raise
            refusals.append(refusal)
    if not made:
        raise refusals[0]
    return made, tuple(f"One picture was left out: {refusal.sentence}" for refusal in refusals)


def _admit(radiograph: Radiograph, network: Gate) -> tuple[Radiograph, GateDecision]:
    """The radiograph as the gate wants it read: turned over where bone is dark, for every later stage and picture."""
    decision = gate(radiograph, network)
    return (replace(radiograph, pixels=-radiograph.pixels) if decision.inverted else radiograph), decision


def _by_side(views: Sequence[AdmittedView]) -> tuple[list[tuple[Side | None, list[AdmittedView]]], tuple[str, ...]]:
    """Views grouped by the side they show, frontal views first; a view without side joins the only known one."""
    sides = sorted({view.decision.side for view in views if view.decision.side is not None})
    ordered = sorted(views, key=lambda view: not view.decision.view.is_frontal)
    if not sides:
        return [(None, ordered)], ("Nobody says which side is shown: the likelier one was taken.",)
    groups: list[tuple[Side | None, list[AdmittedView]]] = []
    for side in sides:
        belongs = (side, None) if len(sides) == 1 else (side,)
        groups.append((side, [view for view in ordered if view.decision.side in belongs]))
    left_out = len(views) - sum(len(group) for _, group in groups)
    sentence = "Pictures of unknown side were left out, for both sides are shown."
    return groups, ((sentence,) if left_out else ())


def _observations(views: Sequence[AdmittedView], side: Side | None) -> tuple[ViewObservation, ...]:
    """The views with their beams; where nobody knows the side, as if it were the right one."""
    return tuple(
        ViewObservation(
            calibration=calibrate(view.radiograph, view=view.decision.view, side=side or Side.RIGHT),
            perception=view.perception,
        )
        for view in views
    )


def _fit(model: ShapeModel, observations: tuple[ViewObservation, ...], side: Side | None) -> Fit:
    return fit_either_side(model, observations) if side is None else fit(model, observations, side=side)


def _judged(views: Sequence[AdmittedView], found: Fit) -> ReconstructedBone:
    assessment = assess(found)
    return ReconstructedBone(views=tuple(views), fit=found, assessment=assessment, measurements=measure(found))


def _measured_together(bones: Sequence[ReconstructedBone]) -> tuple[ReconstructedBone, ...]:
    """The bones with what is measured on several of them, at the bone with which it is listed."""
    together = measure_together([bone.fit for bone in bones])
    return tuple(
        replace(
            bone,
            measurements=(*bone.measurements, *(m for m in together if m.bone == bone.assessment.surface.name)),
        )
        for bone in bones
    )


def _verdict(bone: ReconstructedBone) -> str:
    if not bone.scale.known:
        return "shape only: errors are not in mm"
    errors = " and ".join(f"{error:.1f} mm" for error in bone.assessment.contour_error_mm)
    return f"contour error {errors}; expected 3D error {bone.assessment.expected_error_mm:.1f} mm"


def _bone_warnings(bone: ReconstructedBone) -> Iterable[str]:
    for view in bone.views:
        yield from (*view.radiograph.notes, *view.decision.notes)
    for fitted in bone.fit.views:
        yield from fitted.observation.calibration.notes
    yield from bone.assessment.warnings

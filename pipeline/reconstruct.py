"""The story: from radiographs of one study to bones in 3D, or to a refusal that says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pipeline.errors import Refusal, RefusalCode
from pipeline.progress import Journal
from pipeline.radiograph import Radiograph, Scale, Side
from pipeline.refusals import LeftOut
from pipeline.regions import NEED_A_LATERAL
from pipeline.results import NOT_RECOGNISED, Measurement, ModelVersion
from pipeline.shape_model import ShapeModel
from pipeline.stages.assess import Assessment, assess
from pipeline.stages.calibrate import calibrate
from pipeline.stages.enhance import EnhancedImage, enhance
from pipeline.stages.fit import Fit, Solution, ViewObservation, finished
from pipeline.stages.gate import Gate, GateDecision, gate_study
from pipeline.stages.measure import measure, measure_together
from pipeline.stages.perceive import Looks, Network, Perception, perceive_with_single_femur
from pipeline.stages.recognise import recognise
from pipeline.stages.together import Sought, search, settle
from pipeline.surface import Bone, Name, bone_title

Given = TypeVar("Given")
Made = TypeVar("Made")

WHOLE_STUDY: Final = (RefusalCode.CHILD,)
"""What one picture shows of the patient holds for the others too; other refusals only concern the picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Models:
    """The models that take part, and what the report says of them.

    Attributes:
        gate: What a picture shows.
        femur: Perception of a single femur.
        bones: Perception of every bone.
        shapes: Shape model of every bone.
        versions: Of all of them.
    """

    gate: Gate
    femur: Network
    bones: Network
    shapes: Mapping[Bone, ShapeModel]
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class AdmittedView:
    """A radiograph that the gate let through, with what the stages up to perception made of it.

    Attributes:
        radiograph: As it is read from here on.
        decision: Of the gate.
        enhanced: On the working grid.
        seen: Every bone that the networks know, as it looks.
    """

    radiograph: Radiograph
    decision: GateDecision
    enhanced: EnhancedImage
    seen: Mapping[Looks, Perception]


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
    """The bones of a study, and what the reader should know of them.

    Attributes:
        bones: In the order in which they were recognised.
        together: What is measured on several bones.
        warnings: In sentences, also of what was left out.
        left_out: Radiographs and bones that were refused.
    """

    bones: tuple[ReconstructedBone, ...]
    together: tuple[Measurement, ...]
    warnings: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Of every bone, then of several together."""
        return (*(measurement for bone in self.bones for measurement in bone.measurements), *self.together)


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
        verdicts = gate_study(radiographs, models.gate)
        passed, unread = _each(
            zip(radiographs, verdicts, strict=True),
            lambda pair: _admitted(*pair),
            lambda pair: (None, (pair[0].identifier,)),
        )
        note.summary = f"{len(passed)} of {len(radiographs)} pictures show bones that can be reconstructed"
    with journal.stage("enhance", "Making the pictures comparable") as note:
        enhanced = [enhance(radiograph) for radiograph, _ in passed]
        note.summary = ", ".join(f"{e.image.shape[1]} × {e.image.shape[0]}" for e in enhanced) + " working pixels"
    with journal.stage("perceive", "Finding the bones and their landmarks") as note:
        admitted = [
            AdmittedView(
                radiograph=radiograph,
                decision=decision,
                enhanced=image,
                seen=perceive_with_single_femur(image, models.bones, models.femur),
            )
            for (radiograph, decision), image in zip(passed, enhanced, strict=True)
        ]
        note.summary = ", ".join(f"{sum(len(p.landmarks) for p in view.seen.values())} landmarks" for view in admitted)
    with journal.stage("calibrate", "Working out how the beam ran") as note:
        sightings, unsure, unfit = _sightings(admitted)
        scales = {str(each.observation.calibration.scale.provenance) for found in sightings.values() for each in found}
        note.summary = f"scale: {', '.join(sorted(scales))}"
    with journal.stage("fit", "Fitting the shape models") as note:
        sought = [_sought(name, found, models.shapes) for name, found in sightings.items()]
        solutions, refused = _each(
            search(sought), _holding, lambda each: _about((each.bone, each.problem.side), sightings)
        )
        fits = [finished(solution) for solution in settle(solutions)]
        note.summary = ", ".join(f"{_title(found)} from {len(found.views)} view(s)" for found in fits)
    with journal.stage("assess", "Judging the result") as note:
        bones, worse = _each(
            fits,
            lambda found: _judged(sightings[found.bone, found.side], found),
            lambda found: _about((found.bone, found.side), sightings),
        )
        note.summary = ", ".join(_verdict(bone) for bone in bones)
    own = (sentence for bone in bones for sentence in _bone_warnings(bone))
    left_out = (*unread, *unfit, *refused, *worse)
    sentences = (NOT_RECOGNISED, *unsure, *map(_warning, left_out), *own)
    return Reconstruction(
        bones=tuple(bones),
        together=measure_together([bone.fit for bone in bones]),
        warnings=tuple(dict.fromkeys(sentences)),
        left_out=left_out,
    )


def _each(
    items: Iterable[Given],
    make: Callable[[Given], Made],
    about: Callable[[Given], tuple[Name | None, tuple[str, ...]]],
) -> tuple[list[Made], tuple[LeftOut, ...]]:
    """What could be made of the items, and why the others were refused.

    Args:
        items: Pictures, or bones.
        make: What is made of each.
        about: Which bone an item is, None where it is a picture, and the identifiers of its pictures.

    Raises:
        Refusal: One holds for the whole study, or none of the items passed: then the first.
    """
    made, refusals, left_out = [], [], []
    for item in items:
        try:
            made.append(make(item))
        except Refusal as refusal:
            if refusal.code in WHOLE_STUDY:
                raise
            bone, shown = about(item)
            refusals.append(refusal)
            left_out.append(LeftOut(code=refusal.code, sentence=refusal.sentence, radiographs=shown, bone=bone))
    if not made:
        raise refusals[0]
    return made, tuple(left_out)


def _warning(left_out: LeftOut) -> str:
    """What the reader is told; sentences about a bone name it."""
    return left_out.sentence if left_out.bone else f"One picture was left out: {left_out.sentence}"


def _admitted(radiograph: Radiograph, verdict: GateDecision | Refusal) -> tuple[Radiograph, GateDecision]:
    """The radiograph as the gate wants it read: turned over where bone is dark, for every later stage and picture.

    Raises:
        Refusal: That is the verdict.
    """
    if isinstance(verdict, Refusal):
        raise verdict
    return (replace(radiograph, pixels=-radiograph.pixels) if verdict.inverted else radiograph), verdict


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """One bone in one picture."""

    view: AdmittedView
    observation: ViewObservation


Sightings = dict[Name, list[Sighting]]


def _about(name: Name, sightings: Sightings) -> tuple[Name, tuple[str, ...]]:
    """A bone, and the identifiers of the pictures that show it."""
    return name, tuple(each.view.radiograph.identifier for each in sightings[name])


def _sightings(views: Sequence[AdmittedView]) -> tuple[Sightings, tuple[str, ...], tuple[LeftOut, ...]]:
    """Every bone with the pictures that show it, frontal ones first; what is not sure about that; what is left out.

    Raises:
        Refusal: No bone is seen.
    """
    found: Sightings = {}
    notes: list[str] = []
    legs: set[Side] = set()
    for view in sorted(views, key=lambda view: not view.decision.view.is_frontal):
        # A lateral of unknown side belongs to the only leg that the frontal pictures show.
        side = view.decision.side
        if side is None and not view.decision.view.is_frontal and len(legs) == 1:
            (side,) = legs
        calibration = calibrate(view.radiograph, view=view.decision.view, side=side or Side.RIGHT)
        shown = recognise(view.seen, calibration, side=side)
        if shown.side is not None:
            legs.add(shown.side)
        notes.extend(shown.notes)
        for name, perception in shown.bones.items():
            observation = ViewObservation(calibration=calibration, perception=perception)
            found.setdefault(name, []).append(Sighting(view=view, observation=observation))
    left_out = (*_without_flat(found), *_without_unscaled(found))
    if not found and left_out:
        raise Refusal(left_out[0].code, left_out[0].sentence)
    if not found:
        raise Refusal(RefusalCode.POOR_IMAGE, "No bone of pelvis or leg can be made out in the pictures.")
    return found, tuple(notes), left_out


def _without_flat(found: Sightings) -> Iterable[LeftOut]:
    """Leaves out what needs a lateral view and is seen from the front only."""
    for name in [name for name in found if name[0] in NEED_A_LATERAL]:
        if all(each.view.decision.view.is_frontal for each in found[name]):
            sentence = f"The {name[0].words} is not reconstructed: that needs a lateral view."
            yield _without(name, found, RefusalCode.UNSUPPORTED_VIEW, sentence)


def _without_unscaled(found: Sightings) -> Iterable[LeftOut]:
    """Leaves out what only a scale makes sense of: which stretch of a long thin bone a film shows, its size tells."""
    names = [
        name
        for name, sightings in found.items()
        if name[0] is not Bone.FEMUR and not any(each.observation.calibration.scale.known for each in sightings)
    ]
    sentence = "Nothing says how large a pixel is: without that, no bone but the femur is reconstructed."
    for name in names:
        yield _without(name, found, RefusalCode.NO_SCALE, sentence)


def _without(name: Name, found: Sightings, code: RefusalCode, sentence: str) -> LeftOut:
    """Takes a bone out of what was found."""
    bone, radiographs = _about(name, found)
    del found[name]
    return LeftOut(code=code, sentence=sentence, radiographs=radiographs, bone=bone)


def _sought(name: Name, sightings: Sequence[Sighting], shapes: Mapping[Bone, ShapeModel]) -> Sought:
    bone, side = name
    observations = tuple(each.observation for each in sightings)
    return Sought(bone=bone, side=side, model=shapes[bone], observations=observations)


def _holding(solution: Solution) -> Solution:
    """The solution, if it holds by itself: others are not to be pulled about by one that does not.

    Raises:
        Refusal: It does not.
    """
    assess(finished(solution))
    return solution


def _judged(sightings: Sequence[Sighting], found: Fit) -> ReconstructedBone:
    assessment = assess(found)
    return ReconstructedBone(
        views=tuple(each.view for each in sightings),
        fit=found,
        assessment=assessment,
        measurements=measure(found),
    )


def _title(found: Fit) -> str:
    return bone_title(found.bone, found.side).lower()


def _verdict(bone: ReconstructedBone) -> str:
    title = _title(bone.fit)
    if not bone.scale.known:
        return f"{title}: shape only, errors are not in mm"
    errors = " and ".join(f"{error:.1f} mm" for error in bone.assessment.contour_error_mm)
    return f"{title}: contour error {errors}; expected 3D error {bone.assessment.expected_error_mm:.1f} mm"


def _bone_warnings(bone: ReconstructedBone) -> Iterable[str]:
    for view in bone.views:
        yield from (*view.radiograph.notes, *view.decision.notes)
    for fitted in bone.fit.views:
        yield from fitted.observation.calibration.notes
    yield from bone.assessment.warnings

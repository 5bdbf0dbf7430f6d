"""One study from simulation to judgement, in a process that keeps what it has loaded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from threadpoolctl import threadpool_limits

from models.training.bodies import Body, load_bodies
from models.training.bone_dataset import read_models
from models.training.dataset import read_folds
from models.training.evaluation.films import Film, photograph
from models.training.evaluation.held_out import FoldNetworks, open_models, shapes_without
from models.training.evaluation.judge import NORMAL_90_PERCENT, judged_bone, judged_measurements, somebody_else
from models.training.evaluation.plan import Study
from models.training.evaluation.results import BoneResult, StudyResult, blank, failed
from models.training.evaluation.true_outlines import with_true_outlines
from pipeline.dicom_study import read_study
from pipeline.errors import Refusal
from pipeline.progress import Journal
from pipeline.reconstruct import Models, Reconstruction, reconstruct
from pipeline.refusals import LeftOut
from pipeline.stages.fit import Fit
from pipeline.surface import Name, bone_name

NOT_FOUND: Final = "not found"


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """Where things are.

    Attributes:
        data: The bone collection.
        runs: Keeps registrations and shape models.
        films: Keeps simulated studies.
        networks: That have not seen a fold's people, by fold.
        true_outlines: Whether the simulator's own shadows stand in for what the networks see.
    """

    data: Path
    runs: Path
    films: Path
    networks: tuple[tuple[int, FoldNetworks], ...]
    true_outlines: bool = False

    def digest(self, fold: int) -> str:
        """Of the networks of a fold."""
        digest = dict(self.networks)[fold].digest
        return f"{digest}-true" if self.true_outlines else digest


def evaluate(study: Study, workshop: Workshop) -> StudyResult:
    """Make and judge a study; whatever breaks becomes part of the result."""
    digest = workshop.digest(study.person.fold)
    try:
        return _evaluated(study, workshop, blank(study, digest))
    except Exception as error:  # noqa: BLE001 - one study must not end a run of hundreds
        return failed(study, digest, error)


def _evaluated(study: Study, workshop: Workshop, result: StudyResult) -> StudyResult:
    bodies = _bodies(workshop.data, workshop.runs)
    films = photograph(study, bodies[study.person.name], tuple(bodies.values()), workshop.films / study.key)
    models = _models(workshop, study.person.fold, study.person.name)
    models = with_true_outlines(models, films) if workshop.true_outlines else models
    return reconstructed_and_judged(study, films, models, bodies, result)


def reconstructed_and_judged(
    study: Study, films: Sequence[Film], models: Models, bodies: Mapping[str, Body], result: StudyResult
) -> StudyResult:
    """The product's whole road, then how far its results are from the truth.

    Args:
        study: Which one.
        films: Its, as files.
        models: That have not seen the person.
        bodies: Everybody by name: who lends a bone to compare with.
        result: What is known of the study already.
    """
    names = [name for name in study.examination.names(study.side) if name in films[0].bones]
    refusal, found, result = _through_the_product(films, models, result)
    if found is None:
        unseen = tuple(BoneResult(bone=bone_name(*name), refused=refusal) for name in names)
        return replace(result, refused=refusal, bones=unseen)
    fits = {(bone.fit.bone, bone.fit.side): bone.fit for bone in found.bones}
    wanted = {bone_name(*name) for name in names}
    given = [each for each in found.measurements if each.bone in wanted]
    return replace(
        result,
        bones=tuple(_judged(name, fits.get(name), found.left_out, films, study, bodies) for name in names),
        films_refused=tuple(str(left.code) for left in found.left_out if left.bone is None),
        measurements=judged_measurements(given, films[0], _complete_models()),
        scale_interval=NORMAL_90_PERCENT * max(bone.scale.relative_uncertainty for bone in found.bones),
    )


def _judged(
    name: Name,
    fit: Fit | None,
    left_out: Sequence[LeftOut],
    films: Sequence[Film],
    study: Study,
    bodies: Mapping[str, Body],
) -> BoneResult:
    if fit is None:
        return BoneResult(bone=bone_name(*name), refused=_why_not(name, left_out))
    another = somebody_else(name, study.person.name, bodies)
    return judged_bone(fit, films, another=another, baselines=study.disturbance.sweep is None)


def _through_the_product(
    films: Sequence[Film], models: Models, result: StudyResult
) -> tuple[str, Reconstruction | None, StudyResult]:
    """Why it refused, or what came of it, and the result with what that took."""
    memory = PeakMemory()
    began, worked = time.perf_counter(), time.process_time()
    code, found = "", None
    try:
        with threadpool_limits(limits=1, user_api="blas"):  # as in pipeline.study
            radiographs = read_study([film.path for film in films]).radiographs
            found = reconstruct(radiographs, models, Journal(lambda _: None))
    except Refusal as refusal:
        code = str(refusal.code)
    spent = replace(
        result,
        seconds=round(time.perf_counter() - began, 2),
        cpu_seconds=round(time.process_time() - worked, 2),
        peak_mb=memory.megabytes(),
    )
    return code, found, spent


def _why_not(name: Name, left_out: Sequence[LeftOut]) -> str:
    """The code of the refusal of a bone, else of a film, on which it may have been."""
    about = [left for left in left_out if left.bone == name] or [left for left in left_out if left.bone is None]
    return str(about[0].code) if about else NOT_FOUND


@cache
def _bodies(data: Path, runs: Path) -> dict[str, Body]:
    people = [person for person, fold in read_folds().items() if isinstance(fold, int)]
    found = load_bodies(data, people, read_models(), cache=runs / "correspondence")
    return {body.people[0]: body for body in found}


@lru_cache(maxsize=1)
def _models(workshop: Workshop, fold: int, person: str) -> Models:
    shapes = shapes_without(person, workshop.data, workshop.runs)
    return open_models(dict(workshop.networks)[fold], shapes)


_complete_models = cache(read_models)
"""Shape models with nobody left out: their vertices were registered onto everybody's bones."""


class PeakMemory:
    """The largest memory of this process since it was asked to watch; NaN where the kernel does not tell."""

    _RESET: Final = Path("/proc/self/clear_refs")
    _STATUS: Final = Path("/proc/self/status")

    def __init__(self) -> None:
        try:
            self._RESET.write_text("5")  # proc(5): the peak begins anew
            self._watched = True
        except OSError:
            self._watched = False

    def megabytes(self) -> float:
        """What it was."""
        if not self._watched:
            return float("nan")
        line = next(line for line in self._STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

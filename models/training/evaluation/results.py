"""What is measured on one study, as a line of JSON: finished studies survive whatever happens to the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from models.training.disturbance import Disturbance, Sweep
from models.training.evaluation.plan import Study

NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class BoneResult:
    """One bone against the truth; lengths in mm, over what the frontal field shows, after rigid alignment.

    Attributes:
        bone: `hip_bone_R`.
        refused: The code of the product's refusal, `not found`, or empty.
        views: Number of films that it was reconstructed from.
        asd: Average surface distance.
        rms: Root mean square.
        hd95: 95th percentile.
        nsd1: Share of the surface within 1 mm.
        nsd2: Share of the surface within 2 mm.
        dice: Of the perceived masks, the worst view.
        mean_shape: ASD of the mean shape; of undisturbed studies only.
        another: ASD of another person's bone; of undisturbed studies only.
        held: Share of vertices within their 90 % interval.
        held_by_region: The same for regions of the bone, where any of them is shown.
        half_width: Median over vertices of half the interval.
        vertex_error: Median over vertices of the distance from the truth.
        ratios: Vertex errors in predicted standard deviations: their quantiles 1 %, 2 %, ... 99 %.
        contour_error: Mean contour error of the worst view.
        shape_distance: Root mean square of the coefficients.
    """

    bone: str
    refused: str = ""
    views: int = 0
    asd: float = NAN
    rms: float = NAN
    hd95: float = NAN
    nsd1: float = NAN
    nsd2: float = NAN
    dice: float = NAN
    mean_shape: float = NAN
    another: float = NAN
    held: float = NAN
    held_by_region: tuple[tuple[str, float], ...] = ()
    half_width: float = NAN
    vertex_error: float = NAN
    ratios: tuple[float, ...] = ()
    contour_error: float = NAN
    shape_distance: float = NAN

    @property
    def kind(self) -> str:
        """The bone without its side."""
        return self.bone.removesuffix("_L").removesuffix("_R")


@dataclass(frozen=True, kw_only=True)
class MeasurementResult:
    """One measurement against the same on the true surface, in `unit`.

    Attributes:
        name: As the product calls it.
        bone: `femur_R`.
        unit: UCUM.
        truth: On the true surface.
        value: As measured; None where the product gave none.
        lower: Lower end of its 90 % interval.
        upper: Upper end.
        unmeasured: Why there is no value.
    """

    name: str
    bone: str
    unit: str
    truth: float
    value: float | None
    lower: float | None
    upper: float | None
    unmeasured: str = ""

    @property
    def error(self) -> float:
        """Distance from the truth; NaN without a value."""
        return NAN if self.value is None else abs(self.value - self.truth)

    @property
    def half_width(self) -> float:
        """Half the interval; NaN without one."""
        return NAN if self.lower is None or self.upper is None else (self.upper - self.lower) / 2

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.lower is not None and self.upper is not None and self.lower <= self.truth <= self.upper


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """One finished study.

    Attributes:
        key: Of the study.
        models: Digest of the networks it was made with.
        examination: Title.
        person: Who.
        sex: M or F.
        fold: In which the person is held out.
        side: Of the leg.
        seed: Of the study.
        disturbance: What went wrong.
        error: What broke; empty where nothing did.
        refused: Code of the refusal of the whole study; empty where bones came of it.
        films: Number of films.
        films_refused: A code for every film that the gate left out.
        bones: Every judged bone.
        measurements: Of the judged bones that came.
        scale_interval: Half the 90 % interval that the product states for the scale, relative.
        seconds: Wall clock of the product's part, from reading to the last measurement.
        cpu_seconds: Processor time of the same.
        peak_mb: Largest memory of the process meanwhile.
    """

    key: str
    models: str
    examination: str
    person: str
    sex: str
    fold: int
    side: str
    seed: int
    disturbance: Disturbance
    error: str = ""
    refused: str = ""
    films: int = 0
    films_refused: tuple[str, ...] = ()
    bones: tuple[BoneResult, ...] = ()
    measurements: tuple[MeasurementResult, ...] = ()
    scale_interval: float = NAN
    seconds: float = NAN
    cpu_seconds: float = NAN
    peak_mb: float = NAN

    @property
    def undisturbed(self) -> bool:
        """Whether nothing went wrong on purpose."""
        return self.disturbance.sweep is None

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> StudyResult:
        """Read a line back."""
        plain = json.loads(line)
        disturbance = plain.pop("disturbance")
        sweep = disturbance["sweep"]
        bones = [
            BoneResult(**each | {name: _tuples(each[name]) for name in ("ratios", "held_by_region")})
            for each in plain.pop("bones")
        ]
        return cls(
            disturbance=Disturbance(sweep=Sweep(sweep) if sweep else None, level=disturbance["level"]),
            bones=tuple(bones),
            measurements=tuple(MeasurementResult(**each) for each in plain.pop("measurements")),
            films_refused=tuple(plain.pop("films_refused")),
            **plain,
        )


def _tuples(values: list[object]) -> tuple[object, ...]:
    return tuple(tuple(each) if isinstance(each, list) else each for each in values)


def blank(study: Study, models: str) -> StudyResult:
    """What is known of a study before it is made."""
    return StudyResult(
        key=study.key,
        models=models,
        examination=study.examination.title,
        person=study.person.name,
        sex=study.person.sex,
        fold=study.person.fold,
        side=str(study.side),
        seed=study.seed,
        disturbance=study.disturbance,
        films=len(study.examination.fields),
    )


def failed(study: Study, models: str, error: BaseException) -> StudyResult:
    """A study that broke."""
    return replace(blank(study, models), error=f"{type(error).__name__}: {error}")


class ResultFile:
    """Results, a line each; a line that a crash cut short is as if it had never been begun.

    Args:
        path: Of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[StudyResult]:
        """All whole lines.

        Raises:
            ValueError: Another version of the evaluation wrote them.
        """
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8")
        try:
            return [StudyResult.from_line(line) for line in text.split("\n")[:-1] if line]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{self._path} was written by another version of the evaluation: give another --out, or remove the file"
            ) from error

    def append(self, result: StudyResult) -> None:
        """Add one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._end_cut_line()
        with self._path.open("a", encoding="utf-8") as file:
            file.write(result.to_line() + "\n")

    def _end_cut_line(self) -> None:
        if not self._path.exists():
            return
        whole, newline, cut = self._path.read_text(encoding="utf-8").rpartition("\n")
        if cut:
            self._path.write_text(whole + newline, encoding="utf-8")


def of_models(results: Iterable[StudyResult], digests: dict[int, str]) -> list[StudyResult]:
    """Results that were made with the networks at hand.

    Args:
        results: Of any networks.
        digests: Of the networks of every fold.
    """
    return [result for result in results if digests.get(result.fold) == result.models]

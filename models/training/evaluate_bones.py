"""Cross-validate the reconstruction of every bone over people, and print the table of the model card.

    python -m models.training.evaluate_bones --data DATA --bones FOLD=NET.onnx ... --femur FOLD=NET.onnx ... --out JSON

For every person the shape models are built without that person, and the networks are those that were trained without
that person's fold. Without networks the outlines are the true ones. Every bone is judged over what the frontal field
shows of it, after rigid alignment of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from models.training.bodies import Body, load_bodies
from models.training.bone_cases import CASES, BoneCase, BonePicture, label, photograph
from models.training.bone_dataset import read_models
from models.training.bones import person_of
from models.training.build_shape_model import CACHE
from models.training.dataset import read_folds
from models.training.evaluate import error_ratios, model_without, read_network
from models.training.primitives import Mesh
from models.training.scoring import score
from pipeline.errors import Refusal
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.shape_model import mirrored
from pipeline.stages.assess import assess, vertex_sd
from pipeline.stages.calibrate import calibrate
from pipeline.stages.enhance import enhance
from pipeline.stages.fit import Fit, Solution, ViewObservation, finished
from pipeline.stages.perceive import Network, Perception, perceive_with_single_femur
from pipeline.stages.recognise import recognise
from pipeline.stages.together import Sought, search, settle
from pipeline.surface import Bone, Name

NORMAL_90_PERCENT = 1.645


@dataclass(frozen=True, kw_only=True)
class BoneOutcome:
    """One reconstructed bone against the truth; lengths in mm.

    Attributes:
        case: Title of the case.
        person: Who.
        sex: M or F.
        bone: Kind and side.
        seed: Of the study.
        refused: Why the product would not have given it out; empty where it would.
        asd: Average surface distance over what the field shows.
        rms: Root mean square.
        hd95: 95th percentile.
        nsd1: Share of the surface within 1 mm.
        nsd2: Share of the surface within 2 mm.
        mean_shape: ASD of the mean shape.
        dice: Of the perceived masks, the worst view.
        ratios: Vertex errors in predicted standard deviations: their quantiles 1 %, 2 %, ... 99 %.
        contour_error: Mean contour error of the worst view.
        unmatched: Largest unmatched share of a view.
        shape_distance: Root mean square of the coefficients.
        expected: Mean predicted standard deviation of what is shown.
    """

    case: str
    person: str
    sex: str
    bone: str
    seed: int
    refused: str
    asd: float = float("nan")
    rms: float = float("nan")
    hd95: float = float("nan")
    nsd1: float = float("nan")
    nsd2: float = float("nan")
    mean_shape: float = float("nan")
    dice: float = float("nan")
    ratios: tuple[float, ...] = ()
    contour_error: float = float("nan")
    unmatched: float = float("nan")
    shape_distance: float = float("nan")
    expected: float = float("nan")

    @property
    def kind(self) -> str:
        """The bone without its side."""
        return self.bone.removesuffix("_L").removesuffix("_R")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One person to evaluate, as a process of its own is told.

    Attributes:
        person: Who.
        data: The bone collection.
        runs: Where models and radiographs are kept.
        bones: Network of many bones that has not seen the person; None: true outlines.
        femur: Network of a single femur that has not seen the person.
        titles: Of the cases.
        seeds: One study for each.
    """

    person: str
    data: Path
    runs: Path
    bones: Path | None
    femur: Path | None
    titles: tuple[str, ...]
    seeds: tuple[int, ...]


def run(trial: Trial) -> list[BoneOutcome]:
    """Everything of one person."""
    bodies = load_bodies(trial.data, [trial.person], read_models(), cache=CACHE)
    sex = _sex(trial.data, trial.person)
    networks = (read_network(trial.bones), read_network(trial.femur)) if trial.bones and trial.femur else None
    outcomes = []
    for body in bodies:
        for case in (case for case in CASES if case.title in trial.titles):
            for side in _sides(body, case):
                for seed in trial.seeds:
                    folder = trial.runs / "bones" / "evaluation" / f"{trial.person}-{side}-{seed}" / _region(case)
                    pictures = photograph(body, side, case.fields, seed=seed, folder=folder)
                    began = time.monotonic()
                    found = _evaluated(case, side, pictures, networks, trial)
                    outcomes += [replace(outcome, sex=sex, seed=seed) for outcome in found]
                    print(_line(found), f"{time.monotonic() - began:.0f} s", flush=True)
    return outcomes


def _region(case: BoneCase) -> str:
    """Cases of one region share its pictures."""
    return case.fields[0].split()[0]


def _sides(body: Body, case: BoneCase) -> Sequence[Side]:
    """Legs that have what is judged; of a pelvis, whose both sides are judged, one study is taken."""
    if Bone.TIBIA in case.judged:
        return body.whole_legs()
    if not body.has_pelvis:
        return ()
    return tuple(Side)[:1] if case.both_sides else tuple(Side)


def _sex(data: Path, person: str) -> str:
    with (data / "bones.csv").open(newline="") as table:
        return next(row["sex"] for row in csv.DictReader(table) if person_of(row["subject"]) == person)


def _line(outcomes: Sequence[BoneOutcome]) -> str:
    of = ", ".join(f"{o.bone} {o.refused or f'{o.asd:.2f}'}" for o in outcomes)
    return f"{outcomes[0].person} {outcomes[0].case}: {of}" if outcomes else "nothing"


def _evaluated(
    case: BoneCase,
    side: Side,
    pictures: Sequence[BonePicture],
    networks: tuple[Network, Network] | None,
    trial: Trial,
) -> list[BoneOutcome]:
    names = [name for name in case.names(side) if name in pictures[0].surfaces and pictures[0].shown[name].any()]
    observed = _observed(case, side, pictures, networks)
    models = {
        bone: model_without(trial.person, trial.data, trial.runs, bone)
        for bone in {bone for bone, _ in (*names, *observed)}
        if bone in case.judged
    }
    sought = [
        Sought(bone=name[0], side=name[1], model=models[name[0]], observations=views)
        for name, views in observed.items()
        if name[0] in models
    ]
    held, refusals = _held(search(sought))
    fits = {(fit.bone, fit.side): fit for fit in map(finished, settle(held))}
    outcomes = []
    for name in names:
        fit = fits.get(name)
        blank = BoneOutcome(
            case=case.title, person=trial.person, sex="", bone=label(name), seed=0, refused=refusals.get(name, "unseen")
        )
        outcomes.append(_outcome(blank, name, fit, pictures, trial) if fit else blank)
    return outcomes


def _held(solutions: Sequence[Solution]) -> tuple[list[Solution], dict[Name, str]]:
    """As the product does: what does not hold by itself is left out before the bones are settled."""
    held, refusals = [], {}
    for solution in solutions:
        try:
            assess(finished(solution))
            held.append(solution)
        except Refusal as refusal:
            refusals[solution.bone, solution.problem.side] = refusal.sentence
    return held, refusals


def _observed(
    case: BoneCase, side: Side, pictures: Sequence[BonePicture], networks: tuple[Network, Network] | None
) -> dict[Name, tuple[ViewObservation, ...]]:
    observed: dict[Name, tuple[ViewObservation, ...]] = {}
    for picture in pictures:
        enhanced = enhance(picture.radiograph)
        calibration = calibrate(picture.radiograph, view=picture.view, side=side)
        if networks:
            seen = perceive_with_single_femur(enhanced, *networks)
            bones: Mapping[Name, Perception] = recognise(
                seen, calibration, side=None if case.both_sides else side
            ).bones
        else:
            bones = {name: picture.true_perception(name, enhanced) for name in case.names(side) if picture.shows(name)}
        for name, perception in bones.items():
            observation = ViewObservation(calibration=calibration, perception=perception)
            observed[name] = (*observed.get(name, ()), observation)
    return observed


def _outcome(blank: BoneOutcome, name: Name, fit: Fit, pictures: Sequence[BonePicture], trial: Trial) -> BoneOutcome:
    truth, shown = pictures[0].surfaces[name], pictures[0].shown_range(name)
    middle = truth.vertices[pictures[0].shown[name]].mean(axis=0)
    found = Mesh(vertices=fit.vertices, triangles=fit.triangles.astype(np.int64))
    measured = score(found, truth, shown, middle - fit.vertices[fit.in_field].mean(axis=0))
    ratios = error_ratios(fit, truth, pictures[0].shown[name])
    return replace(
        blank,
        refused="",
        **asdict(measured),
        mean_shape=_baseline(name, fit, pictures[0], middle, trial),
        dice=min(_dice(name, picture, fit) for picture in pictures if picture.shows(name)),
        ratios=tuple(float(q) for q in np.quantile(ratios, np.arange(1, 100) / 100).round(3)),
        contour_error=max(float(np.abs(view.residual_mm).mean()) for view in fit.views),
        unmatched=max(view.unmatched for view in fit.views),
        shape_distance=float(np.sqrt((fit.coefficients**2).mean())),
        expected=float(vertex_sd(fit)[fit.in_field].mean()),
    )


def _baseline(name: Name, fit: Fit, picture: BonePicture, middle: FloatArray, trial: Trial) -> float:
    """ASD of the mean shape, kept for next time."""
    shown = picture.shown_range(name)
    kept = trial.runs / "bones" / "baselines" / f"{trial.person}-{label(name)}-{shown[0]:.1f}-{shown[1]:.1f}.txt"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        mean = mirrored(fit.model.mean, fit.side)
        mesh = Mesh(vertices=mean, triangles=fit.triangles.astype(np.int64))
        measured = score(mesh, picture.surfaces[name], shown, middle - mean[fit.in_field].mean(axis=0))
        kept.write_text(f"{measured.asd}\n")
    return float(kept.read_text())


def _dice(name: Name, picture: BonePicture, fit: Fit) -> float:
    """Of what was perceived in a picture; 1 where the picture was not used for the bone."""
    for view in fit.views:
        if view.observation.calibration.identifier == picture.radiograph.identifier:
            perceived = view.observation.perception
            truth = picture.true_perception(name, enhance(picture.radiograph)).mask > 0.5
            mask = perceived.mask > 0.5
            return float(2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1))
    return 1.0


def table(outcomes: Sequence[BoneOutcome]) -> str:
    """Markdown: a row per case and bone."""
    lines = [
        "| field and views | bone | n (people) | ASD median (worst) | mean | men / women | HD95 | NSD 2 mm "
        "| mean shape | Dice | 90 % holds | refused |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        for kind in case.judged:
            everybody = [o for o in outcomes if (o.case, o.kind) == (case.title, str(kind))]
            if everybody:
                lines.append(_row(case, kind, everybody))
    return "\n".join(lines)


def _row(case: BoneCase, kind: Bone, everybody: Sequence[BoneOutcome]) -> str:
    rows = [outcome for outcome in everybody if not outcome.refused]
    refused = f"{len(everybody) - len(rows)} of {len(everybody)}"
    if not rows:
        return f"| {case.title} | {kind.words} | {len(everybody)} | | | | | | | | | {refused} |"
    asd = np.array([row.asd for row in rows])
    sexes = " / ".join(
        f"{np.median(values):.2f}" if (values := [row.asd for row in rows if row.sex == sex]) else "–" for sex in "MF"
    )
    held = np.mean([np.mean(np.array(row.ratios) <= NORMAL_90_PERCENT) for row in rows])
    return (
        f"| {case.title} | {kind.words} | {len(everybody)} ({len({row.person for row in everybody})}) "
        f"| {np.median(asd):.2f} ({asd.max():.2f}) | {asd.mean():.2f} | {sexes} "
        f"| {np.median([row.hd95 for row in rows]):.1f} | {np.median([row.nsd2 for row in rows]):.0%} "
        f"| {np.median([row.mean_shape for row in rows]):.2f} | {np.median([row.dice for row in rows]):.3f} "
        f"| {held:.0%} | {refused} |"
    )


def _fold_and_net(text: str) -> tuple[int, Path]:
    fold, _, path = text.partition("=")
    return int(fold), Path(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--runs", type=Path, default=Path("models/training/runs"))
    parser.add_argument(
        "--bones", nargs="*", type=_fold_and_net, default=[], metavar="FOLD=NET", help="else true masks"
    )
    parser.add_argument("--femur", nargs="*", type=_fold_and_net, default=[], metavar="FOLD=NET")
    parser.add_argument("--people", nargs="*", help="of those who could be evaluated, these only")
    parser.add_argument("--cases", nargs="*", default=[case.title for case in CASES])
    parser.add_argument("--seeds", nargs="*", type=int, default=[7])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    bones, femur = dict(given.bones), dict(given.femur)
    trials = [
        Trial(
            person=person,
            data=given.data,
            runs=given.runs,
            bones=bones.get(fold),
            femur=femur.get(fold),
            titles=tuple(given.cases),
            seeds=tuple(given.seeds),
        )
        for person, fold in sorted(read_folds().items())
        if isinstance(fold, int) and (not bones or fold in bones) and (not given.people or person in given.people)
    ]
    with ProcessPoolExecutor(given.jobs) as pool:
        outcomes = [outcome for found in pool.map(run, trials) for outcome in found]
    given.out.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    print(table(outcomes))


if __name__ == "__main__":
    main()

"""Cross-validate the reconstruction over people, and print the table of the model card.

    python -m models.training.evaluate --data DATA --score-tool SCORE.py [--net FOLD=NET.onnx ...] --out JSON

For every person the shape model is built without that person (`models.training.build_shape_model --leave-out`) and,
with `--net`, the outlines come from the perception network that was trained without that person's fold (the people of
other folds are left out); without, they are the true ones, and everybody with a whole femur takes part.
Baselines stand beside: the mean shape, the mean shape at the person's true length, and another person's radiographs.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import onnxruntime
import trimesh

from models.training.anatomy import Anatomy, Collection
from models.training.build_shape_model import build
from models.training.correspondence import closest_points
from models.training.dataset import read_folds
from models.training.evaluation_cases import (
    CASES,
    BoolArray,
    Case,
    Picture,
    photograph,
    reconstruct,
    seen_by,
    shown_range,
)
from models.training.primitives import Mesh
from pipeline.errors import Refusal
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel, load, mirrored, save
from pipeline.stages.assess import assess, vertex_sd
from pipeline.stages.fit import Fit
from pipeline.stages.perceive import Network
from pipeline.surface import Bone

Score = Callable[[trimesh.Trimesh, trimesh.Trimesh, float, float], Mapping[str, float]]

NORMAL_90_PERCENT = 1.645
ALIGNMENT_ROUNDS = 40
SEED = 7


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One reconstruction against the truth; lengths in mm.

    Attributes:
        case: Title of the case.
        person: Who.
        refused: Whether the product would not have given it out.
        asd: Average surface distance over what the field shows.
        hd95: 95th percentile.
        mean_shape: ASD of the mean shape.
        mean_shape_at_length: ASD of the mean shape scaled to the true length.
        exchanged: ASD against the next person's true surface.
        ratios: Vertex errors in predicted standard deviations: their quantiles 1 %, 2 %, ... 99 %.
        contour_error: Mean contour error of the worst view.
        unmatched: Largest unmatched share of a view.
        shape_distance: Root mean square of the coefficients.
        first_mode: Coefficient of size.
        expected: Mean predicted standard deviation of what is shown.
        spread: Between starts.
    """

    case: str
    person: str
    refused: bool
    asd: float
    hd95: float
    mean_shape: float
    mean_shape_at_length: float
    exchanged: float
    ratios: tuple[float, ...]
    contour_error: float
    unmatched: float
    shape_distance: float
    first_mode: float
    expected: float
    spread: float


def read_score(tool: Path) -> Score:
    """The yardstick's `score_part`, which aligns rigidly and measures between two heights."""
    spec = importlib.util.spec_from_file_location("yardstick", tool)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{tool} is not a Python file with the yardstick; give --score-tool")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["dice"] = lambda *_: float("nan")  # slow, and not reported here
    score: Score = module.score_part
    return score


def model_without(person: str, data: Path, runs: Path, kind: Bone = Bone.FEMUR) -> ShapeModel:
    """A bone's shape model that never saw a person, built once."""
    path = runs / "shape" / f"{kind}-without-{person}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save(build(data, leave_out=frozenset({person}), kind=kind, cache=runs / "correspondence"), path)
    return load(path)


def read_network(path: Path) -> Network:
    """A perception network from ONNX, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: image})[0])

    return run


def evaluate_person(
    anatomy: Anatomy,
    other: Anatomy,
    donors: list[Anatomy],
    model: ShapeModel,
    network: Network | None,
    score: Score,
    folder: Path,
) -> list[Outcome]:
    """All cases of one person; `other` lends the surface for the exchange, radiographs are kept in `folder`."""
    outcomes = []
    for field, cases in groupby(CASES, key=lambda case: case.field):
        place = folder / f"{anatomy.person}-{field}"
        taken = photograph(anatomy, field, donors, seed=SEED, folder=place)
        baseline = _baseline(model, anatomy, shown_range(anatomy.femur, taken), score, place / "baseline.json")
        for case in cases:
            pictures = [picture for picture in taken if picture.view in case.views]
            found = reconstruct(model, pictures, seen_by(network), anatomy)
            outcomes.append(_outcome(case, anatomy, other, found, pictures, score, baseline))
            print(f"{anatomy.person} {case.title}: {outcomes[-1].asd:.2f} mm", flush=True)
    return outcomes


def _baseline(
    model: ShapeModel, anatomy: Anatomy, shown: tuple[float, float], score: Score, kept: Path
) -> tuple[float, float]:
    """ASD of the mean shape as it is, and at the true length."""
    if not kept.exists():
        mean, truth = _mean_shape(model, anatomy.side), _trimesh(anatomy.femur)
        stretch = np.ptp(anatomy.femur.vertices[:, 2]) / np.ptp(mean.vertices[:, 2])
        at_length = mean.copy()
        at_length.vertices = mean.vertices * stretch
        kept.write_text(json.dumps([score(mesh, truth, *shown)["asd"] for mesh in (mean, at_length)]))
    as_it_is, at_true_length = json.loads(kept.read_text())
    return as_it_is, at_true_length


def _outcome(
    case: Case,
    anatomy: Anatomy,
    other: Anatomy,
    found: Fit,
    pictures: list[Picture],
    score: Score,
    baseline: tuple[float, float],
) -> Outcome:
    lowest, highest = shown_range(anatomy.femur, pictures)
    surface = trimesh.Trimesh(found.vertices, found.triangles, process=False)
    measured = score(surface, _trimesh(anatomy.femur), lowest, highest)
    shown = _matching_range(anatomy, other, lowest, highest)
    ratios = error_ratios(found, anatomy.femur, pictures[0].shown)
    return Outcome(
        refused=_is_refused(found),
        case=case.title,
        person=anatomy.person,
        asd=measured["asd"],
        hd95=measured["hd95"],
        mean_shape=baseline[0],
        mean_shape_at_length=baseline[1],
        exchanged=score(_as_side(found, other.side), _trimesh(other.femur), *shown)["asd"],
        ratios=tuple(np.quantile(ratios, np.arange(1, 100) / 100).round(3)),
        contour_error=max(float(np.abs(view.residual_mm).mean()) for view in found.views),
        unmatched=max(view.unmatched for view in found.views),
        shape_distance=float(np.sqrt((found.coefficients**2).mean())),
        first_mode=float(found.coefficients[0]),
        expected=float(vertex_sd(found)[found.in_field].mean()),
        spread=found.start_spread_mm,
    )


def _is_refused(found: Fit) -> bool:
    try:
        assess(found)
    except Refusal as refusal:
        print(f"refused: {refusal.sentence}")
        return True
    return False


def error_ratios(found: Fit, truth: Mesh, shown: BoolArray) -> FloatArray:
    """Distances of shown vertices from the true surface, in predicted standard deviations, after rigid alignment."""
    moved = found.vertices[found.in_field]
    moved = moved + truth.vertices[shown].mean(axis=0) - moved.mean(axis=0)
    for _ in range(ALIGNMENT_ROUNDS):
        a, b = moved, closest_points(truth.vertices, truth.triangles, moved)
        u, _, vt = np.linalg.svd((b - b.mean(axis=0)).T @ (a - a.mean(axis=0)))
        rotation = (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
        moved = (moved - a.mean(axis=0)) @ rotation.T + b.mean(axis=0)
    closest = closest_points(truth.vertices, truth.triangles, moved)
    predicted = vertex_sd(found)[found.in_field]
    return np.asarray(np.linalg.norm(closest - moved, axis=1) / predicted)


def _trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)


def _mean_shape(model: ShapeModel, side: Side) -> trimesh.Trimesh:
    return trimesh.Trimesh(mirrored(model.mean, side), model.triangles_of(side), process=False)


def _as_side(found: Fit, side: Side) -> trimesh.Trimesh:
    """The reconstruction, mirrored where it has to be compared with a bone of the other side."""
    if side is found.side:
        return trimesh.Trimesh(found.vertices, found.triangles, process=False)
    return trimesh.Trimesh(found.vertices * [-1, 1, 1], found.triangles[:, ::-1], process=False)


def _matching_range(anatomy: Anatomy, other: Anatomy, lowest: float, highest: float) -> tuple[float, float]:
    """The part of the other person's femur that corresponds to what the field shows of this one's."""
    own, others = anatomy.femur.vertices[:, 2], other.femur.vertices[:, 2]
    share = (np.array([lowest, highest]) - own.min()) / np.ptp(own)
    low, high = others.min() + share * np.ptp(others)
    return float(low), float(high)


def interval_factor(outcomes: Iterable[Outcome]) -> float:
    """By how much predicted deviations must grow so that 90 % of vertices lie within the 90 % interval (conformal)."""
    pooled = np.concatenate([outcome.ratios for outcome in outcomes if not outcome.refused])
    return float(np.quantile(pooled, 0.9) / NORMAL_90_PERCENT)


def coverage(outcomes: Iterable[Outcome]) -> float:
    """Share of vertices within their 90 % interval, every case counting alike."""
    pooled = np.concatenate([outcome.ratios for outcome in outcomes if not outcome.refused])
    return float((pooled <= NORMAL_90_PERCENT).mean())


def table(outcomes: list[Outcome]) -> str:
    """Markdown."""
    lines = [
        "| field and views | ASD median (worst) | HD95 | mean shape | at length | exchanged | ASD / mean | refused |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        everybody = [outcome for outcome in outcomes if outcome.case == case.title]
        rows = [outcome for outcome in everybody if not outcome.refused]
        if not rows:
            continue
        median = {
            name: float(np.median([getattr(row, name) for row in rows]))
            for name in ("asd", "hd95", "mean_shape", "mean_shape_at_length", "exchanged")
        }
        lines.append(
            f"| {case.title} | {median['asd']:.2f} ({max(row.asd for row in rows):.2f}) | {median['hd95']:.1f} "
            f"| {median['mean_shape']:.2f} | {median['mean_shape_at_length']:.2f} | {median['exchanged']:.2f} "
            f"| {median['asd'] / median['mean_shape']:.0%} | {len(everybody) - len(rows)} of {len(everybody)} |"
        )
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One person to evaluate, as a process of its own is told.

    Attributes:
        person: Who.
        following: Whose surface is lent for the exchange.
        data: The bone collection.
        score_tool: The yardstick.
        runs: Where models and radiographs are kept.
        net: Perception network that has not seen the person; None: true outlines.
    """

    person: str
    following: str
    data: Path
    score_tool: Path
    runs: Path
    net: Path | None


def _trials(
    data: Path, score_tool: Path, runs: Path, nets: Mapping[int, Path], only: Sequence[str] | None
) -> list[Trial]:
    folds = {person: fold for person, fold in sorted(read_folds().items()) if isinstance(fold, int)}
    people = [person for person in folds if (not nets or folds[person] in nets) and (not only or person in only)]
    return [
        Trial(
            person=person,
            following=following,
            data=data,
            score_tool=score_tool,
            runs=runs,
            net=nets.get(folds[person]),
        )
        for person, following in zip(people, [*people[1:], people[0]], strict=True)
    ]


def _run(trial: Trial) -> list[Outcome]:
    collection = Collection(trial.data)
    people = [person for person, fold in read_folds().items() if isinstance(fold, int)]
    anatomies = {person: collection.load(person, collection.sides(person)[-1]) for person in people}
    donors = [anatomy for anatomy in anatomies.values() if any(n.startswith("tibia") for n in anatomy.neighbours)]
    return evaluate_person(
        anatomies[trial.person],
        anatomies[trial.following],
        [donor for donor in donors if donor.person != trial.person],
        model_without(trial.person, trial.data, trial.runs),
        read_network(trial.net) if trial.net else None,
        read_score(trial.score_tool),
        trial.runs / "evaluation",
    )


def _fold_and_net(text: str) -> tuple[int, Path]:
    fold, _, path = text.partition("=")
    return int(fold), Path(path)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--score-tool", type=Path, required=True, help="Python file that offers score_part")
    parser.add_argument("--runs", type=Path, default=Path("models/training/runs"))
    parser.add_argument("--net", nargs="*", type=_fold_and_net, default=[], metavar="FOLD=NET", help="else true masks")
    parser.add_argument("--people", nargs="*", help="of those who could be evaluated, these only")
    parser.add_argument("--out", type=Path, default=Path("models/training/runs/evaluation.json"))
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    trials = _trials(given.data, given.score_tool, given.runs, dict(given.net), given.people)
    with ProcessPoolExecutor(given.jobs) as pool:
        outcomes = [outcome for found in pool.map(_run, trials) for outcome in found]
    given.out.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    print(table(outcomes))
    print(f"the 90 % interval holds {coverage(outcomes):.0%}; {interval_factor(outcomes):.2f} times as wide, 90 %")


if __name__ == "__main__":
    main()

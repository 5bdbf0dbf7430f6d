"""Results as Markdown tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from models.training.evaluation.plan import EXAMINATIONS
from models.training.evaluation.results import BoneResult, MeasurementResult, StudyResult
from models.training.evaluation.statistics import Share, clustered

Judged = tuple[StudyResult, BoneResult]
Results = Sequence[StudyResult]

TITLES = tuple(examination.title for examination in EXAMINATIONS)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(line)} |" if number != 1 else f"|{'|'.join(line)}|" for number, line in enumerate(lines)
    )


def ordinary(results: Results) -> list[StudyResult]:
    """Where nothing went wrong on purpose, and nothing broke."""
    return [result for result in results if result.undisturbed and not result.error]


def groups(results: Results) -> Iterator[tuple[str, str, list[Judged]]]:
    """Examination, kind of bone, and every bone of it, in the order of the plan."""
    for examination in EXAMINATIONS:
        of = [result for result in results if result.examination == examination.title]
        for kind in examination.judged:
            found = [(result, bone) for result in of for bone in result.bones if bone.kind == str(kind)]
            if found:
                yield examination.title, kind.words, found


def came(judged: Iterable[Judged]) -> list[Judged]:
    """Those that the product gave out."""
    return [(result, bone) for result, bone in judged if not bone.refused]


def accuracy_table(results: Results) -> str:
    """A row for every examination and bone, with baselines."""
    columns = (
        "field and views",
        "bone",
        "n (people)",
        "ASD median (worst)",
        "mean",
        "men / women",
        "RMS",
        "HD95",
        "NSD 1 / 2 mm",
        "Dice",
        "mean shape",
        "another person's",
        "90 % holds",
        "refused",
    )
    return table(columns, (_accuracy_row(*group) for group in groups(ordinary(results))))


def _accuracy_row(title: str, kind: str, everybody: Sequence[Judged]) -> list[str]:
    given = came(everybody)
    refused = f"{len(everybody) - len(given)} of {len(everybody)}"
    head = [title, kind, f"{len(everybody)} ({_people(everybody)})"]
    if not given:
        return [*head, *["–"] * 10, refused]
    bones = [bone for _, bone in given]
    asd = np.array([bone.asd for bone in bones])
    sexes = [[bone.asd for result, bone in given if result.sex == sex] for sex in "MF"]
    return [
        *head,
        f"{np.median(asd):.2f} ({asd.max():.2f})",
        f"{asd.mean():.2f}",
        " / ".join(f"{np.median(values):.2f}" if values else "–" for values in sexes),
        f"{median(bone.rms for bone in bones):.2f}",
        f"{median(bone.hd95 for bone in bones):.1f}",
        f"{median(bone.nsd1 for bone in bones):.0%} / {median(bone.nsd2 for bone in bones):.0%}",
        f"{median(bone.dice for bone in bones):.3f}",
        f"{median(bone.mean_shape for bone in bones):.2f}",
        f"{median(bone.another for bone in bones):.2f}",
        f"{np.mean([bone.held for bone in bones]):.0%}",
        refused,
    ]


def interval_table(results: Results) -> str:
    """How far the vertices' 90 % intervals hold, by bone, with how wide they are."""
    by_kind: dict[str, list[Judged]] = defaultdict(list)
    for _, kind, judged in groups(ordinary(results)):
        by_kind[kind] += came(judged)
    everything = [each for judged in by_kind.values() for each in judged]
    rows = [(kind, judged) for kind, judged in sorted(by_kind.items()) if judged]
    rows += [("all", everything)] if everything else []
    columns = (
        "bone",
        "reconstructions (people)",
        "90 % interval holds (95 % CI over people)",
        "by fold",
        "worst region",
        "half-width",
        "half-width / error",
    )
    return table(columns, (_interval_row(*row) for row in rows))


def _interval_row(kind: str, judged: Sequence[Judged]) -> list[str]:
    folds = sorted({result.fold for result, _ in judged})
    by_fold = (
        f"{fold}: {np.mean([bone.held for result, bone in judged if result.fold == fold]):.0%}" for fold in folds
    )
    width, error = (median(getattr(bone, name) for _, bone in judged) for name in ("half_width", "vertex_error"))
    return [
        kind,
        f"{len(judged)} ({_people(judged)})",
        str(_share((result.person, bone.held) for result, bone in judged)),
        ", ".join(by_fold),
        _worst_region(judged) if kind != "all" else "–",
        f"{width:.1f} mm",
        f"{width / error:.1f}",
    ]


def _worst_region(judged: Sequence[Judged]) -> str:
    regions: dict[str, list[float]] = defaultdict(list)
    for _, bone in judged:
        for name, held in bone.held_by_region:
            regions[name].append(held)
    if not regions:
        return "–"
    means = {name: float(np.mean(held)) for name, held in regions.items()}
    worst = min(means, key=lambda name: means[name])
    return f"{worst.replace('_', ' ')} {means[worst]:.0%}"


def measurement_table(results: Results) -> str:
    """Every measurement against the same on the true surface, by examination."""
    found: dict[tuple[str, str], list[tuple[StudyResult, MeasurementResult]]] = defaultdict(list)
    for result in ordinary(results):
        for each in result.measurements:
            found[each.name, result.examination].append((result, each))
    order = sorted(found, key=lambda key: (key[0], TITLES.index(key[1])))
    columns = (
        "measurement",
        "field and views",
        "n (people)",
        "error median",
        "nine in ten below",
        "worst",
        "90 % interval holds (95 % CI)",
        "half-width",
        "half-width / error",
    )
    given = {key: [pair for pair in found[key] if pair[1].value is not None] for key in order}
    return table(columns, (_measurement_row(*key, given[key]) for key in order if given[key]))


def _measurement_row(name: str, title: str, given: Sequence[tuple[StudyResult, MeasurementResult]]) -> list[str]:
    unit = {"deg": "°"}.get(given[0][1].unit, f" {given[0][1].unit}")
    errors = np.array([each.error for _, each in given])
    relative = median(each.error / abs(each.truth) for _, each in given)
    share = f" ({relative:.1%})" if given[0][1].unit == "mm" else ""
    width = median(each.half_width for _, each in given)
    return [
        name,
        title,
        f"{len(given)} ({len({result.person for result, _ in given})})",
        f"{np.median(errors):.1f}{unit}{share}",
        f"{np.quantile(errors, 0.9):.1f}{unit}",
        f"{errors.max():.1f}{unit}",
        str(_share((result.person, float(each.holds)) for result, each in given)),
        f"{width:.1f}{unit}",
        f"{width / max(float(np.median(errors)), 1e-9):.1f}",
    ]


def refusal_table(results: Results) -> str:
    """What the product turned away of ordinary films of adults: every one of these is a false refusal."""
    columns = ("field and views", "studies", "refused whole", "films left out", "bones left out", "reasons")
    found = ordinary(results)
    rows = [_refusal_row(title, [r for r in found if r.examination == title]) for title in TITLES]
    everything = [_refusal_row("all", found)]
    by_fold = [
        _refusal_row(f"all of fold {n}", [r for r in found if r.fold == n]) for n in sorted({r.fold for r in found})
    ]
    return table(columns, (row for row in [*rows, *everything, *by_fold] if row))


def _refusal_row(title: str, results: Results) -> list[str]:
    if not results:
        return []
    films = sum(result.films for result in results)
    bones = [bone for result in results for bone in result.bones]
    whole = [result for result in results if result.refused]
    partly = [result for result in results if not result.refused]
    left_films = sum(len(result.films_refused) for result in partly) + sum(result.films for result in whole)
    reasons = Counter(result.refused for result in whole)
    reasons.update(code for result in partly for code in result.films_refused)
    reasons.update(bone.refused for result in partly for bone in result.bones if bone.refused)
    return [
        title,
        str(len(results)),
        f"{len(whole)} ({len(whole) / len(results):.0%})",
        f"{left_films} of {films}",
        f"{sum(bool(bone.refused) for bone in bones)} of {len(bones)}",
        ", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) or "–",
    ]


def cost_table(results: Results) -> str:
    """Time and memory of the product's part, from reading to the last measurement."""
    columns = ("field and views", "studies", "processor seconds, median (worst)", "peak memory, median (worst)")
    rows = []
    for title in TITLES:
        found = [result for result in ordinary(results) if result.examination == title and not result.refused]
        if found:
            seconds, memory = (np.array([getattr(r, name) for r in found]) for name in ("cpu_seconds", "peak_mb"))
            times = f"{np.median(seconds):.1f} ({seconds.max():.1f})"
            rows.append([title, str(len(found)), times, f"{np.median(memory):.0f} ({memory.max():.0f}) MB"])
    return table(columns, rows)


def median(values: Iterable[float]) -> float:
    """NaN of nothing."""
    found = list(values)
    return float(np.median(found)) if found else float("nan")


def _people(judged: Iterable[Judged]) -> int:
    return len({result.person for result, _ in judged})


def _share(values: Iterable[tuple[str, float]]) -> Share:
    by_person: dict[str, list[float]] = defaultdict(list)
    for person, value in values:
        by_person[person].append(value)
    return clustered(by_person)

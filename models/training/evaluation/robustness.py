"""What disturbances cost: every disturbed study against the same study without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.training.disturbance import LEVELS, Disturbance, Sweep
from models.training.evaluation.plan import EXAMINATIONS
from models.training.evaluation.results import BoneResult, StudyResult
from models.training.evaluation.tables import Results, median, ordinary, table

Pair = tuple[StudyResult, StudyResult]


def robustness_table(results: Results) -> str:
    """What every disturbance costs, against the same studies without."""
    columns = (
        "what went wrong",
        "field and views",
        "bone",
        "n",
        "ASD without",
        "ASD with",
        "costs (median of pairs)",
        "90 % holds without / with",
        "lengths' 90 % intervals hold without / with",
        "refused without / with",
    )
    rows = [row for disturbance in all_disturbances() for row in _robustness_rows(disturbance, results)]
    return table(columns, rows) if rows else ""


def all_disturbances() -> list[Disturbance]:
    """Every step of every sweep."""
    return [Disturbance(sweep=sweep, level=level) for sweep in Sweep for level in LEVELS[sweep]]


def pairs(disturbance: Disturbance, results: Results) -> list[Pair]:
    """Studies without and with a disturbance, otherwise the same."""
    plain = {_same(result): result for result in ordinary(results)}
    wrong = [result for result in results if result.disturbance == disturbance and not result.error]
    return [(plain[_same(result)], result) for result in wrong if _same(result) in plain]


def _same(result: StudyResult) -> tuple[str, str, str, int]:
    return result.examination, result.person, result.side, result.seed


def bone_pairs(studies: Sequence[Pair], kind: str) -> list[tuple[BoneResult, BoneResult]]:
    """The bones of a kind that were there to be judged both times."""
    found = []
    for before, after in studies:
        later = {bone.bone: bone for bone in after.bones}
        found += [(bone, later[bone.bone]) for bone in before.bones if bone.kind == kind and bone.bone in later]
    return found


def cost(bones: Sequence[tuple[BoneResult, BoneResult]]) -> float:
    """Median relative growth of the average surface distance, of bones that came both times."""
    both = [(before, after) for before, after in bones if not before.refused and not after.refused]
    return median(after.asd / before.asd - 1 for before, after in both)


def _robustness_rows(disturbance: Disturbance, results: Results) -> Iterator[list[str]]:
    found = pairs(disturbance, results)
    for examination in EXAMINATIONS:
        studies = [pair for pair in found if pair[0].examination == examination.title]
        for kind in examination.judged:
            bones = bone_pairs(studies, str(kind))
            if bones:
                yield _robustness_row(disturbance, examination.title, str(kind), bones, studies)


def _robustness_row(
    disturbance: Disturbance,
    title: str,
    kind: str,
    bones: Sequence[tuple[BoneResult, BoneResult]],
    studies: Sequence[Pair],
) -> list[str]:
    given = [[bone for bone in side if not bone.refused] for side in zip(*bones, strict=True)]
    return [
        disturbance.words,
        title,
        kind.replace("_", " "),
        str(len(bones)),
        *(f"{median(bone.asd for bone in side):.2f}" for side in given),
        f"{cost(bones):+.0%}",
        " / ".join(f"{np.mean([bone.held for bone in side]):.0%}" if side else "–" for side in given),
        " / ".join(str(_lengths_hold(side, kind)) for side in zip(*studies, strict=True)),
        " / ".join(str(len(bones) - len(side)) for side in given),
    ]


def _lengths_hold(studies: Sequence[StudyResult], kind: str) -> str:
    """How many of the lengths that were measured on bones of a kind lie within their interval."""
    lengths = [
        each
        for result in studies
        for each in result.measurements
        if each.unit == "mm" and each.value is not None and each.bone.startswith(kind)
    ]
    return f"{np.mean([each.holds for each in lengths]):.0%}" if lengths else "–"


def scale_sentence(results: Results) -> str:
    """Whether wrong scales lie within the scale's own stated interval; empty where none was tried."""
    tried = [
        (level, found)
        for level in LEVELS[Sweep.SCALE]
        if (found := pairs(Disturbance(sweep=Sweep.SCALE, level=level), results))
    ]
    if not tried:
        return ""
    told = [after.scale_interval for _, found in tried for _, after in found if not after.refused]
    stated = median(told)
    words = ", ".join(f"{level:g} % {'within' if level / 100 <= stated else 'outside'}" for level, _ in tried)
    return f"The scale's own 90 % interval is stated as ± {stated:.1%}: an error of {words}."

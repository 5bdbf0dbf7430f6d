"""Cross-validate the reconstruction over people, and print the tables of docs/accuracy.md.

    python -m models.training.evaluation --data DATA [--full] [--jobs 2] [--minutes 60] [--write]

Every study is simulated, written as DICOM and taken through the product's whole road, by networks and shape models that
have never seen the person. Finished studies stay in OUT/results.jsonl: what was interrupted goes on where it was, and a
full plan finds what a small one has made. After a change of the code, give another --out, or remove the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from models.training.disturbance import Sweep
from models.training.evaluation.held_out import FoldNetworks, find_networks, shipped_networks
from models.training.evaluation.one_study import Workshop, evaluate
from models.training.evaluation.page import report, write_page
from models.training.evaluation.plan import (
    EXAMINATIONS,
    Person,
    Study,
    disturbed,
    full_plan,
    left_to_do,
    read_people,
    small_plan,
    undisturbed,
)
from models.training.evaluation.results import ResultFile, StudyResult, of_models
from models.training.evaluation.run import Clock, run

RUNS = Path("models/training/runs")


def main() -> None:
    """Command line."""
    given = _arguments()
    people = read_people(given.data)
    networks = _networks(given, people)
    people = [person for person in people if person.fold in networks]
    plan = _plan(given, people)
    workshop = Workshop(
        data=given.data,
        runs=given.runs,
        films=given.out / "films",
        networks=tuple(networks.items()),
        true_outlines=given.true_outlines,
    )
    file = ResultFile(given.out / ("true-outlines.jsonl" if given.true_outlines else "results.jsonl"))
    _make(plan, workshop, file, jobs=given.jobs, minutes=given.minutes)
    found = _finished(plan, workshop, file)
    print(report(found, true_outlines=given.true_outlines))
    missing = len(plan) - len(found)
    if missing:
        print(f"{missing} of {len(plan)} studies are still to be made: run the same command again")
    elif given.write:
        write_page(found, true_outlines=given.true_outlines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection: the folder that holds bones.csv")
    parser.add_argument("--full", action="store_true", help="hundreds of studies instead of a dozen")
    parser.add_argument("--examinations", nargs="+", choices=[each.title for each in EXAMINATIONS], metavar="TITLE")
    parser.add_argument("--people", nargs="+", metavar="PERSON")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="one undisturbed study of each")
    parser.add_argument("--sweep", nargs="+", type=Sweep, choices=list(Sweep), help="disturb by these, seed 1")
    parser.add_argument("--true-outlines", action="store_true", help="what the fit alone can do")
    parser.add_argument("--folds", type=Path, help="networks by fold, FOLDS/1/femur.onnx; RUNS/folds when absent")
    parser.add_argument("--runs", type=Path, default=RUNS, help="keeps registrations and shape models")
    parser.add_argument("--out", type=Path, default=RUNS / "studies", help="keeps films and results")
    parser.add_argument("--jobs", type=int, default=1, help="studies at once")
    parser.add_argument("--minutes", type=float, help="begin nothing new after that")
    parser.add_argument("--write", action="store_true", help="renew docs/accuracy.md, if the plan is done")
    return parser.parse_args()


def _networks(given: argparse.Namespace, people: Sequence[Person]) -> dict[int, FoldNetworks]:
    """By fold.

    Raises:
        SystemExit: There are none.
    """
    if given.true_outlines:
        return {person.fold: shipped_networks() for person in people}
    folder = given.folds or given.runs / "folds"
    found = find_networks(folder)
    if not found:
        raise SystemExit(
            f"no networks in {folder}: put FOLD/femur.onnx and FOLD/bones.onnx there, trained with --hold-out FOLD "
            "(models/cards/perception.md, models/cards/bones.md), or give --true-outlines"
        )
    return found


def _plan(given: argparse.Namespace, people: Sequence[Person]) -> list[Study]:
    """The named plan, or what was chosen; by people and examinations, if some were named."""
    seeds, sweeps = given.seeds, given.sweep
    if seeds or sweeps:
        chosen = [*undisturbed(people, EXAMINATIONS, seeds or ()), *disturbed(people, sweeps or (), 1)]
    elif given.true_outlines:
        chosen = undisturbed(people, EXAMINATIONS, (1,))
    else:
        chosen = full_plan(people) if given.full else small_plan(people)
    return [
        study
        for study in chosen
        if (not given.people or study.person.name in given.people)
        and (not given.examinations or study.examination.title in given.examinations)
    ]


def _finished(plan: Sequence[Study], workshop: Workshop, file: ResultFile) -> list[StudyResult]:
    """Results of the plan, made with the networks at hand; the last, where there are several."""
    digests = {fold: workshop.digest(fold) for fold, _ in workshop.networks}
    by_key = {result.key: result for result in of_models(file.read(), digests)}
    return [by_key[study.key] for study in plan if study.key in by_key]


def _make(plan: Sequence[Study], workshop: Workshop, file: ResultFile, *, jobs: int, minutes: float | None) -> None:
    todo = list(left_to_do(plan, (result.key for result in _finished(plan, workshop, file))))
    clock = Clock(len(todo))
    results = run(
        todo,
        partial(evaluate, workshop=workshop),
        lambda study: workshop.digest(study.person.fold),
        jobs=jobs,
        may_begin=lambda: minutes is None or clock.minutes < minutes,
    )
    for result in results:
        file.append(result)
        print(clock.tick(result), flush=True)


if __name__ == "__main__":
    main()

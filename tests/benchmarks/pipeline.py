"""`make bench-pipeline`: seconds of each stage, and the most memory, on the sample study (two views of a hip).

Every round runs in a process of its own, as the worker runs them, and counts from a cold start.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import struct_rusage
from statistics import median

from pipeline.cli.sample import sample_folder
from pipeline.results import Report, Status
from pipeline.study_child import Equipment, Request
from tests.benchmarks.results import publish

LIMIT_SECONDS = 10.0
LIMIT_GIGABYTES = 2.0
CORES = 2
AFTER_MESHES = ("write",)
"""Stages that come after the meshes, which `render` writes together with the pictures."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One reconstruction.

    Attributes:
        stages: Seconds of each.
        seconds: From the start of the process to its end.
        processor_seconds: Of all its threads, imports included.
        gigabytes: The most memory that it held.
    """

    stages: Mapping[str, float]
    seconds: float
    processor_seconds: float
    gigabytes: float

    @property
    def to_meshes(self) -> float:
        """Seconds from the first file to the meshes."""
        return sum(seconds for stage, seconds in self.stages.items() if stage not in AFTER_MESHES)


def main() -> None:
    """Measure, show, and fail where a limit is passed."""
    options = _options()
    study = options.study or sample_folder()
    rounds = [_round(study) for _ in range(options.rounds)]
    to_meshes = median(each.to_meshes for each in rounds)
    gigabytes = max(each.gigabytes for each in rounds)
    publish(
        "pipeline",
        columns=["stage", "seconds"],
        rows=_rows(rounds),
        remarks=[
            f"Two views to meshes: {to_meshes:.1f} s (limit {LIMIT_SECONDS:.0f} s on {CORES} cores); "
            f"peak memory {gigabytes:.2f} GB (limit {LIMIT_GIGABYTES:.0f} GB).",
            f"The sample study; medians of {len(rounds)} rounds, each in a process of its own, on {CORES} cores.",
        ],
        write=options.write,
    )
    if to_meshes > LIMIT_SECONDS or gigabytes > LIMIT_GIGABYTES:
        sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=None, help="a folder of radiographs (default: the sample)")
    parser.add_argument("--rounds", type=int, default=3, help="how often, for medians (default: 3)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    return parser.parse_args()


def _rows(rounds: Sequence[Round]) -> list[list[str]]:
    stages = [[stage, f"{median(each.stages[stage] for each in rounds):.2f}"] for stage in rounds[0].stages]
    in_all = median(sum(each.stages.values()) for each in rounds)
    cold = median(each.seconds for each in rounds)
    processor = median(each.processor_seconds for each in rounds)
    return [
        *stages,
        ["all stages", f"{in_all:.2f}"],
        ["the process, from its start to its end", f"{cold:.2f}"],
        ["the process, processor time", f"{processor:.2f}"],
    ]


def _round(study: Path) -> Round:
    with tempfile.TemporaryDirectory(prefix="bonecraft-pipeline-") as name:
        out = Path(name) / "out"
        began = time.perf_counter()
        usage = _reconstruct(study, out, log=Path(name) / "log")
        seconds = time.perf_counter() - began
        report = Report.from_json((out / "report.json").read_text(encoding="utf-8"))
    if report.status is not Status.RECONSTRUCTED:
        raise SystemExit(f"{study} was refused: {report.refusal.sentence if report.refusal else ''}")
    return Round(
        stages={stage.name: stage.seconds for stage in report.stages},
        seconds=seconds,
        processor_seconds=usage.ru_utime + usage.ru_stime,
        gigabytes=usage.ru_maxrss * 1024 / 1e9,
    )


def _reconstruct(study: Path, out: Path, *, log: Path) -> struct_rusage:
    """Reconstruct in the very process that the worker would start, on `CORES` cores; what it used."""
    request = Request(paths=tuple(sorted(study.glob("*.dcm"))), out=out)
    reader, writer = os.pipe()  # stays open: its end would tell the child that nobody waits for it
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipeline.study_child"],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=output,
            preexec_fn=_keep_to_few_cores,
        )
    os.close(reader)
    os.write(writer, f"{Equipment(threads=CORES).to_json()}\n{request.to_json()}\n".encode())
    _, status, usage = os.wait4(child.pid, 0)
    os.close(writer)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"the reconstruction of {study} failed ({child.returncode}):\n{words}")
    return usage


def _keep_to_few_cores() -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


if __name__ == "__main__":
    main()

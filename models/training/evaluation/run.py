"""Many studies, a few at a time: every finished one is kept, a broken one is a result too."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta

from models.training.evaluation.plan import Study
from models.training.evaluation.results import StudyResult, failed

Work = Callable[[Study], StudyResult]


def run(
    studies: Sequence[Study],
    work: Work,
    digest: Callable[[Study], str],
    *,
    jobs: int,
    may_begin: Callable[[], bool] = lambda: True,
) -> Iterator[StudyResult]:
    """Results as they come.

    Args:
        studies: In this order.
        work: Makes one; it and its result travel between processes.
        digest: Of the models of a study, for one whose process ended.
        jobs: How many at once, in processes of their own.
        may_begin: Whether there is time for one more.
    """
    waiting = list(reversed(studies))
    while waiting and may_begin():
        # Fresh processes: threads of the numerical libraries do not survive a fork.
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from _until_broken(pool, waiting, work, digest, jobs, may_begin)


def _until_broken(
    pool: ProcessPoolExecutor,
    waiting: list[Study],
    work: Work,
    digest: Callable[[Study], str],
    jobs: int,
    may_begin: Callable[[], bool],
) -> Iterator[StudyResult]:
    """Takes studies from the end of those that wait, until none is left, time is up or a process died."""
    running: dict[Future[StudyResult], Study] = {}
    while True:
        while waiting and len(running) < jobs and may_begin():
            study = waiting.pop()
            running[pool.submit(work, study)] = study
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            study = running.pop(future)
            error = future.exception()
            broken = broken or isinstance(error, BrokenProcessPool)
            yield failed(study, digest(study), error) if error else future.result()
        if broken:
            yield from (
                failed(study, digest(study), BrokenProcessPool("a process ended")) for study in running.values()
            )
            return


class Clock:
    """How long a run has taken, and may take yet.

    Args:
        total: Number of studies.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()

    @property
    def minutes(self) -> float:
        """So far."""
        return (time.monotonic() - self._began) / 60

    def tick(self, result: StudyResult) -> str:
        """One more is finished: a line that says so."""
        self._done += 1
        left = timedelta(minutes=round(self.minutes / self._done * (self._total - self._done)))
        return f"[{self._done}/{self._total}, {str(left)[:-3]} h left] {result.key}: {outcome(result)}"


def outcome(result: StudyResult) -> str:
    """What came of a study, in a line."""
    if result.error:
        return f"FAILED: {result.error}"
    bones = ", ".join(f"{bone.bone} {bone.refused or f'{bone.asd:.2f} mm'}" for bone in result.bones)
    return f"{bones} ({result.cpu_seconds:.1f} s, {result.peak_mb:.0f} MB)"

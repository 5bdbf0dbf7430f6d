"""The process in which one study is reconstructed: `python -m pipeline.study_child`, started by the worker.

A process of its own, so that the worker's heartbeat goes on during long numerics, and a native crash or a runaway
allocation takes down one job and nothing else. What it is told and what it says, line by line, is JSON:

    stdin   {"paths": ["…"], "out": "…"}              then nothing more; its end means that the worker is gone
    stdout  {"stage": "fit", "fraction": 0.4, "sentence": "…"}    any number of times
            {"problem": "…"}                          where the input itself is wrong (exit status 2)
    stderr  whatever libraries say, and the traceback of a failure

Exit status 0: the folder `out` is complete, `report.json` in it says how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TextIO, TypeAlias

from pipeline.errors import InputError

EXIT_WRONG_INPUT: Final = 2
EXIT_ABANDONED: Final = 3


class StudyProgress(Protocol):
    """How far a reconstruction is."""

    @property
    def stage(self) -> str:
        """Name of the stage at work."""

    @property
    def fraction(self) -> float:
        """0 to 1."""

    @property
    def sentence(self) -> str:
        """What is being done."""


ReconstructStudy: TypeAlias = Callable[[Sequence[Path], Path, Callable[[StudyProgress], None]], object]
"""Paths of a study's radiographs, the folder to write, whom to tell."""


def run_child(reconstruct_study: ReconstructStudy) -> int:
    """Do what stdin asks for; returns the exit status.

    Raises:
        Exception: Whatever the reconstruction raises, for the traceback on stderr.
    """
    channel = _take_stdout()
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_worker, daemon=True).start()

    def tell(progress: StudyProgress) -> None:
        _say(channel, stage=progress.stage, fraction=progress.fraction, sentence=progress.sentence)

    try:
        reconstruct_study([Path(path) for path in request["paths"]], Path(request["out"]), tell)
    except InputError as error:
        _say(channel, problem=str(error))
        return EXIT_WRONG_INPUT
    return 0


def _take_stdout() -> TextIO:
    """Keep stdout for our lines; what libraries print goes to stderr."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def _say(channel: TextIO, **line: object) -> None:
    channel.write(f"{json.dumps(line)}\n")
    channel.flush()


def _end_with_worker() -> None:
    """Nobody waits for the result of a worker that was killed; another one has begun afresh."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(EXIT_ABANDONED)


def main() -> None:
    """Reconstruct with the real pipeline."""
    from pipeline.study import reconstruct_study  # seconds of imports: only once we have been told what to do

    sys.exit(run_child(lambda paths, out, tell: reconstruct_study(paths, out, on_progress=tell)))


if __name__ == "__main__":
    main()

"""The process in which one study is reconstructed: `python -m pipeline.study_child`, started by the worker.

A process of its own, so that the worker's heartbeat goes on during long numerics, and a native crash or a runaway
allocation takes down one job and nothing else. What it is told and what it says, line by line, is JSON:

    stdin   a `Request`, now or hours later, then nothing more; its end means that the worker is gone
    stdout  {"stage": "fit", "fraction": 0.4, "sentence": "…"}    any number of times
            {"problem": "…"}                          where the input itself is wrong (exit status 2)
    stderr  whatever libraries say, and the traceback of a failure

Exit status 0: the folder `out` is complete, `report.json` in it says how it ended.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO, TypeAlias

from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.results import FileKind

EXIT_WRONG_INPUT: Final = 2
EXIT_ABANDONED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the worker asks for.

    Attributes:
        paths: The study's radiographs.
        out: The folder to write; it does not exist yet.
        threads: For the numerics.
        models_folder: Where the models lie; None: those that came with Bonecraft.
        replaced: The DICOM files of earlier results that went out and that these take the place of.
        answers_refusals: Whether a refused study gets a report and a picture.
        also: The optional kinds of DICOM results that are to be made.
    """

    paths: tuple[Path, ...]
    out: Path
    threads: int
    models_folder: Path | None
    replaced: tuple[Path, ...] = ()
    answers_refusals: bool = False
    also: tuple[FileKind, ...] = ()

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> Request:
        """Read the line back."""
        said = json.loads(line)
        folder = said["models_folder"]
        return cls(
            paths=tuple(map(Path, said["paths"])),
            out=Path(said["out"]),
            threads=said["threads"],
            models_folder=Path(folder) if folder else None,
            replaced=tuple(map(Path, said["replaced"])),
            answers_refusals=said["answers_refusals"],
            also=tuple(map(FileKind, said["also"])),
        )


Reconstruct: TypeAlias = Callable[[Request, Callable[[Progress], None]], object]
"""Does what is asked for, and tells how far it is."""


def run_child(reconstruct: Reconstruct, *, prepare: Callable[[], object] = lambda: None) -> int:
    """Do what stdin asks for; returns the exit status.

    Args:
        reconstruct: Does it.
        prepare: What can be done before anything is asked for.

    Raises:
        Exception: Whatever the reconstruction raises, for the traceback on stderr.
    """
    channel = _take_stdout()
    prepare()
    asked = sys.stdin.readline()
    if not asked:
        return EXIT_ABANDONED
    request = Request.from_json(asked)
    threading.Thread(target=_end_with_worker, daemon=True).start()

    def tell(progress: Progress) -> None:
        _say(channel, stage=progress.stage, fraction=progress.fraction, sentence=progress.sentence)

    try:
        reconstruct(request, tell)
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


def load() -> None:
    """Seconds of imports, done while nobody waits for them."""
    importlib.import_module("pipeline.study")
    importlib.import_module("pipeline.dicom_write.result_set")


def reconstruct_for_real(request: Request, tell: Callable[[Progress], None]) -> None:
    """With the real pipeline."""
    from pipeline.study import StudyOptions, reconstruct_study  # seconds of imports, not for the worker

    _keep_pydicom_quiet()
    options = StudyOptions(
        models_folder=request.models_folder,
        threads=request.threads,
        replaced=request.replaced,
        answers_refusals=request.answers_refusals,
        also=frozenset(request.also),
    )
    reconstruct_study(request.paths, request.out, on_progress=tell, options=options)


def _keep_pydicom_quiet() -> None:
    """Its warnings quote values of headers; on stderr they would reach the traceback that `status --tracebacks` shows.

    To be called after pydicom is imported, which sets its logger's level.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    sys.exit(run_child(reconstruct_for_real, prepare=load))

"""The process in which one study is reconstructed: `python -m pipeline.study_child`, started by the worker.

A process of its own, so that the worker's heartbeat goes on during long numerics, and a native crash or a runaway
allocation takes down one job and nothing else. What it is told and what it says, line by line, is JSON:

    stdin   an `Equipment`; a `Request`, now or hours later, then nothing more; its end means that the worker is gone
    stdout  {"stage": "fit", "fraction": 0.4, "sentence": "…"}    any number of times
            {"problem": "…"}                          where the input itself is wrong (exit status 2)
    stderr  whatever libraries say, and the traceback of a failure

Exit status 0: the folder `out` is complete, `report.json` in it says how it ended.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TextIO, TypeAlias

from pipeline.errors import InputError
from pipeline.progress import Progress
from pipeline.results import FileKind

EXIT_WRONG_INPUT: Final = 2
EXIT_ABANDONED: Final = 3


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """What every study is reconstructed with: known, and made ready, before anything is asked for.

    Attributes:
        threads: For the numerics.
        models_folder: Where the models lie; None: those that came with Bonecraft.
    """

    threads: int
    models_folder: Path | None = None

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str) -> Equipment:
        """Read the line back."""
        said = json.loads(line)
        folder = said["models_folder"]
        return cls(threads=said["threads"], models_folder=Path(folder) if folder else None)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the worker asks for.

    Attributes:
        paths: The study's radiographs.
        out: The folder to write; it does not exist yet.
        replaced: The DICOM files of earlier results that went out and that these take the place of.
        answers_refusals: Whether a refused study gets a report and a picture.
        also: The optional kinds of DICOM results that are to be made.
    """

    paths: tuple[Path, ...]
    out: Path
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
        return cls(
            paths=tuple(map(Path, said["paths"])),
            out=Path(said["out"]),
            replaced=tuple(map(Path, said["replaced"])),
            answers_refusals=said["answers_refusals"],
            also=tuple(map(FileKind, said["also"])),
        )


Reconstruct: TypeAlias = Callable[[Request, Callable[[Progress], None]], object]
"""Does what is asked for, and tells how far it is."""


def run_child(get_ready: Callable[[Equipment], Reconstruct]) -> int:
    """Do what stdin asks for; returns the exit status.

    Args:
        get_ready: Does what can be done before anything is asked for, and gives what does the rest.

    Raises:
        Exception: Whatever either raises, for the traceback on stderr.
    """
    channel = _take_stdout()
    if not (given := sys.stdin.readline()):
        return EXIT_ABANDONED
    reconstruct = get_ready(Equipment.from_json(given))
    if not (asked := sys.stdin.readline()):
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


def equipped(equipment: Equipment) -> Reconstruct:
    """The real pipeline, with its seconds of imports and models done while nobody waits for them.

    Raises:
        ConfigurationError: A model is missing, or its file is not the one that the manifest means.
    """
    # Seconds of imports: not for the worker, who speaks the protocol of this module too.
    from pipeline.dicom_write import result_set  # noqa: F401
    from pipeline.study import StudyOptions, reconstruct_study
    from pipeline.weights import load_models

    _keep_pydicom_quiet()
    models = load_models(equipment.models_folder, threads=equipment.threads)

    def reconstruct(request: Request, tell: Callable[[Progress], None]) -> None:
        options = StudyOptions(
            models=models,
            replaced=request.replaced,
            answers_refusals=request.answers_refusals,
            also=frozenset(request.also),
        )
        reconstruct_study(request.paths, request.out, on_progress=tell, options=options)

    return reconstruct


def _keep_pydicom_quiet() -> None:
    """Its warnings quote values of headers; on stderr they would reach the traceback that `status --tracebacks` shows.

    To be called after pydicom is imported, which sets its logger's level.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def _leave(status: int) -> NoReturn:
    """End at once: to take the libraries down in order takes up to a second, for which the worker would wait."""
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _leave(run_child(equipped))

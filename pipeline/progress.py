"""How far a reconstruction is, and what each stage did and took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pipeline.results import StageReport

STAGE_STARTS: Final = {
    "read": 0.0,
    "gate": 0.10,
    "enhance": 0.15,
    "perceive": 0.20,
    "calibrate": 0.28,
    "fit": 0.30,
    "assess": 0.60,
    "render": 0.65,
    "write": 0.90,
}
"""Share of the whole that is done when a stage begins, as measured on two views of 6 megapixels."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a reconstruction is.

    Attributes:
        stage: Name of the stage at work.
        fraction: Share of the whole that is done, 0 to 1.
        sentence: What is being done.
    """

    stage: str
    fraction: float
    sentence: str


Tell = Callable[[Progress], None]


class StageNote:
    """What a running stage has to say of itself."""

    def __init__(self) -> None:
        self.summary = ""


class Journal:
    """Times the stages of one reconstruction and tells of their beginning."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._stages: list[StageReport] = []

    @property
    def stages(self) -> tuple[StageReport, ...]:
        """The stages so far, a refused one included."""
        return tuple(self._stages)

    @contextmanager
    def stage(self, name: str, sentence: str) -> Iterator[StageNote]:
        """Time what is done inside.

        Args:
            name: A key of `STAGE_STARTS`.
            sentence: What is being done, for whoever waits.
        """
        self._tell(Progress(stage=name, fraction=STAGE_STARTS[name], sentence=sentence))
        note, start = StageNote(), time.perf_counter()
        try:
            yield note
        finally:
            seconds = round(time.perf_counter() - start, 3)
            self._stages.append(StageReport(name=name, seconds=seconds, summary=note.summary))

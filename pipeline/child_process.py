"""Starts `pipeline.study_child` and listens to it: the worker's end of that conversation."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.errors import BonecraftError
from pipeline.results import FileKind
from pipeline.study_child import EXIT_WRONG_INPUT, Equipment, Request
from pipeline.traces import without_values

KEPT_STDERR_BYTES: Final = 20_000
LONGEST_LINE_BYTES: Final = 1 << 20
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class ReconstructionFailed(BonecraftError):  # noqa: N818 - says what is the matter
    """The child did not finish.

    Attributes:
        sentence: For people.
        traceback: For developers: where it happened, without the values that messages may quote.
        may_help_again: Whether another attempt could succeed.
    """

    def __init__(self, sentence: str, *, traceback: str = "", may_help_again: bool = True) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.traceback = without_values(traceback)
        self.may_help_again = may_help_again


@dataclass(frozen=True, kw_only=True)
class ProgressLine:
    """One line of progress."""

    stage: str
    percent: int
    sentence: str


@dataclass(frozen=True, kw_only=True)
class ChildProcess:
    """How a study is reconstructed in a process of its own.

    Attributes:
        command: The program: `python -m pipeline.study_child`, or a test's.
        timeout_seconds: After that it is killed.
        threads: For its numerics.
        models_folder: Where the models lie; None: those that came with Bonecraft.
    """

    command: tuple[str, ...]
    timeout_seconds: float
    threads: int
    models_folder: Path | None = None
    _spare: list[Process] = field(default_factory=list, init=False, repr=False, compare=False)

    async def prepare(self) -> None:
        """Start the next child: it takes seconds to load, which the next study then need not wait for.

        Where that cannot be done now it is done when the child is needed.
        """
        if not self._spare:
            with contextlib.suppress(OSError):
                self._spare.append(await self._start())

    async def dismiss(self) -> None:
        """End the child that waits for a study, if there is one."""
        while self._spare:
            await _kill(self._spare.pop())

    async def reconstruct(
        self,
        paths: Sequence[Path],
        out: Path,
        on_progress: Callable[[ProgressLine], Awaitable[None]],
        *,
        replaced: Sequence[Path] = (),
        answers_refusals: bool = False,
        also: Sequence[FileKind] = (),
    ) -> None:
        """Run the child to its end; `out` is complete then.

        Args:
            paths: The study's radiographs.
            out: The folder to be made.
            on_progress: Is told where the work is.
            replaced: The DICOM files of earlier results that are to be rejected.
            answers_refusals: Whether a refused study gets a report and a picture.
            also: The optional kinds of DICOM results that are to be made.

        Raises:
            ReconstructionFailed: It failed, crashed, took too long, or says that the input is wrong.
        """
        request = Request(
            paths=tuple(paths),
            out=out,
            replaced=tuple(replaced),
            answers_refusals=answers_refusals,
            also=tuple(also),
        )
        child = await self._take()
        conversation = _Conversation(child=child, on_progress=on_progress)
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await conversation.hold(request)
        except TimeoutError as error:
            raise ReconstructionFailed(
                f"The reconstruction took longer than {self.timeout_seconds:.0f} s and was stopped.",
                traceback=conversation.stderr,
            ) from error
        finally:
            await _kill(child)
        conversation.check()

    async def _take(self) -> Process:
        """The child that waits, unless it died meanwhile; else a new one."""
        while self._spare:
            spare = self._spare.pop()
            if spare.returncode is None:
                return spare
        return await self._start()

    async def _start(self) -> Process:
        child = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(self.threads)),
            limit=LONGEST_LINE_BYTES,
        )
        _write_line(child, Equipment(threads=self.threads, models_folder=self.models_folder).to_json())
        return child


@dataclass(kw_only=True)
class _Conversation:
    child: Process
    on_progress: Callable[[ProgressLine], Awaitable[None]]
    problem: str = ""
    stderr: str = ""

    async def hold(self, request: Request) -> None:
        """Ask, and listen until it ends. Its stdin stays open: the end of it would mean that we are gone."""
        _write_line(self.child, request.to_json())
        await asyncio.gather(self._listen(), self._keep_stderr())
        await self.child.wait()

    async def _listen(self) -> None:
        assert self.child.stdout is not None  # noqa: S101 - we asked for a pipe
        async for line in self.child.stdout:
            said = json.loads(line)
            if "problem" in said:
                self.problem = said["problem"]
            else:
                percent = round(100 * said["fraction"])
                await self.on_progress(ProgressLine(stage=said["stage"], percent=percent, sentence=said["sentence"]))

    async def _keep_stderr(self) -> None:
        assert self.child.stderr is not None  # noqa: S101 - we asked for a pipe
        kept = b""
        while piece := await self.child.stderr.read(1 << 16):
            kept = (kept + piece)[-KEPT_STDERR_BYTES:]
            self.stderr = kept.decode(errors="replace")

    def check(self) -> None:
        status = self.child.returncode
        if status == 0:
            return
        if status == EXIT_WRONG_INPUT and self.problem:
            raise ReconstructionFailed(self.problem, may_help_again=False)
        crashed = status is not None and status < 0
        how = f"crashed ({signal.Signals(-status).name})" if crashed and status else f"failed (exit status {status})"
        raise ReconstructionFailed(f"The reconstruction {how}.", traceback=self.stderr)


def _write_line(child: Process, line: str) -> None:
    """Say it when the pipe takes it; nothing where the child died at once: its status says why."""
    assert child.stdin is not None  # noqa: S101 - we asked for a pipe
    child.stdin.write(f"{line}\n".encode())


async def _kill(child: Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()

"""The child that waits for the next study: loaded before anybody needs it, and never in the way."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from pipeline.child_process import ChildProcess
from tests.node_helpers import fake_child


async def nobody_listens(_line: object) -> None:
    pass


def attempts(folder: Path) -> list[int]:
    """The processes that worked, by the marks that they left."""
    return [int(path.name.removeprefix("attempt-")) for path in folder.glob("attempt-*")]


def waiting(child: ChildProcess) -> int:
    [spare] = child._spare
    return spare.pid


def test_a_study_is_done_by_the_child_that_was_prepared(tmp_path: Path) -> None:
    child = fake_child("succeed", tmp_path)

    async def run() -> int:
        await child.prepare()
        prepared = waiting(child)
        await child.prepare()
        assert waiting(child) == prepared, "one is enough"
        await child.reconstruct([], tmp_path / "out", nobody_listens)
        return prepared

    assert attempts(tmp_path) == []
    assert [asyncio.run(run())] == attempts(tmp_path)


def test_a_prepared_child_that_died_is_replaced(tmp_path: Path) -> None:
    child = fake_child("succeed", tmp_path)

    async def run() -> int:
        await child.prepare()
        died = waiting(child)
        os.kill(died, signal.SIGKILL)
        [spare] = child._spare
        await spare.wait()
        await child.reconstruct([], tmp_path / "out", nobody_listens)
        return died

    died = asyncio.run(run())
    [worked] = attempts(tmp_path)
    assert worked != died
    assert (tmp_path / "out" / "report.json").exists()


def test_a_prepared_child_ends_with_its_worker(tmp_path: Path) -> None:
    child = fake_child("succeed", tmp_path)

    async def run() -> int:
        await child.prepare()
        prepared = waiting(child)
        await child.dismiss()
        return prepared

    assert not Path(f"/proc/{asyncio.run(run())}").exists()
    assert attempts(tmp_path) == []

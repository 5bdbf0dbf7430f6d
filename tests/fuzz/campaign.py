"""Many cases against one listener: what became of them, and what they left behind in it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.fuzz.cases import Line, run_case
from tests.fuzz.seeds import Seed
from tests.listener_process import ListenerProcess

CALLERS = 4
HANDLED = ("stored", "store_failed", "store_crashed")
"""What the C-STORE handler logs, once for each request that has got there."""
CALM_SECONDS = 120
CALM_LOOKS = 8


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What the listener holds while nobody calls."""

    megabytes: float
    threads: int
    descriptors: int


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What came of it.

    Attributes:
        kinds: How many cases of which kind.
        outcomes: How many ended how.
        handled: How many requests the C-STORE handler has seen.
        crashes: What the log has of exceptions that nobody expected.
        before: After the warm-up.
        after: At the end.
        seconds: For all cases.
    """

    kinds: Mapping[str, int]
    outcomes: Mapping[str, int]
    handled: int
    crashes: tuple[str, ...]
    before: Footprint
    after: Footprint
    seconds: float

    @property
    def cases(self) -> int:
        return sum(self.kinds.values())


def run_campaign(
    listener: ListenerProcess, seeds: Mapping[str, Seed], *, seed: int, cases: int, on_progress: Callable[[int], None]
) -> Campaign:
    """Run that many cases, a tenth of them to warm up.

    Raises:
        TimeoutError: A case was neither answered nor closed; its number is said.
    """
    began, warm = time.monotonic(), cases // 10
    found = Counter(_run(listener, seeds, seed, range(warm), on_progress))
    before = _calm(listener)
    found += Counter(_run(listener, seeds, seed, range(warm, cases), on_progress))
    kinds, outcomes = Counter[str](), Counter[str]()
    for (kind, outcome), times in found.items():
        kinds[kind] += times
        outcomes[outcome] += times
    return Campaign(
        kinds=kinds,
        outcomes=outcomes,
        handled=sum(event["event"] in HANDLED for event in _events(listener)),
        crashes=tuple(_crashes(listener)),
        before=before,
        after=_calm(listener, no_more_than=before.threads),
        seconds=time.monotonic() - began,
    )


def _run(
    listener: ListenerProcess,
    seeds: Mapping[str, Seed],
    seed: int,
    numbers: range,
    on_progress: Callable[[int], None],
) -> list[tuple[str, str]]:
    """Several callers share the numbers out among themselves."""
    next_number, lock = iter(numbers), threading.Lock()

    def take() -> int | None:
        with lock:
            return next(next_number, None)

    def call() -> list[tuple[str, str]]:
        line, found = Line(port=listener.port, seeds=seeds), []
        while (number := take()) is not None:
            try:
                found.append(run_case(line, seed=seed, number=number))
            except Exception as error:
                raise RuntimeError(f"case {number} of seed {seed}: {error!r}") from error
            on_progress(number)
        line.close()
        return found

    with ThreadPoolExecutor(CALLERS) as pool:
        called = [pool.submit(call) for _ in range(CALLERS)]
        return [each for future in called for each in future.result()]


def _calm(listener: ListenerProcess, *, no_more_than: int = sys.maxsize) -> Footprint:
    """What it holds once the threads of the last associations have ended: no fewer for a while, and not too many.

    What is too many has time to end: a caller that said nonsense and hung up may be waited for until a timer is due.
    """
    give_up = time.monotonic() + CALM_SECONDS
    fewest, quiet = listener.threads, 0
    while (quiet < CALM_LOOKS or fewest > no_more_than) and time.monotonic() < give_up:
        time.sleep(0.25)
        quiet = 0 if listener.threads < fewest else quiet + 1
        fewest = min(fewest, listener.threads)
    return Footprint(megabytes=listener.resident_megabytes, threads=listener.threads, descriptors=listener.descriptors)


def _events(listener: ListenerProcess) -> Iterator[dict[str, object]]:
    for line in listener.log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def _crashes(listener: ListenerProcess) -> Iterator[str]:
    """Lines that are no events (tracebacks of threads), and events with an exception."""
    for line in listener.log.read_text(encoding="utf-8").splitlines():
        if not line.startswith("{"):
            yield line
        elif "exception" in (event := json.loads(line)) or "crashed" in str(event["event"]):
            yield line[:2000]

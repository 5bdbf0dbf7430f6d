"""`make bench-associations`: what open associations cost the listener while nothing is sent, and others by it."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.ingest import write_files
from tests.benchmarks.receivers import SENDER, Receiver, node
from tests.benchmarks.results import publish
from tests.scp_node.senders import association_request, knock

OPEN = (0, 50, 200)
ROUNDS = 5
TICKS_IN_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process uses.

    Attributes:
        processor_seconds: Since its start.
        resident_bytes: Memory.
        threads: How many.
        descriptors: Open files and sockets.
    """

    processor_seconds: float
    resident_bytes: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Cost:
        """Now, from proc(5)."""
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return cls(
            processor_seconds=(int(fields[11]) + int(fields[12])) / TICKS_IN_A_SECOND,
            resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
            threads=int(fields[17]),
            descriptors=len(list((folder / "fd").iterdir())),
        )


def main() -> None:
    """Measure with each number of open associations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="how long to look at idle associations (default: 10)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bonecraft-associations-") as name, node(Path(name)) as receiver:
        films = iter(write_files(Path(name) / "files", ROUNDS * len(OPEN) + 1))
        seconds_to_store(receiver, next(films))
        rows = [_row(receiver, count, films, seconds=options.seconds) for count in OPEN]
    publish(
        "associations",
        columns=["open associations", "processor, %", "memory, MB", "threads", "descriptors", "a 10 MB film, s"],
        rows=rows,
        remarks=[
            f"Processor time of the listener over {options.seconds:.0f} s in which nothing was sent; then another "
            f"sender stored a film: median of {ROUNDS}, from the start of dcmtk's storescu to its end."
        ],
        write=options.write,
    )


def _row(receiver: Receiver, count: int, films: Iterator[Path], *, seconds: float) -> list[str]:
    assert receiver.node is not None
    with open_associations(receiver, count):
        before = Cost.of(receiver.node.pid)
        time.sleep(seconds)
        after = Cost.of(receiver.node.pid)
        stored = median(seconds_to_store(receiver, next(films)) for _ in range(ROUNDS))
    share = (after.processor_seconds - before.processor_seconds) / seconds
    figures = (f"{100 * share:.1f}", f"{after.resident_bytes / 1e6:.0f}", str(after.threads), str(after.descriptors))
    return [str(count), *figures, f"{stored:.2f}"]


@contextmanager
def open_associations(receiver: Receiver, count: int) -> Iterator[None]:
    """So many, for the time of the block."""
    with ExitStack() as connections:
        opened = [knock(receiver.port) for _ in range(count)]
        for each in opened:
            connections.enter_context(each.connection)
            each.say(association_request(calling=SENDER))
        assert all(each.hear()[:1] == b"\x02" for each in opened), "an association was rejected"
        yield


def seconds_to_store(receiver: Receiver, film: Path) -> float:
    """With dcmtk, on an association of its own."""
    command = ["/usr/bin/storescu", "--max-pdu", "131072", "-aet", SENDER, "-aec", receiver.called]
    begin = time.perf_counter()
    subprocess.run([*command, "127.0.0.1", str(receiver.port), film], check=True, capture_output=True, timeout=120)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()

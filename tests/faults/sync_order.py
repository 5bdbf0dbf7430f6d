"""kill -9 cannot show that something was synced: the kernel keeps what was written. A trace of the system calls can.

For each acknowledged C-STORE: the dataset is written and synced, it gets its name among the blobs, the folder of that
name is synced, the row is committed (PostgreSQL syncs its write-ahead log meanwhile), and only then 0x0000 leaves.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from tests.factories import make_dx, save
from tests.faults.modalities import STORESCU
from tests.node_process import MODALITY, MODALITY_AE_TITLE, NODE_AE_TITLE, RunningNode, running_node
from tests.processes import children_of

STRACE = Path("/usr/bin/strace")
CALLS = "write,fsync,fdatasync,link,sendto,recvfrom"
IMAGES = 5
SIDE = 600
ATTACH_SECONDS = 30
SUCCESS = r"\0\0\0\t\2\0\0\0\0\0"
"""As strace prints (0000,0900) Status, two bytes, 0x0000 (PS3.7 E.1)."""

STEPS = (
    "write",
    "fsync of the file",
    "link: its name",
    "fsync of the folder",
    "COMMIT asked for",
    "fdatasync of PostgreSQL's log",
    "COMMIT confirmed",
    "0x0000 sent",
)

_LINE = re.compile(r"(?P<thread>\d+) +(?P<at>\d+\.\d+) (?P<what>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+).*<(?P<took>\d+\.\d+)>$")
_UNFINISHED = " <unfinished ...>"
_LONG_STRING = re.compile(r'"((?:[^"\\]|\\.){24})(?:[^"\\]|\\.){16,}"(?:\.\.\.)?')
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A system call.

    Attributes:
        thread: Which thread made it.
        began: Seconds since the epoch.
        ended: Seconds since the epoch.
        name: Of the call.
        arguments: As strace prints them.
        result: What it returned.
    """

    thread: int
    began: float
    ended: float
    name: str
    arguments: str
    result: int


@dataclass(frozen=True, kw_only=True)
class Step:
    """One of the steps from the dataset to its acknowledgement."""

    words: str
    call: Call


class OutOfOrder(Exception):  # noqa: N818 - says what is the matter
    """A step is missing, or began before the one it must follow had ended."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What the trace shows.

    Attributes:
        images: For each image its steps, in the order that is demanded.
        folder: The node's data folder, which is in the way of reading.
        skipped: Why nothing could be traced here.
    """

    images: Sequence[Sequence[Step]] = ()
    folder: str = ""
    skipped: str = ""


def trace_order() -> Traced:
    """Trace the listener and PostgreSQL while images come in.

    Raises:
        OutOfOrder: An image's steps came in another order, or were not all seen.
    """
    if not STRACE.exists():
        return Traced(skipped="strace is not installed (Debian package strace)")
    with tempfile.TemporaryDirectory(prefix="bonecraft-trace-") as name, running_node(MODALITY) as node:
        trace = Path(name) / "trace"
        if problem := _trace_while(node, trace, lambda: _send(node, Path(name))):
            return Traced(skipped=problem)
        calls = list(read_calls(trace.read_text(errors="replace").splitlines()))
    links = [call for call in calls if call.name == "link" and ".incoming" in call.arguments]
    if len(links) != IMAGES:
        raise OutOfOrder(f"{len(links)} of {IMAGES} images were seen to be given their names")
    return Traced(images=[steps_of(link, calls) for link in links], folder=str(node.data))


def _trace_while(node: RunningNode, trace: Path, work: Callable[[], None]) -> str:
    """Trace listener and PostgreSQL into a file; why that is not possible, empty where it is."""
    postmaster = node.postmaster()
    processes = [
        word for pid in (node.pid_of("listener"), postmaster, *children_of(postmaster)) for word in ("-p", pid)
    ]
    command = [STRACE, "-f", "-ttt", "-T", "-yy", "-s", "300", "-e", f"trace={CALLS}", "-o", trace, *processes]
    tracer = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            return f"strace may not trace here ({said.strip()})"
        time.sleep(2)  # until it has all threads
        work()
        time.sleep(1)
    finally:
        tracer.terminate()
        tracer.communicate(timeout=ATTACH_SECONDS)
    return ""


def _send(node: RunningNode, folder: Path) -> None:
    files = [save(make_dx(study=f"traced {n}", rows=SIDE, columns=SIDE), folder / f"{n}.dcm") for n in range(IMAGES)]
    titles = ("-aet", MODALITY_AE_TITLE, "-aec", NODE_AE_TITLE)
    subprocess.run([STORESCU, "-R", *titles, "127.0.0.1", str(node.dicom_port), *files], check=True)


def read_calls(lines: Sequence[str]) -> Iterator[Call]:
    """The calls of a trace, in the order in which they ended; halves of one that another interrupted are joined."""
    begun: dict[str, tuple[float, str]] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, at, what = found["thread"], float(found["at"]), found["what"]
        if what.endswith(_UNFINISHED):
            begun[thread] = at, what.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(what):
            at, first = begun.pop(thread, (at, ""))
            what = first + what[resumed.end() :]
        if call := _CALL.match(what):
            yield Call(
                thread=int(thread),
                began=at,
                ended=at + float(call["took"]),
                name=call["name"],
                arguments=call["arguments"],
                result=int(call["result"]),
            )


def steps_of(link: Call, calls: Sequence[Call]) -> list[Step]:
    """The steps of the image that was given its name by `link`, in the order that is demanded.

    Raises:
        OutOfOrder: One is missing, or began too early.
    """
    incoming, blob = re.findall(r'"([^"]+)"', link.arguments)
    folder = blob.rpartition("/")[0]
    written = [c for c in calls if c.name == "write" and f"<{incoming}>" in c.arguments]
    own = [c for c in calls if c.thread == link.thread]
    folder_synced = _fsync_of(folder, own)
    commit = _first(
        own, lambda c: c.name == "sendto" and "COMMIT" in c.arguments, after=folder_synced.ended, what="COMMIT"
    )
    synced = _first(
        calls, lambda c: c.name == "fdatasync" and "/pg_wal/" in c.arguments, after=commit.began, what="sync of the log"
    )
    committed = _first(
        own, lambda c: c.name == "recvfrom" and "COMMIT" in c.arguments, after=commit.began, what="confirmation"
    )
    made = (
        _last(written, f"write to {incoming}"),
        _fsync_of(incoming, own),
        link,
        folder_synced,
        replace(commit, ended=commit.began),
        synced,
        replace(committed, began=committed.ended),
        _first(calls, _is_success, after=committed.ended, what="answer of 0x0000"),
    )
    steps = [Step(words=words, call=call) for words, call in zip(STEPS, made, strict=True)]
    for before, after in pairwise(steps):
        if before.call.ended > after.call.began:
            raise OutOfOrder(f"{after.words} came before {before.words} had ended")
    return steps


def _last(calls: Sequence[Call], words: str) -> Call:
    if not calls:
        raise OutOfOrder(f"no {words}")
    return calls[-1]


def _fsync_of(path: str, calls: Sequence[Call]) -> Call:
    return _last(
        [c for c in calls if c.name == "fsync" and f"<{path}>" in c.arguments and c.result == 0], f"fsync of {path}"
    )


def _first(calls: Sequence[Call], is_it: Callable[[Call], bool], *, after: float, what: str) -> Call:
    """The first such call that ended at that time or later."""
    return _last([c for c in calls if c.ended >= after and is_it(c)][:1], f"{what} after what must come before it")


def _is_success(call: Call) -> bool:
    """A P-DATA-TF that carries a C-STORE response with status 0x0000."""
    return call.name == "sendto" and '"\\4\\0' in call.arguments and SUCCESS in call.arguments


def as_text(steps: Sequence[Step], *, folder: str) -> str:
    """The steps of one image, with their times in milliseconds, as strace printed them but for what is too long."""
    begin = steps[0].call.began
    lines = []
    for step in steps:
        arguments = _LONG_STRING.sub(r'"\1…"', step.call.arguments.replace(f"{folder}/", ""))
        call = f"{step.call.name}({arguments}) = {step.call.result}"
        lines.append(f"{1e3 * (step.call.began - begin):8.2f} ms  {step.words:<30} {call}")
    return "\n".join(lines)

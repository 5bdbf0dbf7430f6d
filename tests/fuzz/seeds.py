"""What real senders say: dcmtk's programs, overheard on their way to the listener, and the files that they sent."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from tests.factories import make_dx, save
from tests.fuzz.wire import pdus_of
from tests.listener_process import NODE_AE_TITLE

SENDER = "MODALITY"
DCMTK = Path("/usr/bin")
PROGRAM_SECONDS = 60

ENCODINGS: dict[str, tuple[Sequence[str], str]] = {
    "explicit": ((), "-xe"),
    "implicit": (("dcmconv", "+ti"), "-xi"),
    "big-endian": (("dcmconv", "+tb"), "-xb"),
    "deflated": (("dcmconv", "+td"), "-xd"),
    "rle": (("dcmcrle",), "-xr"),
    "jpeg": (("dcmcjpeg", "+e1"), "-xs"),
    "jpeg-ls": (("dcmcjpls",), "-xt"),
}
"""dcmtk's converter, and the option with which storescu proposes that transfer syntax."""


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What one program said on one association.

    Attributes:
        name: Which program, and what it sent.
        pdus: As it sent them, the association request first.
        dataset: The dataset that it stored, encoded; empty where it stored none.
        sop_class: Of the dataset.
        sop_instance: Of the dataset.
        study: StudyInstanceUID of the dataset.
    """

    name: str
    pdus: tuple[bytes, ...]
    dataset: bytes = b""
    sop_class: bytes = b""
    sop_instance: bytes = b""
    study: bytes = b""


def record_seeds(port: int, folder: Path) -> dict[str, Seed]:
    """Let dcmtk's programs talk to the listener at `port`, and keep what they say; their files go to `folder`."""
    source = save(make_dx(rows=16, columns=12), folder / "explicit.dcm")
    seeds = {name: _stored(name, source, port) for name in ENCODINGS}
    titles = ("-aet", SENDER, "-aec", NODE_AE_TITLE)
    find = ("findscu", *titles, "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=*")
    others = {
        "echo": ("echoscu", *titles),
        "find": find,
        "all-classes": ("storescu", *titles, str(source)),
    }
    for name, command in others.items():
        seeds[name] = Seed(name=name, pdus=_overheard(port, command, expected=None if name == "find" else 0))
    return seeds


def _stored(name: str, source: Path, port: int) -> Seed:
    convert, propose = ENCODINGS[name]
    path = source.with_name(f"{name}.dcm")
    if convert:
        _run((*convert, str(source), str(path)), expected=0)
    titles = ("-aet", SENDER, "-aec", NODE_AE_TITLE)
    pdus = _overheard(port, ("storescu", *titles, "-R", propose, str(path)), expected=0)
    header = dcmread(path, stop_before_pixels=True)
    return Seed(
        name=name,
        pdus=pdus,
        dataset=path.read_bytes()[144 + header.file_meta.FileMetaInformationGroupLength :],
        sop_class=str(header.SOPClassUID).encode(),
        sop_instance=str(header.SOPInstanceUID).encode(),
        study=str(header.StudyInstanceUID).encode(),
    )


def _overheard(port: int, command: Sequence[str], *, expected: int | None) -> tuple[bytes, ...]:
    with _listening_in(port) as (own_port, heard):
        at = command.index(NODE_AE_TITLE) + 1
        _run((*command[:at], "127.0.0.1", str(own_port), *command[at:]), expected=expected)
    return pdus_of(bytes(heard))


def _run(command: Sequence[str], *, expected: int | None) -> None:
    done = subprocess.run(
        [DCMTK / command[0], *command[1:]], capture_output=True, text=True, check=False, timeout=PROGRAM_SECONDS
    )
    if expected is not None and done.returncode != expected:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")


@contextmanager
def _listening_in(port: int) -> Iterator[tuple[int, bytearray]]:
    """A port that passes one connection on to `port`, and what its caller says there."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pass_on() -> None:
            caller, _ = server.accept()
            with caller, socket.create_connection(("127.0.0.1", port)) as listener:
                back = threading.Thread(target=_copy, args=(listener, caller, None))
                back.start()
                _copy(caller, listener, heard)
                back.join()

        passing = threading.Thread(target=pass_on)
        passing.start()
        yield server.getsockname()[1], heard
        passing.join()


def _copy(source: socket.socket, target: socket.socket, heard: bytearray | None) -> None:
    try:
        while piece := source.recv(65536):
            if heard is not None:
                heard += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return

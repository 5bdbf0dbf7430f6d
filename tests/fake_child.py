"""A child process whose reconstruction takes no science: `python fake_child.py BEHAVIOUR [FOLDER]`.

It speaks the real protocol (`pipeline.study_child`) and writes a small, valid result folder.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import InputError, RefusalCode
from pipeline.progress import Progress
from pipeline.results import FileKind, RefusalReport, Report, ResultFile, ScaleReport, Status
from pipeline.study_child import Request, run_child

UNSCALED = ScaleReport(known=False, relative_uncertainty=0.0, provenance="none")


def note_of(out: Path, replaced: Sequence[Path]) -> tuple[ResultFile, ...]:
    """What stands for a rejection note, where something is to be rejected."""
    if not replaced:
        return ()
    (out / "note.dcm").write_bytes(b"rejects " + b"".join(sorted(path.read_bytes()[:100] for path in replaced)))
    note = ResultFile(
        path="note.dcm",
        kind=FileKind.REJECTION_NOTE,
        media_type="application/dicom",
        title="Rejection",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.59",
        sop_instance_uid="2.25.9",
    )
    return (note,)


def others_of(out: Path, also: Sequence[FileKind]) -> tuple[ResultFile, ...]:
    """What stands for the optional results."""
    for kind in also:
        (out / f"{kind}.dcm").write_bytes(kind.encode())
    return tuple(
        ResultFile(
            path=f"{kind}.dcm",
            kind=kind,
            media_type="application/dicom",
            title=kind,
            sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
            sop_instance_uid=f"2.25.7{number}",
        )
        for number, kind in enumerate(also)
    )


def write_result(
    out: Path, inputs: Sequence[Path], replaced: Sequence[Path] = (), also: Sequence[FileKind] = ()
) -> None:
    out.mkdir()
    (out / "surface.dcm").write_bytes(b"surface of " + b"".join(sorted(path.read_bytes() for path in inputs))[:1000])
    (out / "femur_R.stl").write_bytes(b"mesh")
    files = (
        ResultFile(
            path="surface.dcm",
            kind=FileKind.SURFACE_SEGMENTATION,
            media_type="application/dicom",
            title="Right femur",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.66.5",
            sop_instance_uid=f"2.25.{len(inputs)}{len(replaced)}",
        ),
        ResultFile(path="femur_R.stl", kind=FileKind.MESH, media_type="model/stl", title="Right femur, STL"),
        *others_of(out, also),
        *note_of(out, replaced),
    )
    report = Report(status=Status.RECONSTRUCTED, software_version="0", scale=UNSCALED, files=files)
    (out / "report.json").write_text(report.to_json())


def answer_of(out: Path) -> tuple[ResultFile, ...]:
    """What stands for the report that says why."""
    (out / "why.dcm").write_bytes(b"refused")
    said = ResultFile(
        path="why.dcm",
        kind=FileKind.REFUSAL_REPORT,
        media_type="application/dicom",
        title="Why not",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        sop_instance_uid="2.25.5",
    )
    return (said,)


def write_refusal(out: Path, replaced: Sequence[Path] = (), *, answered: bool = False) -> None:
    out.mkdir()
    refusal = RefusalReport(code=RefusalCode.CHILD, sentence="The growth plates are open.")
    files = (*(answer_of(out) if answered else ()), *note_of(out, replaced))
    report = Report(status=Status.REFUSED, software_version="0", scale=UNSCALED, refusal=refusal, files=files)
    (out / "report.json").write_text(report.to_json())


def behave(behaviour: str, folder: Path | None, request: Request) -> None:
    """Do what the test wants, counting the attempts in `folder`."""
    paths, out, replaced = request.paths, request.out, request.replaced
    attempts = 0
    if folder is not None:
        (folder / f"attempt-{os.getpid()}").touch()
        attempts = len(list(folder.glob("attempt-*")))
    match behaviour:
        case "refuse":
            write_refusal(out, replaced, answered=request.answers_refusals)
        case "wrong-input":
            raise InputError("The pixels cannot be decoded.")
        case "fail":
            raise RuntimeError("no such luck")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            time.sleep(3600)
        case "hang-once" if attempts == 1:
            time.sleep(3600)
        case "fail-once" if attempts == 1:
            raise RuntimeError("only the first time")
        case _:
            write_result(out, paths, replaced, request.also)


def reconstruct(request: Request, tell: Callable[[Progress], None]) -> None:
    os.write(1, b"what a library prints\n")
    tell(Progress(stage="fit", fraction=0.4, sentence="Fitting the shape model."))
    behave(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None, request)


if __name__ == "__main__":
    sys.exit(run_child(lambda _: reconstruct))

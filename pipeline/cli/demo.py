"""`bonecraft demo`: the whole road on one machine, from a modality's C-STORE to a 3D bone in the PACS."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from sqlalchemy import Connection

from pipeline.cli.sample import sample_folder
from pipeline.database import Database, open_database
from pipeline.demonstration import (
    ADMIN_EMAIL,
    MODALITY_AE_TITLE,
    NODE_AE_TITLE,
    Demonstration,
    parse_pacs,
    running_demonstration,
)
from pipeline.dicom_renew import renew_study
from pipeline.errors import Refusal, RefusalCode, TransientError
from pipeline.records import directory, results, studies, users
from pipeline.records.results import ResultSet
from pipeline.records.studies import Progress as StudyProgress
from pipeline.records.studies import Study, StudyScope
from pipeline.records.viewing import DeliveryLine, deliveries_of_result
from pipeline.results import DISCLAIMER, Report, Status
from pipeline.settings import load_settings
from pipeline.store import open_store

PATIENCE_SECONDS: Final = 300
FINAL_STATES: Final = ("reconstructed", "refused", "failed")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the study that the demonstration sent.

    Attributes:
        result: The result set.
        delivered: How far each file's delivery is.
        folder: Where copies of all result files lie.
        seconds: From the modality's last C-STORE to the last delivery.
    """

    result: ResultSet
    delivered: tuple[DeliveryLine, ...]
    folder: Path
    seconds: float


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit when the result is delivered.")] = False,
    data: Annotated[Path, typer.Option("--data", help="Where everything is kept.")] = Path("var/demo"),
    pacs: Annotated[str | None, typer.Option("--pacs", help="Deliver to this PACS instead: AE@host:port.")] = None,
) -> None:
    """Start a node and a PACS, send two hip radiographs as a modality would, and show what comes back."""
    console = Console(highlight=False)
    named = parse_pacs(pacs) if pacs else None
    # By default SIGTERM ends us at once, and node and PACS, in groups of their own, would live on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        console.status("Starting the node and a PACS …") as status,
        running_demonstration(data.absolute(), named) as hospital,
    ):
        status.stop()
        _tell_where(console, hospital)
        with _open(hospital) as database:
            outcome = _play(console, hospital, database)
            _tell_outcome(console, outcome)
            _tell_login(console, hospital, database)
        if not once:
            _serve_until_interrupted(console)
        status.update("Stopping …")
        status.start()
    _check(outcome)


@contextmanager
def _open(hospital: Demonstration) -> Iterator[Database]:
    database = open_database(load_settings(hospital.config))
    try:
        yield database
    finally:
        database.close()


def _tell_where(console: Console, hospital: Demonstration) -> None:
    console.print(
        f"[bold]Node[/]      {NODE_AE_TITLE} at 127.0.0.1:{hospital.dicom_port}, log {hospital.folder}/node.log"
    )
    console.print(f"[bold]PACS[/]      {hospital.pacs.description}", soft_wrap=True)
    console.print(f"[bold]Viewer[/]    {hospital.viewer}", soft_wrap=True)
    console.print(f"[dim]{DISCLAIMER}[/]\n")


def _play(console: Console, hospital: Demonstration, database: Database) -> Outcome:
    """Send the sample as a new study, and follow it until its results are delivered."""
    files, study_uid = renew_study(
        sorted(sample_folder().glob("*.dcm")), hospital.folder / "modality" / f"{time.time_ns()}"
    )
    _send(console, hospital, files)
    sent = time.monotonic()
    with _progress(console) as progress:
        result = _follow_reconstruction(progress, database, study_uid)
        delivered = _follow_delivery(progress, database, result)
    folder = _copy_files(hospital, result)
    return Outcome(result=result, delivered=delivered, folder=folder, seconds=time.monotonic() - sent)


def _send(console: Console, hospital: Demonstration, files: Sequence[Path]) -> None:
    """By a real C-STORE, from the modality's own AE title."""
    target = f"{NODE_AE_TITLE}@127.0.0.1:{hospital.dicom_port}"
    command = [sys.executable, "-m", "pipeline.cli", "send", *map(str, files), "--to", target]
    sent = subprocess.run(  # noqa: S603 - our own program
        [*command, "--from", MODALITY_AE_TITLE], capture_output=True, text=True, check=False
    )
    if sent.returncode:
        raise TransientError(f"the modality could not send: {(sent.stderr or sent.stdout).strip()}")
    console.print(f"[bold]Received[/]  {len(files)} radiographs by C-STORE from {MODALITY_AE_TITLE}")


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


def _follow_reconstruction(progress: Progress, database: Database, study_uid: str) -> ResultSet:
    """Show what the worker does until it has done it."""
    bar = progress.add_task("waiting for the worker", total=100)
    for _ in _until_deadline("the reconstruction did not end"):
        with database.begin() as connection:
            study = _find_study(connection, study_uid)
            if study is None or study.progress is None:
                continue
            progress.update(bar, completed=study.progress.percent, description=_sentence(study.progress))
            if study.progress.state in FINAL_STATES:
                return _result(connection, study)
    raise AssertionError("the deadline raises")


def _find_study(connection: Connection, study_uid: str) -> Study | None:
    institution = directory.institution_called(connection, NODE_AE_TITLE)
    listed = studies.list_studies(connection, StudyScope(institution_id=institution)) if institution else ()
    return next((found for found in listed if found.header.study_instance_uid == study_uid), None)


def _sentence(progress: StudyProgress) -> str:
    return progress.sentence or progress.stage or progress.state


def _result(connection: Connection, study: Study) -> ResultSet:
    result = results.latest(connection, StudyScope(institution_id=study.institution_id), study.id)
    if result is None:
        problem = study.progress.problem if study.progress else ""
        raise TransientError(f"the reconstruction failed: {problem or 'see bonecraft status'}")
    return result


def _follow_delivery(progress: Progress, database: Database, result: ResultSet) -> tuple[DeliveryLine, ...]:
    """Show how the results leave for the PACS."""
    bar = progress.add_task("delivering", total=None)
    lines: tuple[DeliveryLine, ...] = ()
    for _ in _until_deadline("the PACS did not take the results"):
        with database.begin() as connection:
            lines = deliveries_of_result(connection, result.id)
        open_ones = [line for line in lines if line.state in ("pending", "sent")]
        progress.update(bar, total=len(lines), completed=len(lines) - len(open_ones))
        if not open_ones:
            break
    return lines


def _until_deadline(complaint: str) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(0.2)
    raise TransientError(f"{complaint} within {PATIENCE_SECONDS} s; see bonecraft status")


def _copy_files(hospital: Demonstration, result: ResultSet) -> Path:
    """The result folder as files, beside the node's own store."""
    store = open_store(load_settings(hospital.config))
    folder = hospital.folder / "results" / str(result.id)
    for file in result.files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(file.blob_key, target)
    return folder


def _tell_outcome(console: Console, outcome: Outcome) -> None:
    report = outcome.result.report
    if report.refusal:
        console.print(f"[bold]Refused[/]   {report.refusal.sentence}")
    for table in (_stages(report), _surfaces(report), _deliveries(outcome)):
        console.print(table)
    for warning in report.warnings:
        console.print(f"[yellow]Note[/]      {warning}")
    console.print(
        f"[bold]Scale[/]     {report.scale.provenance}, ± {report.scale.relative_uncertainty:.1%}", soft_wrap=True
    )
    console.print(f"[bold]Time[/]      {outcome.seconds:.1f} s from the last C-STORE to the last delivery")
    console.print(f"[bold]Files[/]     {outcome.folder}", soft_wrap=True)


def _stages(report: Report) -> Table:
    table = Table("Stage", Column("Seconds", justify="right"), "What it found")
    for stage in report.stages:
        table.add_row(stage.name, f"{stage.seconds:.2f}", stage.summary)
    return table


def _surfaces(report: Report) -> Table:
    table = Table("Surface", "Vertices", "Watertight", "Extent (L × P × H), mm", "Expected error, mm")
    for surface in report.surfaces:
        extent = " × ".join(f"{length:.0f}" for length in surface.extent)
        closed = "yes" if surface.watertight else "no"
        table.add_row(surface.name, str(surface.vertices), closed, extent, f"{surface.expected_error:.1f}")
    return table


def _deliveries(outcome: Outcome) -> Table:
    table = Table("Delivered", "To", "State")
    for line in outcome.delivered:
        table.add_row(line.title, line.peer, line.problem or line.state)
    return table


def _tell_login(console: Console, hospital: Demonstration, database: Database) -> None:
    """A link that logs in once, as the demonstration's administrator."""
    with database.begin() as connection:
        user = users.find_user(connection, email=ADMIN_EMAIL)
        if user is None:
            raise TransientError(f"the demonstration's user {ADMIN_EMAIL} is missing")
        token = users.create_login_link(connection, user.id, now=datetime.now(UTC))
    console.print(f"[bold]Look[/]      {hospital.viewer}/login/once#{token}  (works once)", soft_wrap=True)


def _serve_until_interrupted(console: Console) -> None:
    console.print("\nServing until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _check(outcome: Outcome) -> None:
    """The exit code tells whether the demonstration came through."""
    report = outcome.result.report
    if report.status is Status.REFUSED and report.refusal:
        raise Refusal(RefusalCode(report.refusal.code), report.refusal.sentence)
    if not outcome.delivered or any(line.state != "delivered" for line in outcome.delivered):
        raise TransientError("not everything was delivered; see the table above")

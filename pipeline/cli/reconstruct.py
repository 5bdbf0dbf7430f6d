"""`bonecraft reconstruct`: the files of one study to a folder of results, without network or database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.errors import InputError
from pipeline.radiograph import Side, View
from pipeline.results import OPTIONAL_KINDS, SHAPE_ONLY, FileKind, Report
from pipeline.typed_facts import TypedFacts

Value = TypeVar("Value")

app = typer.Typer(add_completion=False)

EXIT_REFUSED = 3
OPTIONAL = tuple(sorted(kind.value for kind in OPTIONAL_KINDS))


@app.command()
def reconstruct(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders of one study: DICOM, PNG or JPEG.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the results; an earlier result there is replaced.")],
    pixel_spacing: Annotated[
        list[float] | None,
        typer.Option("--pixel-spacing", help="Size of a pixel in the bone's plane, mm. Without any: shape only."),
    ] = None,
    body_part: Annotated[list[str] | None, typer.Option("--body-part", help="FEMUR, HIP, KNEE, ...")] = None,
    view: Annotated[list[str] | None, typer.Option("--view", help="AP, PA or LATERAL.")] = None,
    side: Annotated[list[str] | None, typer.Option("--side", help="L or R.")] = None,
    models: Annotated[Path | None, typer.Option("--models", help="Folder with another manifest.toml.")] = None,
    answer_refusals: Annotated[
        bool, typer.Option("--answer-refusals", help="When refused, write a report and a picture that say why.")
    ] = False,
    also: Annotated[
        list[str] | None, typer.Option("--also", help=f"Make these DICOM results too: {', '.join(OPTIONAL)}.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, help="For the networks; 0: all cores.")] = 0,
) -> None:
    """Reconstruct the bone that the radiographs of one study show.

    Options that describe a picture hold for all files when given once, or are repeated in the files' order.
    Exit status: 0 reconstructed, 3 refused (the reason on stderr and in report.json), 2 unreadable or wrong input.
    """
    from pipeline.study import StudyOptions, reconstruct_study  # takes seconds: not for --help
    from pipeline.weights import load_models

    typed = _typed_facts(pixel_spacing or [], body_part or [], view or [], side or [])
    options = StudyOptions(
        typed=typed,
        models=load_models(models, threads=threads),
        answers_refusals=answer_refusals,
        also=frozenset(map(_optional, also or [])),
    )
    console = Console(stderr=True)
    with _progress_bar(console) as bar:
        task = bar.add_task("Starting", total=1.0)
        report = reconstruct_study(
            paths,
            out,
            on_progress=lambda now: bar.update(task, completed=now.fraction, description=now.sentence),
            options=options,
        )
        bar.update(task, completed=1.0, description="Done")
    if report.refusal:
        typer.echo(f"bonecraft: refused ({report.refusal.code}): {report.refusal.sentence}", err=True)
        raise typer.Exit(EXIT_REFUSED)
    _show(report, out)


def _progress_bar(console: Console) -> Progress:
    words = TextColumn("{task.description}")
    return Progress(SpinnerColumn(), words, BarColumn(), TimeElapsedColumn(), console=console, transient=True)


def _typed_facts(
    spacings: list[float], body_parts: list[str], views: list[str], sides: list[str]
) -> tuple[TypedFacts, ...]:
    """One for all files, or one for each: an option given once holds for all."""
    count = max(len(spacings), len(body_parts), len(views), len(sides))
    rows = zip(
        _for_each(spacings, count),
        _for_each(body_parts, count),
        _for_each(views, count),
        _for_each(sides, count),
        strict=True,
    )
    return tuple(
        TypedFacts(
            pixel_spacing_mm=spacing,
            body_part=body_part,
            view=_view(view) if view else None,
            side=_side(side) if side else None,
        )
        for spacing, body_part, view, side in rows
    )


def _for_each(values: Sequence[Value], count: int) -> Sequence[Value | None]:
    if len(values) not in (0, 1, count):
        raise InputError("options that describe the pictures must be given once, or once for each file")
    if len(values) == count:
        return values
    return [values[0] if values else None] * count


def _view(text: str) -> View:
    known = {"AP": View.AP, "PA": View.PA, "LATERAL": View.LATERAL, "LAT": View.LATERAL}
    if text.upper() not in known:
        raise InputError(f"{text!r} is no view; give AP, PA or LATERAL")
    return known[text.upper()]


def _side(text: str) -> Side:
    if text.upper()[:1] not in ("L", "R"):
        raise InputError(f"{text!r} is no side; give L or R")
    return Side(text.upper()[0])


def _optional(text: str) -> FileKind:
    if text not in OPTIONAL:
        raise InputError(f"{text!r} is none of the optional results; there are {', '.join(OPTIONAL)}")
    return FileKind(text)


def _show(report: Report, out: Path) -> None:
    """A short table: what came out, how sure it is, where it lies."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for surface in report.surfaces:
        closed = "watertight" if surface.watertight else "not closed"
        expected = f"expected error {surface.expected_error:.1f} mm, " if report.scale.known else ""
        inferred = f"{surface.inferred_fraction:.0%} inferred"
        table.add_row(surface.name, f"{expected}{surface.vertices} vertices, {closed}, {inferred}")
    for radiograph in report.radiographs:
        for contour in radiograph.contours:
            error = "not measured" if contour.error_mm is None else f"{contour.error_mm:.1f} mm"
            table.add_row(f"{radiograph.view} {radiograph.side}", f"{contour.bone}: contour error {error}")
    if report.scale.known:
        table.add_row("scale", f"{report.scale.provenance}, ± {report.scale.relative_uncertainty:.1%}")
    else:
        table.add_row("scale", SHAPE_ONLY)
    table.add_row("time", f"{sum(stage.seconds for stage in report.stages):.1f} s")
    for warning in report.warnings:
        table.add_row("note", warning)
    table.add_row("report", str(out / "report.html"))
    Console().print(table)

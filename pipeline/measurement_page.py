"""The measurements as a page to look at, for workstations that show no structured reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pipeline.dicom_write import PlainPicture
from pipeline.dicom_write.codes import UNMEASURED_CODES
from pipeline.made_with import MadeWith
from pipeline.radiograph import Scale, Side
from pipeline.results import DISCLAIMER, NOT_RECOGNISED, SHAPE_ONLY, Measurement, SurfaceReport
from pipeline.stages.lettering import INK, QUIET, WARNING, Colour, Font, Picture, fitting, wrapped
from pipeline.surface import Bone, bone_title

WIDTH: Final = 1280
"""Legible on a ward's screen of one megapixel, not spread out on one of five."""

TEXT: Final = 24
ROW: Final = 36
MARGIN: Final = 48
COLUMNS: Final = (MARGIN, 620, 760)
"""Where names, values and intervals begin."""

PAPER: Final = (16, 18, 22)

SIGNS: Final = {"mm": " mm", "deg": "°"}


def measurement_page(
    surfaces: Sequence[SurfaceReport], measurements: Sequence[Measurement], scale: Scale, *, made_with: MadeWith
) -> PlainPicture:
    """A table for each bone: how far to trust it, what was measured with its 90 % interval, and what was not and why.

    Args:
        surfaces: The bones.
        measurements: Of all of them.
        scale: Where the size in mm came from.
        made_with: Software and models.
    """
    writer = _Writer()
    writer.line("Measurements", size=1.5)
    writer.line(_scale_words(scale), colour=QUIET if scale.known else WARNING)
    writer.line(NOT_RECOGNISED, colour=QUIET)
    writer.line(made_with.words({Bone(surface.bone) for surface in surfaces}), colour=QUIET)
    writer.line(DISCLAIMER, colour=QUIET)
    for surface in surfaces:
        _write_bone(writer, surface, [m for m in measurements if m.bone == surface.name], scale)
    sides = {surface.side for surface in surfaces}
    shared = sides.pop() if len(sides) == 1 else None
    return PlainPicture(pixels=writer.picture(), title="Measurements", side=Side(shared) if shared else None)


def _write_bone(writer: _Writer, surface: SurfaceReport, measured: Sequence[Measurement], scale: Scale) -> None:
    writer.gap()
    title = bone_title(Bone(surface.bone), Side(surface.side) if surface.side else None)
    writer.line(title, colour=_colour(surface), size=1.2)
    if scale.known:
        writer.row("Expected mean error of the surface", f"{surface.expected_error:.1f} mm", "")
    writer.row("Inferred: no radiograph shows it", f"{100 * surface.inferred_fraction:.0f} %", "")
    for measurement in measured:
        if measurement.value is None or measurement.lower is None or measurement.upper is None:
            writer.row(measurement.name, "-", _short(measurement), colour=QUIET)
        else:
            sign = SIGNS[measurement.unit]
            interval = f"90 %: {measurement.lower:.1f} to {measurement.upper:.1f}{sign}"
            writer.row(measurement.name, f"{measurement.value:.1f}{sign}", interval)


def _short(measurement: Measurement) -> str:
    """Why there is no value, in the words of its code: the whole sentence is longer than the column."""
    return UNMEASURED_CODES[measurement.unmeasured].meaning if measurement.unmeasured else ""


def _scale_words(scale: Scale) -> str:
    if not scale.known:
        return SHAPE_ONLY
    return f"Scale: {scale.provenance}, ± {scale.relative_uncertainty:.1%} (one standard deviation)"


def _colour(surface: SurfaceReport) -> Colour:
    red, green, blue = ImageColor.getrgb(surface.colour)[:3]
    return red, green, blue


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """A line of text: where, and how it looks."""

    across: float
    down: float
    text: str
    colour: Colour
    font: Font


class _Writer:
    """Collects lines, then draws them on a page that is as high as they need."""

    def __init__(self) -> None:
        self._cells: list[_Cell] = []
        self._down = float(MARGIN)

    def line(self, text: str, *, colour: Colour = INK, size: float = 1.0) -> None:
        """A line over the whole width."""
        self._down += self._write(text, MARGIN, WIDTH - MARGIN, colour, size)

    def row(self, *texts: str, colour: Colour = INK) -> None:
        """A row of the table: one text for each column."""
        ends = [start - MARGIN / 4 for start in COLUMNS[1:]] + [WIDTH - MARGIN]
        self._down += max(self._write(*cell, colour) for cell in zip(texts, COLUMNS, ends, strict=True))

    def _write(self, text: str, across: float, end: float, colour: Colour, size: float = 1.0) -> float:
        """Set a text between two edges, in as many lines as it takes; gives how high they are."""
        font = ImageFont.load_default(round(TEXT * size))
        lines = [fitting(line, font, end - across) for line in wrapped(text, font, end - across)]
        for number, line in enumerate(lines):
            self._cells.append(
                _Cell(across=across, down=self._down + number * ROW * size, text=line, colour=colour, font=font)
            )
        return len(lines) * ROW * size

    def gap(self) -> None:
        """Room before a table."""
        self._down += ROW / 2

    def picture(self) -> Picture:
        """(H, W, 3) uint8 RGB."""
        image = Image.new("RGB", (WIDTH, round(self._down + MARGIN)), PAPER)
        draw = ImageDraw.Draw(image)
        for cell in self._cells:
            draw.text((cell.across, cell.down), cell.text, fill=cell.colour, font=cell.font)
        return np.array(image)

"""What a PACS is shown of a study that is not reconstructed: its radiographs, small, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import ImageFont

from pipeline.dicom_write import PlainPicture
from pipeline.radiograph import Radiograph
from pipeline.results import DISCLAIMER
from pipeline.stages.bands import band, framed, text_height
from pipeline.stages.lettering import INK, QUIET, WARNING, Colour, Line, wrapped
from pipeline.stages.stage_pictures import input_picture

NARROWEST: Final = 900
"""Pixels; so that a sentence takes few lines."""

TITLE: Final = "Not reconstructed in 3D"


def refusal_picture(radiographs: Sequence[Radiograph], sentence: str, advice: str) -> PlainPicture:
    """The radiographs side by side, as a reader would window them, above the words.

    Args:
        radiographs: Of the study, at least one.
        sentence: Why nothing was reconstructed.
        advice: What can be done.
    """
    films = input_picture(radiographs)
    width = max(films.shape[1], NARROWEST)
    said = [(sentence, INK), (advice, INK), (DISCLAIMER, QUIET)]
    lines = [line for text, colour in said for line in _lines(text, width, colour)]
    pixels = framed(band(width, Line(text=TITLE, colour=WARNING, size=1.3)), films, band(width, *lines))
    sides = {radiograph.side for radiograph in radiographs}
    return PlainPicture(pixels=pixels, title=TITLE, side=sides.pop() if len(sides) == 1 else None)


def _lines(text: str, width: int, colour: Colour) -> list[Line]:
    base = text_height(width)
    room = width - 4 * base
    return [Line(text=each, colour=colour) for each in wrapped(text, ImageFont.load_default(round(base)), room)]

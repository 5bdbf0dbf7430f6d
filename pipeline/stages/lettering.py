"""Words and legends on pictures, in a plain sans-serif with a dark halo that reads on any grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Corner = Literal["top left", "top right", "bottom left", "bottom right"]

INK: Final[Colour] = (236, 238, 240)
QUIET: Final[Colour] = (158, 166, 176)
HALO: Final[Colour] = (8, 9, 11)
WARNING: Final[Colour] = (255, 190, 84)

LINE_SPACING: Final = 1.32
NICE_LENGTHS: Final = (200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of text: `size` is relative to the picture's own text size."""

    text: str
    colour: Colour = INK
    size: float = 1.0


def text_size(picture: Picture) -> int:
    """Height of ordinary text for a picture of that size, pixels."""
    height, width = picture.shape[:2]
    return int(max(round(0.012 * (height + width)), 11))


def with_text(picture: Picture, corner: Corner, *lines: Line) -> Picture:
    """A copy of the picture with lines of text in a corner.

    Args:
        picture: (H, W, 3) uint8 RGB.
        corner: Where.
        lines: From top to bottom.
    """
    base = text_size(picture)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    fonts = [ImageFont.load_default(round(base * line.size)) for line in lines]
    heights = [base * line.size * LINE_SPACING for line in lines]
    down = base * 0.7 if corner.startswith("top") else picture.shape[0] - base * 0.7 - sum(heights)
    for line, font, height in zip(lines, fonts, heights, strict=True):
        text = fitting(line.text, font, picture.shape[1] - 1.6 * base)
        width = font.getlength(text)
        across = base * 0.8 if corner.endswith("left") else picture.shape[1] - base * 0.8 - width
        stroke = max(round(base / 9), 1)
        draw.text((across, down), text, fill=line.colour, font=font, stroke_width=stroke, stroke_fill=HALO)
        down += height
    return np.array(image)


def fitting(text: str, font: Font, width: float) -> str:
    """The text, shortened with an ellipsis where it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """The text as lines of whole words, each as long as `width` pixels allow."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def with_legend(picture: Picture, colours: Picture, *, low: str, high: str, title: str) -> Picture:
    """A copy with a vertical colour bar at the left edge.

    Args:
        picture: (H, W, 3) uint8 RGB.
        colours: (n, 3) uint8, from `low` to `high`.
        low: Label at the bottom.
        high: Label at the top.
        title: What the colours mean.
    """
    base = text_size(picture)
    height, bar = picture.shape[0], max(round(0.55 * base), 4)
    length = round(0.26 * height)
    top, left = round(0.5 * (height - length)), round(0.8 * base)
    marked = picture.copy()
    ramp = colours[np.linspace(len(colours) - 1, 0, length).round().astype(int)]
    marked[top : top + length, left : left + bar] = ramp[:, None]
    for text, down in ((title, top - 2.9 * base), (high, top - 1.5 * base), (low, top + length + 0.2 * base)):
        marked = _label(marked, text, left, down)
    return marked


def _label(picture: Picture, text: str, across: float, down: float) -> Picture:
    base = text_size(picture)
    image = Image.fromarray(picture)
    font = ImageFont.load_default(round(base * 0.9))
    stroke = max(round(base / 9), 1)
    ImageDraw.Draw(image).text((across, down), text, fill=INK, font=font, stroke_width=stroke, stroke_fill=HALO)
    return np.array(image)

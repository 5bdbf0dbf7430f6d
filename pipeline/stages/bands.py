"""Dark bands above and below a picture that hold its words, legend and scale, so that nothing covers the anatomy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.stages.lettering import INK, NICE_LENGTHS, QUIET, Font, Line, Picture, fitting, wrapped

GROUND: Final = (10, 11, 14)
TEXT_SHARE: Final = 0.0175
"""Height of ordinary text, share of the band's width."""

LINE_HEIGHT: Final = 1.45


def text_height(width: int) -> float:
    """Height of ordinary text in a band of that width, pixels."""
    return max(width * TEXT_SHARE, 13.0)


def band(width: int, *lines: Line, right: tuple[Picture, ...] = ()) -> Picture:
    """A band with lines of text at the left, broken where they are long, and blocks at the right.

    Args:
        width: Of the band, pixels.
        lines: From top to bottom.
        right: Blocks, from left to right.
    """
    base = text_height(width)
    pad = round(0.7 * base)
    block_width = sum(block.shape[1] + 2 * pad for block in right)
    lines = tuple(part for line in lines for part in _broken(line, base, width - block_width - 3 * pad))
    heights = [base * line.size * LINE_HEIGHT for line in lines]
    height = 2 * pad + max(math.ceil(sum(heights)), *(block.shape[0] for block in right), 0)
    image = Image.new("RGB", (width, height), GROUND)
    draw, down = ImageDraw.Draw(image), float(pad)
    for line, step in zip(lines, heights, strict=True):
        font = ImageFont.load_default(round(base * line.size))
        draw.text((pad, down), line.text, fill=line.colour, font=font)
        down += step
    picture = np.array(image)
    across = width - block_width
    for block in right:
        top = (height - block.shape[0]) // 2
        picture[top : top + block.shape[0], across + pad : across + pad + block.shape[1]] = block
        across += block.shape[1] + 2 * pad
    return picture


def _broken(line: Line, base: float, room: float) -> list[Line]:
    font = ImageFont.load_default(round(base * line.size))
    return [replace(line, text=fitting(part, font, room)) for part in wrapped(line.text, font, room)]


def word_block(width: int, line: Line) -> Picture:
    """One line of text as a block for a band of that width."""
    base = text_height(width)
    font = ImageFont.load_default(round(base * line.size))
    image = Image.new("RGB", (math.ceil(font.getlength(line.text)), round(base * line.size * LINE_HEIGHT)), GROUND)
    ImageDraw.Draw(image).text((0, 0), line.text, fill=line.colour, font=font)
    return np.array(image)


def legend_block(width: int, colours: Picture, *, low: str, high: str, title: str) -> Picture:
    """A colour bar with its title and both ends' values.

    Args:
        width: Of the band.
        colours: (n, 3) from low to high.
        low: Label of the left end.
        high: Label of the right end.
        title: What the colours mean.
    """
    base, length = text_height(width), round(0.16 * width)
    image, draw, small = _block(width, length, lines=3)
    draw.text((0, 0), fitting(title, small, length), fill=QUIET, font=small)
    draw.text((0, 2.1 * base), low, fill=QUIET, font=small)
    draw.text((length - small.getlength(high), 2.1 * base), high, fill=QUIET, font=small)
    block = np.array(image)
    top, bottom = round(1.35 * base), round(1.8 * base)
    block[top:bottom] = colours[np.linspace(0, len(colours) - 1, length).astype(int)][None]
    return block


def scale_block(width: int, mm_per_pixel: float) -> Picture:
    """A horizontal scale bar, ticked every centimetre.

    Args:
        width: Of the band.
        mm_per_pixel: Size of a picture pixel in the plane of the bone.
    """
    base = text_height(width)
    length = next((n for n in NICE_LENGTHS if n / mm_per_pixel <= 0.25 * width), NICE_LENGTHS[-1])
    pixels = round(length / mm_per_pixel)
    image, draw, small = _block(width, max(pixels + 6, round(5 * base)), lines=3)
    draw.text((0, 0), f"{length:g} mm", fill=QUIET, font=small)
    block, thick = np.array(image), max(round(base / 8), 1)
    level = round(1.75 * base)
    cv2.line(block, (3, level), (3 + pixels, level), INK, thick, cv2.LINE_AA)
    for place in np.linspace(3, 3 + pixels, round(length / 10) + 1 if length >= 20 else 2).round().astype(int):
        cv2.line(block, (int(place), round(level - 0.4 * base)), (int(place), level), INK, thick, cv2.LINE_AA)
    return block


def framed(header: Picture, picture: Picture, footer: Picture) -> Picture:
    """A picture between its bands; it is centred on black where it is narrower."""
    width = header.shape[1]
    margin = width - picture.shape[1]
    wide = np.pad(picture, ((0, 0), (margin // 2, margin - margin // 2), (0, 0)))
    return np.concatenate([header, wide, footer], axis=0)


def _block(width: int, across: int, *, lines: int) -> tuple[Image.Image, ImageDraw.ImageDraw, Font]:
    base = text_height(width)
    small = ImageFont.load_default(round(base * 0.8))
    image = Image.new("RGB", (across, round(base * lines * 1.05)), GROUND)
    return image, ImageDraw.Draw(image), small

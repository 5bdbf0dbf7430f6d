"""What lies on and beside patients and is no implant: leads, zips, buttons, coins, balls, rulers, shields, folds.

As attenuation without unit, in the picture's plane. The gate must learn to let these pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.training.metal import Sheet
from models.training.photometry import smooth_noise
from pipeline.geometry import FloatArray

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

_FONT_PIXELS: Final = 22.0
"""Height of OpenCV's plain letters at scale 1."""


def belongings(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Attenuation of one to three things.

    Args:
        bone: (rows, columns) where bones cast their shadows; what is as dense as an implant lies beside them.
        spacing_mm: Size of a pixel.
        rng: Source of everything.
    """
    total = np.zeros(bone.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        total += _KINDS[int(rng.integers(len(_KINDS)))](bone, spacing_mm, rng)
    return total


def _place(bone: BoolImage, rng: np.random.Generator) -> FloatArray:
    return np.asarray(rng.uniform([0, 0], [bone.shape[1] - 1, bone.shape[0] - 1]))


def _beside(bone: BoolImage, spacing_mm: float, rng: np.random.Generator, radius_mm: float) -> FloatArray | None:
    """A place whose surroundings hold no bone; None where there is hardly any."""
    away = cv2.distanceTransform((~bone).astype(np.uint8), cv2.DIST_L2, 5) * spacing_mm
    rows, columns = np.nonzero(away > radius_mm)
    if len(rows) < 20:
        return None
    chosen = int(rng.integers(len(rows)))
    return np.array([columns[chosen], rows[chosen]], dtype=np.float64)


def _curve(bone: BoolImage, rng: np.random.Generator, points: int = 4) -> FloatArray:
    """(24, 2) a smooth line through some places."""
    knots = np.stack([_place(bone, rng) for _ in range(points)])
    where, steps = np.linspace(0, 1, points), np.linspace(0, 1, 24)
    return np.stack([np.polyval(np.polyfit(where, knots[:, axis], points - 1), steps) for axis in (0, 1)], axis=1)


def _line(shape: tuple[int, ...], points: FloatArray, width_px: float, strength: float) -> FloatImage:
    canvas = np.zeros(shape, dtype=np.uint8)
    cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, 255, max(round(width_px), 1), cv2.LINE_AA, 4)
    return np.asarray(canvas * np.float32(strength / 255), dtype=np.float32)


def _disc(shape: tuple[int, ...], centre: FloatArray, radius_px: float, strength: float) -> FloatImage:
    canvas = np.zeros(shape, dtype=np.uint8)
    place = tuple(int(v) for v in np.round(centre * 16))
    cv2.circle(canvas, place, max(round(16 * radius_px), 8), 255, -1, cv2.LINE_AA, 4)
    return np.asarray(canvas * np.float32(strength / 255), dtype=np.float32)


def _electrode(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A monitoring electrode: a faint pad, a dense stud, its lead."""
    centre, lead = _place(bone, rng), _curve(bone, rng)
    lead = lead + (centre - lead[0]) * np.linspace(1, 0, len(lead))[:, None]
    pad = _disc(bone.shape, centre, rng.uniform(14, 22) / spacing_mm, rng.uniform(0.01, 0.06))
    stud = _disc(bone.shape, centre, rng.uniform(3, 7) / spacing_mm, rng.uniform(0.3, 2.5))
    return pad + stud + _line(bone.shape, lead, rng.uniform(1, 2.5) / spacing_mm, rng.uniform(0.05, 0.6))


def _zip(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    start, angle = _place(bone, rng), rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    square = np.array([-direction[1], direction[0]])
    total, strength = np.zeros(bone.shape, dtype=np.float32), rng.uniform(0.15, 1.2)
    step, half = max(rng.uniform(2.4, 4) / spacing_mm, 2.0), rng.uniform(1.5, 3) / spacing_mm
    for number in range(int(rng.uniform(80, 200) / spacing_mm / step)):
        middle = start + number * step * direction
        shift = half * (0.4 if number % 2 else -0.4)
        tooth = np.stack([middle + (shift - half) * square, middle + (shift + half) * square])
        total = np.maximum(total, _line(bone.shape, tooth, 1, strength))
    return np.maximum(total, _disc(bone.shape, start, rng.uniform(3, 6) / spacing_mm, 1.5 * strength))


def _buttons(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A row of buttons, studs or rivets, or a coin."""
    start, step = _place(bone, rng), rng.normal(0, 45, 2) / spacing_mm
    radius, strength = rng.uniform(3.5, 10) / spacing_mm, 10 ** rng.uniform(-1.3, 0.4)
    total = np.zeros(bone.shape, dtype=np.float32)
    for number in range(int(rng.integers(1, 5))):
        centre = start + number * step
        total += _disc(bone.shape, centre, radius, strength)
        if rng.random() < 0.6:
            total -= _disc(bone.shape, centre, rng.uniform(0.2, 0.7) * radius, rng.uniform(0.3, 0.9) * strength)
    return np.maximum(total, 0)


def _calibration_ball(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A ball of known size beside the bone, on its holder."""
    diameter = rng.uniform(20, 31)
    centre = _beside(bone, spacing_mm, rng, diameter / 2 + 2)
    if centre is None:
        return np.zeros(bone.shape, dtype=np.float32)
    sheet = Sheet((bone.shape[0], bone.shape[1]), spacing_mm)
    sheet.ball(centre, diameter)
    edge = np.array([centre[0], rng.choice([-20.0, bone.shape[0] + 20.0])])
    holder = _line(bone.shape, np.stack([centre, edge]), rng.uniform(3, 8) / spacing_mm, rng.uniform(0.0, 0.25))
    return np.asarray(sheet.thickness * rng.uniform(0.3, 1.0) + holder, dtype=np.float32)


def _ruler(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A ruler down the picture, with ticks every centimetre and some figures."""
    column, strength = rng.uniform(0.03, 0.97) * bone.shape[1], rng.uniform(0.3, 2.0)
    ends = np.array([[column, 0.0], [column, bone.shape[0] - 1.0]])
    total = _line(bone.shape, ends, 1, strength * float(rng.random() < 0.7))
    for number, row in enumerate(np.arange(rng.uniform(0, 10), bone.shape[0], 10 / spacing_mm)):
        width = (8 if number % 5 == 0 else 4) / spacing_mm
        total = np.maximum(total, _line(bone.shape, np.array([[column, row], [column + width, row]]), 1, strength))
        if number % 5 == 0:
            total = np.maximum(total, _text(bone.shape, str(number), (column + width, row), 0.3, strength))
    return total


def _text(shape: tuple[int, ...], text: str, place: tuple[float, float], scale: float, strength: float) -> FloatImage:
    canvas = np.zeros(shape, dtype=np.uint8)
    at = (int(place[0]), int(place[1]))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(round(2 * scale), 1), cv2.LINE_AA)
    return np.asarray(canvas * np.float32(strength / 255), dtype=np.float32)


def _lead_marker(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A letter of lead in its holder, also where it hides something, upright or not."""
    letters = _text(
        bone.shape,
        str(rng.choice(["R", "L", "AP", "R 23", "LAT", "STEHEND", "D", "G"])),
        (float(rng.uniform(0, 0.9) * bone.shape[1]), float(rng.uniform(0.05, 1) * bone.shape[0])),
        float(rng.uniform(8, 25)) / spacing_mm / _FONT_PIXELS,
        float(rng.uniform(1, 4)),
    )
    return np.ascontiguousarray(letters[:, ::-1]) if rng.random() < 0.15 else letters


def _shield(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A lead shield or an apron's edge: large, blank, with smooth sides."""
    centre = np.array([rng.uniform(0.2, 0.8) * bone.shape[1], rng.uniform(0.6, 1.1) * bone.shape[0]])
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 6))))
    radius = rng.uniform(25, 70, len(angles)) / spacing_mm
    corners = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    canvas = np.zeros(bone.shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], 255)
    smooth = cv2.GaussianBlur(canvas, (0, 0), 8 / spacing_mm) > 100
    return np.asarray(smooth * np.float32(rng.uniform(1.5, 4)), dtype=np.float32)


def _tube(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """A catheter or a drain: two faint walls, perhaps a dense stripe."""
    path, width, strength = _curve(bone, rng), rng.uniform(3, 9) / spacing_mm, rng.uniform(0.03, 0.2)
    outer = _line(bone.shape, path, width, strength)
    return np.maximum(outer - 0.6 * _line(bone.shape, path, 0.6 * width, strength), 0)


def _folds(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Creases of clothes, sheets and cushions."""
    total = np.zeros(bone.shape, dtype=np.float32)
    for _ in range(int(rng.integers(2, 7))):
        crease = _line(bone.shape, _curve(bone, rng, 3), rng.uniform(2, 14) / spacing_mm, rng.uniform(0.02, 0.12))
        total += cv2.GaussianBlur(crease, (0, 0), rng.uniform(0.5, 4) / spacing_mm)
    return total


def _grid_lines(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    rows, columns = np.mgrid[: bone.shape[0], : bone.shape[1]]
    period, angle = max(rng.uniform(1.5, 8) / spacing_mm, 2.2), rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.02)
    phase = (columns * np.cos(angle) + rows * np.sin(angle)) * 2 * np.pi / period
    return np.asarray(rng.uniform(0.01, 0.06) * (1 + np.sin(phase)), dtype=np.float32)


def _calcifications(bone: BoolImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Phleboliths, and walls of arteries: dense, but small and uneven."""
    total = np.zeros(bone.shape, dtype=np.float32)
    for _ in range(int(rng.integers(1, 7))):
        total += _disc(bone.shape, _place(bone, rng), rng.uniform(1.5, 4) / spacing_mm, rng.uniform(0.05, 0.3))
    vessel = _line(bone.shape, _curve(bone, rng), rng.uniform(3, 8) / spacing_mm, rng.uniform(0.05, 0.2))
    return total + vessel * np.clip(smooth_noise(bone.shape, 4 / spacing_mm, rng), 0, 1)


_KINDS: Final[tuple[Callable[[BoolImage, float, np.random.Generator], FloatImage], ...]] = (
    _electrode,
    _electrode,
    _zip,
    _buttons,
    _calibration_ball,
    _ruler,
    _lead_marker,
    _shield,
    _tube,
    _folds,
    _grid_lines,
    _calcifications,
)

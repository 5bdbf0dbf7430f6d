"""Casts: a shell of plaster or fibreglass around a limb, wound in layers."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from models.training.photometry import smooth_noise

FloatImage = npt.NDArray[np.float32]

LEAST_RADIUS_MM = 20.0
"""Soft parts thinner than this at their thickest are not wrapped: it is a picture's corner, not a limb."""


def cast_around(skin: FloatImage, spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """(rows, columns) path through a cast in mm of muscle that attenuate as much.

    The limb is taken for a cylinder whose radius changes slowly along it.

    Args:
        skin: (rows, columns) path through the soft parts, mm.
        spacing_mm: Size of a pixel.
        rng: Source of its material, thickness, length and layers.

    Raises:
        ValueError: The picture shows no limb to put a cast around.
    """
    radius = _local_radius(skin, spacing_mm)
    if float(radius.max()) < LEAST_RADIUS_MM:
        raise ValueError("the picture shows no limb to put a cast around")
    plaster = rng.random() < 0.5
    thickness = (rng.uniform(5, 12) if plaster else rng.uniform(3, 7)) * _layers(skin.shape, spacing_mm, rng)
    ratio = rng.uniform(1.5, 3.2) if plaster else rng.uniform(0.8, 1.6)
    offset = _offset(skin, radius, spacing_mm)
    inner = radius + rng.uniform(1, 7)
    path = _chord(inner + thickness, offset) - _chord(inner, offset)
    grain = 1 + rng.uniform(0.02, 0.15) * smooth_noise(skin.shape, rng.uniform(0.8, 2.5) / spacing_mm, rng)
    share = 0.55 if rng.random() < 0.2 else 1.0
    return np.asarray(ratio * share * path * grain * _extent(skin.shape, rng), dtype=np.float32)


def _local_radius(skin: FloatImage, spacing_mm: float) -> FloatImage:
    """Half the thickest soft parts nearby, smooth."""
    size = max(round(60 / spacing_mm), 3)
    nearby = cv2.dilate(skin, np.ones((size, size), np.uint8))
    return np.asarray(cv2.blur(nearby, (size, size)) / 2, dtype=np.float32)


def _offset(skin: FloatImage, radius: FloatImage, spacing_mm: float) -> FloatImage:
    """Distance of every ray from the limb's axis, mm."""
    inside = skin > 0.5
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) * spacing_mm
    within = np.sqrt(np.maximum(radius**2 - (skin / 2) ** 2, 0))
    return np.asarray(np.where(inside, within, radius + away), dtype=np.float32)


def _chord(radius: FloatImage, offset: FloatImage) -> FloatImage:
    return np.asarray(2 * np.sqrt(np.maximum(radius**2 - offset**2, 0)), dtype=np.float32)


def _layers(shape: tuple[int, ...], spacing_mm: float, rng: np.random.Generator) -> FloatImage:
    """Relative thickness: turns of bandage that overlap, and where they were pressed."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    wound = rows + rng.normal(0, 0.3) * columns + rng.uniform(0, 6) / spacing_mm * smooth_noise(shape, 40, rng)
    turn = (wound * spacing_mm / rng.uniform(45, 110) + rng.random()) % 1.0
    overlap = rng.uniform(0.1, 0.5) * (turn < rng.uniform(0.2, 0.6))
    pressed = 0.12 * smooth_noise(shape, 15 / spacing_mm, rng)
    return np.asarray(np.maximum(0.85 + overlap + pressed, 0.2), dtype=np.float32)


def _extent(shape: tuple[int, ...], rng: np.random.Generator) -> FloatImage:
    """1 where the cast reaches, along a limb that runs down the picture or, more rarely, across."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] / max(shape)
    along = rows + rng.normal(0, 0.12) * columns if rng.random() < 0.8 else columns + rng.normal(0, 0.12) * rows
    length = float(along.max())
    start = rng.uniform(0.1, 0.45) * length if rng.random() < 0.5 else -1.0
    stop = rng.uniform(0.6, 0.95) * length if rng.random() < 0.5 else length + 1
    return np.asarray((along >= start) & (along <= stop), dtype=np.float32)

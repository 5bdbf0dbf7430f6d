"""A radiograph made comparable: one grid size, one polarity, one range of grey, local contrast evened out.

The same code prepares the images that the networks were trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.radiograph import Radiograph

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]

WORKING_SIZE: Final = 320
"""Longest side of the working grid, pixels."""

CLAHE_TILE_COUNT: Final = 8
CLAHE_CLIP_LIMIT: Final = 2.0
CLAHE_SHARE: Final = 0.5
"""How much of the locally equalised image is mixed in (Zuiderveld 1994, contrast-limited histogram equalisation)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EnhancedImage:
    """A radiograph on the working grid.

    Attributes:
        image: (h, w) float32, bone bright, zero mean and unit variance over the exposed field. Read-only.
        field: (h, w) bool, True inside the exposed (not collimated) field. Read-only.
        working_to_pixel: (2, 3) affine from (column, row) of the working grid to (column, row) of the source.
    """

    image: FloatImage
    field: BoolImage
    working_to_pixel: FloatArray


def enhance(radiograph: Radiograph, *, working_size: int = WORKING_SIZE) -> EnhancedImage:
    """Bring a radiograph to the working grid.

    Args:
        radiograph: As read, bone bright.
        working_size: Longest side of the working grid, pixels.
    """
    small, working_to_pixel = to_working_grid(radiograph.pixels, working_size)
    field = exposed_field(small)
    image = normalise(small, field)
    image.flags.writeable = field.flags.writeable = working_to_pixel.flags.writeable = False
    return EnhancedImage(image=image, field=field, working_to_pixel=working_to_pixel)


def to_working_grid(pixels: FloatImage, working_size: int) -> tuple[FloatImage, FloatArray]:
    """The image resampled so that its longest side is `working_size`, and the affine back to source pixels."""
    rows, columns = pixels.shape
    factor = max(rows, columns) / working_size
    height, width = max(round(rows / factor), 16), max(round(columns / factor), 16)
    interpolation = cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=interpolation)
    across, down = columns / width, rows / height
    affine = np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2]])
    return np.asarray(small, dtype=np.float32), affine


def normalise(image: FloatImage, field: BoolImage) -> FloatImage:
    """Percentile window over the field, light denoising, CLAHE mixed in, then zero mean and unit variance.

    Args:
        image: (h, w), bone bright.
        field: (h, w), the exposed field.
    """
    inside = image[field]
    low, high = np.percentile(inside, [0.5, 99.5])
    window = np.clip((image - low) / max(float(high - low), 1e-6), 0.0, 1.0).astype(np.float32)
    window[~field] = 0.0
    smooth = cv2.medianBlur(window, 3)
    clahe = cv2.createCLAHE(clipLimit=CLAHE_CLIP_LIMIT, tileGridSize=(CLAHE_TILE_COUNT, CLAHE_TILE_COUNT))
    local = clahe.apply(np.round(smooth * 65535).astype(np.uint16)).astype(np.float32) / 65535
    mixed = (1 - CLAHE_SHARE) * smooth + CLAHE_SHARE * local
    mean, deviation = float(mixed[field].mean()), float(mixed[field].std())
    normal = (mixed - mean) / max(deviation, 1e-3)
    normal[~field] = 0.0
    return np.asarray(normal, dtype=np.float32)


def exposed_field(image: FloatImage) -> BoolImage:
    """Where the detector was exposed: the image without flat borders that collimator blades leave.

    Blades leave straight borders of nearly constant grey (a shutter) or of faint scatter. Rows and columns are taken
    off each side for as long as they are flat, that is vary less than a small share of the image's own range; a
    border counts only when a sharp step ends it, so that dark air beside a limb stays in the field. Borders that are
    as bright as anything (unexposed film, which no anatomy is across its whole width) need no step.

    Args:
        image: (h, w) float32.
    """
    low, high = np.percentile(image, [1.0, 99.0])
    scaled = (image - low) / max(float(high - low), 1e-6)
    field = np.ones(image.shape, dtype=np.bool_)
    top, bottom = _flat_margins(scaled)
    left, right = _flat_margins(scaled.T)
    field[:top] = field[image.shape[0] - bottom :] = False
    field[:, :left] = field[:, image.shape[1] - right :] = False
    return field if field.mean() > MIN_FIELD_SHARE else np.ones(image.shape, dtype=np.bool_)


MIN_FIELD_SHARE: Final = 0.1
"""A field smaller than this share of the image is not believed."""

FLAT_DEVIATION: Final = 0.02
STEP: Final = 0.06
WHITE: Final = 0.97
"""All relative to the range between the image's 1st and 99th percentiles."""


def _flat_margins(image: FloatImage) -> tuple[int, int]:
    """Number of rows at the top and at the bottom that lie under a collimator blade."""
    flat = image.std(axis=1) < FLAT_DEVIATION
    means = image.mean(axis=1)
    white = np.quantile(image, 0.1, axis=1) > WHITE
    return (
        max(_margin(flat, means), _leading(white)),
        max(_margin(flat[::-1], means[::-1]), _leading(white[::-1])),
    )


def _leading(lines: BoolImage) -> int:
    """How many lines at the beginning are marked; none where all are."""
    return int(np.argmin(lines)) if not lines.all() else 0


def _margin(flat: BoolImage, means: FloatImage) -> int:
    count = _leading(flat)
    if count == 0 or count + 2 >= len(means):
        return 0
    return count if abs(float(means[count + 2] - means[count - 1])) > STEP else 0

"""Received radiographs as pictures for a browser: decoded and windowed, as a light box shows them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from pipeline.dicom_pixels import colour_frame
from pipeline.dicom_read import radiograph_of, read_radiograph
from pipeline.errors import InputError
from pipeline.radiograph import Radiograph
from pipeline.scratch import working_folder
from pipeline.store import Store

LONGEST_SIDE: Final = 2048
"""Of a preview, px: what a screen shows."""
COLOURS: Final = 3
"""SamplesPerPixel of a picture in colour."""
JPEG_QUALITY: Final = 90
WINDOW_PERCENTILES: Final = (0.5, 99.5)
"""Grey values below and above are shown black and white: collimator edges and markers do not decide the window."""


def picture_of_stored(store: Store, blob_key: str, *, scratch: Path) -> bytes:
    """A stored radiograph as PNG; heavy, so never on the event loop.

    Raises:
        InputError: It cannot be decoded.
        Refusal: It is no plain radiograph.
    """
    with working_folder(scratch, prefix="web-") as folder:
        path = folder / "instance.dcm"
        store.fetch(blob_key, path)
        return picture_of(read_radiograph(path))


def picture_of(radiograph: Radiograph) -> bytes:
    """A radiograph as an 8-bit PNG of at most `LONGEST_SIDE`."""
    return _encoded(_shown(radiograph), "image/png")


def rendered(dataset: Dataset, frame: int, media_type: str) -> bytes:
    """A frame of any stored picture, of at most `LONGEST_SIDE`, as PNG or JPEG.

    Args:
        dataset: With pixels.
        frame: Its number, from 1 on.
        media_type: `image/png` or `image/jpeg`.

    Raises:
        InputError: It has no such frame, or it cannot be decoded.
        Refusal: It is neither a picture in colour nor a radiograph.
    """
    if dataset.get("SamplesPerPixel") == COLOURS:
        picture = Image.fromarray(colour_frame(dataset, frame - 1))
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
        return _encoded(picture, media_type)
    if frame != 1:
        raise InputError("the radiograph has one frame")
    return _encoded(_shown(radiograph_of(dataset, name="the radiograph")), media_type)


def _shown(radiograph: Radiograph) -> Image.Image:
    """As a light box shows it."""
    low, high = np.percentile(radiograph.pixels, WINDOW_PERCENTILES)
    grey = np.clip((radiograph.pixels - low) / max(float(high - low), 1e-6), 0, 1)
    picture = Image.fromarray((grey * 255).round().astype(np.uint8))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return picture


def _encoded(picture: Image.Image, media_type: str) -> bytes:
    buffer = io.BytesIO()
    if media_type == "image/png":
        picture.save(buffer, "PNG", compress_level=3)
    else:
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()

"""Received radiographs as pictures for a browser: decoded and windowed, as a light box shows them."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from PIL import Image

from pipeline.dicom_read import read_radiograph
from pipeline.radiograph import Radiograph
from pipeline.store import Store

LONGEST_SIDE: Final = 2048
"""Of a preview, px: what a screen shows."""
WINDOW_PERCENTILES: Final = (0.5, 99.5)
"""Grey values below and above are shown black and white: collimator edges and markers do not decide the window."""


def picture_of_stored(store: Store, blob_key: str, *, scratch: Path) -> bytes:
    """A stored radiograph as PNG; heavy, so never on the event loop.

    Raises:
        InputError: It cannot be decoded.
        Refusal: It is no plain radiograph.
    """
    with TemporaryDirectory(dir=scratch) as folder:
        path = Path(folder) / "instance.dcm"
        store.fetch(blob_key, path)
        return picture_of(read_radiograph(path))


def picture_of(radiograph: Radiograph) -> bytes:
    """A radiograph as an 8-bit PNG of at most `LONGEST_SIDE`."""
    low, high = np.percentile(radiograph.pixels, WINDOW_PERCENTILES)
    grey = np.clip((radiograph.pixels - low) / max(float(high - low), 1e-6), 0, 1)
    picture = Image.fromarray((grey * 255).round().astype(np.uint8))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()

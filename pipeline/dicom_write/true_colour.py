"""The Image Pixel module of a true-colour picture, the same for one frame and for many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset


def set_pixels(target: Dataset, pixels: npt.NDArray[Any]) -> None:
    """Write pictures, colour by pixel (PS3.3 C.7.6.3).

    Args:
        target: The instance.
        pixels: (..., H, W, 3) uint8 RGB.
    """
    target.Rows, target.Columns = pixels.shape[-3:-1]
    target.SamplesPerPixel, target.PhotometricInterpretation, target.PlanarConfiguration = 3, "RGB", 0
    target.BitsAllocated, target.BitsStored, target.HighBit, target.PixelRepresentation = 8, 8, 7, 0
    data = np.ascontiguousarray(pixels).tobytes()
    target.add_new("PixelData", "OB", data + bytes(len(data) % 2))

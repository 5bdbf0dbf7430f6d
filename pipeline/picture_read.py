"""PNG and JPEG pictures as radiographs: pixels only, everything else has to be typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import InputError
from pipeline.radiograph import Radiograph

PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg")

MAX_PIXELS: Final = 100_000_000
"""As for DICOM: beyond it a small file may pretend to be a huge picture."""

COLOUR_TOLERANCE: Final = 4.0
"""Mean difference between the channels in grey levels up to which a colour file shows grey (JPEG rounds)."""


def read_picture(path: Path) -> Radiograph:
    """Read a picture, bone bright as on a light box.

    Raises:
        InputError: The file is not a PNG or JPEG picture, or is damaged or too large.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InputError(f"{path.name} has more pixels than a radiograph; give it in its acquired size")
            upright = ImageOps.exif_transpose(picture)
            grey, was_colour = _grey(upright)
    except UnidentifiedImageError as error:
        raise InputError(f"{path.name} is not a PNG or JPEG picture; export it again") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path.name} cannot be decoded; export it again") from error
    return Radiograph(identifier=path.name, pixels=grey, was_colour=was_colour)


def _grey(picture: Image.Image) -> tuple[npt.NDArray[np.float32], bool]:
    """(rows, columns) brightness, and whether the picture shows colours."""
    if picture.mode in ("1", "L") or picture.mode.startswith(("I", "F")):
        return _finite(np.asarray(picture)), False
    colour = np.asarray(picture.convert("RGB"), dtype=np.float32)
    spread = float((colour.max(axis=2) - colour.min(axis=2)).mean())
    return np.asarray(colour @ np.array([0.299, 0.587, 0.114], dtype=np.float32)), spread > COLOUR_TOLERANCE


def _finite(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)

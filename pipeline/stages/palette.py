"""Colours with a meaning, the same in every picture, mesh and legend.

Ramps run from calm to alarming and differ in lightness too, so that they read without colour vision.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.surface import Bone, BoneSurface

Colours = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

BONE: Final = (234, 221, 196)
INFERRED: Final = (148, 168, 196)
"""sRGB; what no radiograph shows is cool beside the ivory of what was seen."""

BONE_COLOURS: Final[dict[Bone, Colour]] = {
    Bone.FEMUR: (240, 212, 146),
    Bone.HIP_BONE: (228, 152, 112),
    Bone.SACRUM: (196, 156, 218),
    Bone.TIBIA: (150, 214, 96),
    Bone.FIBULA: (84, 204, 190),
    Bone.PATELLA: (242, 166, 196),
}
"""Which bone it is, wherever several are shown together: in space, as lines on films, in DICOM. Warm or green, so that
the inferred parts stay cool beside them; red is left to what is wrong."""

UNCERTAINTY_RAMP: Final = ((0.0, BONE), (0.35, (244, 190, 92)), (0.7, (222, 104, 58)), (1.0, (150, 28, 66)))
UNCERTAINTY_RANGE: Final = (0.5, 4.0)
"""One standard deviation, mm: ivory below, crimson above."""

ERROR_RAMP: Final = ((0.0, (64, 224, 208)), (0.5, (255, 214, 64)), (1.0, (255, 72, 96)))
ERROR_RANGE: Final = (0.0, 4.0)
"""Distance between seen and reprojected contour, mm: turquoise agrees, red does not."""

MISS: Final = (255, 64, 88)
MISS_MM: Final = 2.0
"""Where several bones are shown, a contour that runs farther than this from the seen one is red."""

UNSEEN: Final = (150, 160, 176)
"""A contour that the image cannot confirm."""

COOLING: Final = 0.65
"""Share of the cool colour in what is inferred, and of the pale one in what cannot be compared."""

STRONG_COOLING: Final = 0.88
"""The same where bones have colours of their own, which mixed with blue are grey."""

Ramp = tuple[tuple[float, Colour], ...]


def ramp_colours(values: npt.ArrayLike, ramp: Ramp, limits: tuple[float, float]) -> Colours:
    """Colours of values along a ramp.

    Args:
        values: (...,) numbers; beyond the limits the ends' colours hold.
        ramp: Places between 0 and 1 with their colours.
        limits: The values at places 0 and 1.

    Returns:
        (..., 3) uint8 sRGB.
    """
    place = (np.asarray(values, dtype=np.float64) - limits[0]) / (limits[1] - limits[0])
    places = [at for at, _ in ramp]
    channels = [np.interp(place, places, [colour[channel] for _, colour in ramp]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def ramp_strip(ramp: Ramp) -> Colours:
    """(256, 3) uint8, a ramp from its calm to its alarming end, for legends."""
    return ramp_colours(np.linspace(0, 1, 256), ramp, (0.0, 1.0))


def uncertainty_colours(surface: BoneSurface) -> Colours:
    """(V, 3) sRGB colours of a surface's vertices by standard deviation, cooled where they are inferred."""
    colours = ramp_colours(surface.standard_deviation, UNCERTAINTY_RAMP, UNCERTAINTY_RANGE).astype(np.float64)
    return _cooled(colours, surface, COOLING)


def plain_colours(surface: BoneSurface) -> Colours:
    """(V, 3) sRGB: ivory, and cool where inferred."""
    return np.where(surface.inferred[:, None], INFERRED, BONE).astype(np.uint8)


def bone_colours(surface: BoneSurface) -> Colours:
    """(V, 3) sRGB: the bone's own colour, cooled where it is inferred."""
    own = np.tile(np.array(BONE_COLOURS[surface.bone], dtype=np.float64), (len(surface.vertices), 1))
    return _cooled(own, surface, STRONG_COOLING)


def hexadecimal(colour: Colour) -> str:
    """`#f0d492`."""
    return "#" + bytes(colour).hex()


def cielab(colour: Colour) -> tuple[float, float, float]:
    """L*, a*, b* of an sRGB colour under D50, as ICC profiles and DICOM (PS3.3 C.10.7.1.1) count them."""
    # sRGB to XYZ with Bradford's adaptation to D50 (IEC 61966-2-1, annex F; ICC.1:2010, annex E).
    to_xyz = ((0.4360747, 0.3850649, 0.1430804), (0.2225045, 0.7168786, 0.0606169), (0.0139322, 0.0971045, 0.7141733))
    x, y, z = np.array(to_xyz) @ linear(np.array(colour)) / np.array([0.96422, 1.0, 0.82521])

    def curved(share: float) -> float:
        return float(np.cbrt(share)) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116

    return 116 * curved(y) - 16, 500 * (curved(x) - curved(y)), 200 * (curved(y) - curved(z))


def linear(colours: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Colours of 0 to 255 as linear light of 0 to 1 (IEC 61966-2-1)."""
    coded = np.asarray(colours, dtype=np.float64) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def srgb(light: npt.NDArray[Any]) -> Colours:
    """Linear light of 0 to 1 as sRGB of 0 to 255 (IEC 61966-2-1)."""
    value = np.clip(light, 0, 1)
    coded = np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(coded * 255), dtype=np.uint8)


def _cooled(colours: npt.NDArray[np.float64], surface: BoneSurface, share: float) -> Colours:
    cool = (1 - share) * colours + share * np.array(INFERRED)
    return np.where(surface.inferred[:, None], cool, colours).round().astype(np.uint8)

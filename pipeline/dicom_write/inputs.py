"""What the DICOM writers are handed: values that know no tags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side, View
from pipeline.results import Measurement
from pipeline.surface import BoneSurface


@dataclass(frozen=True, kw_only=True, eq=False)
class BoneOnFilm:
    """A reconstructed bone as its radiograph would show it.

    Attributes:
        surface: The bone.
        outlines: Each (N, 2), closed: column and row in source pixels, whole numbers at their centres. They may leave
            the picture.
        shadow: (rows, columns) of the source, True where the bone is.
    """

    surface: BoneSurface
    outlines: tuple[FloatArray, ...]
    shadow: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmBones:
    """A radiograph's bones, to be laid over it.

    Attributes:
        radiograph: Identifier of the radiograph, a key of the sources.
        title: "Right femur on AP", ASCII.
        bones: At least one.
    """

    radiograph: str
    title: str
    bones: tuple[BoneOnFilm, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ProofPicture:
    """A radiograph with the reconstruction drawn on it, to be seen on any workstation.

    Attributes:
        radiograph: Identifier of the radiograph shown, a key of the sources.
        pixels: (H, W, 3) uint8 RGB. Read-only.
        title: At most 64 ASCII characters: what a list shows ("Right femur on AP").
        side: Which side of the patient is shown; None where it is both, or the middle.
        view: How the beam passed the patient, as decided.
        spacing_mm: (row, column) size of a picture pixel in the plane of the bone, None where it is not known.
    """

    radiograph: str
    pixels: npt.NDArray[np.uint8]
    title: str
    side: Side | None
    view: View | None = None
    spacing_mm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        pixels = np.array(self.pixels)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape) < 1 or pixels.dtype != np.uint8:
            raise ValueError(f"a picture is (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}")
        if not self.title.isascii() or not 0 < len(self.title) <= 64:
            raise ValueError("a picture's title has 1 to 64 ASCII characters (PS3.5 6.2, LO)")
        pixels.flags.writeable = False
        object.__setattr__(self, "pixels", pixels)


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredBone:
    """A bone and what was measured on it.

    Attributes:
        surface: In mm LPS where the scale is known.
        expected_error_mm: Expected mean error of the surface, in its unit.
        radiographs: Identifiers of those that it was reconstructed from.
        measurements: With a value or a reason, those that are listed with this bone.
    """

    surface: BoneSurface
    expected_error_mm: float
    radiographs: tuple[str, ...]
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainPicture:
    """A picture that shows no radiograph: bones from one side, or a page.

    Attributes:
        pixels: (H, W, 3) uint8 RGB. Read-only.
        title: What a list shows, ASCII.
        side: That everything shown shares; None where there is none.
    """

    pixels: npt.NDArray[np.uint8]
    title: str
    side: Side | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Turntable:
    """Pictures of bones from all around, in the order in which they are turned.

    Attributes:
        frames: (N, H, W, 3) uint8 RGB. Read-only.
        title: At most 64 ASCII characters.
        side: That all bones share; None where there is none.
        frame_ms: How long each is shown.
    """

    frames: npt.NDArray[np.uint8]
    title: str
    side: Side | None = None
    frame_ms: float = 80.0


@dataclass(frozen=True, kw_only=True)
class WriteSettings:
    """What else decides what is written; every field enters the UIDs.

    Attributes:
        choices: What a person chose for this study (`"pixel-spacing=0.2"`): another choice, other instances.
        replaces: SOPInstanceUIDs of the earlier results that these take the place of, where some went out.
        replaces_made: When those were made, `2026-01-02 12:03`, for the series' descriptions.
    """

    choices: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    replaces_made: str = ""

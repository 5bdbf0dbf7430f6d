"""Children's legs from adults': growth plates drawn through the bones as dark bands, everything smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from models.training.bones import Kind
from models.training.implants import Carriers, SeenBone
from models.training.metal import FloatImage
from models.training.photometry import smooth_noise
from models.training.raycast import Layer
from pipeline.geometry import FloatArray


@dataclass(frozen=True, kw_only=True)
class Plate:
    """Where a growth plate lies.

    Attributes:
        end: Landmark of the bone's end that it is near to.
        middle: Landmark of the bone's other end.
        depth_mm: Range of its distance from `end` towards `middle`, in an adult's size.
    """

    end: str
    middle: str
    depth_mm: tuple[float, float]


PLATES: Final[Mapping[Kind, tuple[Plate, ...]]] = {
    Kind.FEMUR: (
        Plate(end="intercondylar_notch", middle="head_centre", depth_mm=(8, 24)),
        Plate(end="head_centre", middle="lesser_trochanter", depth_mm=(4, 14)),
    ),
    Kind.TIBIA: (
        Plate(end="knee_centre", middle="ankle_centre", depth_mm=(10, 20)),
        Plate(end="ankle_centre", middle="knee_centre", depth_mm=(8, 18)),
    ),
}


def growing(
    lengths: Mapping[Layer, FloatImage], carriers: Carriers, rng: np.random.Generator
) -> tuple[dict[Layer, FloatImage], float]:
    """The path lengths of a child, and by what factor the child is smaller.

    Raises:
        ValueError: The picture shows no bone whose growth plates could be drawn.
    """
    shape = lengths[Layer.BONE].shape
    left, seen = np.ones(shape, dtype=np.float32), 0.0
    age = rng.random()
    for kind, plates in PLATES.items():
        for bone in carriers.of(kind):
            for plate in plates:
                band = _band(bone, plate, carriers.spacing_mm, age, rng)
                left, seen = left * (1 - band), seen + float((band > 0.3).sum()) * carriers.spacing_mm**2
    if seen < 60.0:
        raise ValueError("the picture shows no growth plate")
    size = 0.55 + 0.4 * age
    small = {layer: values * np.float32(size) for layer, values in lengths.items()}
    for layer in (Layer.BONE, Layer.BONE_CORE):
        small[layer] = small[layer] * left
    return small, size


def _band(bone: SeenBone, plate: Plate, spacing_mm: float, age: float, rng: np.random.Generator) -> FloatImage:
    """(rows, columns) share of the bone that is cartilage; the younger, the thicker the plate."""
    rows, columns = bone.mask.shape
    end, run = bone.points[plate.end], bone.points[plate.middle] - bone.points[plate.end]
    along = _tilted(run / max(float(np.linalg.norm(run)), 1e-6), rng.normal(0, 0.1))
    pixels = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) - end
    wave = rng.uniform(0, 2.5) * smooth_noise((rows, columns), 12 / spacing_mm, rng)
    away = pixels @ along * spacing_mm - rng.uniform(*plate.depth_mm) + wave
    half = rng.uniform(0.8, 1.6) + 2.5 * (1 - age) ** 2
    depth = rng.uniform(0.45, 0.95)
    near = np.linalg.norm(pixels, axis=-1) * spacing_mm < 60
    # Nothing of the bone's outline may stay as a rim around the plate.
    whole = cv2.dilate(bone.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(depth * np.exp(-((away / half) ** 4)) * near * whole, dtype=np.float32)


def _tilted(direction: FloatArray, radians: float) -> FloatArray:
    cosine, sine = np.cos(radians), np.sin(radians)
    return np.asarray([cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]])

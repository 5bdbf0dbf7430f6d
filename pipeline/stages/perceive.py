"""What the perception network sees: the femur's shadow, its landmarks and the exposed field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.stages.enhance import EnhancedImage

FloatImage = npt.NDArray[np.float32]
Network = Callable[[FloatImage], FloatImage]
"""(1, 1, h, w) float32 normalised image → (1, 1 + landmarks, h, w) float32 logits; h and w multiples of 16."""


class Landmark(StrEnum):
    """Points of the femur that both a radiologist and the network can find."""

    HEAD_CENTRE = "head_centre"
    GREATER_TROCHANTER = "greater_trochanter"
    LESSER_TROCHANTER = "lesser_trochanter"
    MEDIAL_EPICONDYLE = "medial_epicondyle"
    LATERAL_EPICONDYLE = "lateral_epicondyle"
    INTERCONDYLAR_NOTCH = "intercondylar_notch"


LANDMARKS: Final = tuple(Landmark)
"""The order of the network's heat maps, which follow the mask's channel."""

SEEN_PEAK: Final = 0.3
"""A heat map whose peak stays below this shows that the landmark is not in the field (peaks of 1 are trained for)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenLandmark:
    """Where a landmark was seen.

    Attributes:
        pixel: (2,) column and row in source pixels.
        sd_pixels: One standard deviation of either coordinate, source pixels: the width of the heat map's peak.
        confidence: Height of the peak, 0 to 1.
    """

    pixel: FloatArray
    sd_pixels: float
    confidence: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Perception:
    """What one radiograph shows.

    Attributes:
        mask: (h, w) float32, probability that the femur's shadow covers a pixel of the working grid, also where
            other bones cover it. Read-only.
        working_to_pixel: (2, 3) affine from (column, row) of the working grid to (column, row) of the source.
        field: (h, w) bool, True inside the exposed field; beyond it the bone goes on unseen, so where the mask ends
            at the field's edge there is no contour. Read-only.
        landmarks: Those that are in the field.
    """

    mask: FloatImage
    working_to_pixel: FloatArray
    field: npt.NDArray[np.bool_]
    landmarks: Mapping[Landmark, SeenLandmark]

    @property
    def femur_share(self) -> float:
        """Share of the exposed field that the femur's shadow covers."""
        return float((self.mask[self.field] > 0.5).mean()) if self.field.any() else 0.0


def perceive(enhanced: EnhancedImage, network: Network) -> Perception:
    """Find the femur in an enhanced radiograph.

    Args:
        enhanced: Of one radiograph.
        network: The perception network.
    """
    image, rows, columns = _padded(enhanced.image)
    maps = _either_way(image, network)[:, :rows, :columns]
    mask = _one_piece(np.where(enhanced.field, maps[0], np.float32(0)))
    mask.flags.writeable = False
    seen = {name: _locate(heat, enhanced.working_to_pixel) for name, heat in zip(LANDMARKS, maps[1:], strict=True)}
    return Perception(
        mask=mask,
        working_to_pixel=enhanced.working_to_pixel,
        field=enhanced.field,
        landmarks={name: found for name, found in seen.items() if found.confidence >= SEEN_PEAK},
    )


def _padded(image: FloatImage) -> tuple[FloatImage, int, int]:
    rows, columns = image.shape
    padding = ((0, -rows % 16), (0, -columns % 16))
    return np.pad(image, padding), rows, columns


def _either_way(image: FloatImage, network: Network) -> FloatImage:
    """Probabilities (channels, h, w), averaged over the image and its mirror image: sides must not matter."""
    upright = _sigmoid(network(image[None, None])[0])
    mirrored = _sigmoid(network(np.ascontiguousarray(image[None, None, :, ::-1]))[0])
    return np.asarray((upright + mirrored[..., ::-1]) / 2, dtype=np.float32)


def _one_piece(mask: FloatImage) -> FloatImage:
    """The mask without specks: a femur's shadow is in one piece."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count <= 2:
        return mask
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.where((labels == 0) | (labels == largest), mask, np.float32(0))


def _sigmoid(logits: FloatImage) -> FloatImage:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30))), dtype=np.float32)


def _locate(heat: FloatImage, working_to_pixel: FloatArray) -> SeenLandmark:
    """Peak of a heat map, refined to the centre of mass around it; its spread is the uncertainty."""
    row, column = np.unravel_index(int(np.argmax(heat)), heat.shape)
    top, left = max(int(row) - 6, 0), max(int(column) - 6, 0)
    patch = heat[top : top + 13, left : left + 13].astype(np.float64)
    weight = np.where(patch > 0.3 * patch.max(), patch, 0.0)
    weight /= weight.sum()
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]]
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()])
    variance = (weight * ((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2)).sum() / 2
    working = centre + np.array([left, top])
    scale = float(np.sqrt(abs(np.linalg.det(working_to_pixel[:, :2]))))
    return SeenLandmark(
        pixel=np.asarray(working_to_pixel[:, :2] @ working + working_to_pixel[:, 2]),
        sd_pixels=max(float(np.sqrt(variance)), 0.5) * scale,
        confidence=float(heat.max()),
    )

"""What the perception networks see: the shadows of bones, their landmarks and the exposed field.

One network knows a single femur, of either side, best; the other tells all bones of pelvis and leg apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.stages.enhance import EnhancedImage
from pipeline.surface import Bone

FloatImage = npt.NDArray[np.float32]
Network = Callable[[FloatImage], FloatImage]
"""(1, 1, h, w) float32 normalised image → (1, masks + landmarks, h, w) float32 logits; h and w multiples of 16."""

Looks = tuple[Bone, Side | None]
"""A bone as it looks in the picture. Right is what looks right: in a frontal view what a right bone looks like when the
patient's right is at the picture's left; in a lateral view, where nothing tells right from left, what has its front at
the left."""

BONES: Final[tuple[Looks, ...]] = (
    (Bone.FEMUR, Side.RIGHT),
    (Bone.FEMUR, Side.LEFT),
    (Bone.HIP_BONE, Side.RIGHT),
    (Bone.HIP_BONE, Side.LEFT),
    (Bone.SACRUM, None),
    (Bone.TIBIA, None),
    (Bone.FIBULA, None),
    (Bone.PATELLA, None),
)
"""The order of the masks of the network of many bones. Femora and hip bones lie in one picture with those of the other
side; of tibia, fibula and patella it sees one, of either side."""

BONE_POINTS: Final[dict[Bone, tuple[str, ...]]] = {
    Bone.FEMUR: (
        "head_centre",
        "greater_trochanter",
        "lesser_trochanter",
        "medial_epicondyle",
        "lateral_epicondyle",
        "intercondylar_notch",
    ),
    Bone.HIP_BONE: ("asis", "iliac_crest", "acetabular_rim_superior", "pubic_symphysis", "ischial_tuberosity"),
    Bone.SACRUM: ("endplate_centre", "apex", "sacroiliac_centre_right", "sacroiliac_centre_left"),
    Bone.TIBIA: ("medial_edge", "lateral_edge", "knee_centre", "tibial_tuberosity", "medial_malleolus", "ankle_centre"),
    Bone.FIBULA: ("apex", "lateral_malleolus"),
    Bone.PATELLA: ("base", "apex"),
}
"""Landmarks that the network of many bones looks for, by the names of the shape models."""

POINTS: Final = tuple((bone, name) for bone in BONES for name in BONE_POINTS[bone[0]])
"""The order of its heat maps, which follow the masks: of every bone in the order of `BONES`."""


def other_side(name: str) -> str:
    """``..._right`` for ``..._left`` and the other way round; other names stay."""
    stem, _, side = name.rpartition("_")
    other = {"right": "left", "left": "right"}.get(side)
    return f"{stem}_{other}" if other else name


def _exchanged(looks: Looks) -> Looks:
    bone, side = looks
    return bone, side.other if side else None


MIRRORED_BONES: Final = [BONES.index(_exchanged(looks)) for looks in BONES]
MIRRORED_POINTS: Final = [POINTS.index((_exchanged(looks), other_side(name))) for looks, name in POINTS]
"""Which channel shows in the mirror image what a channel shows in the picture."""


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
    """What one radiograph shows of one bone.

    Attributes:
        mask: (h, w) float32, probability that the bone's shadow covers a pixel of the working grid, also where
            other bones cover it. Read-only.
        working_to_pixel: (2, 3) affine from (column, row) of the working grid to (column, row) of the source.
        field: (h, w) bool, True inside the exposed field; beyond it the bone goes on unseen, so where the mask ends
            at the field's edge there is no contour. Read-only.
        landmarks: Those that are in the field.
    """

    mask: FloatImage
    working_to_pixel: FloatArray
    field: npt.NDArray[np.bool_]
    landmarks: Mapping[str, SeenLandmark]

    @property
    def share(self) -> float:
        """Share of the exposed field that the bone's shadow covers."""
        return float((self.mask[self.field] > 0.5).mean()) if self.field.any() else 0.0


def perceive(enhanced: EnhancedImage, network: Network) -> Perception:
    """Find the femur in an enhanced radiograph.

    Args:
        enhanced: Of one radiograph.
        network: The perception network.
    """
    maps = _either_way(enhanced.image, network, list(range(1 + len(LANDMARKS))))
    return _perception(enhanced, maps[0], zip(LANDMARKS, maps[1:], strict=True))


def perceive_bones(enhanced: EnhancedImage, network: Network) -> dict[Looks, Perception]:
    """Find every bone of pelvis and leg in an enhanced radiograph.

    Args:
        enhanced: Of one radiograph.
        network: The network of many bones.

    Returns:
        A perception per bone, also of those that are not there: their masks are empty.
    """
    mirrored = [*MIRRORED_BONES, *(len(BONES) + point for point in MIRRORED_POINTS)]
    maps = _either_way(enhanced.image, network, mirrored)
    heats = dict(zip(POINTS, maps[len(BONES) :], strict=True))
    return {
        looks: _perception(enhanced, mask, [(name, heats[looks, name]) for name in BONE_POINTS[looks[0]]])
        for looks, mask in zip(BONES, maps, strict=False)
    }


def perceive_with_single_femur(enhanced: EnhancedImage, bones: Network, femur: Network) -> dict[Looks, Perception]:
    """Find every bone; a femur that is the only one in the picture as the network sees it that knows femora best.

    Args:
        enhanced: Of one radiograph.
        bones: The network of many bones.
        femur: The network of a single femur.
    """
    seen = perceive_bones(enhanced, bones)
    larger, smaller = sorted(((Bone.FEMUR, side) for side in Side), key=lambda looks: -seen[looks].share)
    either = np.maximum(seen[larger].mask, seen[smaller].mask)
    if seen[smaller].share > OTHER_FEMUR * seen[larger].share and not _in_one_piece(either):
        return seen
    alone = perceive(enhanced, femur)
    if _dice(alone.mask, either) < SAME_FEMUR:
        return seen
    nothing = _nothing(enhanced)
    return {**seen, larger: alone, smaller: nothing}


OTHER_FEMUR: Final = 0.15
"""A second femur's shadow is at least this share of the first one's."""

SAME_FEMUR: Final = 0.5
"""Dice from which two networks mean the same femur."""


ONE_PIECE: Final = 0.9
"""Share of a shadow that hangs together where it is one femur's: halves of one may look like either side's."""


def _in_one_piece(mask: FloatImage) -> bool:
    """Whether nearly all of a mask hangs together, as two femora never do."""
    count, _, statistics, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    areas = statistics[1:count, cv2.CC_STAT_AREA]
    return bool(len(areas) and areas.max() >= ONE_PIECE * areas.sum())


def _dice(one: FloatImage, other: FloatImage) -> float:
    """Of two masks."""
    first, second = one > 0.5, other > 0.5
    return float(2 * (first & second).sum() / max(first.sum() + second.sum(), 1))


def _nothing(enhanced: EnhancedImage) -> Perception:
    mask = np.zeros(enhanced.field.shape, dtype=np.float32)
    mask.flags.writeable = False
    return Perception(mask=mask, working_to_pixel=enhanced.working_to_pixel, field=enhanced.field, landmarks={})


def _perception(enhanced: EnhancedImage, mask: FloatImage, heats: Iterable[tuple[str, FloatImage]]) -> Perception:
    mask = _one_piece(np.where(enhanced.field, mask, np.float32(0)))
    mask.flags.writeable = False
    seen = {str(name): _locate(heat, enhanced.working_to_pixel) for name, heat in heats}
    return Perception(
        mask=mask,
        working_to_pixel=enhanced.working_to_pixel,
        field=enhanced.field,
        landmarks={name: found for name, found in seen.items() if found.confidence >= SEEN_PEAK},
    )


def _padded(image: FloatImage) -> FloatImage:
    rows, columns = image.shape
    return np.pad(image, ((0, -rows % 16), (0, -columns % 16)))


def _either_way(image: FloatImage, network: Network, mirrored: list[int]) -> FloatImage:
    """Probabilities (channels, h, w), averaged over the image and its mirror image: sides must not matter.

    Args:
        image: (h, w).
        network: Of any channels.
        mirrored: Which channel shows in the mirror image what a channel shows in the picture.
    """
    rows, columns = image.shape
    padded = _padded(image)
    upright = _sigmoid(network(padded[None, None])[0])
    flipped = _sigmoid(network(np.ascontiguousarray(padded[None, None, :, ::-1]))[0])[mirrored, :, ::-1]
    return np.asarray((upright + flipped)[:, :rows, :columns] / 2, dtype=np.float32)


def _one_piece(mask: FloatImage) -> FloatImage:
    """The mask without specks: a bone's shadow is in one piece."""
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

"""Simulated films side by side with the outlines of their bones, to be looked at.

python -m models.training.contact_sheet --shadows models/training/runs/bones/shadows --out sheet.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from models.training.bone_dataset import BoneExample, BoneShadow, develop
from pipeline.stages.perceive import BONES

COLOURS = (
    (80, 160, 255),
    (255, 170, 60),
    (90, 220, 90),
    (220, 120, 220),
    (80, 230, 230),
    (110, 110, 255),
    (60, 200, 160),
    (240, 240, 120),
)
"""Blue, green, red of every bone's outline."""

CELL = 420


def draw(example: BoneExample) -> npt.NDArray[np.uint8]:
    """(h, w, 3) the film with every bone's outline and landmarks."""
    low, high = np.percentile(example.image, [0.5, 99.5])
    grey = np.clip((example.image - low) / (high - low), 0, 1)
    picture = cv2.cvtColor((grey * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for mask, colour in zip(example.masks, COLOURS[: len(BONES)], strict=True):
        outlines, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, colour, 1)
    for column, row in example.landmarks[np.isfinite(example.landmarks).all(axis=1)]:
        cv2.circle(picture, (round(float(column)), round(float(row))), 3, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(picture, dtype=np.uint8)


def sheet(examples: Sequence[BoneExample], *, columns: int = 4) -> npt.NDArray[np.uint8]:
    """Films without and with outlines, in pairs."""
    cells = []
    for example in examples:
        bare = BoneExample(image=example.image, masks=0 * example.masks, landmarks=example.landmarks[:0])
        cells += [_fitted(draw(bare)), _fitted(draw(example))]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    return np.vstack(rows)


def _fitted(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = CELL / max(height, width)
    small = cv2.resize(picture, (round(width * scale), round(height * scale)))
    right, below = CELL - small.shape[1], CELL - small.shape[0]
    return np.asarray(cv2.copyMakeBorder(small, 0, below, 0, right, cv2.BORDER_CONSTANT), dtype=np.uint8)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shadows", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    files = sorted(given.shadows.glob("*.npz"))[given.first : given.first + given.count]
    cv2.imwrite(str(given.out), sheet([develop(BoneShadow.load(file), rng) for file in files]))


if __name__ == "__main__":
    main()

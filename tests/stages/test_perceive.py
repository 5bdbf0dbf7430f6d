"""What the network says is carried over to source pixels, and limited to what was exposed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.radiograph import Radiograph, Side
from pipeline.stages.enhance import EnhancedImage, enhance
from pipeline.stages.perceive import (
    BONES,
    LANDMARKS,
    MIRRORED_BONES,
    POINTS,
    Landmark,
    perceive,
    perceive_with_single_femur,
)
from pipeline.surface import Bone


def pixels(rows: int = 640, columns: int = 400) -> np.ndarray:
    """Noise, brighter on the left."""
    noise = np.random.default_rng(0).normal(0, 0.1, (rows, columns)).astype(np.float32)
    noise[:, : columns // 2] += 1
    return noise


def picture(rows: int = 640, columns: int = 400) -> EnhancedImage:
    return enhance(Radiograph(identifier="1", pixels=pixels(rows, columns)))


def seeing(column: float, row: float):
    """A network that sees the femur in the bright half, the femoral head at one place of it, and nothing else."""

    def network(image: np.ndarray) -> np.ndarray:
        rows, columns = image.shape[2:]
        logits = np.full((1, 1 + len(LANDMARKS), rows, columns), -9.0, dtype=np.float32)
        logits[0, 0, :, : columns // 2] = 9.0
        y, x = np.mgrid[:rows, :columns]
        logits[0, 1 + LANDMARKS.index(Landmark.HEAD_CENTRE)] = 4 - ((x - column) ** 2 + (y - row) ** 2) / 6
        bright_left = image[0, 0, :, : columns // 2].mean() > image[0, 0, :, columns // 2 :].mean()
        return logits if bright_left else logits[..., ::-1]

    return network


def test_the_mask_lies_on_the_working_grid():
    found = perceive(picture(), seeing(60, 100))
    assert found.mask.shape == found.field.shape == (320, 200)
    assert found.mask[:, :90].min() > 0.9
    assert found.mask[:, 110:].max() < 0.1


def test_a_landmark_is_found_between_pixels_and_in_source_pixels():
    head = perceive(picture(), seeing(60.4, 100.7)).landmarks[Landmark.HEAD_CENTRE]
    assert head.pixel == pytest.approx([60.4 * 2 + 0.5, 100.7 * 2 + 0.5], abs=0.3)
    assert head.confidence > 0.9
    assert 0.5 < head.sd_pixels < 12


def test_landmarks_that_are_not_seen_are_left_out():
    assert set(perceive(picture(), seeing(60, 100)).landmarks) == {Landmark.HEAD_CENTRE}


def test_nothing_is_seen_outside_the_exposed_field():
    shuttered = pixels()
    shuttered[:, :60] = -1
    found = perceive(enhance(Radiograph(identifier="1", pixels=shuttered)), seeing(60, 100))
    assert not found.field[:, :28].any()
    assert found.mask[~found.field].max() == 0


def test_the_network_gets_sides_that_it_can_halve_four_times():
    shapes = []

    def network(image: np.ndarray) -> np.ndarray:
        shapes.append(image.shape)
        return seeing(5, 5)(image)

    perceive(picture(700, 333), network)
    assert [side % 16 for side in shapes[0]] == [1, 1, 0, 0]


def test_only_the_largest_piece_of_the_mask_is_kept():
    def network(image: np.ndarray) -> np.ndarray:
        logits = np.full((1, 1 + len(LANDMARKS), *image.shape[2:]), -9.0, dtype=np.float32)
        logits[0, 0, 50:250, 80:120] = 9.0
        logits[0, 0, 280:300, 80:120] = 9.0
        return logits

    mask = perceive(picture(640, 400), network).mask
    assert mask[150, 100] > 0.9
    assert mask[290, 100] == 0


def seeing_bones(**boxes: tuple[slice, slice]):
    """A network of many bones that sees the named femora in boxes of the picture, the same in its mirror image."""

    def network(image: np.ndarray) -> np.ndarray:
        logits = np.full((1, len(BONES) + len(POINTS), *image.shape[2:]), -9.0, dtype=np.float32)
        mirrored = image[0, 0, :, :100].mean() < image[0, 0, :, 100:200].mean()
        for side, box in boxes.items():
            looks = (Bone.FEMUR, Side(side))
            channel = BONES.index(looks)
            if mirrored:
                logits[0, MIRRORED_BONES.index(channel)][..., ::-1][box] = 9.0
            else:
                logits[0, channel][box] = 9.0
        return logits

    return network


UPPER, LOWER = (slice(20, 160), slice(0, 90)), (slice(150, 300), slice(0, 90))
APART = (slice(20, 300), slice(140, 190))


def test_a_femur_that_looks_like_either_sides_in_parts_is_one():
    seen = perceive_with_single_femur(picture(), seeing_bones(R=UPPER, L=LOWER), seeing(60, 100))
    shares = sorted(seen[Bone.FEMUR, side].share for side in Side)
    assert shares[0] == 0
    assert shares[1] == pytest.approx(0.5, abs=0.05)


def test_two_femora_apart_stay_two():
    seen = perceive_with_single_femur(picture(), seeing_bones(R=UPPER, L=APART), seeing(60, 100))
    assert min(seen[Bone.FEMUR, side].share for side in Side) > 0.1

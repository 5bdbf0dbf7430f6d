"""What a perception network is taught."""

import numpy as np

from models.training.dataset import Shadow, develop_example
from models.training.positioning import Field
from models.training.raycast import Layer
from pipeline.radiograph import View
from pipeline.stages.perceive import LANDMARKS

LEFT, RIGHT = 60, 90
"""First column of the bone and first column beyond it."""


def straight_bone() -> Shadow:
    """A bone whose edges are known, with a landmark on either edge."""
    lengths = np.zeros((len(Layer), 160, 160), dtype=np.float16)
    lengths[list(Layer).index(Layer.FEMUR), :, LEFT:RIGHT] = 25
    landmarks = np.full((len(LANDMARKS), 2), np.nan)
    landmarks[:2] = (LEFT - 0.5, 80), (RIGHT - 0.5, 80)
    return Shadow(person="nobody", view=View.AP, field=Field.HIP, spacing_mm=1.0, lengths=lengths, landmarks=landmarks)


def test_the_mask_is_as_wide_as_the_bone() -> None:
    excess = []
    for seed in range(30):
        example = develop_example(straight_bone(), np.random.default_rng(seed), working_size=200)
        left, right = sorted(example.landmarks[:2, 0])
        excess.append(example.mask.sum(axis=1).max() - (right - left))
    assert abs(np.median(excess)) < 0.1, "pixels of the working grid"

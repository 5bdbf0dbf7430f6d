"""Casts, growth plates and belongings change a film where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from models.training.belongings import _KINDS, belongings
from models.training.casts import cast_around
from models.training.growth import growing
from models.training.raycast import Layer
from tests.training.test_implants import SHAPE, SPACING, leg, thigh


def limb(radius: float) -> np.ndarray:
    """Path through a cylinder down the middle of the picture, mm."""
    offset = (np.arange(SHAPE[1]) - 80) * SPACING
    return np.tile(2 * np.sqrt(np.maximum(radius**2 - offset**2, 0)), (SHAPE[0], 1)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_a_cast_is_densest_at_the_edges_of_the_limb(seed):
    cast = cast_around(limb(60.0), SPACING, np.random.default_rng(seed))
    covered = cast[cast.sum(axis=1) > 0]
    assert len(covered) > 20
    edge = int(60 / SPACING) + 2
    assert np.median(covered[:, 80 + edge]) > 1.5 * np.median(covered[:, 80]) > 0
    assert covered[:, :20].max() < 0.1 * covered.max()


def test_no_cast_goes_around_a_corner_of_skin():
    with pytest.raises(ValueError, match="no limb"):
        cast_around(limb(8.0), SPACING, np.random.default_rng(0))


def test_growth_plates_cross_the_bone_and_spare_its_shaft():
    bone = thigh().mask.astype(np.float32) * 30
    lengths = dict.fromkeys(Layer, bone)
    young, size = growing(lengths, leg(), np.random.default_rng(2))
    left = young[Layer.BONE] / np.maximum(size * bone, 1e-6)
    inside = bone > 0
    assert left[inside].min() < 0.7
    assert left[90:160][inside[90:160]].min() > 0.95
    assert np.array_equal(young[Layer.SKIN], np.float32(size) * bone)


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_belongings_only_add_to_what_the_beam_passes(kind):
    for seed in range(4):
        thing = kind(thigh().mask, SPACING, np.random.default_rng(seed))
        assert thing.shape == SHAPE
        assert np.isfinite(thing).all()
        assert thing.min() > -1e-6


def test_there_is_always_something_or_other():
    films = [belongings(thigh().mask, SPACING, np.random.default_rng(seed)) for seed in range(8)]
    assert sum(bool(film.max() > 0) for film in films) >= 7

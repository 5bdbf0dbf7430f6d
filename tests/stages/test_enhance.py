"""The enhanced image is the same whatever the modality made of the grey values, and knows its own place."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.radiograph import Radiograph
from pipeline.stages.enhance import WORKING_SIZE, enhance, exposed_field


def limb(rows: int = 900, columns: int = 500, *, bone_column: float = 250) -> np.ndarray:
    """A bright bar with a dark surround that gets lighter to the right: the rough look of a shaft."""
    column = np.arange(columns)[None]
    bone = np.exp(-(((column - bone_column) / 60) ** 2)) * np.ones((rows, 1))
    texture = np.random.default_rng(3).normal(0, 0.01, (rows, columns))
    return (bone + 0.3 * column / columns + texture).astype(np.float32)


def enhanced(pixels: np.ndarray, **options: bool):
    return enhance(Radiograph(identifier="1", pixels=pixels), **options)


def test_the_longest_side_is_the_working_size():
    assert enhanced(limb()).image.shape == (WORKING_SIZE, round(WORKING_SIZE * 500 / 900))


def test_grey_levels_and_their_range_do_not_matter():
    np.testing.assert_allclose(enhanced(limb()).image, enhanced(limb() * 3000 - 1024).image, atol=2e-2)


def test_working_pixels_map_back_to_the_source():
    found = enhanced(limb(bone_column=123.0))
    brightest = np.argmax(found.image[100:200].mean(axis=0))
    source = found.working_to_pixel @ [brightest, 150, 1]
    assert source[0] == pytest.approx(123.0, abs=5)
    assert source[1] == pytest.approx(150 * 900 / 320, abs=3)


def test_a_shutter_is_not_part_of_the_field():
    pixels = limb() + 0.3
    pixels[:, :90] = 0.0
    pixels[800:] = 0.0
    field = enhanced(pixels).field
    assert not field[:, : 90 * 320 // 900 - 2].any()
    assert not field[802 * 320 // 900 :].any()
    assert field[5:270, 40:170].all()


def test_without_blades_everything_is_field():
    assert enhanced(limb()).field.all()


def test_results_cannot_be_written_to():
    found = enhanced(limb())
    with pytest.raises(ValueError, match="read-only"):
        found.image[0, 0] = 1


def test_unexposed_film_beside_a_limb_is_no_field_even_where_it_fades():
    film = np.full((200, 300), 0.1, dtype=np.float32)
    film[:, 80:140] = 0.7
    film[:, 220:] = 1.0
    film[:, 190:220] = np.linspace(0.1, 1.0, 30)
    film += np.random.default_rng(0).normal(0, 0.005, film.shape).astype(np.float32)
    field = exposed_field(film)
    assert field[:, :190].all()
    assert not field[:, 225:].any()

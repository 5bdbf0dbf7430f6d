"""Metal, casts and fractures are learned from cut-outs around them, of people who are not held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.dataset import read_folds
from models.training.gate_films import GRID, GateFilm, save
from models.training.networks import HindranceNet
from models.training.train_gate import FilmFiles
from models.training.train_hindrances import (
    CUT_OUT,
    PARTS,
    CutOuts,
    fit_judgement,
    loss,
    moved_parts,
)
from pipeline.stages.gate import GATE_SIZE, HINDRANCES, Content, Hindrance

METAL = HINDRANCES.index(Hindrance.METAL)


def film(person: str, hindrance: Hindrance | None) -> GateFilm:
    """A bright square in a grey picture where something lies; blank where nothing does."""
    image = np.zeros((GATE_SIZE, GATE_SIZE), dtype=np.float32)
    places = np.zeros((len(HINDRANCES), GRID, GRID), dtype=np.bool_)
    if hindrance:
        image[80:112, 48:64] = 8
        places[HINDRANCES.index(hindrance), 5:7, 3] = True
    there = frozenset({hindrance} if hindrance else ())
    return GateFilm(image=image, content=Content.KNEE, people=(person,), hindrances=there, places=places)


@pytest.fixture
def files(tmp_path: Path) -> FilmFiles:
    """Films of somebody of fold 2 with each hindrance and with none, and one of fold 1 with metal."""
    held, seen = (next(person for person, number in read_folds().items() if number == fold) for fold in (1, 2))
    films = [*(film(seen, each) for each in (*HINDRANCES, None, None)), film(held, Hindrance.METAL)]
    save(iter(films), tmp_path / "films.npz")
    return FilmFiles.load([tmp_path / "films.npz"])


def test_cut_outs_show_what_their_places_say(files):
    images, places = CutOuts(files, 1, np.random.default_rng(0)).draw()
    assert images.shape[1:] == (1, CUT_OUT, CUT_OUT)
    assert places.shape[1:] == (len(HINDRANCES), PARTS, PARTS)
    bright = torch.nn.functional.avg_pool2d((images > 3).float(), CUT_OUT // PARTS)[:, 0]
    shown = places.amax(dim=1)
    assert shown.sum() > 20
    assert bright[shown > 0.5].mean() > 10 * bright[shown < 0.01].mean()


def test_nobody_held_out_is_in_a_cut_out(files):
    cut_outs = CutOuts(files, 1, np.random.default_rng(0))
    assert cut_outs.known.tolist() == [0, 1, 2, 3, 4]
    assert len(CutOuts(files, None, np.random.default_rng(0)).known) == 6


def test_parts_move_with_the_picture():
    places = np.zeros((len(HINDRANCES), GRID, GRID), dtype=np.int8)
    places[METAL, 6, 4] = 1
    places[2] = -1
    shift = np.array([[1.0, 0, -48], [0, 1.0, -64]])
    moved = moved_parts(places, shift)
    assert moved[METAL, 2, 1] == 1
    assert moved[METAL].sum() == 1
    assert (moved[2] == -1).all()


def test_what_was_not_asked_costs_nothing():
    where = torch.zeros((1, len(HINDRANCES), PARTS, PARTS), requires_grad=True)
    places = torch.zeros(where.shape)
    places[:, 1] = -1
    loss(where, places).backward()
    assert where.grad[0, 1].abs().max() == 0
    assert where.grad[0, 0].abs().min() > 0


def test_a_picture_is_judged_by_its_likeliest_parts(files):
    network = HindranceNet(len(HINDRANCES))
    network.look = lambda images: torch.nn.functional.avg_pool2d(images, GATE_SIZE // GRID).expand(-1, 3, -1, -1)
    fit_judgement(network, files, np.arange(5))
    with torch.inference_mode():
        answers = network(torch.from_numpy(files.images.astype(np.float32))[:, None])
    assert answers[3:5].max() < 0
    assert (answers[:3].sum(dim=1) > answers[3].sum()).all()

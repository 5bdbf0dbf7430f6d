"""The gate's network learns from films of the others, and is judged on films of the people held out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.dataset import read_folds
from models.training.evaluate_gate import Judged, table
from models.training.gate_films import GateFilm, save
from models.training.join_gate import join
from models.training.networks import GateNet, HindranceNet
from models.training.train_gate import ANSWERS, FilmFiles, Films, loss
from pipeline.stages.gate import CONTENTS, GATE_SIZE, HINDRANCES, LOGITS, Content, Hindrance
from pipeline.weights import OnnxNetwork

METAL = frozenset({Hindrance.METAL})


def film(grey: float, content: Content = Content.HIP, **truth: object) -> GateFilm:
    return GateFilm(image=np.full((GATE_SIZE, GATE_SIZE), grey, dtype=np.float32), content=content, **truth)


@pytest.fixture
def files(tmp_path: Path) -> FilmFiles:
    """Films of somebody of fold 1, of somebody of fold 2, of both, and of nobody; bright where they may be seen."""
    mine, yours = (next(person for person, number in read_folds().items() if number == fold) for fold in (1, 2))
    films = [
        film(-1, people=(mine,), lateral=True, hindrances=METAL),
        film(1, people=(yours,), lateral=False, hindrances=frozenset()),
        film(-1, people=(yours, mine), lateral=False, hindrances=frozenset()),
        *(film(1, Content.TRUNK) for _ in range(5)),
        *(film(1, Content.NO_RADIOGRAPH) for _ in range(8)),
    ]
    save(iter(films), tmp_path / "films.npz")
    return FilmFiles.load([tmp_path / "films.npz"])


def test_whoever_shares_a_film_with_a_person_held_out_is_held_out_with_them(files):
    assert files.held_out(1)[:3].tolist() == [True, False, True]
    assert not files.held_out(None).any()


def test_films_of_nobody_are_held_out_in_blocks(files):
    held = files.held_out(1)[3:]
    assert held.any()
    assert not held.all()


def test_no_batch_holds_a_film_that_is_held_out(files):
    images, classes, laterals, inverted = Films(files, 1, np.random.default_rng(0)).draw()
    assert images.shape == (32, 1, GATE_SIZE, GATE_SIZE)
    assert set(classes.tolist()) <= {CONTENTS.index(each) for each in (Content.HIP, Content.NO_RADIOGRAPH)}
    assert set(laterals.tolist()) <= {0, -1}
    assert set(inverted.tolist()) <= {0.0, 1.0}


def test_a_view_that_was_not_asked_costs_nothing():
    classes, laterals, inverted = torch.tensor([1, 1]), torch.tensor([0, -1]), torch.zeros(2)
    logits = torch.zeros((2, ANSWERS), requires_grad=True)
    loss(logits, classes, laterals, inverted).backward()
    assert logits.grad[1, -2] == 0
    assert logits.grad[0, -2] != 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the exporter that the older networks need too
def test_the_parts_answer_together_in_the_order_that_the_gate_reads(tmp_path):
    contents, hindrances = GateNet(ANSWERS), HindranceNet(len(HINDRANCES))
    torch.save(contents.state_dict(), tmp_path / "contents.pt")
    torch.save(hindrances.state_dict(), tmp_path / "hindrances.pt")
    join(tmp_path / "contents.pt", tmp_path / "hindrances.pt", tmp_path / "gate.onnx")
    image = np.random.default_rng(0).normal(0, 1, (1, 1, GATE_SIZE, GATE_SIZE)).astype(np.float32)
    answers = OnnxNetwork(tmp_path / "gate.onnx", threads=1)(image)
    assert answers.shape == (1, LOGITS)
    with torch.inference_mode():
        expected = [part.eval()(torch.from_numpy(image)).numpy() for part in (contents, hindrances)]
    assert answers == pytest.approx(np.concatenate(expected, axis=1), abs=1e-4)


def test_the_table_counts_what_is_refused(files):
    def sees_hips_and_metal_everywhere(image: np.ndarray) -> np.ndarray:
        answers = np.full((1, LOGITS), -9.0, dtype=np.float32)
        answers[0, CONTENTS.index(Content.HIP)] = answers[0, len(CONTENTS) + 2 + HINDRANCES.index(Hindrance.METAL)] = 9
        return answers

    told = table(Judged(files, sees_hips_and_metal_everywhere))
    assert told["adults' legs and pelves refused"]["all"] == "100.0 % of 2"
    assert told["refused with"]["metal"] == "100.0 % of 1"
    assert told["content right"]["hip"] == "100.0 % of 3"
    assert told["content right"]["chest or abdomen"] == "0.0 % of 5"
    assert told["view right"]["all"] == "66.7 % of 3"
    assert json.dumps(told)

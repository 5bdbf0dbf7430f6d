"""Train the part of the gate that looks for metal, casts and displaced fractures, on cut-outs around them.

python -m models.training.train_hindrances --films A.npz B.npz --hold-out 1 --minutes 10 --out DIR
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.training.gate_films import GRID
from models.training.networks import HindranceNet
from models.training.train_gate import FilmFiles, vary_greys
from pipeline.stages.gate import GATE_SIZE, HINDRANCES, Hindrance

FloatImage = npt.NDArray[np.float32]

BATCH: Final = 64
PEAK_RATE: Final = 3e-3
PARTS: Final = 6
"""Parts along either side of a cut-out."""

PART: Final = GATE_SIZE // GRID
CUT_OUT: Final = PARTS * PART

SHARES: Final[dict[Hindrance | None, float]] = {
    Hindrance.METAL: 0.34,
    Hindrance.FRACTURE: 0.22,
    Hindrance.CAST: 0.10,
    None: 0.34,
}
"""Shares of cut-outs around each hindrance, and of films with none."""

JUDGED: Final = 2500
"""Whole films on which the judgement of a picture by its parts is fitted."""


class CutOuts:
    """Cut-outs of films to train on, around hindrances and elsewhere."""

    def __init__(self, files: FilmFiles, hold_out: int | None, rng: np.random.Generator) -> None:
        self._files, self._rng = files, rng
        seen = ~files.held_out(hold_out)
        there = (files.places == 1).any(axis=(2, 3))
        self.known = np.flatnonzero(seen & (files.places >= 0).all(axis=(1, 2, 3)))
        self._films: dict[Hindrance | None, npt.NDArray[np.int64]] = {
            each: np.flatnonzero(seen & there[:, number]) for number, each in enumerate(HINDRANCES)
        }
        self._films[None] = np.flatnonzero(seen & (files.hindrances == 0).all(axis=1))

    def draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(BATCH, 1, CUT_OUT, CUT_OUT) images; (BATCH, hindrances, PARTS, PARTS) shares, -1 where not asked."""
        kinds = self._rng.choice(len(SHARES), BATCH, p=list(SHARES.values()))
        pairs = [self._cut_out(list(SHARES)[kind]) for kind in kinds]
        images, places = (np.stack(each) for each in zip(*pairs, strict=True))
        return torch.from_numpy(images[:, None]), torch.from_numpy(places)

    def _cut_out(self, around: Hindrance | None) -> tuple[FloatImage, FloatImage]:
        film = int(self._rng.choice(self._films[around]))
        places = self._files.places[film]
        wanted = places[HINDRANCES.index(around)] == 1 if around else np.ones((GRID, GRID), dtype=np.bool_)
        rows, columns = np.nonzero(wanted)
        chosen = int(self._rng.integers(len(rows)))
        centre = (np.array([columns[chosen], rows[chosen]]) + 0.5) * PART + self._rng.normal(0, 20, 2)
        matrix = self._move(centre)
        sign = -1 if self._rng.random() < 0.1 else 1
        image = cv2.warpAffine(sign * self._files.images[film].astype(np.float32), matrix, (CUT_OUT, CUT_OUT))
        return vary_greys(np.asarray(image, dtype=np.float32), self._rng), moved_parts(places, matrix)

    def _move(self, centre: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(2, 3) from pixels of a film to those of a cut-out with a given middle, turned, scaled, perhaps mirrored."""
        angle = np.radians(90 * self._rng.integers(4) + self._rng.normal(0, 12))
        scale = self._rng.uniform(0.65, 1.25)
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        linear = turn @ np.diag([self._rng.choice([-1.0, 1.0]), 1.0])
        return np.column_stack([linear, (CUT_OUT - 1) / 2 - linear @ centre])


def moved_parts(places: npt.NDArray[np.int8], matrix: npt.NDArray[np.float64]) -> FloatImage:
    """(hindrances, PARTS, PARTS) from (hindrances, GRID, GRID): parts of a cut-out; -1 of what was not asked."""
    linear, middle = matrix[:, :2], (PART - 1) / 2
    offset = (middle * (linear.sum(axis=1) - 1) + matrix[:, 2]) / PART
    where = np.moveaxis(places.astype(np.float32), 0, -1)
    moved = cv2.warpAffine(np.ascontiguousarray(where), np.column_stack([linear, offset]), (PARTS, PARTS))
    asked = where.min(axis=(0, 1)) >= 0
    return np.asarray(np.moveaxis(np.where(asked, moved, -1.0), -1, 0), dtype=np.float32)


def loss(where: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over all parts that were asked for."""
    known = places >= 0
    return nn.functional.binary_cross_entropy_with_logits(where[known], places[known], pos_weight=torch.tensor(2.0))


def train(cut_outs: CutOuts, *, minutes: float, start: Path | None, out: Path) -> HindranceNet:
    """Train for a given time, from scratch or from what fits of a checkpoint; without the final judgement."""
    network = HindranceNet(len(HINDRANCES))
    if start:
        own, given = network.state_dict(), torch.load(start, weights_only=True)
        network.load_state_dict(own | {k: v for k, v in given.items() if k in own and v.shape == own[k].shape})
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    began, step, recent = time.monotonic(), 0, list[float]()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-5
        images, places = cut_outs.draw()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            where = network.look(images.to(memory_format=torch.channels_last))
        value = loss(where.float(), places)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        recent.append(float(value.detach()))
        step += 1
        if step % 100 == 0:
            torch.save(network.state_dict(), out / "checkpoint.pt")
            print(f"{step:6d} {share:5.2f} loss {np.mean(recent[-100:]):.4f}", flush=True)
    network.eval()
    return network


def fit_judgement(network: HindranceNet, files: FilmFiles, chosen: npt.NDArray[np.int64]) -> None:
    """Fit how a picture is judged by its parts: a logistic regression on whole films."""
    summaries = []
    with torch.inference_mode():
        for first in range(0, len(chosen), BATCH):
            images = torch.from_numpy(files.images[chosen[first : first + BATCH]].astype(np.float32))
            summaries.append(network.summary(network.look(images[:, None])))
    features, truth = torch.cat(summaries).clone(), torch.from_numpy(files.hindrances[chosen]).float()
    optimiser = torch.optim.LBFGS(network.judge.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        small = 1e-3 * network.judge.weight.square().sum()
        value = nn.functional.binary_cross_entropy_with_logits(network.judge(features), truth) + small
        value.backward()
        return value

    optimiser.step(closure)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", required=True)
    parser.add_argument("--hold-out", type=int, help="fold whose people are kept from the network; none by default")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(given.seed)
    files = FilmFiles.load(given.films)
    cut_outs = CutOuts(files, given.hold_out, rng)
    network = train(cut_outs, minutes=given.minutes, start=given.start, out=given.out)
    fit_judgement(network, files, rng.permutation(cut_outs.known)[:JUDGED])
    torch.save(network.state_dict(), given.out / "checkpoint.pt")


if __name__ == "__main__":
    main()

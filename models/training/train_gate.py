"""Train the part of the gate that tells what a picture shows.

python -m models.training.train_gate --films A.npz B.npz --hold-out 1 --minutes 15 --out DIR
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.training.dataset import read_folds
from models.training.networks import GateNet
from pipeline.stages.gate import CONTENTS, GATE_SIZE, RECONSTRUCTED, Content

FloatImage = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

BATCH = 32
PEAK_RATE = 2e-3
ANSWERS: Final = len(CONTENTS) + 2
"""Contents, lateral, inverted; hindrances are looked for by a network of their own (`train_hindrances`)."""

WHITE_MARGINS: Final = 0.25
"""Share of films that get white margins, so that a white edge does not pass for a negative's air."""

KEPT_BACK: Final = 8
"""Of films of nobody in particular every this many-th block is held out with the people who are."""

BLOCK: Final = 8
"""As many films in a row may come from one scene or from two."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmFiles:
    """The films of some files that `gate_films` has written; see `gate_films.save`."""

    images: npt.NDArray[np.float16]
    classes: npt.NDArray[np.int64]
    laterals: npt.NDArray[np.int8]
    hindrances: npt.NDArray[np.int8]
    places: npt.NDArray[np.int8]
    people: npt.NDArray[np.str_]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> FilmFiles:
        """Read them one after another."""
        files = [np.load(path) for path in paths]
        return cls(**{each.name: np.concatenate([file[each.name] for file in files]) for each in fields(cls)})

    def only(self, chosen: BoolArray) -> FilmFiles:
        """Some of the films."""
        return FilmFiles(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def held_out(self, fold: int | None) -> BoolArray:
        """Which films no training without a fold may see: its people's, and some of nobody's."""
        if fold is None:
            return np.zeros(len(self.classes), dtype=np.bool_)
        folds = read_folds()
        numbers = [{folds.get(person) for person in people.split("+")} for people in self.people]
        blocks = np.arange(len(self.classes)) // BLOCK
        nobodys = np.array([number == {None} for number in numbers])
        held = np.array([fold in number for number in numbers])
        return np.asarray(held | (nobodys & (blocks % KEPT_BACK == 0)))


def with_unexposed_margins(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """The film, sometimes with white strips along its sides, as cassettes have beyond the collimator's blades."""
    if rng.random() > WHITE_MARGINS:
        return image
    framed, white = image.copy(), np.float32(rng.uniform(1.5, 3.5))
    for _ in range(int(rng.integers(1, 4))):
        strip = framed if rng.random() < 0.5 else framed.T
        width = int(rng.uniform(0.01, 0.2) * GATE_SIZE)
        rows, columns = np.nonzero(np.abs(image if strip is framed else image.T) > 0.05)
        if not len(columns):
            continue
        if rng.random() < 0.5:
            strip[rows.min() : rows.max() + 1, columns.min() : columns.min() + width] = white
        else:
            strip[rows.min() : rows.max() + 1, max(columns.max() - width, 0) : columns.max() + 1] = white
    return framed


def vary_film(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """The film mirrored, moved, turned, cut, its greys bent."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    turn = 90 * int(rng.integers(4)) if rng.random() < 0.1 else 0
    middle = (GATE_SIZE / 2, GATE_SIZE / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, turn + rng.normal(0, 6), rng.uniform(0.65, 1.2)))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 6, 2)
    edge = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (GATE_SIZE, GATE_SIZE), borderMode=edge)
    return vary_greys(np.asarray(moved, dtype=np.float32), rng)


def vary_greys(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """The film darker or brighter, flatter or harder, noisier, perhaps blurred."""
    bent = np.sign(image) * cv2.pow(np.abs(image), float(rng.uniform(0.7, 1.4)))
    grain = np.float32(rng.uniform(0, 0.2)) * rng.standard_normal(image.shape, dtype=np.float32)
    noisy = np.asarray(bent * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.normal(0, 0.1)) + grain)
    blur = float(rng.uniform(0.4, 1.2)) if rng.random() < 0.2 else 0.0
    return np.asarray(cv2.GaussianBlur(noisy, (0, 0), blur), dtype=np.float32) if blur else noisy


class Films:
    """Films to train on, drawn so that every content comes equally often; legs, pelves and children twice as often."""

    def __init__(self, files: FilmFiles, hold_out: int | None, rng: np.random.Generator) -> None:
        self._files, self._rng = files, rng
        twice = np.isin(
            files.classes, [CONTENTS.index(content) for content in (*RECONSTRUCTED, Content.LOWER_LEG, Content.CHILD)]
        )
        weight = np.where(twice, 2.0, 1.0) * ~files.held_out(hold_out)
        weight = weight / np.bincount(files.classes)[files.classes]
        self._weight = weight / weight.sum()

    def draw(self) -> tuple[torch.Tensor, ...]:
        """Images, classes, laterals, inverted of a batch."""
        chosen = self._rng.choice(len(self._weight), BATCH, p=self._weight)
        images = self._files.images[chosen].astype(np.float32)
        images = np.stack([with_unexposed_margins(image, self._rng) for image in images])
        inverted = self._rng.random(len(chosen)) < 0.3
        images[inverted] *= -1
        images = np.stack([vary_film(image, self._rng) for image in images])
        return (
            torch.from_numpy(images[:, None]),
            torch.from_numpy(self._files.classes[chosen]),
            torch.from_numpy(self._files.laterals[chosen]),
            torch.from_numpy(inverted.astype(np.float32)),
        )


def loss(logits: torch.Tensor, classes: torch.Tensor, laterals: torch.Tensor, inverted: torch.Tensor) -> torch.Tensor:
    """Cross-entropies of content, of view where it was asked for, of polarity where a radiograph is seen."""
    content = nn.functional.cross_entropy(logits[:, : len(CONTENTS)], classes, label_smoothing=0.03)
    known = laterals >= 0
    view = nn.functional.binary_cross_entropy_with_logits(logits[known, -2], laterals[known].float())
    film = classes != CONTENTS.index(Content.NO_RADIOGRAPH)
    polarity = nn.functional.binary_cross_entropy_with_logits(logits[film, -1], inverted[film])
    return content + view + 0.5 * polarity


def train(films: Films, *, minutes: float, start: Path | None, out: Path) -> GateNet:
    """Train for a given time, from scratch or from what fits of a checkpoint."""
    network = GateNet(ANSWERS)
    if start:
        own = network.state_dict()
        given = torch.load(start, weights_only=True)
        network.load_state_dict(own | {k: v for k, v in given.items() if k in own and v.shape == own[k].shape})
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    began, step, recent = time.monotonic(), 0, list[float]()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-5
        images, *truth = films.draw()
        with torch.autocast("cpu", dtype=torch.bfloat16):  # takes two thirds of the time
            logits = network(images.to(memory_format=torch.channels_last))
        value = loss(logits.float(), *truth)
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


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", required=True)
    parser.add_argument("--hold-out", type=int, help="fold whose people are kept from the network; none by default")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    films = Films(FilmFiles.load(given.films), given.hold_out, np.random.default_rng(given.seed))
    network = train(films, minutes=given.minutes, start=given.start, out=given.out)
    torch.save(network.state_dict(), given.out / "checkpoint.pt")


if __name__ == "__main__":
    main()

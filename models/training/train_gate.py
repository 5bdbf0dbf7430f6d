"""Train the gate's classifier and export it as ONNX.

python -m models.training.train_gate --films models/training/runs/gate_films.npz --minutes 8 --out DIR
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.training.networks import GateNet
from models.training.train_perception import export
from pipeline.stages.gate import CONTENTS, GATE_SIZE, Content

FloatImage = npt.NDArray[np.float32]

BATCH = 32
PEAK_RATE = 2e-3
KEPT_BACK = 8
"""Every this many-th film is kept back to judge the network."""


def vary_film(image: FloatImage, rng: np.random.Generator) -> FloatImage:
    """The film mirrored, moved, turned, cut, its greys bent."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    turn = 90 * int(rng.integers(4)) if rng.random() < 0.1 else 0
    middle = (GATE_SIZE / 2, GATE_SIZE / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, turn + rng.normal(0, 6), rng.uniform(0.6, 1.3)))
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 7, 2)
    edge = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (GATE_SIZE, GATE_SIZE), borderMode=edge)
    bent = np.sign(moved) * np.abs(moved) ** rng.uniform(0.7, 1.4)
    grain = rng.uniform(0, 0.2) * rng.standard_normal(moved.shape)
    noisy = np.asarray(bent * rng.uniform(0.8, 1.2) + rng.normal(0, 0.1) + grain, dtype=np.float32)
    blur = float(rng.uniform(0.4, 1.6)) if rng.random() < 0.3 else 0.0
    return np.asarray(cv2.GaussianBlur(noisy, (0, 0), blur), dtype=np.float32) if blur else noisy


class Films:
    """All films, drawn so that every content comes equally often and femora four times as often."""

    def __init__(self, paths: Sequence[Path], rng: np.random.Generator) -> None:
        files = [np.load(path) for path in paths]
        self._images, self._classes, self._laterals = (
            np.concatenate([file[name] for file in files]) for name in ("images", "classes", "laterals")
        )
        self._rng = rng
        judged = np.arange(len(self._classes)) % (3 * KEPT_BACK) < 3
        weight = np.where(self._classes == CONTENTS.index(Content.FEMUR), 4.0, 1.0)
        weight = weight / np.bincount(self._classes)[self._classes]
        weight[judged] = 0
        self._weight = weight / weight.sum()
        self._judged = np.flatnonzero(judged)

    def draw(self) -> tuple[torch.Tensor, ...]:
        """Images, classes, laterals, inverted of a training batch."""
        return self._batch(self._rng.choice(len(self._weight), BATCH, p=self._weight), varied=True)

    def judged(self) -> tuple[torch.Tensor, ...]:
        """All films that were kept back, unvaried but half of them inverted."""
        return self._batch(self._judged, varied=False)

    def _batch(self, chosen: npt.NDArray[np.int64], *, varied: bool) -> tuple[torch.Tensor, ...]:
        images = self._images[chosen].astype(np.float32)
        inverted = self._rng.random(len(chosen)) < (0.3 if varied else 0.5)
        images[inverted] *= -1
        if varied:
            images = np.stack([vary_film(image, self._rng) for image in images])
        return (
            torch.from_numpy(images[:, None]),
            torch.from_numpy(self._classes[chosen]),
            torch.from_numpy(self._laterals[chosen]),
            torch.from_numpy(inverted.astype(np.float32)),
        )


def loss(logits: torch.Tensor, classes: torch.Tensor, laterals: torch.Tensor, inverted: torch.Tensor) -> torch.Tensor:
    """Cross-entropies of content, of view where a femur is seen, of polarity where a radiograph is seen."""
    content = nn.functional.cross_entropy(logits[:, : len(CONTENTS)], classes, label_smoothing=0.03)
    side_on, turned = logits[:, -2], logits[:, -1]
    known = laterals >= 0
    view = nn.functional.binary_cross_entropy_with_logits(side_on[known], laterals[known].float())
    film = classes != CONTENTS.index(Content.NO_RADIOGRAPH)
    polarity = nn.functional.binary_cross_entropy_with_logits(turned[film], inverted[film])
    return content + view + 0.5 * polarity


def train(films: Films, *, minutes: float, start: Path | None, out: Path) -> GateNet:
    """Train for a given time, from scratch or from a checkpoint."""
    network = GateNet(len(CONTENTS) + 2)
    if start:
        network.load_state_dict(torch.load(start, weights_only=True))
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
    began, step, recent = time.monotonic(), 0, list[float]()
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-5
        images, *truth = films.draw()
        value = loss(network(images.to(memory_format=torch.channels_last)), *truth)
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


def average(network: GateNet, checkpoint: Path) -> None:
    """Replace the network's weights by their mean with a checkpoint's that it was trained on from (Izmailov 2018)."""
    other = torch.load(checkpoint, weights_only=True)
    mean = {k: (v + other[k]) / 2 if v.is_floating_point() else v for k, v in network.state_dict().items()}
    network.load_state_dict(mean)


def evaluate(network: GateNet, films: Films) -> dict[str, object]:
    """Shares of right answers over the films that were kept back."""
    images, classes, laterals, inverted = films.judged()
    with torch.inference_mode():
        logits = network(images)
    found, known = logits[:, : len(CONTENTS)].argmax(dim=1), laterals >= 0
    film = classes != CONTENTS.index(Content.NO_RADIOGRAPH)
    return {
        "content": {str(c): round(float((found == k)[classes == k].float().mean()), 3) for k, c in enumerate(CONTENTS)},
        "view": round(float(((logits[:, -2] > 0) == (laterals > 0))[known].float().mean()), 3),
        "polarity": round(float(((logits[:, -1] > 0) == (inverted > 0))[film].float().mean()), 3),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from")
    parser.add_argument("--average-with", type=Path, help="checkpoint whose weights are averaged into the result")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    films = Films(given.films, np.random.default_rng(given.seed))
    network = train(films, minutes=given.minutes, start=given.start, out=given.out)
    if given.average_with:
        average(network, given.average_with)
    torch.save(network.state_dict(), given.out / "checkpoint.pt")
    export(network, given.out / "gate.onnx", size=(GATE_SIZE, GATE_SIZE))
    report = evaluate(network, films)
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()

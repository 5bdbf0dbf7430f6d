"""Train the perception network on simulated films, for a given time on one core, and export it as ONNX.

    python -m models.training.train_perception --shadows DIR --hold-out 1 2 --minutes 30 --out DIR

Without `--hold-out` nobody is held out (the shipped network). The learning rate follows the clock, not the step count,
so that a training on a slower or busier machine ends in time.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from models.training.dataset import Example, FloatImage, Shadow, develop_example, heat_maps, read_folds, read_shadows
from models.training.networks import PerceptionNet

PEAK_RATE = 4e-3
RESUMED_RATE = 2e-3
TALL = 0.62
"""Pictures narrower than this share of their height are trained together: they need smaller canvases."""

KEPT = 64
"""Half of a batch is taken from the films developed last: developing costs as much as learning."""

SIZES = ((0.40, 112, 176, 16), (0.65, 160, 256, 12), (1.01, 240, 320, 8))
"""(share of the time, smallest and largest size of films, batch): first coarse and many, last as in service.

Random sizes also vary the bone's size in the picture.
"""

Sizes = Sequence[tuple[float, int, int, int]]

REREAD = 400
"""Steps after which the folder of shadows is read again."""

EVALUATED = 240
"""Films of held-out people over which the fold's Dice is measured."""


class Developed(Protocol):
    """A film as networks are taught with it."""

    @property
    def image(self) -> FloatImage:
        """(h, w)."""


Source = TypeVar("Source")
Film = TypeVar("Film", bound=Developed)


def held_out(folds: Sequence[str]) -> frozenset[str]:
    """The people whom a network must not see; the sample's person is never rendered at all."""
    return frozenset(person for person, number in read_folds().items() if str(number) in folds)


class Batches(Generic[Source, Film]):
    """Batches of freshly developed films, tall and broad pictures apart.

    Args:
        shadows: Of which films are developed.
        seed: Decides which, and how.
        shape: (..., rows, columns) of a shadow.
        develop: A new film of a shadow, with its longest side in pixels.
        stack: Films as images (n, 1, h, w) and targets (n, outputs, h, w).
        sizes: (share of the training, smallest and largest size of films, films a batch), in order of time.
    """

    def __init__(
        self,
        shadows: Sequence[Source],
        seed: int,
        *,
        shape: Callable[[Source], tuple[int, ...]],
        develop: Callable[[Source, np.random.Generator, int], Film],
        stack: Callable[[Sequence[Film]], tuple[torch.Tensor, torch.Tensor]],
        sizes: Sizes = SIZES,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._develop, self._stack, self._sizes = develop, stack, sizes
        is_tall = [shape(shadow)[-1] < TALL * shape(shadow)[-2] for shadow in shadows]
        groups = [[s for s, tall in zip(shadows, is_tall, strict=True) if tall is kind] for kind in (True, False)]
        self._groups = [group for group in groups if group]
        self._share = np.array([len(group) for group in self._groups]) / len(shadows)
        self._kept: list[list[Film]] = [[] for _ in self._groups]

    def draw(self, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and targets for a moment of the training (0 to 1)."""
        smallest, largest, count = next(sizes for until, *sizes in self._sizes if share < until)
        chosen = int(self._rng.choice(len(self._groups), p=self._share))
        kept = [e for e in self._kept[chosen] if max(e.image.shape) >= smallest]
        new = [self._new(chosen, smallest, largest) for _ in range(count // 2 if len(kept) >= KEPT // 2 else count)]
        old = [kept[int(self._rng.integers(len(kept)))] for _ in range(count - len(new))]
        self._kept[chosen] = [*kept, *new][-KEPT:]
        return self._stack([*new, *old])

    def _new(self, chosen: int, smallest: int, largest: int) -> Film:
        group = self._groups[chosen]
        size = int(self._rng.integers(smallest, largest + 1))
        return self._develop(group[int(self._rng.integers(len(group)))], self._rng, size)


def femur_batches(shadows: Sequence[Shadow], seed: int) -> Batches[Shadow, Example]:
    """Batches for the perception network."""
    return Batches(
        shadows,
        seed,
        shape=lambda shadow: shadow.lengths.shape,
        develop=lambda shadow, rng, size: develop_example(shadow, rng, working_size=size),
        stack=stack,
    )


def stack(examples: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples on a common canvas, padded to the right and below with zeros as `perceive` does."""
    rows, columns = (max(e.image.shape[axis] for e in examples) for axis in (0, 1))
    shape = (rows + -rows % 16, columns + -columns % 16)
    images = np.zeros((len(examples), 1, *shape), dtype=np.float32)
    targets = np.zeros((len(examples), 1, *shape), dtype=np.float32)
    heats = []
    for number, example in enumerate(examples):
        h, w = example.image.shape
        images[number, 0, :h, :w] = example.image
        targets[number, 0, :h, :w] = example.mask
        maps = heat_maps(example.landmarks, (h, w))
        heats.append(np.pad(maps, ((0, 0), (0, shape[0] - h), (0, shape[1] - w))))
    return torch.from_numpy(images), torch.from_numpy(np.concatenate([targets, np.array(heats)], axis=1))


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy that weighs the mask's border, soft Dice, and cross-entropy of the heat maps."""
    mask, truth = logits[:, :1], targets[:, :1]
    near = nn.functional.avg_pool2d(truth, 9, stride=1, padding=4)
    weight = 1 + 16 * near * (1 - near)
    border = (weight * nn.functional.binary_cross_entropy_with_logits(mask, truth, reduction="none")).mean()
    probability = torch.sigmoid(mask)
    overlap = (probability * truth).sum(dim=(1, 2, 3))
    dice = 1 - (2 * overlap + 50) / (probability.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3)) + 50)
    heat, bumps = logits[:, 1:], targets[:, 1:]
    landmarks = (
        (1 + 20 * bumps) * nn.functional.binary_cross_entropy_with_logits(heat, bumps, reduction="none")
    ).mean()
    return border + dice.mean() + 8 * landmarks


def train(
    shadows: Path,
    without: frozenset[str],
    *,
    minutes: float,
    seed: int,
    out: Path,
    start: Path | None,
    rate: float | None = None,
) -> PerceptionNet:
    """Train for a given time; new shadows that appear in the folder meanwhile are taken up.

    A training that goes on from a checkpoint sees films of the last, finest sizes only.
    """
    peak = rate or (RESUMED_RATE if start else PEAK_RATE)
    network = PerceptionNet()
    network.to(memory_format=torch.channels_last)
    if start:
        network.load_state_dict(torch.load(start, weights_only=True))
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-4)
    began, step, recent = time.monotonic(), 0, list[float]()
    batches = femur_batches(list(read_shadows(shadows, without)), seed)
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        if step % REREAD == REREAD - 1:
            batches = femur_batches(list(read_shadows(shadows, without)), seed + step)
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1, step / 100 + 0.01) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-5
        images, targets = batches.draw(1.0 if start else share)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(images.to(memory_format=torch.channels_last))
        value = loss(logits.float(), targets)
        optimiser.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        recent.append(float(value.detach()))
        step += 1
        if step % 100 == 0:
            print(
                f"{step:6d} {share:5.2f} loss {np.mean(recent[-100:]):.4f} {time.monotonic() - began:6.0f} s",
                flush=True,
            )
            torch.save(network.state_dict(), out / "checkpoint.pt")
    network.eval()
    return network


def evaluate(network: PerceptionNet, shadows: Sequence[Shadow]) -> dict[str, float]:
    """Mean and 10th percentile of Dice over new films of people the network has not seen."""
    rng, scores = np.random.default_rng(99), []
    for number in range(EVALUATED):
        images, targets = stack([develop_example(shadows[number % len(shadows)], rng)])
        with torch.inference_mode():
            found = network(images)[0, 0] > 0
        truth = targets[0, 0] > 0.5
        if truth.sum() > 200:
            scores.append(float(2 * (found & truth).sum() / (found.sum() + truth.sum())))
    return {
        "dice_mean": float(np.mean(scores)),
        "dice_median": float(np.median(scores)),
        "dice_p10": float(np.quantile(scores, 0.1)),
    }


def export(network: nn.Module, path: Path, size: tuple[int, int] = (320, 176)) -> None:
    """Write as ONNX with free height and width."""
    axes = {"image": {0: "n", 2: "h", 3: "w"}, "logits": {0: "n", 2: "h", 3: "w"}}
    network = network.to(memory_format=torch.contiguous_format)
    sample = torch.zeros(1, 1, *size)
    torch.onnx.export(
        network,
        (sample,),
        str(path),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes=axes,
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shadows", type=Path, required=True)
    parser.add_argument("--hold-out", nargs="*", default=[], help="numbers of the folds whose people are held out")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from; it must have seen nobody who is held out")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    without = held_out(given.hold_out)
    network = train(
        given.shadows,
        without,
        minutes=given.minutes,
        seed=given.seed,
        out=given.out,
        start=given.start,
        rate=given.rate,
    )
    torch.save(network.state_dict(), given.out / "checkpoint.pt")
    export(network, given.out / "perception.onnx")
    unseen = [s for s in read_shadows(given.shadows, frozenset()) if s.person in without] or list(
        read_shadows(given.shadows, frozenset())
    )
    report = {"held_out": sorted(without), **evaluate(network, unseen)}
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()

"""Train the network that sees every bone of pelvis and leg apart, for a given time on one core.

    python -m models.training.train_bones --shadows DIR --hold-out 1 --minutes 50 --start femur/checkpoint.pt --out DIR

`--start` takes a checkpoint of this network, or of the femur's, whose last layer serves both femora to begin with. The
learning rate follows the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.training.bone_dataset import BoneExample, BoneShadow, develop, read_shadows
from models.training.bones import Kind
from models.training.dataset import heat_maps
from models.training.networks import PERCEPTION_WIDTHS, PerceptionNet
from models.training.train_perception import SIZES, Batches, Sizes, export, held_out
from pipeline.stages.perceive import BONES, LANDMARKS, POINTS

OUTPUTS = len(BONES) + len(POINTS)
PEAK_RATE = 3e-3
LANDMARK_WEIGHT = 8.0
HEAT_STRIDE = 2
EVALUATED = 160
"""Films of held-out people over which the fold's Dice is measured."""

Progress = Callable[[int], float]


class BonesNet(PerceptionNet):
    """The femur's network with another last layer: (n, 1, h, w) → (n, bones + points, h, w) logits."""

    def __init__(self, widths: Sequence[int] = PERCEPTION_WIDTHS) -> None:
        super().__init__(widths)
        self.head = nn.Conv2d(widths[0], 4 * OUTPUTS, 1)
        nn.init.constant_(self.head.bias, -3.0)


def start_from(network: BonesNet, checkpoint: Mapping[str, torch.Tensor]) -> None:
    """Take over a checkpoint, of this network or of the femur's, whose last layer serves both femora to begin with."""
    if checkpoint["head.bias"].shape == network.head.bias.shape:
        network.load_state_dict(checkpoint)
        return
    trunk = {name: value for name, value in checkpoint.items() if not name.startswith("head.")}
    network.load_state_dict(trunk, strict=False)
    with torch.no_grad():
        for output, source in _femoral_outputs():
            for name in ("weight", "bias"):
                # Pixel shuffle makes one output of four neighbouring channels.
                getattr(network.head, name)[4 * output : 4 * output + 4] = checkpoint[f"head.{name}"][
                    4 * source : 4 * source + 4
                ]


def _femoral_outputs() -> list[tuple[int, int]]:
    """Outputs of this network that are the femur's, each with that output of the femur's network."""
    femora = [bone for bone in BONES if bone[0] is Kind.FEMUR]
    masks = [(BONES.index(femur), 0) for femur in femora]
    points = [
        (len(BONES) + POINTS.index((femur, name)), 1 + number)
        for femur in femora
        for number, name in enumerate(LANDMARKS)
    ]
    return masks + points


def stack(examples: Sequence[BoneExample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples on a common canvas, padded to the right and below with zeros as `perceive` does."""
    rows, columns = (max(e.image.shape[axis] for e in examples) for axis in (0, 1))
    shape = (rows + -rows % 16, columns + -columns % 16)
    images = np.zeros((len(examples), 1, *shape), dtype=np.float32)
    targets = np.zeros((len(examples), OUTPUTS, *shape), dtype=np.float32)
    for number, example in enumerate(examples):
        h, w = example.image.shape
        images[number, 0, :h, :w] = example.image
        targets[number, : len(BONES), :h, :w] = example.masks
        targets[number, len(BONES) :, :h, :w] = heat_maps(example.landmarks, (h, w))
    return torch.from_numpy(images), torch.from_numpy(targets)


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy that weighs the masks' borders, soft Dice of the bones that are there, and of the heat maps."""
    masks, truth = logits[:, : len(BONES)].float(), targets[:, : len(BONES)]
    near = nn.functional.avg_pool2d(truth, 9, stride=1, padding=4)
    weight = 1 + 16 * near * (1 - near)
    border = (weight * nn.functional.binary_cross_entropy_with_logits(masks, truth, reduction="none")).mean()
    probability = torch.sigmoid(masks)
    overlap = (probability * truth).sum(dim=(2, 3))
    area = truth.sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 50) / (probability.sum(dim=(2, 3)) + area + 50)
    there = (area > 0).float()
    # Bumps are several pixels wide: every other pixel tells as much of them, in a quarter of the time.
    row, column = (int(offset) for offset in torch.randint(0, HEAT_STRIDE, (2,)))
    grid = (..., slice(row, None, HEAT_STRIDE), slice(column, None, HEAT_STRIDE))
    heats, bumps = logits[:, len(BONES) :][grid].float(), targets[:, len(BONES) :][grid]
    heat = (1 + 20 * bumps) * nn.functional.binary_cross_entropy_with_logits(heats, bumps, reduction="none")
    return 3 * border + (dice * there).sum() / there.sum().clamp(min=1) + LANDMARK_WEIGHT * heat.mean()


def bone_batches(shadows: Sequence[BoneShadow], seed: int, *, sizes: Sizes = SIZES) -> Batches[BoneShadow, BoneExample]:
    """Batches for the network of many bones."""
    return Batches(
        shadows,
        seed,
        shape=lambda shadow: shadow.masks.shape,
        develop=lambda shadow, rng, size: develop(shadow, rng, working_size=size),
        stack=stack,
        sizes=sizes,
    )


def by_the_clock(minutes: float) -> Progress:
    """A training is over when its time is."""
    began = time.monotonic()
    return lambda _: (time.monotonic() - began) / (60 * minutes)


def train(
    network: BonesNet, batches: Batches[BoneShadow, BoneExample], *, progress: Progress, out: Path, resumed: bool
) -> list[float]:
    """Train until the progress is 1; the loss of every step.

    Args:
        network: Trained in place.
        batches: What it learns from.
        progress: Share of the training that is done after a number of steps.
        out: Folder for the checkpoint.
        resumed: Films of the last, finest sizes only.
    """
    network.to(memory_format=torch.channels_last)
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=1e-4)
    losses = list[float]()
    while (share := progress(len(losses))) < 1:
        for group in optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1, len(losses) / 100 + 0.01) * 0.5 * (1 + math.cos(math.pi * share)) + 1e-5
        losses.append(learn_from(network, optimiser, batches.draw(1.0 if resumed else share)))
        if len(losses) % 20 == 0:
            print(f"{len(losses):6d} {share:5.2f} loss {np.mean(losses[-20:]):.4f}", flush=True)
        if len(losses) % 100 == 0:
            torch.save(network.state_dict(), out / "checkpoint.pt")
    network.eval()
    return losses


def learn_from(network: BonesNet, optimiser: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
    """One step of the training: the loss before it."""
    images, targets = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images.to(memory_format=torch.channels_last))
    value = loss(logits, targets)
    optimiser.zero_grad()
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(value.detach())


def evaluate(network: BonesNet, shadows: Sequence[BoneShadow], *, count: int = EVALUATED) -> dict[str, float]:
    """Median Dice of every bone over new films in which it is seen."""
    rng = np.random.default_rng(99)
    scores: dict[str, list[float]] = {}
    for number in range(count):
        images, targets = stack([develop(shadows[number % len(shadows)], rng)])
        with torch.inference_mode():
            found = network(images)[0, : len(BONES)] > 0
        for bone, mask, truth in zip(BONES, found, targets[0, : len(BONES)] > 0.5, strict=True):
            if truth.sum() > 200:
                score = float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
                scores.setdefault(bone[0], []).append(score)
    return {str(kind): float(np.median(values)) for kind, values in scores.items()}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shadows", type=Path, required=True)
    parser.add_argument("--hold-out", nargs="*", default=[], help="numbers of the folds whose people are held out")
    parser.add_argument("--minutes", type=float, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="checkpoint to go on from; it must have seen nobody who is held out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluated", type=int, default=EVALUATED, help="films to judge by; 0 judges not")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    without = held_out(given.hold_out)
    network, resumed = BonesNet(), False
    if given.start:
        checkpoint = torch.load(given.start, weights_only=True)
        resumed = checkpoint["head.bias"].shape == network.head.bias.shape
        start_from(network, checkpoint)
    batches = bone_batches(list(read_shadows(given.shadows, without)), given.seed)
    train(network, batches, progress=by_the_clock(given.minutes), out=given.out, resumed=resumed)
    torch.save(network.state_dict(), given.out / "checkpoint.pt")
    export(network, given.out / "bones.onnx")
    unseen = [s for s in read_shadows(given.shadows, frozenset()) if without.intersection(s.people)]
    judged = unseen or list(read_shadows(given.shadows, frozenset()))
    report = {"held_out": sorted(without), "dice": evaluate(network, judged, count=given.evaluated)}
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    print(report)


if __name__ == "__main__":
    main()

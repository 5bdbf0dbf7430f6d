"""The networks' architectures: small enough to be trained on one processor core in half an hour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from pipeline.stages.perceive import LANDMARKS

PERCEPTION_WIDTHS = (16, 32, 64, 112)
CONTEXT_DILATIONS = (2, 4, 8)
GATE_WIDTHS = (12, 24, 48, 72, 96)
HINDRANCE_WIDTHS = (12, 24, 48, 72)
LIKELIEST = (1, 3, 10, 30)
"""Over how many of the likeliest parts of a picture a hindrance is averaged."""


def _block(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Context(nn.Module):
    """Looks far around (dilated convolutions, Yu and Koltun 2016) and adds what it finds to what it was given.

    At the bottom of the U-Net a pixel sees about a quarter of a long film; with this, all of it. Begins as the
    identity, so that a network trained without it can go on with it.
    """

    def __init__(self, width: int, dilations: Sequence[int] = CONTEXT_DILATIONS) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 1, d, dilation=d, bias=False), nn.BatchNorm2d(width))
            for d in dilations
        )
        for step in self.steps:
            nn.init.zeros_(step[-1].weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, width, h, w) → the same shape."""
        for step in self.steps:
            features = nn.functional.relu(features + step(features))
        return features


class PerceptionNet(nn.Module):
    """A U-Net (Ronneberger 2015) that works from half resolution down and returns to full by pixel shuffle.

    (n, 1, h, w) normalised images → (n, 1 + landmarks, h, w) logits: the femur's amodal mask, then its landmarks'
    heat maps. h and w are multiples of 16.
    """

    def __init__(self, widths: Sequence[int] = PERCEPTION_WIDTHS) -> None:
        super().__init__()
        outputs = 1 + len(LANDMARKS)
        self.stem = nn.Sequential(_block(1, widths[0], stride=2, kernel=5), _block(widths[0], widths[0]))
        self.downs = nn.ModuleList(nn.Sequential(_block(a, b, stride=2), _block(b, b)) for a, b in pairwise(widths))
        self.bottom = _block(widths[-1], widths[-1])
        self.context = Context(widths[-1])
        self.ups = nn.ModuleList(
            nn.Sequential(_block(deep + shallow, shallow), _block(shallow, shallow))
            for shallow, deep in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], 4 * outputs, 1)
        nn.init.constant_(self.head.bias, -3.0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        features = [self.stem(image)]
        for down in self.downs:
            features.append(down(features[-1]))
        deep = self.context(self.bottom(features.pop()))
        for up in self.ups:
            enlarged = nn.functional.interpolate(deep, scale_factor=2.0, mode="nearest")
            deep = up(torch.cat([enlarged, features.pop()], dim=1))
        return nn.functional.pixel_shuffle(self.head(deep), 2)


class GateNet(nn.Module):
    """A classifier: (n, 1, h, w) normalised images → (n, answers) logits, about the picture as a whole."""

    def __init__(self, answers: int, widths: Sequence[int] = GATE_WIDTHS) -> None:
        super().__init__()
        self.stem = _block(1, widths[0], stride=2, kernel=5)
        self.stages = nn.Sequential(*(nn.Sequential(_block(a, b, stride=2), _block(b, b)) for a, b in pairwise(widths)))
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(2 * widths[-1] + widths[-2], answers)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        fine = self.stages[:-1](self.stem(image))
        deep = self.stages[-1](fine)
        pooled = torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3)), fine.amax(dim=(2, 3))], dim=1)
        return self.classify(self.dropout(pooled))


class HindranceNet(nn.Module):
    """A detector: (n, 1, h, w) normalised images → (n, hindrances) logits, about what lies anywhere in the picture.

    It looks at every sixteenth of the picture by itself, so it can be trained on small cut-outs, and judges the picture
    by where each hindrance is likeliest.
    """

    def __init__(self, hindrances: int, widths: Sequence[int] = HINDRANCE_WIDTHS) -> None:
        super().__init__()
        self.stem = _block(1, widths[0], stride=2, kernel=5)
        self.stages = nn.Sequential(*(nn.Sequential(_block(a, b, stride=2), _block(b, b)) for a, b in pairwise(widths)))
        self.locate = nn.Sequential(_block(widths[-1], widths[-1]), nn.Conv2d(widths[-1], hindrances, 1))
        self.judge = nn.Linear(len(LIKELIEST) * hindrances, hindrances)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """See the class."""
        return self.judge(self.summary(self.look(image)))

    def look(self, image: torch.Tensor) -> torch.Tensor:
        """(n, hindrances, h / 16, w / 16) logits of where each lies."""
        return self.locate(self.stages(self.stem(image)))

    def summary(self, where: torch.Tensor) -> torch.Tensor:
        """(n, features): means over the likeliest parts of the picture."""
        ordered = where.flatten(2).topk(max(LIKELIEST), dim=2).values
        return torch.cat([ordered[:, :, :count].mean(dim=2) for count in LIKELIEST], dim=1)


class WholeGate(nn.Module):
    """Both: the answers of the one, then those of the other."""

    def __init__(self, contents: GateNet, hindrances: HindranceNet) -> None:
        super().__init__()
        self.contents, self.hindrances = contents, hindrances

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(n, 1, h, w) → (n, answers + hindrances) logits."""
        return torch.cat([self.contents(image), self.hindrances(image)], dim=1)

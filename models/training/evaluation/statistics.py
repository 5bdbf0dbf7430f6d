"""Sums over people: they, not bones or studies, are what was drawn from a population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

RESAMPLED: Final = 2000
LIMITS: Final = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Share:
    """A mean share with its 95 % confidence interval, clustered by person; NaN ends where there is one person."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return "–"
        return f"{self.mean:.0%}" if np.isnan(self.low) else f"{self.mean:.0%} ({self.low:.0%} to {self.high:.0%})"


def clustered(by_person: Mapping[str, Sequence[float]]) -> Share:
    """Mean of all values; people are drawn again with all of theirs: a cluster bootstrap (Davison & Hinkley 1997).

    Args:
        by_person: Values, each counting alike.
    """
    sums = np.array([float(np.sum(values)) for values in by_person.values()])
    counts = np.array([len(values) for values in by_person.values()])
    if not counts.sum():
        return Share(mean=float("nan"), low=float("nan"), high=float("nan"))
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Share(mean=mean, low=float("nan"), high=float("nan"))
    drawn = np.random.default_rng(1).integers(len(sums), size=(RESAMPLED, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), LIMITS)
    return Share(mean=mean, low=float(low), high=float(high))

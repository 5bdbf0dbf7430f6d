"""What goes wrong with a study that would otherwise be ordinary, in steps, so that its cost can be told.

The same study is simulated once without and once with the disturbance: everything else in it stays as it was drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
from pydicom import Dataset

from models.training.fields import FieldSetup
from models.training.photometry import Photometry
from pipeline.geometry import ProjectionGeometry


class Sweep(StrEnum):
    """What may go wrong."""

    LATERAL = "lateral angle"
    SCALE = "scale"
    NOISE = "noise"
    CUT = "field cut"
    EXPOSURE = "exposure"


LEVELS: Final[dict[Sweep, tuple[float, ...]]] = {
    Sweep.LATERAL: (5, 10, 15),
    Sweep.SCALE: (1, 2, 3, 5),
    Sweep.NOISE: (2, 4),
    Sweep.CUT: (10, 20, 30),
    Sweep.EXPOSURE: (0.5, 2),
}
"""Degrees, per cent, factor, per cent, factor."""

_WORDS: Final = {
    Sweep.LATERAL: "lateral {:g}° further off",
    Sweep.SCALE: "pixel spacing {:g} % too large",
    Sweep.NOISE: "{:g} times the noise",
    Sweep.CUT: "field {:g} % shorter",
    Sweep.EXPOSURE: "{:g} times the exposure",
}


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One thing that is wrong, by so much; none where `sweep` is None.

    Attributes:
        sweep: What.
        level: How much, in the unit of `LEVELS`.
    """

    sweep: Sweep | None = None
    level: float = 0.0

    @property
    def words(self) -> str:
        """For tables."""
        return _WORDS[self.sweep].format(self.level) if self.sweep else "undisturbed"

    def set_up(self, setup: FieldSetup) -> FieldSetup:
        """The setup; a lateral's tube and detector are turned about the patient's long axis, away from 90 degrees."""
        if self.sweep is not Sweep.LATERAL or not setup.field.lateral:
            return setup
        across, along, about = setup.tilt_degrees
        return replace(setup, tilt_degrees=(across, along, about + math.copysign(self.level, about)))

    def place(self, geometry: ProjectionGeometry) -> ProjectionGeometry:
        """Source and detector; the field ends earlier at its lower edge."""
        if self.sweep is not Sweep.CUT:
            return geometry
        return replace(geometry, rows=round(geometry.rows * (1 - self.level / 100)))

    def expose(self, photometry: Photometry) -> Photometry:
        """Dose and display; another exposure changes the noise, and the display does not make up for it."""
        if self.sweep is Sweep.NOISE:
            return replace(photometry, noise=photometry.noise * self.level)
        if self.sweep is Sweep.EXPOSURE:
            noise = photometry.noise / math.sqrt(self.level)
            return replace(photometry, noise=noise, gamma=photometry.gamma * self.level)
        return photometry

    def mislabel(self, dataset: Dataset) -> None:
        """Let the header tell a wrong size of pixels."""
        if self.sweep is Sweep.SCALE:
            told = np.array(dataset.ImagerPixelSpacing, dtype=np.float64) * (1 + self.level / 100)
            dataset.ImagerPixelSpacing = [round(float(each), 6) for each in told]


UNDISTURBED: Final = Disturbance()

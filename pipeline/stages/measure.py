"""What surgeons and radiologists measure on a femur, each with an interval or the reason why there is none."""

from __future__ import annotations

from pipeline.results import Measurement
from pipeline.stages.assess import Assessment
from pipeline.stages.fit import Fit


def measure(fit: Fit, assessment: Assessment) -> tuple[Measurement, ...]:
    """Measurements of the reconstructed femur with 90 % intervals."""
    raise NotImplementedError

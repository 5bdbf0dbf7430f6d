"""By how much predicted deviations are widened, or narrowed, to intervals that hold nine times in ten.

Conformal prediction by groups (Vovk 2005): the factor of a group is the 90 % quantile of errors over predicted
deviations, of people whom neither networks nor shape models had seen; see docs/accuracy.md. A bone that is shown from
end to end is aligned along its whole length, one that runs out of the field along a part: their errors differ.
"""

from __future__ import annotations

from typing import Final

from pipeline.stages.fit import Fit
from pipeline.surface import Bone

WHOLE_SHARE: Final = 0.9
"""Of a bone's vertices in the field, from which on it is shown whole."""

FACTORS: Final = {
    (Bone.FEMUR, "part"): 0.75,
    (Bone.FEMUR, "whole, one view"): 1.15,
    (Bone.FEMUR, "whole"): 0.92,
    (Bone.HIP_BONE, "part"): 0.86,
    (Bone.HIP_BONE, "whole, one view"): 0.94,
    (Bone.SACRUM, "whole, one view"): 0.85,
    (Bone.TIBIA, "part"): 0.8,
    (Bone.TIBIA, "whole"): 0.8,
    (Bone.FIBULA, "part"): 0.9,
    (Bone.FIBULA, "whole"): 0.8,
    (Bone.PATELLA, "whole"): 0.8,
}
"""Relative to the shape model's own factor. Of tibia, fibula and patella few people are known: wider than measured."""


def interval_factor(fit: Fit) -> float:
    """What the posterior's standard deviations are multiplied by; 1 for a group that nobody measured."""
    shown = float(fit.in_field.mean()) > WHOLE_SHARE
    group = ("whole" if fit.crossed else "whole, one view") if shown else "part"
    return fit.model.interval_factor * FACTORS.get((fit.bone, group), 1.0)

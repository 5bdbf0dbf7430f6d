"""The regions of the body that bones are reconstructed from, and the views that a study of each has.

One table for everybody: settling waits for these views, the gate admits these regions, and reconstruction leaves out
what a missing view would have to show.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pipeline.radiograph import View
from pipeline.surface import Bone


class Region(StrEnum):
    """What a radiograph shows; the values are those of the gate's contents."""

    PELVIS = "pelvis"
    HIP = "hip"
    FEMUR = "femur"
    KNEE = "knee"


class Projection(StrEnum):
    """How the beam passed the patient, from the front or the back taken together."""

    FRONTAL = "frontal"
    LATERAL = "lateral"


VIEWS_OF: Final[Mapping[Region, tuple[Projection, ...]]] = {
    Region.PELVIS: (Projection.FRONTAL,),
    Region.HIP: (Projection.FRONTAL, Projection.LATERAL),
    Region.FEMUR: (Projection.FRONTAL, Projection.LATERAL),
    Region.KNEE: (Projection.FRONTAL, Projection.LATERAL),
}
"""A pelvis is taken from the front and that is the whole study; a limb is taken from two sides."""

PROJECTION_OF: Final = {
    View.AP: Projection.FRONTAL,
    View.PA: Projection.FRONTAL,
    View.LATERAL: Projection.LATERAL,
}

REGION_OF: Final = {
    "PELVIS": Region.PELVIS,
    "HIP": Region.HIP,
    "FEMUR": Region.FEMUR,
    "THIGH": Region.FEMUR,
    "KNEE": Region.KNEE,
    "PATELLA": Region.KNEE,
}
"""Terms of BodyPartExamined (0018,0015), PS3.16 Annex L."""

FRONTAL_TOO: Final = {Region.HIP: Region.PELVIS}
"""A frontal film of the second shows both sides of the first: hips are often taken as a pelvis and a lateral."""

OVERLAPPING_FILMS: Final = (Region.FEMUR,)
"""Longer than a cassette: a view may come as two films, the other view then does as well."""

NEED_A_LATERAL: Final = (Bone.PATELLA,)
"""From the front they lie before another bone: their outline says nothing of their depth."""

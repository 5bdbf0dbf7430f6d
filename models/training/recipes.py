"""How the shape model of every bone is made: which bone lends its triangles, and how freely bones of a kind differ."""

from __future__ import annotations

from dataclasses import dataclass

from models.training.bones import Kind
from models.training.correspondence import KERNELS, RANK, TEMPLATE_TRIANGLES, Kernels


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What differs between bones in how their models are made.

    Attributes:
        templates: Smooth bones of middling size; the first whose person is not left out lends its triangles.
        triangles: Of the template.
        long: Whether the bone has a long axis.
        kernels: Of the deformations by which one such bone becomes another.
        rank: Of their low-rank basis.
        size_sd: Relative standard deviation of a free size: a bone larger than any here must not be penalised.
        length_sd: The same of a free length along the long axis.
        bending: Length scale and standard deviation (mm) of smooth changes in any direction: bending, torsion, slope.
        residual_kernels: Length scale and standard deviation (mm) of random fields along the normals, matched to what
            leaving one person out left unexplained.
        residual_rank: Of their low-rank basis.
        modes: How many joint modes are kept.
        licence: The strictest of the sources'.
        interval_factor: By how much predicted deviations grow to hold on people whom the model never saw.
    """

    templates: tuple[str, ...]
    triangles: int
    long: bool
    kernels: Kernels
    rank: int
    size_sd: float
    length_sd: float
    bending: Kernels
    residual_kernels: Kernels
    residual_rank: int
    modes: int
    licence: str
    interval_factor: float


SHARE_ALIKE = "CC BY-NC-SA 4.0"
"""VSDFullBodyBoneModels asks for the same licence on what is derived from it; msk-STAPLE (CC BY-NC) allows it."""

RECIPES: dict[Kind, Recipe] = {
    Kind.FEMUR: Recipe(
        templates=("z062-R", "z019-R"),
        triangles=TEMPLATE_TRIANGLES,
        long=True,
        kernels=KERNELS,
        rank=RANK,
        size_sd=0.08,
        length_sd=0.04,
        bending=(),
        residual_kernels=((60.0, 0.6), (25.0, 0.7), (12.0, 0.8)),
        residual_rank=240,
        modes=130,
        licence=SHARE_ALIKE,
        interval_factor=0.97,
    ),
    Kind.HIP_BONE: Recipe(
        templates=("z062-R", "z019-R"),
        triangles=6400,
        long=False,
        kernels=((100.0, 8.0), (45.0, 5.0), (20.0, 3.0), (8.0, 1.0)),
        rank=360,
        size_sd=0.06,
        length_sd=0.0,
        bending=(),
        residual_kernels=((60.0, 0.9), (25.0, 1.0), (12.0, 0.9)),
        residual_rank=160,
        modes=74,
        licence=SHARE_ALIKE,
        interval_factor=1.0,
    ),
    Kind.SACRUM: Recipe(
        templates=("z062-R", "z019-R"),
        triangles=4800,
        long=False,
        kernels=((80.0, 8.0), (35.0, 5.0), (15.0, 3.0), (7.0, 1.0)),
        rank=320,
        size_sd=0.08,
        length_sd=0.0,
        bending=(),
        residual_kernels=((50.0, 1.2), (20.0, 1.2), (10.0, 1.0)),
        residual_rank=160,
        modes=90,
        licence=SHARE_ALIKE,
        interval_factor=1.0,
    ),
    Kind.TIBIA: Recipe(
        templates=("z013-R", "tlem2-R"),
        triangles=5200,
        long=True,
        kernels=((200.0, 12.0), (70.0, 6.0), (25.0, 2.5), (10.0, 0.8)),
        rank=320,
        size_sd=0.08,
        length_sd=0.04,
        bending=((150.0, 2.5),),
        residual_kernels=((50.0, 1.0), (22.0, 0.9), (12.0, 0.7)),
        residual_rank=160,
        modes=90,
        licence=SHARE_ALIKE,
        interval_factor=1.0,
    ),
    Kind.FIBULA: Recipe(
        templates=("z013-R", "tlem2-R"),
        triangles=3200,
        long=True,
        kernels=((200.0, 12.0), (70.0, 6.0), (25.0, 2.5), (10.0, 0.8)),
        rank=280,
        size_sd=0.08,
        length_sd=0.04,
        bending=((150.0, 3.0),),
        residual_kernels=((50.0, 0.9), (22.0, 0.8), (12.0, 0.6)),
        residual_rank=120,
        modes=80,
        licence=SHARE_ALIKE,
        interval_factor=1.0,
    ),
    Kind.PATELLA: Recipe(
        templates=("tlem2-R", "z013-R"),
        triangles=1800,
        long=False,
        kernels=((60.0, 5.0), (25.0, 3.0), (10.0, 1.2), (5.0, 0.5)),
        rank=240,
        size_sd=0.09,
        length_sd=0.0,
        bending=((40.0, 1.2),),
        residual_kernels=((25.0, 0.9), (12.0, 0.8), (7.0, 0.5)),
        residual_rank=120,
        modes=70,
        licence=SHARE_ALIKE,
        interval_factor=1.0,
    ),
}

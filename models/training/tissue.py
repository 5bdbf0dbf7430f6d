"""The soft parts: thighs, trunk and lower legs as tapered tubes of skin and of muscle, of varied build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.training.primitives import Mesh, tube
from pipeline.geometry import FloatArray

_ANGLES = 40


@dataclass(frozen=True, kw_only=True)
class Build:
    """A person's build; lengths in mm.

    Attributes:
        thigh: Radius of the thigh below the groin.
        knee: Radius at the knee.
        calf: Radius of the calf.
        fat: Thickness of the fat under the skin of the thigh; the trunk has 1.5 times as much.
        trunk_width: Half width of the pelvis with its soft parts.
        trunk_depth: Half depth.
        unevenness: Relative height of the bumps of the surface.
    """

    thigh: float
    knee: float
    calf: float
    fat: float
    trunk_width: float
    trunk_depth: float
    unevenness: float


def sample_build(rng: np.random.Generator) -> Build:
    """Anyone from thin to obese."""
    heaviness = rng.uniform(0, 1)
    return Build(
        thigh=68 + 50 * heaviness + rng.normal(0, 5),
        knee=50 + 18 * heaviness + rng.normal(0, 3),
        calf=44 + 20 * heaviness + rng.normal(0, 3),
        fat=3 + 30 * heaviness**1.5 * rng.uniform(0.5, 1.3),
        trunk_width=150 + 60 * heaviness + rng.normal(0, 8),
        trunk_depth=88 + 60 * heaviness + rng.normal(0, 6),
        unevenness=rng.uniform(0.01, 0.06),
    )


def leg(
    hip: FloatArray, knee: FloatArray, ankle: FloatArray, medial: FloatArray, build: Build, rng: np.random.Generator
) -> tuple[list[Mesh], list[Mesh]]:
    """Skin and muscle of one leg.

    Args:
        hip: (3,) mm, centre of the femoral head.
        knee: (3,) mm.
        ankle: (3,) mm.
        medial: (3,) unit vector towards the midline.
        build: Whose leg.
        rng: Source of its bumps.
    """
    back = np.array([0.0, 1.0, 0.0])
    inwards, backwards = rng.uniform(0, 22), rng.uniform(0, 22)
    steps = np.array(np.linspace(-0.16, 1.1, 20))[:, None]
    thigh_path = hip + steps * (knee - hip) + (1 - steps) * (inwards * medial + backwards * back)
    rounded = np.interp(steps[:, 0], [-0.16, -0.06, 0.05, 0.95, 1.05, 1.1], [0.3, 0.75, 1.0, 1.0, 0.85, 0.4])
    thigh_radius = (build.thigh + (build.knee - build.thigh) * np.clip(steps[:, 0], 0, 1) ** 1.2) * rounded
    calf_steps = np.array(np.linspace(-0.12, 1.1, 18))[:, None]
    calf_path = knee + calf_steps * (ankle - knee) + 8 * back * np.clip(calf_steps * 4, 0, 1)
    bulge = np.interp(calf_steps[:, 0], [0.15, 0.35, 0.8, 1.1], [0.95, 1.0, 0.62, 0.66])
    below_knee = np.interp(calf_steps[:, 0], [-0.12, -0.05, 0.0, 0.2], [0.4, 0.85, 1.0, 0.0])
    calf_radius = np.maximum(build.calf * bulge * (calf_steps[:, 0] > 0), build.knee * below_knee)
    skin, muscle = [], []
    for path, radius in ((thigh_path, thigh_radius), (calf_path, calf_radius)):
        bumps = _bumps(len(path), build.unevenness, rng)
        skin.append(tube(path, radius[:, None] * bumps, medial))
        lean = np.maximum(radius - build.fat, 0.55 * radius)
        muscle.append(tube(path, lean[:, None] * bumps * _bumps(len(path), 0.03, rng), medial))
    return skin, muscle


def trunk(midline: FloatArray, up: FloatArray, build: Build, rng: np.random.Generator) -> tuple[list[Mesh], list[Mesh]]:
    """Skin and muscle of the trunk from the groin to the waist.

    Args:
        midline: (3,) mm, in the midline at the height of the femoral heads.
        up: (3,) unit vector along the spine.
        build: Whose trunk.
        rng: Source of its bumps.
    """
    lowest = rng.uniform(-90, -50)
    heights = np.r_[lowest + np.array([0, 8, 20, 38]), np.linspace(lowest + 65, 330, 14)]
    path = midline + heights[:, None] * up + np.array([0.0, rng.uniform(5, 30), 0.0])
    levels = [lowest, lowest + 10, lowest + 38, lowest + 90, 330]
    waist = np.asarray(np.interp(heights, levels, [0.25, 0.55, 0.85, 1.0, 0.9]))
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)

    def section(width: float, depth: float) -> FloatArray:
        power = 2.4
        return np.asarray(
            (np.abs(np.cos(angles) / width) ** power + np.abs(np.sin(angles) / depth) ** power) ** (-1 / power)
        )

    bumps = _bumps(len(path), build.unevenness, rng)
    fat = min(1.5 * build.fat, 0.4 * build.trunk_depth)
    skin = waist[:, None] * section(build.trunk_width, build.trunk_depth) * bumps
    muscle = waist[:, None] * section(build.trunk_width - fat, build.trunk_depth - fat) * bumps
    across = np.array([1.0, 0.0, 0.0])
    return [tube(path, skin, across)], [tube(path, muscle, across)]


def _bumps(count: int, unevenness: float, rng: np.random.Generator) -> FloatArray:
    """(count, angles) smooth factors around 1."""
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    along = np.linspace(0, 1, count)[:, None]
    factor = np.ones((count, _ANGLES))
    for order in (1, 2, 3, 4):
        phase, drift, wave = rng.uniform(0, 2 * np.pi, 3)
        swing = np.cos(2 * np.pi * rng.uniform(0.3, 1.5) * along + wave)
        factor = factor + unevenness / order * np.cos(order * angles + phase + drift * along) * (0.6 + 0.4 * swing)
    return np.asarray(factor)

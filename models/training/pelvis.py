"""A pelvis put together from simple bodies around given femoral heads: free of anybody's licence, and always in place.

It stands in where the collection has no pelvis of the same person. What matters to a radiograph of the hip is there:
a cup concentric with the femoral head, the iliac wing, the rami around the obturator foramen, the sacrum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.training.primitives import Mesh, cup, ellipsoid, tube
from pipeline.geometry import FloatArray


def build_hip_bone(head: FloatArray, head_radius: float, medial: FloatArray, rng: np.random.Generator) -> list[Mesh]:
    """One hip bone around a femoral head, as overlapping closed bodies.

    Args:
        head: (3,) centre of the femoral head, mm LPS.
        head_radius: mm.
        medial: (3,) unit vector towards the midline.
        rng: Source of the bone's individual shape.
    """
    frame = np.stack([medial, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    size = head_radius / 24.0 * rng.uniform(0.93, 1.07)

    def at(inwards: float, backwards: float, upwards: float) -> FloatArray:
        jitter = rng.normal(0, 2.5, 3)
        return np.asarray(head + size * (np.array([inwards, backwards, upwards]) + jitter) @ frame)

    mouth = np.array([-0.75, rng.uniform(-0.45, -0.1), rng.uniform(-0.75, -0.5)]) @ frame
    space = rng.uniform(2.0, 4.5)
    bodies = [
        cup(
            head,
            mouth / np.linalg.norm(mouth),
            inner_mm=head_radius + space,
            outer_mm=head_radius + space + rng.uniform(6, 10) * size,
            opening_degrees=rng.uniform(78, 95),
        )
    ]
    ischium = [at(16, 24, -18), at(8, 32, -45), at(12, 26, -68)]
    inferior_ramus = [at(12, 20, -70), at(35, 0, -62), at(66, -22, -42)]
    superior_ramus = [at(20, -14, -4), at(45, -30, -4), at(74, -34, -22)]
    symphysis = [at(72, -34, -12), at(76, -30, -30), at(72, -22, -48)]
    column = [at(22, 10, -8), at(20, 18, 30), at(38, 42, 62)]
    bodies += [
        _ramus(ischium, [15, 16, 13], rng),
        _ramus(inferior_ramus, [11, 6, 7], rng),
        _ramus(superior_ramus, [12, 8, 9], rng),
        _ramus(symphysis, [8, 9, 7], rng),
        _ramus(column, [17, 13, 13], rng),
    ]
    crest = [at(-28, -42, 88), at(-30, 10, 142), at(20, 62, 108)]
    return [*bodies, _wing(at(-2, 8, 78), frame, size, rng), _ramus(crest, [7, 8, 9], rng)]


def build_sacrum(midline: FloatArray, size: float, rng: np.random.Generator) -> list[Mesh]:
    """Sacrum and last lumbar vertebrae.

    Args:
        midline: (3,) mm, in the midline at the height of the femoral heads.
        size: 1 for a man of middle size.
        rng: Source of the individual shape.
    """
    path = midline + size * np.array([[0.0, 60, 118], [0, 82, 95], [0, 92, 60], [0, 80, 25], [0, 62, 5]])
    width = np.array([44.0, 46, 36, 22, 10])[:, None] * size * rng.uniform(0.9, 1.1)
    depth = np.array([20.0, 22, 16, 11, 6])[:, None] * size
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = 1 / np.sqrt((np.cos(angles) / width) ** 2 + (np.sin(angles) / depth) ** 2)
    vertebrae = [
        ellipsoid(midline + size * np.array([0.0, 52 - 4 * k, 142 + 36 * k]), size * np.diag([27.0, 20, 17]))
        for k in range(4)
    ]
    return [tube(path, radii, np.array([1.0, 0, 0])), *vertebrae]


def _ramus(points: Sequence[FloatArray], radii: Sequence[float], rng: np.random.Generator) -> Mesh:
    """A rounded strut through three points."""
    knots = np.array([0.0, 0.5, 1.0])
    steps = (1 - np.cos(np.linspace(0, np.pi, 22))) / 2
    stacked = np.array(points)
    curve = np.stack([np.polyval(np.polyfit(knots, stacked[:, axis], 2), steps) for axis in range(3)], axis=1)
    profile = np.polyval(np.polyfit(knots, np.array(radii), 2), steps)
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    flattening = 1 + rng.uniform(0, 0.3) * np.cos(2 * angles + rng.uniform(0, np.pi))
    from_end = np.minimum(steps, 1 - steps) / 0.2
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(from_end, 0, 1)) ** 2, 0.002, 1))
    return tube(curve, (profile * rounded)[:, None] * flattening, np.array([0.3, 1.0, 0.2]))


def _wing(centre: FloatArray, frame: FloatArray, size: float, rng: np.random.Generator) -> Mesh:
    """The iliac wing, a flat ellipsoid flared sideways and turned to the front."""
    flare, turn = np.radians(rng.uniform(8, 25)), np.radians(rng.uniform(20, 50))
    up = np.array([-np.sin(flare), 0.0, np.cos(flare)])
    along = np.array([np.sin(turn), np.cos(turn), 0.0])
    along = along - (along @ up) * up
    along = along / np.linalg.norm(along)
    thin = np.cross(up, along)
    axes = np.stack([along * rng.uniform(60, 78), thin * rng.uniform(5, 8), up * rng.uniform(52, 66)])
    return ellipsoid(centre, size * axes @ frame)

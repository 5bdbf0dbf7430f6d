"""What else comes to a hospital's modalities: lower legs, feet, chests, heads, arms, infants, put together roughly.

Counter-examples for the gate. They need not be anatomy: they must differ from a femur in the ways the real ones do.
Bones of legs and feet are the collection's; everything else is procedural.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.training.anatomy import Anatomy
from models.training.cortex import core_of_flat_bone
from models.training.primitives import Mesh, ellipsoid, tube
from models.training.raycast import Layer
from models.training.tissue import leg, sample_build
from pipeline.geometry import FloatArray

BACK = np.array([0.0, 1.0, 0.0])
UP = np.array([0.0, 0.0, 1.0])
LEFT = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True, kw_only=True, eq=False)
class OtherScene:
    """A part of a body.

    Attributes:
        meshes: Per tissue, mm LPS.
        air: Closed bodies of air inside the soft parts.
        centre: (3,) mm where the beam is aimed.
        size: (width, height) mm of what is of interest.
        turns: Degrees about the body's long axis at which it is taken.
    """

    meshes: Mapping[Layer, Sequence[Mesh]]
    centre: FloatArray
    size: tuple[float, float]
    turns: tuple[float, ...] = (0.0, 90.0)
    air: Sequence[Mesh] = ()


def _scene(
    bones: Sequence[Mesh],
    soft: Sequence[Mesh],
    centre: FloatArray,
    size: tuple[float, float],
    *,
    cortex_mm: float,
    turns: tuple[float, ...] = (0.0, 90.0),
    air: Sequence[Mesh] = (),
) -> OtherScene:
    cores = [core_of_flat_bone(mesh, thickness_mm=cortex_mm) for mesh in bones]
    meshes = {Layer.BONE: bones, Layer.BONE_CORE: cores, Layer.SKIN: soft, Layer.MUSCLE: soft}
    return OtherScene(meshes=meshes, centre=centre, size=size, turns=turns, air=air)


def strut(points: FloatArray, radii: Sequence[float], *, flat: float = 1.0) -> Mesh:
    """A rounded bar along a smooth curve through (N, 3) points, `flat` times as thick one way as the other."""
    knots = np.linspace(0, 1, len(points))
    steps = (1 - np.cos(np.linspace(0, np.pi, 24))) / 2
    degree = min(len(points) - 1, 3)
    curve = np.stack([np.polyval(np.polyfit(knots, points[:, axis], degree), steps) for axis in range(3)], axis=1)
    profile = np.interp(steps, np.linspace(0, 1, len(radii)), radii)
    from_end = np.clip(np.minimum(steps, 1 - steps) / 0.06, 0, 1)
    profile = profile * np.sqrt(np.clip(1 - (1 - from_end) ** 2, 0.01, 1))
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    section = 1 / np.sqrt(np.cos(angles) ** 2 + (np.sin(angles) / flat) ** 2)
    along = points[-1] - points[0]
    across = np.eye(3)[int(np.argmin(np.abs(along)))]
    return tube(curve, profile[:, None] * section, across)


def _blob(centre: FloatArray, x: float, y: float, z: float) -> Mesh:
    return ellipsoid(centre, np.diag([x, y, z]))


def lower_leg(anatomy: Anatomy, rng: np.random.Generator) -> OtherScene:
    """Tibia and fibula, whole or in part, with what is seen of knee and foot."""
    own = {n: m for n, m in anatomy.neighbours.items() if n.endswith(f"_{anatomy.side}")}
    bones = [mesh for name, mesh in own.items() if not name.startswith(("hip", "femur", "pelvis"))]
    tibia = own[f"tibia_{anatomy.side}"].vertices
    top, bottom = (
        tibia[tibia[:, 2] > tibia[:, 2].max() - 10].mean(0),
        tibia[tibia[:, 2] < tibia[:, 2].min() + 10].mean(0),
    )
    skin, _ = leg(anatomy.head_centre, anatomy.knee, bottom, -anatomy.lateral, sample_build(rng), rng)
    foot = strut(np.stack([bottom + 35 * BACK, bottom - 20 * UP, bottom - 150 * BACK - 45 * UP]), [38, 45, 30])
    length = float(np.linalg.norm(top - bottom))
    shown = rng.uniform(0.45, 1.25)
    low, high = (0.5, 0.5) if shown > 0.95 else (0.45, 0.75)
    centre = top + rng.uniform(low, high) * (bottom - top)
    return _scene(
        [anatomy.femur, *bones],
        [*skin, foot],
        centre,
        (rng.uniform(90, 260), shown * length),
        cortex_mm=rng.uniform(2, 4),
    )


def foot(anatomy: Anatomy, rng: np.random.Generator) -> OtherScene:
    """Ankle and foot of somebody whose feet the collection has."""
    own = {n: m for n, m in anatomy.neighbours.items() if n.endswith(f"_{anatomy.side}")}
    names = ("tibia", "fibula", "talus", "calc", "toes", "tarsals", "metatarsals", "phalanges")
    bones = [mesh for name, mesh in own.items() if name.startswith(names)]
    talus = own[f"talus_{anatomy.side}"].vertices.mean(axis=0)
    soft = [
        strut(np.stack([talus + 60 * BACK - 20 * UP, talus - 10 * UP, talus - 170 * BACK - 40 * UP]), [34, 42, 26]),
        strut(np.stack([talus + 250 * UP + 20 * BACK, talus + 120 * UP, talus]), [50, 45, 38]),
    ]
    centre = talus + rng.uniform(-60, 10) * BACK + rng.uniform(-20, 40) * UP
    return _scene(bones, soft, centre, (rng.uniform(120, 260), rng.uniform(130, 260)), cortex_mm=rng.uniform(1, 2.5))


def ankle(bones: Sequence[Mesh], rng: np.random.Generator) -> OtherScene:
    """An ankle of which only the ends of tibia and fibula and the talus are known."""
    points = np.concatenate([mesh.vertices for mesh in bones])
    middle, low = points.mean(axis=0), points[:, 2].min()
    heel = np.array([middle[0], middle[1], low])
    soft = [
        strut(np.stack([middle + 200 * UP, middle, heel]), [50, 42, 40]),
        strut(np.stack([heel + 55 * BACK - 15 * UP, heel, heel - 150 * BACK - 30 * UP]), [32, 40, 26]),
    ]
    extra = [strut(np.stack([heel + 45 * BACK - 25 * UP, heel - 15 * UP, heel - 20 * BACK - 20 * UP]), [20, 22, 16])]
    return _scene(
        [*bones, *extra], soft, middle, (rng.uniform(90, 200), rng.uniform(100, 220)), cortex_mm=rng.uniform(1, 3)
    )


def trunk_part(rng: np.random.Generator) -> OtherScene:
    """A chest or a belly, of a human or a dog, from the front or the side."""
    width, depth = rng.uniform(105, 150), rng.uniform(75, 145)
    spine_y = 0.75 * depth
    bones = [
        _blob(np.array([0, spine_y, 26 * k - 260 + rng.normal(0, 1)]), rng.uniform(15, 22), rng.uniform(13, 20), 11.5)
        for k in range(20)
    ]
    bones += [strut(np.array([[0, spine_y + 15, z], [0, spine_y + 40, z - 15]]), [5, 4]) for z in range(-260, 260, 26)]
    drop, count = rng.uniform(30, 90), int(rng.integers(9, 13))
    for k in range(count):
        level, size = 175 - 25 * k, 0.55 + 0.45 * np.sin(np.pi * min((k + 1.5) / count, 0.5))
        for side in (1, -1):
            angle = np.linspace(0.25, 2.6, 6)
            ring = np.stack(
                [side * width * size * np.sin(angle), depth * np.cos(angle), level - drop * angle / 2.6 + 12], axis=1
            )
            bones.append(strut(ring, [4.5, 5.5, 5, 4], flat=0.6))
    for side in (1, -1):
        bones.append(strut(np.array([[side * 12, -60, 175], [side * 80, -30, 190], [side * 150, 20, 190]]), [7, 6, 7]))
        bones.append(
            ellipsoid(
                np.array([side * 105.0, 70, 120]), np.array([[35.0 * side, -15, 10], [1, 4, 0], [-15.0 * side, 0, 70]])
            )
        )
        bones.append(
            strut(np.array([[side * 165.0, 20, 165], [side * 185, 20, 20], [side * 190, 20, -120]]), [24, 12, 13])
        )
    bones.append(strut(np.array([[0.0, -depth, 150], [0, -depth - 5, 60], [0, -depth + 5, 0]]), [14, 12, 8], flat=0.5))
    body = [
        strut(
            np.array([[0.0, 10, -420], [0, 0, 0], [0, 5, 300]]),
            [width + 30, width + 38, width + 10],
            flat=depth / width + 0.1,
        )
    ]
    body.append(strut(np.array([[0.0, 10, 180], [0, 10, 330]]), [75, 60]))
    lungs = [
        _blob(
            np.array([side * 0.52 * width, 0, 55 + rng.normal(0, 8)]), 0.43 * width, 0.8 * depth, rng.uniform(110, 135)
        )
        for side in (1, -1)
    ]
    belly = rng.random() < 0.3
    centre = np.array([rng.normal(0, 25), 0, -210 if belly else rng.uniform(20, 90)])
    return _scene(
        bones, body, centre, (rng.uniform(250, 400), rng.uniform(240, 430)), cortex_mm=rng.uniform(0.8, 1.6), air=lungs
    )


def head(rng: np.random.Generator) -> OtherScene:
    """A skull, or jaws unrolled as a panoramic picture shows them."""
    return _panoramic(rng) if rng.random() < 0.45 else _skull(rng)


def _panoramic(rng: np.random.Generator) -> OtherScene:
    bend = rng.uniform(10, 30)
    across = np.linspace(-75, 75, 16)
    bones = []
    for upper in (1, -1):
        for x in across:
            z = upper * 11 - bend * (x / 75) ** 2 * -0.5
            bones.append(_blob(np.array([x, 0, z]), 3.9, 4, 7.5))
            bones.append(strut(np.array([[x, 0, z + 4 * upper], [x + rng.normal(0, 1), 0, z + 18 * upper]]), [3, 1.5]))
    jaw = np.array([[-115.0, 2, 60], [-105, 2, 0], [-50, 2, -32], [0, 2, -36], [50, 2, -32], [105, 2, 0], [115, 2, 60]])
    bones += [strut(jaw[i : i + 3], [13, 13]) for i in range(0, 5, 2)]
    bones.append(strut(np.array([[-90.0, 3, 45], [0, 3, 32], [90, 3, 45]]), [12, 9, 12], flat=0.5))
    bones += [strut(np.array([[0.0, 8, -50], [0, 8, 90]]), [16, 16])] if rng.random() < 0.7 else []
    body = [_blob(np.array([0.0, 0, 10]), 150, 60, 100)]
    return _scene(
        bones, body, np.array([0.0, 0, 8]), (rng.uniform(230, 300), rng.uniform(100, 160)), cortex_mm=1.5, turns=(0.0,)
    )


def _skull(rng: np.random.Generator) -> OtherScene:
    size = rng.uniform(0.9, 1.1)
    bones = [_blob(np.zeros(3), 72 * size, 92 * size, 70 * size)]
    bones += [_blob(np.array([side * 32.0, -75, -15]), 22, 12, 20) for side in (1, -1)]
    bones += [_blob(np.array([0.0, -70, -45]), 40, 22, 26)]
    arch = np.array([[-50.0, -15, -60], [-40, -55, -88], [0, -85, -95], [40, -55, -88], [50, -15, -60]])
    bones += [strut(arch[:3], [9, 11]), strut(arch[2:], [11, 9])]
    bones += [_blob(np.array([x, -85 + 0.02 * x * x, z]), 3.5, 4, 8) for x in range(-28, 29, 8) for z in (-66, -82)]
    bones += [_blob(np.array([0.0, 15, -85 - 20 * k]), 16, 14, 9) for k in range(6)]
    body = [_blob(np.array([0.0, -5, -20]), 82, 105, 110), strut(np.array([[0.0, 10, -60], [0, 15, -260]]), [60, 65])]
    return _scene(
        bones,
        body,
        np.array([0.0, -10, -30]),
        (rng.uniform(200, 260), rng.uniform(210, 290)),
        cortex_mm=rng.uniform(3, 6),
    )


def arm(rng: np.random.Generator) -> OtherScene:
    """A hand, or a forearm with elbow or wrist."""
    hand = rng.random() < 0.55
    bones, soft = [], []
    for finger in range(5):
        base = np.array([22.0 * (finger - 2), 0, 30])
        lean = np.array([0.16 * (finger - 2) - (0.5 if finger == 0 else 0), 0, 1.0])
        start = base
        for length in (44, 30, 22, 0) if finger == 0 else (62, 42, 26, 18):
            if length:
                end = start + length * lean
                bones.append(strut(np.stack([start + 2 * lean, (start + end) / 2, end - 2 * lean]), [7, 4.5, 6]))
                start = end
        soft.append(strut(np.stack([base, (base + start) / 2, start + 6 * lean]), [13, 11, 9]))
    bones += [_blob(np.array([13.0 * (k % 4 - 1.5), 0, 8 - 15 * (k // 4)]), 8, 8, 8) for k in range(8)]
    for x, radius in ((-14, 11), (14, 9)):
        shaft = np.array([[x, 0, -16], [1.2 * x, 0, -130], [x, 0, -250]])
        bones.append(strut(shaft, [1.4 * radius, 0.7 * radius, 0.75 * radius, 1.4 * radius]))
    bones.append(strut(np.array([[0.0, 5, -262], [0, 5, -400], [0, 5, -520]]), [27, 11, 12], flat=0.8))
    soft += [
        strut(np.array([[0.0, 0, 60], [0, 0, 10], [0, 0, -30]]), [42, 38, 30], flat=0.5),
        strut(np.array([[0.0, 0, -20], [0, 0, -150], [0, 0, -260], [0, 0, -500]]), [30, 42, 50, 60]),
    ]
    centre = np.array([0.0, 0, 50 if hand else rng.uniform(-300, -90)])
    size = (rng.uniform(120, 240), rng.uniform(190, 260)) if hand else (rng.uniform(90, 200), rng.uniform(200, 380))
    return _scene(bones, soft, centre, size, cortex_mm=rng.uniform(1, 2.5))


def infant(rng: np.random.Generator) -> OtherScene:
    """An infant's pelvis: wings, ischia and shafts apart, heads a speck or not yet there."""
    bones, size = [], rng.uniform(0.85, 1.25)
    gap = rng.uniform(5, 11)
    for side in (1.0, -1.0):
        jitter = rng.normal(0, 2, 3)
        wing = np.array([side * 40.0, 5, 32]) + jitter
        tilt = side * rng.uniform(-0.3, 0.5)
        axes = np.array(
            [[23 * np.cos(tilt), 10, 23 * np.sin(tilt)], [2, 5, 0], [-24 * np.sin(tilt), 0, 24 * np.cos(tilt)]]
        )
        bones.append(ellipsoid(wing, axes))
        bones.append(strut(np.array([[side * 24.0, 0, 10], [side * 36, 0, 8], [side * 48, 2, 14]]), [6, 7, 5]))
        ischium = np.array([[side * 34.0, 6, 2 - gap], [side * 31, 8, -20], [side * 22, 4, -34]])
        pubis = np.array([[side * 28.0, -8, 1 - gap], [side * 14, -14, -8], [side * 7, -12, -22]])
        bones += [strut(ischium, [7, 6, 4]), strut(pubis, [5, 4, 5])]
        lateral = rng.uniform(48, 62)
        lean = rng.uniform(-0.15, 0.25)
        neck = np.array([side * lateral, 0, -4 - gap + rng.uniform(-6, 4)])
        shaft = np.stack(
            [
                neck,
                neck + np.array([side * (3 + 20 * lean), 0, -22]),
                neck + np.array([side * (5 + 100 * lean), 0, -120]),
            ]
        )
        bones.append(strut(shaft, [13, 9.5, 8, 8.5]))
        if rng.random() < 0.55:
            bones.append(_blob(neck + np.array([-side * 6, 0, 11]), *rng.uniform(2.5, 8, 3)))
    bones += [_blob(np.array([0.0, 25, 42 + 13 * k]), 13 - 0.3 * k, 9, 5) for k in range(7)]
    bones += [_blob(np.array([0.0, 28, 36 - 7 * k]), 11 - 2 * k, 4, 3) for k in range(4)]
    body = [strut(np.array([[0.0, 0, 190], [0, 0, 40], [0, 0, -40]]), [68, 72, 62], flat=0.72)]
    body += [
        strut(np.array([[s * 45.0, 0, 0], [s * 55, 0, -80], [s * 65, 0, -180]]), [38, 36, 30]) for s in (1.0, -1.0)
    ]
    scaled = [mesh.moved(mesh.vertices * size) for mesh in bones]
    soft = [mesh.moved(mesh.vertices * size) for mesh in body]
    width = rng.uniform(125, 190) * size
    centre = np.array([rng.normal(0, 6), 0, rng.uniform(-20, 15)]) * size
    return _scene(
        scaled, soft, centre, (width, width * rng.uniform(0.8, 1.15)), cortex_mm=rng.uniform(0.8, 1.6), turns=(0.0,)
    )

"""What surgeons leave in hips, legs and knees, drawn onto the shadows of the bones that carry it.

Prostheses, nails, plates, screws, wires and external fixators, placed by the projected landmarks and outlines of the
bones, in sizes as they are made. They need not fit: they must look like nothing that grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from models.training.bones import Kind
from models.training.metal import Sheet
from pipeline.geometry import FloatArray
from pipeline.surface import Name

BoolImage = npt.NDArray[np.bool_]

LEAST_AREA_MM2: Final = 120.0
"""Less metal than this in a picture is no implant that anyone is expected to see."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenBone:
    """A bone's shadow in a picture.

    Attributes:
        mask: (rows, columns) where it falls.
        points: (2,) column and row of its landmarks; they may lie outside the picture.
    """

    mask: BoolImage
    points: Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """The bones of a picture, and what it takes to draw on them.

    Attributes:
        bones: Those whose landmarks are known.
        spacing_mm: Size of a pixel.
        lateral: Whether the leg is seen from the side.
    """

    bones: Mapping[Name, SeenBone]
    spacing_mm: float
    lateral: bool

    def of(self, kind: Kind) -> list[SeenBone]:
        """All bones of a kind, of either side."""
        return [bone for (each, _), bone in self.bones.items() if each is kind]


class Shaft:
    """A long bone's shadow between two landmarks: where its middle is, and how wide it is.

    Args:
        bone: Whose shadow.
        top: (2,) pixels, share 0.
        bottom: (2,) pixels, share 1.
        spacing_mm: Size of a pixel.
    """

    _SHARES: Final = np.linspace(0.1, 0.95, 35)

    def __init__(self, bone: SeenBone, top: FloatArray, bottom: FloatArray, spacing_mm: float) -> None:
        self._top, self._run = top, bottom - top
        self.length_mm = float(np.linalg.norm(self._run)) * spacing_mm
        self.along = self._run / max(float(np.linalg.norm(self._run)), 1e-6)
        self.across = np.array([-self.along[1], self.along[0]])
        self._spacing = spacing_mm
        self._offset, self._half_width = self._measured(bone.mask)

    def _measured(self, mask: BoolImage) -> tuple[FloatArray, FloatArray]:
        """Offset of the middle from the line and half the width, pixels, at every share."""
        reach = np.arange(-45.0, 45.1, 1.0) / self._spacing
        points = self._top + self._SHARES[:, None, None] * self._run + reach[None, :, None] * self.across
        column, row = np.moveaxis(np.round(points).astype(int), -1, 0)
        inside = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
        hit = np.zeros(inside.shape, dtype=np.bool_)
        hit[inside] = mask[row[inside], column[inside]]
        seen = np.flatnonzero(hit.sum(axis=1) > 3)
        if not len(seen):
            return np.zeros(len(self._SHARES)), np.full(len(self._SHARES), 14.0 / self._spacing)
        ends = np.array([reach[np.flatnonzero(hit[k])[[0, -1]]] for k in seen])
        known = self._SHARES[seen]
        middle, half = ends.mean(axis=1), np.diff(ends, axis=1)[:, 0] / 2
        return np.interp(self._SHARES, known, middle), np.interp(self._SHARES, known, half)

    def middle(self, share: float) -> FloatArray:
        """(2,) pixels."""
        offset = float(np.interp(share, self._SHARES, self._offset))
        return np.asarray(self._top + share * self._run + offset * self.across)

    def half_width(self, share: float) -> float:
        """Pixels."""
        return float(np.interp(share, self._SHARES, self._half_width))

    def share(self, length_mm: float) -> float:
        """What share of the bone a length is."""
        return length_mm / max(self.length_mm, 1.0)


def implanted(carriers: Carriers, shape: tuple[int, int], rng: np.random.Generator) -> Sheet:
    """Millimetres of metal in a picture of somebody who was operated on.

    Raises:
        ValueError: The picture shows no bone that could carry what it would show.
    """
    makers = [make for kind, some in _MAKERS.items() if carriers.of(kind) for make in some]
    for _ in range(12):
        if not makers:
            break
        sheet = Sheet(shape, carriers.spacing_mm)
        for _ in range(1 + int(rng.random() < 0.2)):
            makers[int(rng.integers(len(makers)))](sheet, carriers, rng)
        if float((sheet.thickness > 1.0).sum()) * carriers.spacing_mm**2 > LEAST_AREA_MM2:
            return sheet
    raise ValueError("the picture shows no bone that could carry an implant")


def _one(bones: Sequence[SeenBone], rng: np.random.Generator) -> SeenBone:
    """A random bone, one that is well seen where there is one."""
    weight = np.array([float(bone.mask.sum()) + 1 for bone in bones])
    return bones[int(rng.choice(len(bones), p=weight / weight.sum()))]


def _femoral_shaft(bone: SeenBone, spacing_mm: float) -> Shaft:
    top = (bone.points["greater_trochanter"] + bone.points["lesser_trochanter"]) / 2
    return Shaft(bone, top, bone.points["intercondylar_notch"], spacing_mm)


def _tibial_shaft(bone: SeenBone, spacing_mm: float) -> Shaft:
    return Shaft(bone, bone.points["knee_centre"], bone.points["ankle_centre"], spacing_mm)


def _a_shaft(carriers: Carriers, rng: np.random.Generator) -> tuple[SeenBone, Shaft]:
    """A femur or a tibia, by how much of it is seen."""
    femora, tibiae = carriers.of(Kind.FEMUR), carriers.of(Kind.TIBIA)
    bone = _one([*femora, *tibiae], rng)
    shaft_of = _femoral_shaft if any(bone is femur for femur in femora) else _tibial_shaft
    return bone, shaft_of(bone, carriers.spacing_mm)


def _hip_prosthesis(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    bone = _one(carriers.of(Kind.FEMUR), rng)
    shaft = _femoral_shaft(bone, carriers.spacing_mm)
    head = bone.points["head_centre"] + rng.normal(0, 3, 2) / carriers.spacing_mm
    outwards = shaft.middle(0.05) - head
    if rng.random() < 0.12:
        _resurfacing(sheet, head, outwards, rng)
        return
    length = rng.uniform(180, 280) if rng.random() < 0.15 else rng.uniform(90, 170)
    shoulder = shaft.middle(0.02) - 0.25 * outwards
    tip = shaft.middle(shaft.share(length))
    sheet.rod(shoulder, tip, rng.uniform(13, 24), tip=rng.uniform(6, 11))
    sheet.rod(shoulder, head, rng.uniform(10, 15))
    if rng.random() < 0.25:
        sheet.ball(head, rng.uniform(42, 54))
        return
    sheet.ball(head, rng.uniform(28, 36) * (rng.random() < 0.85))
    if rng.random() < 0.85:
        sheet.cup(head, rng.uniform(46, 60), rng.uniform(2.5, 6), outwards + rng.normal(0, 0.25) * outwards[::-1])
        if rng.random() < 0.3:
            inwards = -outwards / np.linalg.norm(outwards) / carriers.spacing_mm
            sheet.rod(head + 24 * inwards, head + rng.uniform(40, 60) * _turned(inwards, rng.normal(0, 0.4)), 6.5)


def _resurfacing(sheet: Sheet, head: FloatArray, outwards: FloatArray, rng: np.random.Generator) -> None:
    outer = rng.uniform(46, 58)
    sheet.cup(head, outer, rng.uniform(3, 5), outwards)
    sheet.cup(head, outer - 8, rng.uniform(3, 6), outwards)
    sheet.rod(head, head + 0.6 * outwards, rng.uniform(6, 9), tip=4)


def _nail(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    bone, shaft = _a_shaft(carriers, rng)
    start, stop = rng.uniform(-0.06, 0.08), rng.uniform(0.35, 0.97)
    if rng.random() < 0.25:
        start, stop = 1 - stop, rng.uniform(0.93, 1.0)
    sheet.bar(np.array([shaft.middle(share) for share in np.linspace(start, stop, 8)]), rng.uniform(8, 13.5))
    for end, inwards in ((start, 1), (stop, -1)):
        for number in range(int(rng.integers(0, 4))):
            share = end + inwards * shaft.share(15 + 14 * number + rng.uniform(-3, 3))
            _crossing_screw(sheet, shaft, share, rng, end_on=bool(rng.random() < 0.4))
    if "head_centre" in bone.points and start < 0.2 and rng.random() < 0.6:
        _screws_into_the_head(sheet, bone, shaft, rng, count=1 + int(rng.random() < 0.3), diameter=rng.uniform(9, 12))


def _crossing_screw(sheet: Sheet, shaft: Shaft, share: float, rng: np.random.Generator, *, end_on: bool) -> None:
    middle, half = shaft.middle(share), shaft.half_width(share) + 3 / sheet.spacing_mm
    diameter = rng.uniform(3.5, 6)
    if end_on:
        direction = _turned(shaft.along, rng.uniform(0, 2 * np.pi)) / sheet.spacing_mm
        sheet.rod(middle, middle + rng.uniform(0, 5) * direction, diameter)
        sheet.ball(middle, 2.4 * diameter)
        return
    direction = _turned(shaft.across, rng.normal(0, 0.12))
    sheet.rod(middle - half * direction, middle + half * rng.uniform(0.7, 1.1) * direction, diameter)
    sheet.ball(middle - half * direction, 1.7 * diameter)


def _screws_into_the_head(
    sheet: Sheet, bone: SeenBone, shaft: Shaft, rng: np.random.Generator, *, count: int, diameter: float
) -> None:
    """Parallel screws from below the trochanter into the head."""
    head = bone.points["head_centre"]
    away = shaft.middle(0.1) - head
    side = np.sign(away @ shaft.across) or 1.0
    entry = shaft.middle(rng.uniform(0.06, 0.16))
    entry = entry + side * shaft.half_width(0.15) * shaft.across
    direction = (head - entry) / max(float(np.linalg.norm(head - entry)), 1e-6)
    square = np.array([-direction[1], direction[0]])
    for number in range(count):
        shift = (number - (count - 1) / 2) * rng.uniform(0.9, 1.6) * diameter / sheet.spacing_mm * square
        target = entry + rng.uniform(0.9, 1.2) * (head - entry) + shift
        sheet.rod(entry + shift, target, diameter)
        sheet.rod(target - 16 / sheet.spacing_mm * direction, target, 1.25 * diameter)


def _plate(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    bone, shaft = _a_shaft(carriers, rng)
    length = rng.uniform(70, 260)
    first = rng.uniform(0.0, max(1.0 - shaft.share(length), 0.05))
    shares = np.linspace(first, min(first + shaft.share(length), 1.0), max(int(length / 16), 4))
    side = rng.choice([-1.0, 1.0])
    edge_on = rng.random() < 0.55
    width = rng.uniform(3, 5.5) if edge_on else rng.uniform(10, 18)
    lean = 1.0 if edge_on else rng.uniform(-0.4, 0.6)
    path = np.array(
        [
            shaft.middle(s) + side * (lean * shaft.half_width(s) + edge_on * 2 / sheet.spacing_mm) * shaft.across
            for s in shares
        ]
    )
    half = width / 2 / sheet.spacing_mm * shaft.across
    holes = [] if edge_on else [(point, rng.uniform(4, 7)) for point in path[1:-1]]
    sheet.plate(np.concatenate([path - half, (path + half)[::-1]]), rng.uniform(10, 16) if edge_on else 4.0, holes)
    for share, point in zip(shares, path, strict=True):
        if rng.random() < 0.7:
            _plate_screw(sheet, shaft, share, point, -side, rng, edge_on=edge_on)
    if "head_centre" in bone.points and first < 0.12 and rng.random() < 0.6:
        _screws_into_the_head(sheet, bone, shaft, rng, count=1, diameter=rng.uniform(8, 13))


def _plate_screw(
    sheet: Sheet,
    shaft: Shaft,
    share: float,
    point: FloatArray,
    inwards: float,
    rng: np.random.Generator,
    *,
    edge_on: bool,
) -> None:
    diameter = rng.uniform(3, 6.5)
    if edge_on:
        reach = rng.uniform(0.8, 2.2) * shaft.half_width(share)
        sheet.rod(point, point + reach * _turned(inwards * shaft.across, rng.normal(0, 0.1)), diameter)
    else:
        tilted = rng.uniform(0, 12) / sheet.spacing_mm * _turned(shaft.along, rng.uniform(0, 2 * np.pi))
        sheet.rod(point, point + tilted, diameter)
        sheet.ball(point, 2 * diameter)


def _knee_prosthesis(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    for bone in carriers.of(Kind.TIBIA)[:1]:
        _tibial_tray(sheet, _tibial_shaft(bone, carriers.spacing_mm), rng)
    for bone in carriers.of(Kind.FEMUR)[:1]:
        _femoral_component(sheet, bone, _femoral_shaft(bone, carriers.spacing_mm), carriers.lateral, rng)


def _tibial_tray(sheet: Sheet, shaft: Shaft, rng: np.random.Generator) -> None:
    tilt = rng.normal(0, 0.06)
    across, along = _turned(shaft.across, tilt), _turned(shaft.along, tilt)
    level = shaft.share(rng.uniform(4, 10))
    middle, half = shaft.middle(level), rng.uniform(30, 40) / sheet.spacing_mm
    deep = rng.uniform(3, 6) / sheet.spacing_mm
    corners = np.array([middle - half * across, middle + half * across])
    sheet.plate(np.concatenate([corners, (corners + deep * along)[::-1]]), rng.uniform(25, 50))
    keel = rng.uniform(90, 160) if rng.random() < 0.15 else rng.uniform(25, 60)
    sheet.rod(middle, middle + keel / sheet.spacing_mm * along, rng.uniform(10, 20), tip=rng.uniform(6, 12))


def _femoral_component(sheet: Sheet, bone: SeenBone, shaft: Shaft, lateral: bool, rng: np.random.Generator) -> None:
    pixels = 1 / sheet.spacing_mm
    outside = _grown(bone.mask, rng.uniform(0.5, 2) * pixels)
    rows, columns = np.mgrid[: outside.shape[0], : outside.shape[1]]
    below = (np.stack([columns, rows], axis=-1) - bone.points["intercondylar_notch"]) @ shaft.along * sheet.spacing_mm
    shape = outside & (below > -rng.uniform(18, 40 if lateral else 28))
    if lateral or rng.random() < 0.4:
        shape &= ~_grown(bone.mask, -rng.uniform(5, 11) * pixels)
    sheet.patch(shape.astype(np.float32), rng.uniform(12, 40))
    if rng.random() < 0.2:
        start = bone.points["intercondylar_notch"] - 15 * pixels * shaft.along
        sheet.rod(start, shaft.middle(1 - shaft.share(rng.uniform(60, 160))), rng.uniform(9, 16))


def _grown(mask: BoolImage, pixels: float) -> BoolImage:
    """A mask wider by some pixels all round, or narrower where they are negative."""
    size = 2 * round(abs(pixels)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    change = cv2.dilate if pixels > 0 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), kernel) > 0)


def _cerclages(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    _, shaft = _a_shaft(carriers, rng)
    first, diameter, angles = rng.uniform(0.05, 0.6), rng.uniform(1.2, 2.6), np.linspace(0, 2 * np.pi, 13)
    for number in range(int(rng.integers(1, 6))):
        share = first + shaft.share(number * rng.uniform(14, 40))
        tilt, open_px = rng.normal(0, 0.2), rng.uniform(0.5, 6) / sheet.spacing_mm
        across, along = _turned(shaft.across, tilt), _turned(shaft.along, tilt)
        half = shaft.half_width(share) + 1.5 / sheet.spacing_mm
        ring = half * np.cos(angles)[:, None] * across + open_px * np.sin(angles)[:, None] * along
        sheet.bar(shaft.middle(share) + ring, diameter)
        sheet.rod(
            shaft.middle(share) + half * across,
            shaft.middle(share)
            + half * across
            + rng.uniform(3, 9) / sheet.spacing_mm * _turned(across, rng.normal(0, 0.6)),
            2 * diameter,
        )


def _neck_screws(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    bone = _one(carriers.of(Kind.FEMUR), rng)
    shaft = _femoral_shaft(bone, carriers.spacing_mm)
    _screws_into_the_head(sheet, bone, shaft, rng, count=int(rng.integers(1, 4)), diameter=rng.uniform(5, 8))


def _loose_screws_and_wires(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    _, shaft = _a_shaft(carriers, rng)
    near = rng.choice([rng.uniform(0.0, 0.12), rng.uniform(0.85, 1.0), rng.uniform(0.1, 0.9)])
    wire = rng.random() < 0.4
    for _ in range(int(rng.integers(1, 5))):
        middle = shaft.middle(near + shaft.share(rng.normal(0, 12)))
        direction = _turned(shaft.across, rng.normal(0, 0.5))
        half = (rng.uniform(20, 60) if wire else rng.uniform(10, 35)) / sheet.spacing_mm
        diameter = rng.uniform(1.4, 3) if wire else rng.uniform(3.5, 7.5)
        sheet.rod(middle - half * direction, middle + half * direction, diameter)
        if not wire:
            sheet.ball(middle - half * direction, 1.6 * diameter)


def _pelvic_plate(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    bone = _one(carriers.of(Kind.HIP_BONE), rng)
    contours, _ = cv2.findContours(bone.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return
    outline = np.asarray(max(contours, key=len)[:, 0], dtype=np.float64)
    count = min(int(rng.uniform(50, 130) / sheet.spacing_mm), len(outline) - 1)
    path = np.roll(outline, -int(rng.integers(len(outline))), axis=0)[:count:6]
    if len(path) < 3:
        return
    sheet.bar(path + rng.normal(0, 3, 2) / sheet.spacing_mm, rng.uniform(4, 9))
    for point in path[:: max(len(path) // int(rng.integers(3, 8)), 1)]:
        reach = rng.uniform(12, 70) / sheet.spacing_mm
        sheet.rod(point, point + reach * _turned(np.array([1.0, 0.0]), rng.uniform(0, 2 * np.pi)), rng.uniform(3, 5))


def _sacroiliac_screws(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    sacrum = carriers.of(Kind.SACRUM)[0]
    joint = sacrum.points[str(rng.choice(["sacroiliac_centre_right", "sacroiliac_centre_left"]))]
    inwards = sacrum.points["endplate_centre"] - joint
    inwards = inwards / max(float(np.linalg.norm(inwards)), 1e-6)
    for _ in range(int(rng.integers(1, 3))):
        direction = _turned(inwards, rng.normal(0, 0.2)) / sheet.spacing_mm
        start = joint - rng.uniform(10, 35) * direction + rng.normal(0, 6, 2) / sheet.spacing_mm
        sheet.rod(start, start + rng.uniform(70, 140) * direction, rng.uniform(6.5, 8))
        sheet.ball(start, rng.uniform(9, 13))


def _patellar_wires(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    patella = carriers.of(Kind.PATELLA)[0]
    base, apex = patella.points["base"], patella.points["apex"]
    square = np.array([apex[1] - base[1], base[0] - apex[0]]) / max(float(np.linalg.norm(apex - base)), 1e-6)
    beyond = 0.25 * (apex - base)
    for side in (-1, 1):
        shift = side * rng.uniform(2, 9) / sheet.spacing_mm * square
        sheet.rod(base - beyond + shift, apex + beyond + shift, rng.uniform(1.6, 3.5))
    loop = np.array([base - beyond / 2 + 9 * square, apex + beyond / 2 - 9 * square, apex + beyond / 2 + 9 * square])
    sheet.bar(loop, rng.uniform(1.0, 1.8))


def _external_fixator(sheet: Sheet, carriers: Carriers, rng: np.random.Generator) -> None:
    _, shaft = _a_shaft(carriers, rng)
    side, gap = rng.choice([-1.0, 1.0]), rng.uniform(35, 80) / sheet.spacing_mm
    shares = np.sort(rng.uniform(0.05, 0.95, int(rng.integers(3, 7))))
    outside = [shaft.middle(share) + side * gap * shaft.across for share in shares]
    sheet.rod(outside[0], outside[-1], rng.uniform(6, 12))
    for share, point in zip(shares, outside, strict=True):
        through = shaft.middle(share) - side * shaft.half_width(share) * shaft.across
        sheet.rod(point, through, rng.uniform(3.5, 6))
        sheet.ball(point, rng.uniform(12, 22))


def _turned(direction: FloatArray, radians: float) -> FloatArray:
    cosine, sine = np.cos(radians), np.sin(radians)
    return np.asarray([cosine * direction[0] - sine * direction[1], sine * direction[0] + cosine * direction[1]])


Maker = Callable[[Sheet, Carriers, np.random.Generator], None]

_MAKERS: Final[Mapping[Kind, tuple[Maker, ...]]] = {
    Kind.FEMUR: (_hip_prosthesis, _hip_prosthesis, _nail, _plate, _cerclages, _neck_screws, _external_fixator),
    Kind.TIBIA: (_knee_prosthesis, _knee_prosthesis, _nail, _plate, _loose_screws_and_wires, _external_fixator),
    Kind.HIP_BONE: (_pelvic_plate,),
    Kind.SACRUM: (_sacroiliac_screws,),
    Kind.PATELLA: (_patellar_wires,),
}
"""What each kind of bone carries, as often as it is named."""

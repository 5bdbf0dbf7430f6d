"""Films for the gate: legs and pelves with and without implants, casts and fractures, children, everything else.

python -m models.training.gate_films legs --shadows DIR --each 4 --out A.npz        of `bone_dataset`
python -m models.training.gate_films fractures --shadows DIR --each 6 --out B.npz   of `fractures`
python -m models.training.gate_films femora --shadows DIR --out C.npz               of `dataset`
python -m models.training.gate_films others --data DIR --scenes 160 --out D.npz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from models.training.anatomy import Anatomy, Collection, load_mesh
from models.training.belongings import belongings
from models.training.bone_dataset import BoneShadow, layers_of
from models.training.casts import cast_around
from models.training.dataset import ORDINARY_SHARE, Shadow, Window, coarse
from models.training.fields import BoneField
from models.training.fractures import MARGIN, SITES_FILE
from models.training.growth import growing
from models.training.implants import Carriers, SeenBone, implanted
from models.training.other_parts import OtherScene, ankle, arm, foot, head, infant, lower_leg, trunk_part
from models.training.photometry import Photometry, expose, sample_photometry, smooth_noise, typical_photometry
from models.training.positioning import Field
from models.training.primitives import Mesh
from models.training.raycast import Layer, path_lengths
from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import View
from pipeline.stages.enhance import WORKING_SIZE, exposed_field, normalise
from pipeline.stages.gate import CONTENTS, GATE_SIZE, HINDRANCES, Content, Hindrance, gate_input
from pipeline.stages.perceive import BONES, POINTS

FloatImage = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

Recipe = Callable[[np.random.Generator], tuple[OtherScene, tuple[str, ...]]]

RENDERED_SIZE = 320
FILMS_PER_GEOMETRY = 4

GRID: Final = GATE_SIZE // 16
"""Parts of a film along either side in which hindrances are looked for."""

LEAST_SHARE: Final = 0.03
"""Share of a part that something must cover to lie in it."""

FRACTURE_RADIUS_MM: Final = 18.0
CONTENT_OF: Final = {
    BoneField.PELVIS_AP: Content.PELVIS,
    BoneField.HIP_AP: Content.HIP,
    BoneField.HIP_FROG_LEG: Content.HIP,
    BoneField.HIP_CROSS_TABLE: Content.HIP,
    BoneField.FEMUR_AP: Content.FEMUR,
    BoneField.FEMUR_LATERAL: Content.FEMUR,
    BoneField.KNEE_AP: Content.KNEE,
    BoneField.KNEE_LATERAL: Content.KNEE,
    BoneField.LOWER_LEG_AP: Content.LOWER_LEG,
    BoneField.LOWER_LEG_LATERAL: Content.LOWER_LEG,
}
FEMORAL_CONTENT_OF: Final = {Field.WHOLE: Content.FEMUR, Field.HIP: Content.HIP, Field.DISTAL: Content.KNEE}
THINGS_SHARE: Final = 0.45
"""Share of films with something on or beside the patient."""

IN_CASTS: Final = (Content.FEMUR, Content.KNEE, Content.LOWER_LEG)


@dataclass(frozen=True, kw_only=True, eq=False)
class GateFilm:
    """A film as the gate sees it, and what is true of it.

    Attributes:
        image: (GATE_SIZE, GATE_SIZE) float32.
        content: What it shows.
        people: Whose bones are in it.
        lateral: Whether the beam crosses the body from side to side; None where it is not asked.
        hindrances: What is on it; None where it is not asked.
        places: (hindrances, GRID, GRID) bool, in which parts of the picture each lies; None where nothing is on it.
    """

    image: FloatImage
    content: Content
    people: tuple[str, ...] = ()
    lateral: bool | None = None
    hindrances: frozenset[Hindrance] | None = None
    places: BoolArray | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be on a film of a leg or a pelvis.

    Attributes:
        hindrances: What lies in the way.
        child: Whether the bones are growing.
        things: Whether something lies on or beside the patient.
    """

    hindrances: frozenset[Hindrance] = frozenset()
    child: bool = False
    things: bool = False


def draw_plan(content: Content, rng: np.random.Generator, *, broken: bool) -> Plan:
    """What is to be on the next film of a content."""
    hindrances = {Hindrance.FRACTURE} if broken else set[Hindrance]()
    chance = rng.random()
    if chance < (0.08 if broken else 0.30):
        hindrances.add(Hindrance.METAL)
    elif chance < (0.25 if broken else 0.42) and content in IN_CASTS:
        hindrances.add(Hindrance.CAST)
    child = not broken and chance > 0.90
    return Plan(hindrances=frozenset(hindrances), child=child, things=bool(rng.random() < THINGS_SHARE))


def leg_film(
    shadow: BoneShadow,
    plan: Plan,
    rng: np.random.Generator,
    *,
    site: FloatArray | None = None,
    ordinary_share: float = ORDINARY_SHARE,
) -> GateFilm:
    """A new film of a shadow, developed with what is on it.

    Args:
        shadow: Rendered path lengths.
        plan: What is on the film.
        rng: Source of everything else.
        site: (2,) column and row of the fracture in the shadow, where there is one.
        ordinary_share: Share of films as most departments deliver them.

    Raises:
        ValueError: The cut-out shows no bone or limb on which this could be.
    """
    window = _window(shadow.masks.shape, rng, whole=Hindrance.FRACTURE in plan.hindrances)
    lengths, carriers = layers_of(shadow, window), _carriers(shadow, window)
    spacing = carriers.spacing_mm
    photometry = any_photometry(rng, ordinary_share)
    foreign = np.zeros_like(lengths[Layer.BONE])
    covered = {each: np.zeros_like(foreign) for each in HINDRANCES}
    if Hindrance.METAL in plan.hindrances:
        sheet = implanted(carriers, (foreign.shape[0], foreign.shape[1]), rng)
        foreign += photometry.muscle * np.float32(rng.uniform(12, 45)) * sheet.thickness
        covered[Hindrance.METAL] = (sheet.thickness > 1.0).astype(np.float32)
    if Hindrance.CAST in plan.hindrances:
        cast = cast_around(lengths[Layer.SKIN], spacing, rng)
        foreign += photometry.muscle * cast
        covered[Hindrance.CAST] = (cast > 1.0).astype(np.float32)
    if site is not None:
        covered[Hindrance.FRACTURE] = _around(window.points(site), FRACTURE_RADIUS_MM / spacing, foreign.shape)
    if plan.child:
        lengths, smaller = growing(lengths, carriers, rng)
        spacing = spacing * smaller
    if plan.things:
        foreign += belongings(lengths[Layer.BONE] > 1, spacing, rng)
    film, _ = expose(lengths, spacing, photometry, rng, foreign=foreign)
    if rng.random() < 0.08:
        film = coarse(film)
    content = Content.CHILD if plan.child else CONTENT_OF[shadow.field]
    return GateFilm(
        image=as_gate_sees(film),
        content=content,
        people=shadow.people,
        lateral=shadow.field.lateral,
        hindrances=None if plan.child else plan.hindrances,
        places=np.stack([_parts(covered[each]) for each in HINDRANCES]),
    )


def _around(place: FloatArray, radius: float, shape: tuple[int, ...]) -> FloatImage:
    """1 within a circle of some pixels around a column and row."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(np.hypot(columns - place[0], rows - place[1]) < radius, dtype=np.float32)


def _parts(covered: FloatImage) -> BoolArray:
    """(GRID, GRID) which parts of the square that the gate looks at something covers."""
    return np.asarray(cv2.resize(gate_input(covered), (GRID, GRID), interpolation=cv2.INTER_AREA) > LEAST_SHARE)


def _window(shape: tuple[int, ...], rng: np.random.Generator, *, whole: bool) -> Window:
    """A cut-out; of a whole picture, one that leaves out nothing farther from the edges than fractures are."""
    while True:
        window = Window.draw(shape, WORKING_SIZE, rng)
        kept = (
            min(shape[0] - window.top, window.bottom) / shape[0],
            min(shape[1] - window.left, window.right) / shape[1],
        )
        if not whole or min(kept) >= 1 - MARGIN:
            return window


def any_photometry(rng: np.random.Generator, ordinary_share: float = ORDINARY_SHARE) -> Photometry:
    """Any film's; without its own foreign objects, among which are screws: here they must be known."""
    ordinary = rng.random() < ordinary_share
    photometry = typical_photometry(rng, marker="R") if ordinary else sample_photometry(rng)
    return replace(photometry, objects=0)


def _carriers(shadow: BoneShadow, window: Window) -> Carriers:
    points = window.points(shadow.landmarks)
    bones = {}
    for bit, name in enumerate(BONES):
        own = {point: place for (bone, point), place in zip(POINTS, points, strict=True) if bone == name}
        if all(np.isfinite(place).all() for place in own.values()):
            mask = window.cut((shadow.masks >> bit) & 1) > 0.5
            bones[name] = SeenBone(mask=mask, points=own)
    spacing = shadow.spacing_mm / window.factor
    return Carriers(bones=bones, spacing_mm=spacing, lateral=shadow.field.lateral)


def read_sites(folder: Path) -> dict[str, FloatArray]:
    """(2,) column and row of the fracture in every shadow of a folder, by the file's name; none of intact bones."""
    path = folder / SITES_FILE
    return {name: np.array(site) for name, site in json.loads(path.read_text()).items()} if path.is_file() else {}


def legs(
    paths: Sequence[Path], each: int, rng: np.random.Generator, *, broken: bool, ordinary_share: float = ORDINARY_SHARE
) -> Iterator[GateFilm]:
    """Films of rendered legs and pelves, as many of each shadow as are asked for."""
    sites = read_sites(paths[0].parent)
    nothing_more = Plan(hindrances=frozenset({Hindrance.FRACTURE} if broken else ()))
    for path in paths:
        shadow = BoneShadow.load(path)
        site = sites.get(path.name)
        for _ in range(each):
            plan = draw_plan(CONTENT_OF[shadow.field], rng, broken=broken)
            try:
                yield leg_film(shadow, plan, rng, site=site, ordinary_share=ordinary_share)
            except ValueError:  # no bone or limb in this cut-out to carry what was planned
                yield leg_film(shadow, nothing_more, rng, site=site, ordinary_share=ordinary_share)


def femora(paths: Sequence[Path], rng: np.random.Generator) -> Iterator[GateFilm]:
    """A film of every rendered femur."""
    for path in paths:
        shadow = Shadow.load(path)
        window = Window.draw(shadow.lengths.shape[1:], WORKING_SIZE, rng)
        lengths = {layer: window.cut(length) for layer, length in zip(Layer, shadow.lengths, strict=True)}
        spacing = shadow.spacing_mm / window.factor
        bone = lengths[Layer.BONE] + lengths[Layer.FEMUR] > 1
        foreign = belongings(bone, spacing, rng) if rng.random() < THINGS_SHARE else None
        film, _ = expose(lengths, spacing, any_photometry(rng), rng, foreign=foreign)
        yield GateFilm(
            image=as_gate_sees(film),
            content=FEMORAL_CONTENT_OF[shadow.field],
            people=(shadow.person,),
            lateral=shadow.view is View.LATERAL,
            hindrances=frozenset(),
        )


def others(data: Path, scenes: int, rng: np.random.Generator) -> Iterator[GateFilm]:
    """Films of everything that is no adult's leg or pelvis, and pictures that are no radiographs."""
    for content, ways in recipes(Collection(data), data).items():
        for number in range(scenes):
            scene, people = ways[number % len(ways)](rng)
            asked = frozenset[Hindrance]() if content in (Content.LOWER_LEG, Content.FOOT) else None
            for image in develop_scene(scene, rng):
                yield GateFilm(image=image, content=content, people=people, hindrances=asked)
    for _ in range(3 * scenes):
        yield GateFilm(image=no_radiograph(rng), content=Content.NO_RADIOGRAPH)


def look_at(scene: OtherScene, rng: np.random.Generator) -> ProjectionGeometry:
    """A beam onto a scene from one of its usual directions, the detector any way up."""
    turn = float(rng.choice(scene.turns)) + rng.normal(0, 9)
    quarter = float(rng.choice([0.0, 90.0, 180.0, 270.0], p=[0.7, 0.12, 0.06, 0.12]))
    rotation = Rotation.from_euler("ZY", [turn, quarter + rng.normal(0, 6)], degrees=True).as_matrix()
    across, beam, down = rotation @ [1.0, 0, 0], rotation @ [0, 1.0, 0], rotation @ [0, 0, -1.0]
    spread = rng.uniform(0.85, 1.25) if rng.random() < 0.7 else rng.uniform(1.25, 2.0)
    width, height = (side * spread for side in scene.size)
    if quarter in (90.0, 270.0):
        width, height = height, width
    distance, behind = rng.uniform(900, 1800), rng.uniform(150, 250)
    spacing = max(width, height) / RENDERED_SIZE
    corner = scene.centre + behind * beam - width / 2 * across - height / 2 * down
    return ProjectionGeometry(
        source=scene.centre - (distance - behind) * beam,
        detector_origin=corner,
        column_direction=across,
        row_direction=down,
        pixel_spacing=(spacing, spacing),
        rows=max(int(height / spacing), 48),
        columns=max(int(width / spacing), 48),
    )


def develop_scene(scene: OtherScene, rng: np.random.Generator) -> list[FloatImage]:
    """Some films of a scene from one direction, as the gate sees them."""
    geometry = look_at(scene, rng)
    lengths = path_lengths(scene.meshes, geometry, threads=1)
    if scene.air:
        air = path_lengths({Layer.SKIN: scene.air}, geometry, threads=1)[Layer.SKIN] * 0.8
        lengths[Layer.SKIN] = np.maximum(lengths[Layer.SKIN] - air, 0)
        lengths[Layer.MUSCLE] = np.maximum(lengths[Layer.MUSCLE] - air, 0)
    films = []
    for _ in range(FILMS_PER_GEOMETRY):
        film, _ = expose(lengths, geometry.pixel_spacing[0], any_photometry(rng), rng)
        films.append(as_gate_sees(film))
    return films


def as_gate_sees(film: FloatImage) -> FloatImage:
    """A picture through the product's own preparation."""
    return gate_input(normalise(film, exposed_field(film)))


def no_radiograph(rng: np.random.Generator) -> FloatImage:
    """Text, drawings, noise, pictures of things: anything but a radiograph."""
    shape = (int(rng.integers(160, 320)), int(rng.integers(160, 320)))
    kind = rng.integers(5)
    if kind == 0:
        return as_gate_sees(_document(shape, rng))
    if kind == 1:
        return as_gate_sees(rng.random(shape).astype(np.float32))
    canvas = 0.5 + 0.2 * sum(smooth_noise(shape, 2.0**k * 3, rng) / (5 - k) for k in range(1, 5))
    if kind == 2:
        return as_gate_sees(np.clip(canvas, 0, 1).astype(np.float32))
    for _ in range(int(rng.integers(3, 25))):
        points = rng.uniform(-20, 340, (int(rng.integers(3, 7)), 2)).astype(np.int32)
        layer = np.zeros(shape, dtype=np.uint8)
        cv2.fillPoly(layer, [points if kind == 3 else cv2.convexHull(points)[:, 0]], 1)
        canvas = np.where(layer > 0, rng.uniform(0, 1) + 0.1 * smooth_noise(shape, rng.uniform(1, 30), rng), canvas)
    return as_gate_sees(np.clip(canvas, 0, 1).astype(np.float32))


def _document(shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    page = np.full(shape, int(rng.integers(190, 255)), dtype=np.uint8)
    for row in range(14, shape[0], int(rng.integers(9, 22))):
        text = "".join(rng.choice(list("abcdefghiklmnoprstuvw     ,."), int(rng.integers(5, 40))))
        cv2.putText(
            page, text, (8, row), cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.3, 0.6)), int(rng.integers(0, 90)), 1
        )
    picture = page / 255 if rng.random() < 0.7 else 1 - page / 255
    return np.asarray(picture, dtype=np.float32)


def recipes(collection: Collection, folder: Path) -> dict[Content, tuple[Recipe, ...]]:
    """How to make a scene of each other content, and whose bones are in it."""
    people = [collection.load(p, side) for p in ("z013", "icl", "tlem2") for side in collection.sides(p)]
    ankles = _ankles(folder)

    def of_someone(make: Callable[[Anatomy, np.random.Generator], OtherScene]) -> Recipe:
        def recipe(rng: np.random.Generator) -> tuple[OtherScene, tuple[str, ...]]:
            someone = people[int(rng.integers(len(people)))]
            return make(someone, rng), (someone.person,)

        return recipe

    def of_nobody(make: Callable[[np.random.Generator], OtherScene]) -> Recipe:
        return lambda rng: (make(rng), ())

    def some_ankle(rng: np.random.Generator) -> tuple[OtherScene, tuple[str, ...]]:
        chosen = int(rng.integers(len(ankles)))
        return ankle(ankles[chosen], rng), (f"lenz {chosen}",)

    return {
        Content.LOWER_LEG: (of_someone(lower_leg),),
        Content.FOOT: (of_someone(foot), some_ankle),
        Content.TRUNK: (of_nobody(trunk_part),),
        Content.HEAD: (of_nobody(head),),
        Content.ARM: (of_nobody(arm),),
        Content.CHILD: (of_nobody(infant),),
    }


def _ankles(folder: Path) -> list[list[Mesh]]:
    """Distal tibia, fibula and talus of each of the collection's ankles."""
    ankles: dict[str, list[Mesh]] = {}
    for path in sorted((folder / "bones" / "lenz").glob("*.ply")):
        ankles.setdefault(path.name.split("_")[0], []).append(load_mesh(path))
    return list(ankles.values())


def save(films: Iterator[GateFilm], path: Path) -> None:
    """Write films: images float16, classes, laterals, hindrances and places (-1: not asked), people joined by "+"."""
    kept = list(films)
    nowhere = np.zeros((len(HINDRANCES), GRID, GRID), dtype=np.int8)
    asked = [film.hindrances for film in kept]
    np.savez(
        path,
        images=np.array([film.image for film in kept], dtype=np.float16),
        classes=np.array([CONTENTS.index(film.content) for film in kept]),
        laterals=np.array([-1 if film.lateral is None else film.lateral for film in kept], dtype=np.int8),
        hindrances=np.array(
            [[-1 if there is None else each in there for each in HINDRANCES] for there in asked], dtype=np.int8
        ),
        places=np.array(
            [
                nowhere - 1 if film.hindrances is None else nowhere if film.places is None else film.places
                for film in kept
            ],
            dtype=np.int8,
        ),
        people=np.array(["+".join(film.people) for film in kept]),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["legs", "fractures", "femora", "others"])
    parser.add_argument("--shadows", type=Path, help="rendered path lengths")
    parser.add_argument("--data", type=Path, help="the bone collection, for others")
    parser.add_argument("--each", type=int, default=4, help="films of every shadow")
    parser.add_argument("--first", type=int, default=0, help="first shadow, where several processes share the work")
    parser.add_argument("--step", type=int, default=1, help="from one shadow to the next")
    parser.add_argument("--scenes", type=int, default=160, help="scenes of each other content, with four films each")
    parser.add_argument(
        "--ordinary-share", type=float, default=ORDINARY_SHARE, help="share of films as most departments deliver them"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([17, given.seed])
    paths = sorted(given.shadows.glob("*.npz"))[given.first :: given.step] if given.shadows else []
    if given.what == "others":
        films = others(given.data, given.scenes, rng)
    elif given.what == "femora":
        films = femora(paths, rng)
    else:
        broken = given.what == "fractures"
        films = legs(paths, given.each, rng, broken=broken, ordinary_share=given.ordinary_share)
    save(films, given.out)


if __name__ == "__main__":
    main()

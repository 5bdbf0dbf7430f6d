"""Films for the gate: femora, everything else, and pictures that are no radiographs, small and in large numbers.

python -m models.training.gate_films --collection DIR --shadows DIR --out models/training/runs/gate_films.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from models.training.anatomy import Anatomy, Collection, load_mesh
from models.training.dataset import ORDINARY_SHARE, Shadow, develop_example
from models.training.other_parts import OtherScene, ankle, arm, foot, head, infant, lower_leg, trunk_part
from models.training.photometry import expose, sample_photometry, smooth_noise, typical_photometry
from models.training.positioning import sample_pose
from models.training.primitives import Mesh
from models.training.raycast import Layer, path_lengths
from models.training.scene import build_scene
from models.training.variation import vary
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side, View
from pipeline.stages.enhance import exposed_field, normalise
from pipeline.stages.gate import CONTENTS, Content, gate_input

FloatImage = npt.NDArray[np.float32]

Recipe = Callable[[np.random.Generator], OtherScene]

RENDERED_SIZE = 288
FILMS_PER_GEOMETRY = 3


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
        ordinary = rng.random() < ORDINARY_SHARE
        photometry = typical_photometry(rng, marker="L") if ordinary else sample_photometry(rng)
        film, _ = expose(lengths, geometry.pixel_spacing[0], photometry, rng)
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
    """How to make a scene of each content that is no femur."""
    legs = [collection.load(p, side) for p in ("z013", "icl", "tlem2") for side in collection.sides(p)]
    ankles = _ankles(folder)

    def of_someone(make: Callable[[Anatomy, np.random.Generator], OtherScene]) -> Recipe:
        return lambda rng: make(legs[int(rng.integers(len(legs)))], rng)

    return {
        Content.LOWER_LEG: (of_someone(lower_leg),),
        Content.FOOT: (of_someone(foot), lambda rng: ankle(ankles[int(rng.integers(len(ankles)))], rng)),
        Content.TRUNK: (trunk_part,),
        Content.HEAD: (head,),
        Content.ARM: (arm,),
        Content.CHILD: (infant,),
    }


def _ankles(folder: Path) -> list[list[Mesh]]:
    """Distal tibia, fibula and talus of each of the collection's ankles."""
    ankles: dict[str, list[Mesh]] = {}
    for path in sorted((folder / "bones" / "lenz").glob("*.ply")):
        ankles.setdefault(path.name.split("_")[0], []).append(load_mesh(path))
    return list(ankles.values())


def both_hips(anatomy: Anatomy, rng: np.random.Generator) -> OtherScene:
    """An adult's pelvis with both hips: the femur is in it, though not in the middle."""
    varied = vary(anatomy, rng)
    scene = build_scene(varied, rng, pose=sample_pose(View.AP, rng), procedural_pelvis=bool(rng.random() < 0.3))
    centre = varied.head_centre - varied.lateral * rng.uniform(20, 95) + np.array([0, 0, rng.uniform(-60, 40)])
    size = (rng.uniform(240, 420), rng.uniform(230, 400))
    return OtherScene(meshes=scene.meshes, centre=centre, size=size, turns=(0.0,))


def femora(shadows: Path, count: int, rng: np.random.Generator) -> tuple[list[FloatImage], list[bool]]:
    """Films of rendered femora, and which are laterals."""
    paths = sorted(shadows.glob("*.npz"))
    films, laterals = [], []
    for path in rng.choice(len(paths), count):
        shadow = Shadow.load(paths[path])
        films.append(gate_input(develop_example(shadow, rng).image))
        laterals.append(shadow.view is View.LATERAL)
    return films, laterals


def make(
    given: argparse.Namespace,
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Images (n, GATE_SIZE, GATE_SIZE) float16, classes, and laterals: 1, 0, or -1 where it means nothing."""
    rng = np.random.default_rng(given.seed)
    collection = Collection(given.collection)
    images, laterals = femora(given.shadows, 10 * given.scenes, rng)
    views = [int(lateral) for lateral in laterals]
    classes = [CONTENTS.index(Content.FEMUR)] * len(images)

    def add(films: Sequence[FloatImage], content: Content, view: int) -> None:
        images.extend(films)
        classes.extend([CONTENTS.index(content)] * len(films))
        views.extend([view] * len(films))

    for content, ways in recipes(collection, given.collection).items():
        for number in range(given.scenes):
            add(develop_scene(ways[number % len(ways)](rng), rng), content, -1)
        print(content, len(images), flush=True)
    people = [collection.load(person, Side.LEFT) for person in ("z001", "z019", "z062")]
    for number in range(given.scenes // 2):
        add(develop_scene(both_hips(people[number % len(people)], rng), rng), Content.FEMUR, 0)
    add([no_radiograph(rng) for _ in range(3 * given.scenes)], Content.NO_RADIOGRAPH, -1)
    return np.array(images).astype(np.float16), np.array(classes), np.array(views)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--shadows", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=150, help="scenes of each content; films are three times as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    images, classes, laterals = make(given)
    np.savez(given.out, images=images, classes=classes, laterals=laterals)


if __name__ == "__main__":
    main()

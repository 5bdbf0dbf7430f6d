"""How measurements on surfaces agree with measurements from people's own picks, and with the truth on unseen people.

    python -m models.training.validate_measurements --data DATA [--people PERSON ...] [--out JSON]

For every person the shape models are built without that person. Each measurement is taken three times: from the
landmarks that five raters picked on that person's bones (Fischer 2023, Sci Data 10:763), on the bone itself, to which
the model's landmarks and regions are carried by registration, and on the model's shape nearest to the bone. The first
difference is between definitions and hands, the second what the shape model cannot express. Where a definition needs
what nobody picked (the shaft's axis, the acetabular rim), the bone's own surface stands in.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from models.training.bones import MIRROR, Bone, FloatArray, Kind, read_bones
from models.training.build_shape_model import CACHE
from models.training.evaluation.held_out import model_without
from models.training.femur_features import HEAD_POINTS, LANDMARKS, NECK_ISTHMUS
from models.training.leave_one_out import nearest_shape
from models.training.pelvis_features import PICKED
from models.training.recipes import RECIPES
from models.training.registration import choose_template, register_all
from pipeline.radiograph import Side
from pipeline.shape_model import Landmark
from pipeline.stages.measure_anatomy import Anatomy, plane_normal
from pipeline.stages.measure_definitions import ANATOMIES, DEFINITIONS, Definition
from pipeline.stages.measure_femur import Femur

RATER_DRAWS = 40
"""How often picks are scattered by the raters' spread."""

LEAST_SPREAD = 1e-6
"""Below is rounding, where a measurement takes no pick."""

AROUND = 8
"""So many vertices next to a pick tell how the surface lies there."""

LIMITS_OF_AGREEMENT = 1.96
"""Standard deviations that hold 95 %."""


CONDYLES = ("PMC", "PLC", "DMC", "DLC", "MEC", "LEC")
"""Picks on the lower femur among which its extreme points are."""


class PickedFemur(Femur):
    """A femur of which four points round the neck are picked, in the region `isthmus`."""

    @cached_property
    def neck_axis(self) -> FloatArray:
        """(3,) from the middle of those points to the head's centre."""
        return np.asarray(self.head[0] - self.region("isthmus").mean(axis=0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """Landmarks that people picked on one bone, as a right bone.

    Attributes:
        positions: (n, 3) mm LPS, means of five raters with four picks each.
        spread_mm: (n,) standard deviation of single picks.
        landmarks: Index of a pick by our name.
        regions: Indices of picks by the name of the region that they stand for.
    """

    positions: FloatArray
    spread_mm: FloatArray
    landmarks: Mapping[str, int]
    regions: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One bone of a person, as a right bone, three times.

    Attributes:
        registered: The bone itself, in the model's vertices.
        nearest: The model's nearest shape, laid onto it.
        picked: The bone, its first vertices the picks; None where nobody picked any.
        spreads: (n, 3, 3) square roots of the covariances of those picks, mm.
    """

    registered: Anatomy
    nearest: Anatomy
    picked: Anatomy | None
    spreads: FloatArray

    def scattered(self, random: np.random.Generator) -> Anatomy:
        """The bone with picks as one rater may have picked them once; without picks the bone itself."""
        if self.picked is None:
            return self.registered
        moved = self.picked.vertices.copy()
        moved[: len(self.spreads)] += np.einsum("nij,nj->ni", self.spreads, random.normal(size=(len(self.spreads), 3)))
        return replace(self.picked, vertices=moved)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement on one side of one person.

    Attributes:
        measurement: Its name.
        unit: UCUM.
        person: Who.
        side: Which side.
        picked: From the mean picks; None where nobody picked, or the measurement takes no pick.
        rater: Standard deviation that single picks would give.
        registered: On the bone itself.
        nearest: On the nearest shape of a model without the person.
    """

    measurement: str
    unit: str
    person: str
    side: str
    picked: float | None
    rater: float | None
    registered: float
    nearest: float


def validate_person(data: Path, person: str, collection: Mapping[Kind, Sequence[Bone]], *, runs: Path) -> list[Row]:
    """Every measurement on one person's bones, by models that never saw the person.

    Args:
        data: Folder that holds ``bones.csv`` and ``vsd_landmarks_mean_LPS.csv``.
        person: Whose.
        collection: All bones of each kind.
        runs: Folder that keeps registrations and models.
    """
    subjects = {
        (kind, side): subject
        for kind, bones in collection.items()
        for side, subject in _subjects(data, kind, person, bones, runs).items()
    }
    return [row for definition in DEFINITIONS for row in rows_of(definition, person, subjects)]


def _subjects(data: Path, kind: Kind, person: str, bones: Sequence[Bone], runs: Path) -> dict[Side, Subject]:
    own = [bone for bone in bones if bone.person == person and bone.part == "whole"]
    if not own:
        return {}
    model = model_without(data, kind, person, runs)
    template = choose_template(RECIPES[kind], [bone for bone in bones if bone.person != person])

    def anatomy(vertices: FloatArray) -> Anatomy:
        return ANATOMIES[kind](landmarks=model.landmarks, regions=model.regions, vertices=vertices)

    found = {}
    for item in register_all(template, RECIPES[kind], own, runs / "correspondence" / kind):
        picks = read_picks(data, kind, item.bone)
        found[Side(item.bone.side)] = Subject(
            registered=anatomy(item.vertices),
            nearest=anatomy(nearest_shape(model.mean, model.modes, item)),
            picked=picked_anatomy(anatomy(item.vertices), picks) if picks else None,
            spreads=_spreads(picks, item.vertices) if picks else np.zeros((0, 3, 3)),
        )
    return found


def read_picks(data: Path, kind: Kind, bone: Bone) -> Picks | None:
    """What five raters picked on a femur or a hip bone (Fischer 2023, Sci Data 10:763); None on other bones."""
    word = {"L": "Left", "R": "Right"}[bone.side]
    names = {
        Kind.FEMUR: LANDMARKS,
        Kind.HIP_BONE: {name: f"{word} {pick}" for name, pick in PICKED.items()},
    }.get(kind)
    if names is None:
        return None
    with (data / "vsd_landmarks_mean_LPS.csv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["subject"] == bone.person]
    on_femur = [row for row in rows if row["bone"] == "Femur" and row["side"] == bone.side]
    rows = on_femur if kind is Kind.FEMUR else [row for row in rows if row["bone"] == "Pelvis"]
    if not rows:
        return None
    codes = [row["landmark"].rpartition("(")[2].rstrip(")") if kind is Kind.FEMUR else row["landmark"] for row in rows]
    regions = {"head": HEAD_POINTS, "isthmus": NECK_ISTHMUS, "distal": CONDYLES} if kind is Kind.FEMUR else {}
    return Picks(
        positions=np.array([[float(row[axis]) for axis in "xyz"] for row in rows])
        * (MIRROR if bone.side == "L" else 1.0),
        spread_mm=np.array([float(row["sd_mm"]) for row in rows]),
        landmarks={name: codes.index(code) for name, code in names.items()},
        regions={name: [codes.index(code) for code in chosen] for name, chosen in regions.items()},
    )


def _spreads(picks: Picks, vertices: FloatArray) -> FloatArray:
    """(n, 3, 3) raters stay on the surface: their spread lies in its tangent plane, alike in both directions."""
    normals = [
        plane_normal(vertices[np.argsort(np.linalg.norm(vertices - position, axis=1))[:AROUND]])
        for position in picks.positions
    ]
    tangent = np.array([np.eye(3) - np.outer(normal, normal) for normal in normals])
    return np.asarray(tangent * picks.spread_mm[:, None, None] / np.sqrt(2))


def picked_anatomy(bone: Anatomy, picks: Picks) -> Anatomy:
    """A bone with picks for landmarks and regions as far as there are any; they become its first vertices."""
    count = len(picks.positions)
    landmarks = {
        name: Landmark(indices=landmark.indices + count, weights=landmark.weights)
        for name, landmark in bone.landmarks.items()
    }
    picked = {name: Landmark(indices=np.array([i]), weights=np.ones(1)) for name, i in picks.landmarks.items()}
    regions = {name: indices + count for name, indices in bone.regions.items()}
    kind = PickedFemur if isinstance(bone, Femur) else type(bone)
    return kind(
        landmarks=landmarks | picked,
        regions=regions | {name: np.array(indices) for name, indices in picks.regions.items()},
        vertices=np.vstack([picks.positions, bone.vertices]),
    )


def rows_of(definition: Definition, person: str, subjects: Mapping[tuple[Kind, Side], Subject]) -> Iterator[Row]:
    """One measurement on every side of a person on which its bones are there."""
    for side in (Side.RIGHT,) if definition.symmetric else Side:
        names = [(part.bone, side.other if part.opposite else side) for part in definition.parts]
        if any(name not in subjects for name in names):
            continue
        parts = [subjects[name] for name in names]
        rater = _rater_spread(definition, parts)
        yield Row(
            measurement=definition.name,
            unit=definition.unit,
            person=person,
            side=str(side),
            picked=_measured(definition, [part.picked for part in parts if part.picked]) if rater else None,
            rater=rater,
            registered=_measured(definition, [part.registered for part in parts]),
            nearest=_measured(definition, [part.nearest for part in parts]),
        )


def _measured(definition: Definition, bones: Sequence[Anatomy]) -> float:
    parts = zip(definition.parts, bones, strict=True)
    return definition.measured(*(bone.mirrored() if part.opposite else bone for part, bone in parts))


def _rater_spread(definition: Definition, parts: Sequence[Subject]) -> float | None:
    """Standard deviation of what single picks give; None where nobody picked, or the measurement takes no pick."""
    if any(part.picked is None for part in parts):
        return None
    random = np.random.default_rng(0)
    repeated = [_measured(definition, [part.scattered(random) for part in parts]) for _ in range(RATER_DRAWS)]
    spread = float(np.std(repeated))
    return spread if spread > LEAST_SPREAD else None


def table(rows: Sequence[Row]) -> str:
    """In Markdown: differences as mean ± standard deviation (95 % limits of agreement, Bland & Altman 1986)."""
    lines = [
        "| measurement | bones | surface − picks | one rater's picks | bones | unseen shape − surface |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row.measurement for row in rows):
        own = [row for row in rows if row.measurement == name]
        picked = [row for row in own if row.picked is not None and row.rater is not None]
        unit = {"deg": "°"}.get(own[0].unit, f" {own[0].unit}")
        hands = _agreement([row.registered - (row.picked or 0) for row in picked], unit) if picked else "–"
        rater = f"{np.mean([row.rater or 0 for row in picked]):.1f}{unit}" if picked else "–"
        shape = _agreement([row.nearest - row.registered for row in own], unit)
        lines.append(f"| {name} | {len(picked) or '–'} | {hands} | {rater} | {len(own)} | {shape} |")
    return "\n".join(lines)


def _agreement(differences: Sequence[float], unit: str) -> str:
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    low, high = mean - LIMITS_OF_AGREEMENT * spread, mean + LIMITS_OF_AGREEMENT * spread
    return f"{mean:+.1f} ± {spread:.1f}{unit} ({low:.1f} to {high:.1f})"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the bone collection")
    parser.add_argument("--people", nargs="+", help="everybody with whole bones when absent")
    parser.add_argument("--runs", type=Path, default=CACHE.parent, help="keeps registrations and models")
    parser.add_argument("--out", type=Path, help="file for the rows as JSON")
    given = parser.parse_args()
    collection = {kind: read_bones(given.data, kind) for kind in ANATOMIES}
    whole = {bone.person for bones in collection.values() for bone in bones if bone.part == "whole"}
    rows = []
    for person in given.people or sorted(whole):
        rows += validate_person(given.data, person, collection, runs=given.runs)
        print(person, flush=True)
    print(table(rows))
    if given.out:
        given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()

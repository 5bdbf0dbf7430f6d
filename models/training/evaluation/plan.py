"""Which studies are made: examination by person by seed by what goes wrong."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.training.bones import Kind, is_of, person_of
from models.training.dataset import read_folds
from models.training.disturbance import LEVELS, UNDISTURBED, Disturbance, Sweep
from models.training.fields import BoneField
from pipeline.radiograph import Side
from pipeline.surface import Bone, Name


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What is shown, and what is judged.

    Attributes:
        title: As in the table.
        fields: The radiographs, frontal first.
        judged: Bones of the side in question; of a pelvis, of both sides.
        both_sides: Whether the other side's are judged as well.
    """

    title: str
    fields: tuple[BoneField, ...]
    judged: tuple[Bone, ...]
    both_sides: bool = False

    def names(self, side: Side) -> list[Name]:
        """The judged bones."""
        sides = tuple(Side) if self.both_sides else (side,)
        paired = [(bone, each) for bone in self.judged if bone.is_paired for each in sides]
        return [*paired, *((bone, None) for bone in self.judged if not bone.is_paired)]


_FEMUR: Final = (BoneField.FEMUR_AP, BoneField.FEMUR_LATERAL)
_KNEE: Final = (BoneField.KNEE_AP, BoneField.KNEE_LATERAL)
_LOWER_LEG: Final = (BoneField.LOWER_LEG_AP, BoneField.LOWER_LEG_LATERAL)
_HIP: Final = (Bone.FEMUR, Bone.HIP_BONE)

PELVIS: Final = Examination(
    title="pelvis AP", fields=(BoneField.PELVIS_AP,), judged=(*_HIP, Bone.SACRUM), both_sides=True
)
HIP_AP: Final = Examination(title="hip AP", fields=(BoneField.HIP_AP,), judged=_HIP)
HIP: Final = Examination(title="hip AP + lateral", fields=(BoneField.HIP_AP, BoneField.HIP_CROSS_TABLE), judged=_HIP)
FEMUR: Final = Examination(title="femur AP + lateral", fields=_FEMUR, judged=(Bone.FEMUR,))
FEMUR_AP: Final = Examination(title="femur AP", fields=_FEMUR[:1], judged=(Bone.FEMUR,))
KNEE: Final = Examination(
    title="knee AP + lateral", fields=_KNEE, judged=(Bone.FEMUR, Bone.TIBIA, Bone.FIBULA, Bone.PATELLA)
)
KNEE_AP: Final = Examination(title="knee AP", fields=_KNEE[:1], judged=(Bone.FEMUR, Bone.TIBIA))
LOWER_LEG: Final = Examination(title="lower leg AP + lateral", fields=_LOWER_LEG, judged=(Bone.TIBIA, Bone.FIBULA))

EXAMINATIONS: Final = (PELVIS, HIP_AP, HIP, FEMUR_AP, FEMUR, KNEE_AP, KNEE, LOWER_LEG)

SWEPT: Final = (FEMUR, HIP)
"""What is disturbed: both have a lateral, one shows a whole bone and one an end of it."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of the collection.

    Attributes:
        name: In the collection.
        sex: M or F; empty where nobody says.
        fold: In which the person is held out.
        lower_legs: Sides of which tibia and fibula are known.
    """

    name: str
    sex: str
    fold: int
    lower_legs: tuple[Side, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study to be simulated, reconstructed and judged.

    Attributes:
        examination: What is shown.
        person: Whose bones.
        side: Which leg; for a pelvis, either.
        seed: Of everything that is drawn.
        disturbance: What goes wrong.
    """

    examination: Examination
    person: Person
    side: Side
    seed: int
    disturbance: Disturbance = UNDISTURBED

    @property
    def key(self) -> str:
        """Its own name in results and folders; of no other study."""
        parts = [self.examination.title, self.person.name, self.side, self.seed]
        if self.disturbance.sweep:
            parts += [self.disturbance.sweep, f"{self.disturbance.level:g}"]
        return "_".join(str(part).replace(" ", "-") for part in parts)


def read_people(data: Path) -> list[Person]:
    """Everybody who is held out in turn.

    Args:
        data: Folder that holds ``bones.csv``.
    """
    with (data / "bones.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    return [
        _person(name, fold, [row for row in rows if person_of(row["subject"]) == name])
        for name, fold in sorted(read_folds().items())
        if isinstance(fold, int)
    ]


def _person(name: str, fold: int, rows: Sequence[dict[str, str]]) -> Person:
    legs = {row["side"] for row in rows if is_of(Kind.TIBIA, row)}
    return Person(
        name=name,
        sex=rows[0]["sex"].upper() if rows else "",
        fold=fold,
        lower_legs=tuple(side for side in Side if side in legs),
    )


def undisturbed(people: Iterable[Person], examinations: Iterable[Examination], seeds: Sequence[int]) -> list[Study]:
    """Every examination of every person and side it can be made of, once for each seed."""
    return [
        Study(examination=examination, person=person, side=side, seed=seed)
        for seed in seeds
        for examination in examinations
        for person in people
        for side in _sides(examination, person)
    ]


def _sides(examination: Examination, person: Person) -> tuple[Side, ...]:
    """Of a pelvis, whose both sides are judged, one study is made; of a lower leg, of those that are known."""
    if examination.both_sides:
        return (Side.RIGHT,)
    return tuple(Side) if Bone.FEMUR in examination.judged else person.lower_legs


def disturbed(
    people: Iterable[Person], sweeps: Iterable[Sweep], seed: int, examinations: Sequence[Examination] = SWEPT
) -> list[Study]:
    """Every step of the sweeps, of everybody's right side."""
    return [
        Study(
            examination=examination,
            person=person,
            side=Side.RIGHT,
            seed=seed,
            disturbance=Disturbance(sweep=sweep, level=level),
        )
        for sweep in sweeps
        for level in LEVELS[sweep]
        for examination in examinations
        for person in people
    ]


FEW: Final = ("z023", "z064")
"""A woman and a man of two folds."""

FULL_SEEDS: Final = (1, 2)


def small_plan(people: Sequence[Person]) -> list[Study]:
    """A dozen studies: minutes."""
    few = [person for person in people if person.name in FEW]
    ordinary = undisturbed(few, (PELVIS, HIP_AP, HIP, FEMUR, KNEE), (1,))
    wrong = disturbed(few[:1], (Sweep.LATERAL, Sweep.SCALE), 1, (HIP,))
    noticed = [study for study in wrong if study.disturbance.level in (3, 10)]
    return [*(study for study in ordinary if study.side is Side.RIGHT), *noticed]


def full_plan(people: Sequence[Person]) -> list[Study]:
    """Everything: hours. Undisturbed studies first."""
    return [*undisturbed(people, EXAMINATIONS, FULL_SEEDS), *disturbed(people, Sweep, FULL_SEEDS[0])]


def left_to_do(plan: Iterable[Study], finished: Iterable[str]) -> Iterator[Study]:
    """The studies of a plan that have no result yet."""
    done = set(finished)
    return (study for study in plan if study.key not in done)

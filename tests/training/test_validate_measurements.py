"""Measurements on surfaces against those from people's picks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from models.training.anatomy import refine_head
from models.training.bones import Kind, read_bones
from models.training.primitives import Mesh
from models.training.validate_measurements import Picks, Row, Subject, picked_anatomy, read_picks, rows_of, table
from pipeline.radiograph import Side
from pipeline.stages import measure_femur
from pipeline.stages.measure_definitions import DEFINITIONS
from pipeline.stages.measure_femur import Femur
from tests.stages.built_bones import femur

DATA = Path(os.environ.get("BONECRAFT_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
NEEDS_PICKS = pytest.mark.skipif(
    not (DATA / "vsd_landmarks_mean_LPS.csv").is_file(),
    reason=f"people's picks are absent: no vsd_landmarks_mean_LPS.csv in {DATA}",
)
PICKED_NAMES = ("medial_epicondyle", "lateral_epicondyle", "lesser_trochanter", "intercondylar_notch")


def picks_on(bone: Femur, *, spread: float) -> Picks:
    """Picks exactly where a bone has its landmarks, five on its head and four round its neck."""
    head = bone.region("head")[[0, 100, 200, 300, 400]]
    isthmus = bone.head[0] - bone.neck_axis + 10 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    positions = np.vstack([[bone.at(name) for name in PICKED_NAMES], head, isthmus])
    return Picks(
        positions=positions,
        spread_mm=np.full(len(positions), spread),
        landmarks={name: i for i, name in enumerate(PICKED_NAMES)},
        regions={"head": range(4, 9), "isthmus": range(9, 13)},
    )


def definition(name: str):
    return next(each for each in DEFINITIONS if each.name == name)


def row(**changes) -> Row:
    values = {
        "measurement": "Neck-shaft angle",
        "unit": "deg",
        "person": "somebody",
        "side": "R",
        "picked": 128.0,
        "rater": 2.0,
        "registered": 129.0,
        "nearest": 129.5,
    }
    return Row(**(values | changes))


def test_exact_picks_measure_as_the_bone_does():
    bone = femur(neck_shaft=125.0, version=15.0)
    picked = picked_anatomy(bone, picks_on(bone, spread=0.0))
    for measured in (measure_femur.neck_shaft_angle, measure_femur.anteversion, measure_femur.head_diameter):
        assert measured(picked) == pytest.approx(measured(bone), abs=1e-6)


def test_vaguer_picks_scatter_more_and_what_takes_no_pick_has_no_spread():
    bone = femur()
    spreads = []
    for spread in (1.0, 3.0):
        subject = Subject(
            registered=bone,
            nearest=bone,
            picked=picked_anatomy(bone, picks_on(bone, spread=spread)),
            spreads=np.tile(spread * np.eye(3), (13, 1, 1)),
        )
        (width,) = rows_of(definition("Epicondylar width"), "somebody", {(Kind.FEMUR, Side.RIGHT): subject})
        spreads.append(width.rater)
    assert spreads[1] == pytest.approx(3 * spreads[0], rel=0.1)
    unpicked = Subject(registered=bone, nearest=bone, picked=None, spreads=np.zeros((0, 3, 3)))
    (width,) = rows_of(definition("Epicondylar width"), "somebody", {(Kind.FEMUR, Side.RIGHT): unpicked})
    assert width.picked is None
    assert width.rater is None


def test_the_table_gives_bias_spread_and_limits_of_agreement():
    lines = table([row(), row(picked=126.0), row(picked=None, rater=None, nearest=130.0)]).splitlines()
    assert lines[2] == ("| Neck-shaft angle | 2 | +2.0 ± 1.4° (-0.8 to 4.8) | 2.0° | 3 | +0.7 ± 0.3° (0.1 to 1.2) |")


@NEEDS_PICKS
def test_picks_of_a_left_femur_measure_the_bone_that_they_lie_on():
    (bone,) = [bone for bone in read_bones(DATA, Kind.FEMUR, leave_out=everybody_but("z001")) if bone.side == "L"]
    picks = read_picks(DATA, Kind.FEMUR, bone)
    assert picks is not None
    picked = picked_anatomy(Femur(landmarks={}, regions={}, vertices=bone.vertices), picks)
    centre, radius = refine_head(picked.head[0], Mesh(vertices=bone.vertices, triangles=bone.triangles))
    assert picked.head[0] == pytest.approx(centre, abs=2)
    assert measure_femur.head_diameter(picked) == pytest.approx(2 * radius, abs=3)
    assert measure_femur.femoral_length(picked) == pytest.approx(np.ptp(bone.vertices[:, 2]), rel=0.03)
    assert 84 < measure_femur.distal_femoral_angle(picked) < 91
    assert -20 < measure_femur.anteversion(picked) < 40


@NEEDS_PICKS
def test_picks_of_a_left_hip_bone_lie_on_it_and_a_tibia_has_none():
    bones = {bone.name: bone for bone in read_bones(DATA, Kind.HIP_BONE, leave_out=everybody_but("z001"))}
    picks = read_picks(DATA, Kind.HIP_BONE, bones["z001-L"])
    assert picks is not None
    spine = picks.positions[picks.landmarks["asis"]]
    assert np.linalg.norm(bones["z001-L"].vertices - spine, axis=1).min() < 5
    assert read_picks(DATA, Kind.TIBIA, bones["z001-L"]) is None


def everybody_but(*people: str) -> frozenset[str]:
    return frozenset(line.split(",")[1].removesuffix("_mri") for line in _table()) - set(people)


def _table() -> list[str]:
    return (DATA / "bones.csv").read_text().splitlines()[1:]

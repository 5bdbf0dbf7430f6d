"""The shape models that ship: sound surfaces, small files, landmarks where anatomy has them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from models.training.bone_dataset import MODELS, read_models
from models.training.bones import Kind, read_bones
from models.training.correspondence import Template
from models.training.covariance import complete, free_modes
from models.training.leave_one_out import surface_distance
from models.training.leg_features import tibial_axes
from models.training.recipes import RECIPES
from pipeline.manifest import read_manifest
from tests.training.test_correspondence import bone

DATA = Path(os.environ.get("BONECRAFT_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data")
NEEDS_BONES = pytest.mark.skipif(
    not (DATA / "bones.csv").is_file(), reason=f"the shared bones are absent: no bones.csv in {DATA}"
)
OTHERS = [kind for kind in Kind if kind is not Kind.FEMUR]
MODEL = read_models()


def at(kind: Kind, name: str) -> np.ndarray:
    return MODEL[kind].landmarks[name].position(MODEL[kind].mean)


@pytest.mark.parametrize("kind", Kind)
def test_the_mean_is_a_closed_surface_that_faces_outwards(kind):
    surface = trimesh.Trimesh(MODEL[kind].mean, MODEL[kind].triangles, process=False)
    assert surface.is_watertight
    assert surface.volume > 0


@pytest.mark.parametrize("kind", OTHERS)
def test_the_file_is_small_and_its_licence_is_in_the_manifest(kind):
    (entry,) = [entry for entry in read_manifest() if entry.name == f"{kind}_shape"]
    assert (MODELS / entry.file).stat().st_size <= 2**20
    assert entry.licence == MODEL[kind].licence == "CC BY-NC-SA 4.0"


@pytest.mark.parametrize("kind", Kind)
def test_anyone_drawn_from_the_model_is_about_as_large_as_people_are(kind):
    model = MODEL[kind]
    drawn = model.instance(np.random.default_rng(2).normal(size=model.size))
    assert np.ptp(drawn, axis=0) == pytest.approx(np.ptp(model.mean, axis=0), rel=0.35)


def test_the_right_hip_bone_stands_in_the_anterior_pelvic_plane():
    spine, tubercle = at(Kind.HIP_BONE, "asis"), at(Kind.HIP_BONE, "pubic_tubercle")
    assert spine[1] == pytest.approx(tubercle[1], abs=4)
    assert spine[2] > tubercle[2] + 70
    assert at(Kind.HIP_BONE, "pubic_symphysis")[0] > tubercle[0] > spine[0]
    assert at(Kind.HIP_BONE, "ischial_tuberosity")[2] < at(Kind.HIP_BONE, "acetabular_centre")[2] - 50
    assert at(Kind.HIP_BONE, "sacroiliac_centre")[1] > at(Kind.HIP_BONE, "acetabular_centre")[1] + 30


def test_the_acetabulum_is_a_cup_about_its_centre_that_opens_outwards_downwards_and_forwards():
    model = MODEL[Kind.HIP_BONE]
    radii = np.linalg.norm(model.mean[model.regions["acetabulum"]] - at(Kind.HIP_BONE, "acetabular_centre"), axis=1)
    assert 22 < radii.mean() < 29
    assert radii.std() < 1.0
    rim = model.mean[model.regions["acetabular_rim"]]
    normal = np.linalg.svd(rim - rim.mean(axis=0))[2][2]
    normal = normal * -np.sign(normal[0])
    assert normal[2] < 0
    inclination = np.degrees(np.arctan2(-normal[0], -normal[2]))
    assert 30 < inclination < 60
    assert -40 < np.degrees(np.arcsin(normal[1])) < 0


def test_the_sacrum_is_alike_on_both_sides():
    right, left = (at(Kind.SACRUM, f"sacroiliac_centre_{side}") for side in ("right", "left"))
    assert right[0] < 0 < left[0]
    assert right + left == pytest.approx([0, 2 * right[1], 2 * right[2]], abs=4)
    assert at(Kind.SACRUM, "promontory")[1] < at(Kind.SACRUM, "endplate_centre")[1]
    assert at(Kind.SACRUM, "apex")[2] < at(Kind.SACRUM, "promontory")[2] - 60


def test_the_right_tibia_stands_upright_with_its_landmarks_in_place():
    assert at(Kind.TIBIA, "medial_edge")[0] > at(Kind.TIBIA, "lateral_edge")[0] + 60
    assert at(Kind.TIBIA, "tibial_tuberosity")[1] < at(Kind.TIBIA, "knee_centre")[1] - 15
    assert at(Kind.TIBIA, "medial_malleolus")[0] > at(Kind.TIBIA, "ankle_centre")[0] + 8
    axis = at(Kind.TIBIA, "knee_centre") - at(Kind.TIBIA, "ankle_centre")
    assert np.degrees(np.arccos(axis[2] / np.linalg.norm(axis))) < 3


def test_a_cut_bone_is_completed_by_draws_that_differ_only_where_nothing_was_seen():
    model, recipe = MODEL[Kind.TIBIA], RECIPES[Kind.TIBIA]
    whole = model.instance(0.7 * np.random.default_rng(4).normal(size=model.size))
    seen = whole[:, 2] < whole[:, 2].min() + 60
    factor = np.concatenate([model.modes[:20], free_modes(model.mean, recipe)])
    first, second = (complete(whole, seen, model.mean, factor, np.random.default_rng(seed)) for seed in (1, 2))
    knees = [np.ptp(drawn[drawn[:, 2] > 80], axis=0) for drawn in (first, second)]
    assert abs(knees[0] - knees[1]).max() > 1
    ends = [drawn[seen] - drawn[seen].mean(axis=0) for drawn in (first, second)]
    assert np.linalg.norm(ends[0], axis=1) == pytest.approx(np.linalg.norm(ends[1], axis=1))


def test_surfaces_a_millimetre_apart_are_a_millimetre_apart():
    model = MODEL[Kind.PATELLA]
    template = Template(person="mean", vertices=model.mean, triangles=model.triangles.astype(np.int64), long=False)
    surface = trimesh.Trimesh(model.mean, model.triangles, process=False)
    grown = model.mean + surface.vertex_normals
    assert surface_distance(grown, template, bone(model, model.mean)) == pytest.approx(1, abs=0.15)
    assert surface_distance(model.mean, template, bone(model, model.mean)) == pytest.approx(0, abs=1e-4)


@NEEDS_BONES
def test_lumps_of_tibia_and_fibula_are_taken_apart():
    tibiae, fibulae = (
        {b.name: b for b in read_bones(DATA, kind, leave_out=frozenset({"z013"}))} for kind in (Kind.TIBIA, Kind.FIBULA)
    )
    for name in ("icl-R", "tlem2-L", "tlem2-R"):
        assert np.ptp(tibiae[name].vertices[:, 2]) == pytest.approx(np.ptp(fibulae[name].vertices[:, 2]), rel=0.1)
        assert len(tibiae[name].vertices) > len(fibulae[name].vertices)
        assert tibiae[name].vertices[:, 0].mean() > fibulae[name].vertices[:, 0].mean() + 5


@NEEDS_BONES
def test_nobody_left_out_and_no_child_is_read():
    people = {b.person for b in read_bones(DATA, Kind.PATELLA, leave_out=frozenset({"icl"}))}
    assert people == {"z013", "tlem2"}


@NEEDS_BONES
def test_a_tibia_that_lies_turned_out_is_recognised_as_such():
    (tibia,) = [b for b in read_bones(DATA, Kind.TIBIA) if b.name == "tlem2-R"]
    axes = tibial_axes(tibia)
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-9)
    assert axes[2, 2] > 0.95
    assert axes[0, 0] > 0.7

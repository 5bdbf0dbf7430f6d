"""Masks and landmarks of every bone agree with the geometry that a film was taken in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training import bone_dataset
from models.training.bone_dataset import BoneShadow, develop, mirrored, read_shadows, render
from models.training.bone_rays import bone_lengths
from models.training.bones import Kind
from models.training.contact_sheet import sheet
from models.training.fields import AS_SCANNED, BoneField, FieldSetup, place
from models.training.patient import build_patient
from models.training.primitives import ellipsoid
from pipeline.geometry import ProjectionGeometry
from pipeline.radiograph import Side
from pipeline.stages.perceive import BONES, POINTS
from tests.training.whole_body import someone

FACING_BACK = ProjectionGeometry(
    source=np.array([0, -1000.0, 0]),
    detector_origin=np.array([-75.0, 150.0, 75.0]),
    column_direction=np.array([1.0, 0, 0]),
    row_direction=np.array([0, 0, -1.0]),
    pixel_spacing=(1.5, 1.5),
    rows=101,
    columns=101,
)
SIZE = 160


def shadow_of(setup: FieldSetup) -> tuple[BoneShadow, ProjectionGeometry, bone_dataset.Patient]:
    patient = build_patient(someone(), setup, np.random.default_rng(3))
    geometry = place(patient.body, setup, longest_side=SIZE)
    return bone_dataset.take(patient, setup, geometry), geometry, patient


def mask(shadow: BoneShadow, kind: Kind, side: Side | None) -> np.ndarray:
    return (shadow.masks >> BONES.index((kind, side))) & 1 > 0


def landmark(shadow: BoneShadow, kind: Kind, side: Side | None, name: str) -> np.ndarray:
    return shadow.landmarks[POINTS.index(((kind, side), name))]


def test_each_bone_has_its_own_path_lengths():
    near, far = (ellipsoid(np.array([0, y, 0.0]), 20.0 * np.eye(3)) for y in (-30, 30))
    both = bone_lengths([near, far], FACING_BACK)
    assert both[:, 50, 50] == pytest.approx([40, 40], rel=0.01)
    assert (both[0] > 0).sum() > (both[1] > 0).sum() > 0


def test_a_shadow_has_no_holes_and_no_specks_where_rays_graze_edges():
    lengths = bone_lengths([ellipsoid(np.zeros(3), 40.0 * np.eye(3))], FACING_BACK)[0]
    rows, columns = np.mgrid[:101, :101]
    distance = np.hypot(rows - 50, columns - 50) * 1.5
    assert (lengths[distance < 40] > 0).all()
    assert (lengths[distance > 48] == 0).all()
    assert lengths.max() == pytest.approx(80, rel=0.01)


@pytest.mark.parametrize(
    ("field", "kinds"),
    [
        (BoneField.PELVIS_AP, {Kind.FEMUR, Kind.HIP_BONE, Kind.SACRUM}),
        (BoneField.KNEE_LATERAL, {Kind.FEMUR, Kind.TIBIA, Kind.FIBULA, Kind.PATELLA}),
        (BoneField.LOWER_LEG_AP, {Kind.FEMUR, Kind.TIBIA, Kind.FIBULA}),
    ],
)
def test_a_field_shows_its_bones(field, kinds):
    shadow, _, _ = shadow_of(FieldSetup(field=field, side=Side.LEFT, other_pose=AS_SCANNED))
    shown = {kind for kind, side in BONES if mask(shadow, kind, side).sum() > 50}
    assert kinds <= shown


def test_the_mask_of_a_bone_is_the_projection_of_its_surface():
    shadow, geometry, patient = shadow_of(FieldSetup(field=BoneField.LOWER_LEG_AP, side=Side.RIGHT))
    columns, rows = geometry.project(patient.body.bones[Kind.TIBIA, Side.RIGHT].mesh.vertices).T
    found = np.argwhere(mask(shadow, Kind.TIBIA, None))
    assert found.min(axis=0) == pytest.approx([rows.min(), columns.min()], abs=1.5)
    assert found.max(axis=0) == pytest.approx([rows.max(), columns.max()], abs=1.5)


def test_a_pelvis_shows_the_patients_right_at_the_pictures_left():
    shadow, _, _ = shadow_of(FieldSetup(field=BoneField.PELVIS_AP, side=Side.LEFT, other_pose=AS_SCANNED))
    sides = (Side.RIGHT, Side.LEFT)
    right, left = (landmark(shadow, Kind.FEMUR, side, "head_centre") for side in sides)
    assert right[0] < left[0]
    for side, (column, row) in zip(sides, np.round([right, left]).astype(int), strict=True):
        assert mask(shadow, Kind.FEMUR, side)[row, column]
        assert mask(shadow, Kind.HIP_BONE, side)[row, column]


def test_a_picture_seen_from_behind_exchanges_the_sides():
    setup = FieldSetup(field=BoneField.PELVIS_AP, side=Side.LEFT, other_pose=AS_SCANNED)
    seen, _, _ = shadow_of(setup)
    behind, _, _ = shadow_of(replace(setup, columns_reversed=True))
    for side in Side:
        assert landmark(behind, Kind.HIP_BONE, side, "asis") == pytest.approx(
            landmark(seen, Kind.HIP_BONE, side, "asis"), abs=3
        )


def test_mirroring_twice_changes_nothing():
    shadow, _, _ = shadow_of(FieldSetup(field=BoneField.HIP_AP, side=Side.RIGHT))
    example = develop(shadow, np.random.default_rng(0), working_size=128)
    again = mirrored(mirrored(example))
    np.testing.assert_array_equal(again.image, example.image)
    np.testing.assert_array_equal(again.masks, example.masks)
    np.testing.assert_allclose(again.landmarks, example.landmarks)
    assert (mirrored(example).masks[0] == example.masks[1][:, ::-1]).all()


def test_the_same_seed_renders_the_same_shadow_and_a_file_keeps_it(tmp_path):
    first, second = (render([someone()], np.random.default_rng(5), size=96) for _ in range(2))
    np.testing.assert_array_equal(first.lengths, second.lengths)
    first.save(tmp_path / "0.npz")
    (kept,) = read_shadows(tmp_path, frozenset({"somebody else"}))
    assert (kept.people, kept.field, kept.sides_look_exchanged) == (
        first.people,
        first.field,
        first.sides_look_exchanged,
    )
    np.testing.assert_array_equal(kept.masks, first.masks)
    assert not list(read_shadows(tmp_path, frozenset({"nobody"})))


def test_a_contact_sheet_shows_every_film_bare_and_outlined():
    shadow, _, _ = shadow_of(FieldSetup(field=BoneField.KNEE_AP, side=Side.RIGHT))
    example = develop(shadow, np.random.default_rng(0), working_size=128)
    picture = sheet([example, example], columns=2)
    bare, outlined = picture[:, : picture.shape[1] // 2], picture[:, picture.shape[1] // 2 :]
    assert (bare[..., 0] == bare[..., 2]).all()
    assert (outlined[..., 0] != outlined[..., 2]).any()

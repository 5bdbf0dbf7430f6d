"""A broken bone is two closed pieces of the whole one, and the radiograph shows the step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.training.bone_dataset import take
from models.training.bone_rays import bone_lengths
from models.training.fields import BoneField, FieldSetup, place
from models.training.fractures import Cut, NoRoomError, break_bone
from models.training.patient import build_patient
from models.training.primitives import Mesh, tube
from pipeline.radiograph import Side
from tests.training.test_bone_dataset import FACING_BACK
from tests.training.whole_body import someone

SIZE = 160


def bar() -> Mesh:
    """A bar along z, 120 mm long and 24 mm thick."""
    heights = np.linspace(60, -60, 61)
    return tube(heights[:, None] * np.array([0.0, 0, 1]), np.full((61, 24), 12.0), np.array([1.0, 0, 0]))


def jagged(normal: list[float]) -> Cut:
    along = np.array(normal) / np.linalg.norm(normal)
    first = np.cross(along, [0.0, 1, 0]) / np.linalg.norm(np.cross(along, [0.0, 1, 0]))
    waves = np.array([[0.3, 0.1, 0.4, 2.0], [-0.2, 0.5, 2.0, 1.0]])
    return Cut(centre=np.array([0.0, 0, 5]), frame=np.stack([first, np.cross(along, first), along]), waves=waves)


def volume(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.triangles]
    return float(np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)


@pytest.mark.parametrize("normal", [[0, 0, 1], [0.6, 0, 1], [0.5, -0.8, 1]])
def test_the_fragments_make_up_the_bone(normal):
    cut, whole = jagged(normal), bar()
    near, far = (cut.fragment(whole, proximal=proximal) for proximal in (True, False))
    assert volume(near) + volume(far) == pytest.approx(volume(whole), rel=0.03)
    assert volume(near) > 0.2 * volume(whole)
    assert near.vertices[:, 2].max() == pytest.approx(60)
    assert far.vertices[:, 2].min() == pytest.approx(-60)


def test_rays_find_each_fragment_on_its_own_side():
    whole = bar()
    near, far, both = bone_lengths(
        [*(jagged([0, 0, 1]).fragment(whole, proximal=p) for p in (True, False)), whole], FACING_BACK
    )
    seen = both > 0
    assert np.abs(near + far - both)[seen].mean() < 0.3
    assert near[-30:].max() == far[:30].max() == 0


@pytest.mark.parametrize(
    "field", [BoneField.HIP_AP, BoneField.FEMUR_AP, BoneField.KNEE_LATERAL, BoneField.LOWER_LEG_AP]
)
def test_a_radiograph_shows_the_displacement(field):
    setup = FieldSetup(field=field, side=Side.RIGHT, source_to_detector_mm=1100, bone_to_detector_mm=60)
    patient = build_patient(someone(), setup, np.random.default_rng(3))
    geometry = place(patient.body, setup, longest_side=SIZE)
    broken, site = break_bone(patient, setup, geometry, np.random.default_rng(4))
    assert 0.1 < site[1] / geometry.rows < 0.9
    whole, stepped = (take(each, setup, geometry).lengths[0].astype(float) for each in (patient, broken))
    assert (abs(whole - stepped) > 4).sum() * geometry.pixel_spacing[0] ** 2 > 150
    assert stepped.sum() == pytest.approx(whole.sum(), rel=0.2)


def test_nothing_breaks_outside_the_picture():
    setup = FieldSetup(field=BoneField.KNEE_AP, side=Side.RIGHT, source_to_detector_mm=1100, bone_to_detector_mm=60)
    patient = build_patient(someone(), setup, np.random.default_rng(3))
    geometry = place(patient.body, setup, longest_side=SIZE)
    elsewhere = replace(geometry, detector_origin=geometry.detector_origin + np.array([900.0, 0, 0]))
    with pytest.raises(NoRoomError):
        break_bone(patient, setup, elsewhere, np.random.default_rng(4))

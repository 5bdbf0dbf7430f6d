"""Every definition on bones whose measurements are known, and under what must not change them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipeline.shape_model import load
from pipeline.stages import measure_femur as on_femur
from pipeline.stages import measure_leg as on_leg
from pipeline.stages import measure_pelvis as on_pelvis
from pipeline.stages.measure_anatomy import nearest_circle, plane_across
from pipeline.stages.measure_definitions import ANATOMIES, DEFINITIONS
from pipeline.stages.measure_femur import Femur
from pipeline.surface import Bone
from tests.stages.built_bones import FRONT, LATERAL, MEDIAL, UP, femur, hip_bone, patella, tibia, tube
from tests.stages.shadows import MODEL, femur_model

BUILT = {Bone.FEMUR: femur, Bone.TIBIA: tibia, Bone.PATELLA: patella, Bone.HIP_BONE: hip_bone}


def moved(bone, rotation: Rotation, shift=(0.0, 0.0, 0.0)):
    return replace(bone, vertices=rotation.apply(bone.vertices) + shift)


def about(axis, degrees: float) -> Rotation:
    return Rotation.from_rotvec(np.deg2rad(degrees) * np.asarray(axis))


@pytest.mark.parametrize("neck_shaft", [120.0, 128.0, 140.0])
@pytest.mark.parametrize("version", [-8.0, 12.0, 30.0])
def test_a_femur_measures_as_it_was_built(neck_shaft, version):
    built = femur(neck_shaft=neck_shaft, version=version, radius=23.0, offset=40.0)
    assert on_femur.neck_shaft_angle(built) == pytest.approx(neck_shaft, abs=0.5)
    assert on_femur.anteversion(built) == pytest.approx(version, abs=0.5)
    assert on_femur.head_diameter(built) == pytest.approx(46, abs=1e-6)
    assert on_femur.offset(built) == pytest.approx(40, abs=0.2)
    assert on_femur.neck_length(built) == pytest.approx(40 / np.sin(np.deg2rad(neck_shaft)), abs=0.4)


@pytest.mark.parametrize("valgus", [-3.0, 0.0, 2.5])
def test_the_line_below_the_condyles_gives_the_distal_angle(valgus):
    assert on_femur.distal_femoral_angle(femur(knee_valgus=valgus)) == pytest.approx(90 - valgus, abs=0.3)


def test_lengths_and_widths_of_a_femur_are_those_it_was_built_with():
    built = femur(knee_valgus=0, radius=24.0, width=83.0)
    assert on_femur.femoral_length(built) == pytest.approx(424, abs=0.3)
    assert on_femur.epicondylar_width(built) == pytest.approx(83)
    assert on_femur.bicondylar_width(built) == pytest.approx(80, abs=0.3)


@pytest.mark.parametrize("torsion", [-15.0, 10.0, 25.0])
def test_a_femur_twisted_by_an_angle_is_anteverted_by_as_much_more(torsion):
    model = femur_model()
    straight = Femur(landmarks=model.landmarks, regions=model.regions, vertices=model.mean)
    axis, centre = straight.mechanical_axis, straight.head[0]
    height = (model.mean - centre) @ axis
    share = np.clip((height + 260) / 80, 0, 1)
    spin = Rotation.from_rotvec(np.outer(np.deg2rad(-torsion) * share, axis))
    twisted = replace(straight, vertices=spin.apply(model.mean - centre) + centre)
    more = on_femur.anteversion(twisted) - on_femur.anteversion(straight)
    assert more == pytest.approx(torsion, abs=0.1)
    assert on_femur.neck_shaft_angle(twisted) == pytest.approx(on_femur.neck_shaft_angle(straight), abs=1.5)


@pytest.mark.parametrize(("varus", "slope"), [(0.0, 0.0), (3.0, 8.0), (-4.0, 14.0)])
def test_a_tibia_measures_as_it_was_built(varus, slope):
    built = tibia(length=360.0, varus=varus, slope=slope, width=75.0)
    assert on_leg.tibial_length(built) == pytest.approx(360)
    assert on_leg.proximal_tibial_angle(built) == pytest.approx(90 - varus, abs=1e-6)
    assert on_leg.medial_slope(built) == pytest.approx(slope, abs=0.1)
    assert on_leg.plateau_width(built) == pytest.approx(75 * np.cos(np.deg2rad(varus)), abs=0.01)


def test_a_patella_measures_as_it_was_built():
    built = patella(height=41.0, width=46.0)
    assert on_leg.patellar_height(built) == pytest.approx(41)
    assert on_leg.patellar_width(built) == pytest.approx(46)


@pytest.mark.parametrize("varus", [-6.0, 0.0, 4.0])
@pytest.mark.parametrize("flexion", [0.0, 15.0])
def test_a_leg_bent_inwards_below_the_knee_is_in_varus_by_as_much_however_it_is_flexed(varus, flexion):
    bent = moved(moved(tibia(), about(FRONT, varus)), about(LATERAL, flexion))
    expected = 180 - np.rad2deg(np.arctan(np.tan(np.deg2rad(varus)) / np.cos(np.deg2rad(flexion))))
    assert on_leg.hip_knee_ankle_angle(bent, femur()) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("inclination", "anteversion"), [(35.0, 5.0), (42.0, 18.0), (55.0, 28.0)])
def test_an_acetabulum_measures_as_it_was_built(inclination, anteversion):
    right, left = hip_bone(inclination=inclination, anteversion=anteversion), hip_bone().mirrored()
    assert on_pelvis.acetabular_inclination(right, left) == pytest.approx(inclination, abs=0.01)
    assert on_pelvis.acetabular_anteversion(right, left) == pytest.approx(anteversion, abs=0.01)
    assert on_pelvis.acetabular_diameter(right) == pytest.approx(50)


@pytest.mark.parametrize("cover", [78.0, 90.0, 95.0])
def test_an_acetabulum_covers_the_head_up_to_its_rim(cover):
    right, left = hip_bone(inclination=45.0, anteversion=0.0, cover=cover), hip_bone().mirrored()
    assert on_pelvis.centre_edge_angle(right, left) == pytest.approx(180 - 45 - cover, abs=0.1)


def test_a_pelvis_is_as_wide_as_it_was_built():
    right, left = hip_bone(spines=230.0), hip_bone(spines=230.0).mirrored()
    assert on_pelvis.spine_distance(right, left) == pytest.approx(230)
    assert on_pelvis.pelvic_width(right, left) == pytest.approx(270)


@pytest.mark.parametrize("tilt", [-12.0, 0.0, 9.0])
def test_a_pelvis_tilted_forward_by_an_angle_is_tilted_and_its_acetabula_are_as_before(tilt):
    forward = about(MEDIAL, tilt)
    right, left = (moved(bone, forward) for bone in (hip_bone(), hip_bone().mirrored()))
    assert on_pelvis.pelvic_tilt(right, left) == pytest.approx(tilt)
    assert on_pelvis.acetabular_inclination(right, left) == pytest.approx(42, abs=0.01)
    assert on_pelvis.acetabular_anteversion(right, left) == pytest.approx(18, abs=0.01)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_where_bones_lie_changes_nothing_but_the_tilt(definition):
    bones = [BUILT[part.bone]().mirrored() if part.opposite else BUILT[part.bone]() for part in definition.parts]
    elsewhere = Rotation.from_euler("xyz", [20, -35, 70], degrees=True)
    there = [moved(bone, elsewhere, (100.0, -40.0, 8.0)) for bone in bones]
    same = definition.measured(*there) == pytest.approx(definition.measured(*bones), abs=1e-6)
    assert same is not definition.name.startswith("Pelvic tilt")


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_what_a_definition_needs_is_known_on_the_models(definition):
    for part in definition.parts:
        assert part.bone in ANATOMIES
        assert set(part.needs) <= set(load(MODEL.with_name(f"{part.bone}_shape.npz")).landmarks)


def test_a_circle_is_found_though_its_points_are_crowded_on_one_side():
    ring = tube(np.zeros(3), UP, 10.0, rings=2, around=360)[:360] + 5 * FRONT
    crowded = np.vstack([ring, *[ring[:90]] * 20])
    centre, radius = nearest_circle(crowded, plane_across(UP))
    assert centre == pytest.approx(5 * FRONT, abs=1e-9)
    assert radius == pytest.approx(10)

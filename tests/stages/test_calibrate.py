import numpy as np
import pytest

from pipeline.radiograph import Acquisition, Radiograph, ScaleProvenance, Side, View
from pipeline.stages.calibrate import TYPICAL_MAGNIFICATION, calibrate

MIDDLE = np.array([[149.5, 199.5]])


def radiograph(**said) -> Radiograph:
    pixels = np.zeros((400, 300), np.float32)
    return Radiograph(identifier="one", pixels=pixels, acquisition=Acquisition(**said))


def ap(**said):
    return calibrate(radiograph(**said), view=View.AP, side=Side.RIGHT)


def lateral(side=Side.RIGHT, **said):
    return calibrate(radiograph(**said), view=View.LATERAL, side=side)


def test_a_calibrated_spacing_is_the_size_of_a_pixel_in_the_bone():
    found = ap(imager_pixel_spacing=(0.2, 0.2), pixel_spacing=(0.17, 0.17), pixel_spacing_calibrated=True)
    assert found.scale.provenance is ScaleProvenance.CALIBRATED
    assert found.scale.mm_per_pixel == pytest.approx(0.17)
    assert found.geometry.pixel_spacing == pytest.approx((0.2, 0.2))


def test_a_calibrated_spacing_goes_before_a_magnification_factor():
    found = ap(pixel_spacing=(0.17, 0.17), pixel_spacing_calibrated=True, magnification=1.3)
    assert found.scale.mm_per_pixel == pytest.approx(0.17)


def test_the_magnification_factor_goes_before_the_distances():
    found = ap(
        imager_pixel_spacing=(0.2, 0.2), magnification=1.25, source_to_detector_mm=1100, source_to_patient_mm=1000
    )
    assert found.scale.provenance is ScaleProvenance.MAGNIFICATION_FACTOR
    assert found.scale.mm_per_pixel == pytest.approx(0.16)


def test_distances_give_the_magnification_where_no_factor_does():
    found = ap(imager_pixel_spacing=(0.2, 0.2), source_to_detector_mm=1100, source_to_patient_mm=1000)
    assert found.scale.provenance is ScaleProvenance.SOURCE_DISTANCES
    assert found.scale.mm_per_pixel == pytest.approx(0.2 / 1.1)


def test_a_factor_of_one_is_what_a_modality_writes_that_estimated_nothing():
    found = ap(imager_pixel_spacing=(0.2, 0.2), magnification=1.0)
    assert found.scale.provenance is ScaleProvenance.TYPICAL_MAGNIFICATION
    assert found.scale.mm_per_pixel == pytest.approx(0.2 / TYPICAL_MAGNIFICATION)


def test_spacing_without_calibration_type_is_the_detectors():
    found = ap(pixel_spacing=(0.2, 0.2))
    assert found.scale.provenance is ScaleProvenance.TYPICAL_MAGNIFICATION
    assert any("Magnification not given" in note for note in found.notes)


def test_a_typed_spacing_is_the_users():
    found = ap(pixel_spacing=(0.3, 0.3), pixel_spacing_calibrated=True, typed=True)
    assert found.scale.provenance is ScaleProvenance.USER
    assert found.scale.mm_per_pixel == pytest.approx(0.3)


@pytest.mark.parametrize("nonsense", [None, (0.0, 0.0), (50.0, 50.0)])
def test_without_a_sensible_spacing_no_millimetres_are_claimed(nonsense):
    found = ap(imager_pixel_spacing=nonsense)
    assert not found.scale.known
    assert any("shape only" in note for note in found.notes)


def test_doubt_grows_down_the_order_of_trust():
    sources = [
        ap(pixel_spacing=(0.2, 0.2), pixel_spacing_calibrated=True),
        ap(imager_pixel_spacing=(0.2, 0.2), magnification=1.2),
        ap(imager_pixel_spacing=(0.2, 0.2), source_to_detector_mm=1100, source_to_patient_mm=950),
        ap(imager_pixel_spacing=(0.2, 0.2)),
        ap(),
    ]
    doubts = [found.scale.relative_uncertainty for found in sources]
    assert doubts == sorted(doubts)
    assert len(set(doubts)) == len(doubts)


def test_the_central_ray_meets_the_bone_in_the_middle_of_the_picture():
    found = ap(imager_pixel_spacing=(0.2, 0.2), magnification=1.2, source_to_detector_mm=1200)
    assert found.geometry.project(np.zeros((1, 3))) == pytest.approx(MIDDLE)
    assert found.geometry.magnification(np.zeros(3)) == pytest.approx(1.2)
    assert found.geometry.source == pytest.approx([0, -1000, 0])


def test_patient_orientation_decides_which_way_a_picture_faces():
    mirrored = ap(imager_pixel_spacing=(0.2, 0.2), column_axis="R", row_axis="F")
    assert mirrored.mirroring_known
    assert mirrored.geometry.column_direction == pytest.approx([-1, 0, 0])


def test_an_orientation_that_contradicts_the_view_is_not_believed():
    found = ap(column_axis="A", row_axis="F")
    assert not found.mirroring_known
    assert found.geometry.column_direction == pytest.approx([1, 0, 0])


@pytest.mark.parametrize(
    ("side", "beam", "source_x"), [(Side.RIGHT, None, 1), (Side.LEFT, None, -1), (Side.RIGHT, "LM", -1)]
)
def test_a_lateral_beam_enters_medially_unless_the_sender_says_otherwise(side, beam, source_x):
    assert np.sign(lateral(side, beam=beam).geometry.source[0]) == source_x


def test_a_lateral_without_orientation_hangs_as_seen_from_the_tube_and_may_be_mirrored():
    found = lateral()
    assert not found.mirroring_known
    assert found.geometry.column_direction == pytest.approx([0, 1, 0])

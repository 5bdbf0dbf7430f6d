import numpy as np
import pytest
from pydicom import dcmread

from pipeline.dicom_write import ProofPicture
from pipeline.radiograph import Side
from pipeline.results import DISCLAIMER, SHAPE_ONLY
from tests.dicom_write.example import header_of, picture_of, secondary_capture, two_views, without_scale
from tests.factories import make_dx


def one_view(**attributes):
    dataset = make_dx()
    dataset.update(attributes)
    return {dataset.SOPInstanceUID: header_of(dataset)}


def test_dciodvfy_finds_no_error(tmp_path, dciodvfy_errors):
    assert dciodvfy_errors(secondary_capture(tmp_path)) == []


def test_dciodvfy_finds_no_error_without_a_scale(tmp_path, dciodvfy_errors):
    assert dciodvfy_errors(secondary_capture(tmp_path, **without_scale())) == []


@pytest.mark.parametrize("size", [(31, 27), (20, 30)], ids=["odd", "even"])
def test_the_picture_comes_back_pixel_by_pixel(tmp_path, size):
    sources = two_views()
    picture = picture_of(next(iter(sources.values())), height=size[0], width=size[1])
    dataset = dcmread(secondary_capture(tmp_path, sources=sources, pictures=(picture,)))
    np.testing.assert_array_equal(dataset.pixel_array, picture.pixels)


def test_a_picture_of_both_sides_claims_none(tmp_path, dciodvfy_errors):
    sources = one_view()
    picture = picture_of(next(iter(sources.values())), side=None)
    path = secondary_capture(tmp_path, sources=sources, pictures=(picture,))
    dataset = dcmread(path)
    assert dataset["Laterality"].is_empty
    assert dataset.SeriesDescription == "Bonecraft: bones on radiographs"
    assert dciodvfy_errors(path) == []


def test_it_says_what_it_shows_and_from_which_radiograph(tmp_path):
    sources = one_view()
    (source,) = sources.values()
    dataset = dcmread(secondary_capture(tmp_path, sources=sources))
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert dataset.DerivationDescription.startswith("Femur R on AP: ")
    assert "ImagerPixelSpacing and source distances, +-2.0 % (1 SD)" in dataset.DerivationDescription
    assert dataset.ImageComments == DISCLAIMER
    assert (dataset.Laterality, dataset.ConversionType) == ("R", "WSD")
    assert list(dataset.PatientOrientation) == ["L", "F"]


def test_without_a_scale_it_says_so_and_cannot_be_measured_on(tmp_path):
    dataset = dcmread(secondary_capture(tmp_path, **without_scale()))
    assert dataset.ImageComments.startswith(SHAPE_ONLY)
    assert "PixelSpacing" not in dataset


def test_it_is_measured_on_in_the_plane_of_the_bone(tmp_path):
    dataset = dcmread(secondary_capture(tmp_path))
    assert list(dataset.PixelSpacing) == [0.174, 0.174]
    assert dataset.PixelSpacingCalibrationType == "GEOMETRY"
    assert "source distances" in dataset.PixelSpacingCalibrationDescription


@pytest.mark.parametrize(("said", "expected"), [("NO", "NO"), ("YES", "YES"), (None, "YES")])
def test_names_burned_into_the_radiograph_are_not_denied(tmp_path, said, expected):
    sources = one_view(BurnedInAnnotation=said)
    assert dcmread(secondary_capture(tmp_path, sources=sources)).BurnedInAnnotation == expected


def test_what_was_compressed_with_loss_stays_so(tmp_path):
    sources = one_view(
        LossyImageCompression="01", LossyImageCompressionRatio="12.5", LossyImageCompressionMethod="ISO_10918_1"
    )
    dataset = dcmread(secondary_capture(tmp_path, sources=sources))
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": np.zeros((3, 3), np.uint8)},
        {"pixels": np.zeros((3, 3, 3))},
        {"title": ""},
        {"title": "x" * 65},
        {"title": "Hüfte"},
    ],
    ids=["grey", "not bytes", "no title", "long title", "not ASCII"],
)
def test_what_is_no_proof_picture_is_refused(changes):
    good = {"radiograph": "1.2", "pixels": np.zeros((3, 3, 3), np.uint8), "title": "t", "side": Side.LEFT}
    ProofPicture(**good)
    with pytest.raises(ValueError, match="picture"):
        ProofPicture(**(good | changes))

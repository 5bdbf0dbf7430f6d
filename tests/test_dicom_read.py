"""Tags become meaning: what senders write, what they forget, and what they get wrong."""

import struct

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from pipeline.dicom_read import radiograph_of, read_radiograph
from pipeline.dicom_study import read_study
from pipeline.errors import InputError, Refusal, RefusalCode
from pipeline.radiograph import Side, View
from pipeline.typed_facts import TypedFacts
from tests.factories import make_dx, save

ROWS, COLUMNS = 500, 400
LIGHT, DARK = 3000, 500


def a_bright_square() -> np.ndarray:
    """A picture whose middle is bright, as bone is on a light box."""
    pixels = np.full((ROWS, COLUMNS), DARK, dtype=np.uint16)
    pixels[200:300, 150:250] = LIGHT
    return pixels


def a_film(**changes: object) -> Dataset:
    """A radiograph of a bright square, with elements changed, or removed by None."""
    dataset = make_dx(pixels=a_bright_square())
    for keyword, value in changes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def read(dataset: Dataset):
    return radiograph_of(dataset, name="a.dcm")


def shows_a_bright_square(radiograph) -> bool:
    middle, corner = radiograph.pixels[250, 200], radiograph.pixels[10, 10]
    return bool(middle > corner)


def test_a_complete_dx_says_everything():
    radiograph = read(a_film())
    taken = radiograph.acquisition
    assert (radiograph.view, radiograph.side, radiograph.body_part) == (View.AP, Side.RIGHT, "HIP")
    assert taken.imager_pixel_spacing == (0.2, 0.2)
    assert (taken.source_to_detector_mm, taken.source_to_patient_mm, taken.magnification) == (1150, 1000, 1.15)
    assert (taken.column_axis, taken.row_axis) == ("L", "F")
    assert radiograph.patient_age_years == 66
    assert radiograph.notes == ()
    assert shows_a_bright_square(radiograph)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda uid: uid.name,
)
def test_uncompressed_transfer_syntaxes_give_the_same_pixels(tmp_path, syntax):
    dataset = a_film()
    if syntax == ExplicitVRBigEndian:
        dataset["PixelData"].value = a_bright_square().astype(">u2").tobytes()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(
        tmp_path / "a.dcm",
        implicit_vr=syntax.is_implicit_VR,
        little_endian=syntax.is_little_endian,
        enforce_file_format=True,
    )
    assert np.array_equal(read_radiograph(tmp_path / "a.dcm").pixels, read(a_film()).pixels)


LOSSLESS_CODECS = {
    JPEGLosslessSV1: imagecodecs.ljpeg_encode,
    JPEGLSLossless: imagecodecs.jpegls_encode,
    JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
    HTJ2KLossless: imagecodecs.htj2k_encode,
}


@pytest.mark.parametrize("syntax", [RLELossless, *LOSSLESS_CODECS], ids=lambda uid: uid.name)
def test_lossless_compression_gives_the_same_pixels(tmp_path, syntax):
    dataset = a_film()
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    else:
        dataset.PixelData = encapsulate([LOSSLESS_CODECS[syntax](a_bright_square())])
        dataset.file_meta.TransferSyntaxUID = syntax
    assert np.array_equal(read_radiograph(save(dataset, tmp_path / "a.dcm")).pixels, read(a_film()).pixels)


def test_twelve_bit_jpeg_is_decoded(tmp_path):
    dataset = a_film()
    dataset.PixelData = encapsulate([imagecodecs.jpeg8_encode(a_bright_square(), level=95, bitspersample=12)])
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    decoded = read_radiograph(save(dataset, tmp_path / "a.dcm")).pixels
    assert np.abs(decoded - read(a_film()).pixels).mean() < 10


@pytest.mark.parametrize("allocated", [1, 12, 32])
def test_jpeg_whose_tags_claim_other_samples_ends_no_process(tmp_path, allocated):
    dataset = a_film()
    dataset.PixelData = encapsulate([imagecodecs.ljpeg_encode(a_bright_square())])
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.BitsAllocated = allocated
    with pytest.raises(InputError, match="BitsAllocated"):
        read_radiograph(save(dataset, tmp_path / "a.dcm"))


def test_a_file_without_preamble_and_meta_information_is_read(tmp_path):
    dataset = a_film()
    path = tmp_path / "bare.dcm"
    del dataset.file_meta
    dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert shows_a_bright_square(read_radiograph(path))


def test_bone_is_bright_in_monochrome1():
    dark_bone = a_film(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")
    dark_bone.PixelData = (4095 - a_bright_square()).tobytes()
    assert shows_a_bright_square(read(dark_bone))


def test_a_contradicting_presentation_lut_shape_is_noted_and_not_believed():
    radiograph = read(a_film(PresentationLUTShape="INVERSE"))
    assert shows_a_bright_square(radiograph)
    assert any("PresentationLUTShape" in note for note in radiograph.notes)


@pytest.mark.parametrize(("sign", "bone_is_dark"), [(1, True), (-1, False)])
def test_bone_is_bright_for_processing_whatever_the_sign(sign, bone_is_dark):
    raw = a_film(
        PresentationIntentType="FOR PROCESSING", PixelIntensityRelationship="LIN", PixelIntensityRelationshipSign=sign
    )
    raw.PixelData = (4095 - a_bright_square() if bone_is_dark else a_bright_square()).tobytes()
    assert shows_a_bright_square(read(raw))


def test_a_window_that_shows_nothing_is_ignored():
    radiograph = read(a_film(WindowCenter=60000, WindowWidth=10))
    assert shows_a_bright_square(radiograph)
    assert any("window" in note for note in radiograph.notes)


def test_a_modality_lut_is_applied():
    table = np.arange(4096, dtype=np.uint16)[::-1]
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.ModalityLUTType = "US"
    item.add_new("LUTData", "OW", table.tobytes())
    radiograph = read(a_film(ModalityLUTSequence=Sequence([item]), WindowCenter=None, WindowWidth=None))
    assert not shows_a_bright_square(radiograph)


def test_a_voi_lut_goes_before_the_window():
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 12]
    item.add_new("LUTData", "OW", np.arange(4096, dtype=np.uint16)[::-1].tobytes())
    assert not shows_a_bright_square(read(a_film(VOILUTSequence=Sequence([item]))))


def test_padding_is_as_dark_as_the_darkest_of_the_picture():
    pixels = a_bright_square()
    pixels[:, :50] = 4095
    dataset = a_film(PixelPaddingValue=4095)
    dataset.PixelData = pixels.tobytes()
    radiograph = read(dataset)
    assert radiograph.pixels[:, :50].max() == radiograph.pixels[:, 50:].min()


def test_colour_becomes_grey_and_is_said():
    grey = (a_bright_square() // 16).astype(np.uint8)
    dataset = a_film(
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PlanarConfiguration=0,
    )
    dataset.PixelData = np.repeat(grey[..., None], 3, axis=2).tobytes()
    radiograph = read(dataset)
    assert radiograph.was_colour
    assert shows_a_bright_square(radiograph)


@pytest.mark.parametrize(
    ("spacing", "why"),
    [
        ([0.0, 0.0], "detector"),
        ([1.0, 1.0], "exactly 1 mm"),
        ([25.0, 25.0], "detector"),
        ([0.03, 0.03], "mm long"),
        ([0.2, -0.2], "detector"),
    ],
)
def test_nonsense_spacing_is_noted_and_ignored(spacing, why):
    radiograph = read(a_film(ImagerPixelSpacing=None, PixelSpacing=spacing))
    assert radiograph.acquisition.pixel_spacing is None
    assert any(why in note for note in radiograph.notes)


def test_spacing_that_is_no_number_is_noted_and_ignored(tmp_path):
    path = save(a_film(ImagerPixelSpacing=None, PixelSpacing=[0.25, 0.25]), tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().replace(b"0.25\\0.25 ", b"0,25\\x.25 "))
    assert read_radiograph(path).acquisition.pixel_spacing is None


def test_calibrated_pixel_spacing_is_told_from_the_detectors():
    calibrated = read(a_film(PixelSpacing=[0.17, 0.17], PixelSpacingCalibrationType="FIDUCIAL")).acquisition
    copied = read(a_film(PixelSpacing=[0.2, 0.2])).acquisition
    corrected = read(a_film(PixelSpacing=[0.175, 0.175])).acquisition
    assert calibrated.pixel_spacing_calibrated
    assert not copied.pixel_spacing_calibrated
    assert corrected.pixel_spacing_calibrated, "differing values mean a correction (PS3.3 10.7.1.3)"


def test_spacings_that_contradict_each_other_are_both_ignored():
    radiograph = read(a_film(PixelSpacing=[0.5, 0.5]))
    assert radiograph.acquisition.imager_pixel_spacing is None
    assert radiograph.acquisition.pixel_spacing is None
    assert any("contradict" in note for note in radiograph.notes)


@pytest.mark.parametrize(
    ("position", "view", "beam"),
    [
        ("AP", View.AP, None),
        ("PA", View.PA, None),
        ("LL", View.LATERAL, None),
        ("RL", View.LATERAL, None),
        ("LATERAL", View.LATERAL, None),
        ("ML", View.LATERAL, "ML"),
        ("LM", View.LATERAL, "LM"),
        ("LLD", None, None),
        ("RLO", None, None),
        ("", None, None),
    ],
)
def test_view_position_becomes_a_view(position, view, beam):
    radiograph = read(a_film(ViewCodeSequence=None, ViewPosition=position))
    assert (radiograph.view, radiograph.acquisition.beam) == (view, beam)


def test_a_coded_view_goes_before_view_position():
    dataset = a_film(ViewPosition="PA")
    dataset.ViewCodeSequence[0].CodeValue = "399260004"
    radiograph = read(dataset)
    assert (radiograph.view, radiograph.acquisition.beam) == (View.LATERAL, "ML")


@pytest.mark.parametrize(
    ("image", "series", "side"), [("L", "R", Side.LEFT), (None, "R", Side.RIGHT), ("B", "R", None)]
)
def test_image_laterality_goes_before_laterality(image, series, side):
    assert read(a_film(ImageLaterality=image, Laterality=series)).side == side


def test_the_region_codes_modifier_tells_the_side_where_laterality_is_missing():
    dataset = a_film(ImageLaterality=None)
    modifier = Dataset()
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = "7771000", "SCT", "Left"
    dataset.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [modifier]
    assert read(dataset).side is Side.LEFT


@pytest.mark.parametrize(
    ("changes", "years"),
    [
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "006W"}, 0.115),
        ({"PatientAge": None, "PatientBirthDate": "20160102"}, 10),
        ({"PatientAge": "", "PatientBirthDate": "19000101"}, None),
        ({"PatientAge": None, "PatientBirthDate": ""}, None),
        ({"PatientAge": "", "PatientBirthDate": "20261231"}, None),
    ],
)
def test_age_comes_from_the_age_or_the_dates(changes, years):
    assert read(a_film(**changes)).patient_age_years == pytest.approx(years, abs=0.01)


def test_a_film_stripped_of_every_optional_tag_is_read():
    needed = {"Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"}
    needed |= {"PhotometricInterpretation", "PixelData", "SOPClassUID"}
    dataset = a_film()
    for element in list(dataset):
        if element.keyword not in needed:
            del dataset[element.tag]
    radiograph = read(dataset)
    assert shows_a_bright_square(radiograph)
    assert radiograph.identifier == "a.dcm"
    assert (radiograph.view, radiograph.side, radiograph.body_part) == (None, None, None)


@pytest.mark.parametrize("changes", [{"Modality": "CT"}, {"NumberOfFrames": 12}])
def test_what_is_no_plain_radiograph_is_refused(changes):
    with pytest.raises(Refusal) as caught:
        read(a_film(**changes))
    assert caught.value.code is RefusalCode.NOT_A_RADIOGRAPH


def test_a_few_bytes_that_claim_a_huge_picture_are_not_decoded():
    with pytest.raises(InputError, match="more than a radiograph"):
        read(a_film(Rows=60000, Columns=60000))


def test_pixels_that_end_too_early_are_an_input_error():
    with pytest.raises(InputError, match="cannot be decoded"):
        read(a_film(PixelData=b"\0" * 100))


def test_a_value_of_no_known_representation_is_an_input_error(tmp_path):
    path = save(a_film(DistanceSourceToDetector=1000), tmp_path / "film.dcm")
    distance = struct.pack("<HH", 0x0018, 0x1110)
    content = path.read_bytes()
    assert distance + b"DS" in content
    path.write_bytes(content.replace(distance + b"DS", distance + b"ZZ"))
    with pytest.raises(InputError, match=r"film\.dcm holds values that cannot be read"):
        read_radiograph(path)


def test_a_dataset_without_pixels_is_an_input_error():
    with pytest.raises(InputError, match="no picture"):
        read(a_film(PixelData=None))


def test_a_file_that_is_not_dicom_is_an_input_error(tmp_path):
    path = tmp_path / "letter.dcm"
    path.write_text("Dear colleague, thank you for referring this patient.")
    with pytest.raises(InputError, match=r"letter\.dcm"):
        read_radiograph(path)


def test_a_study_is_read_in_the_same_order_whatever_the_order_of_its_files(tmp_path):
    paths = [save(make_dx(view=view), tmp_path / f"{view}.dcm") for view in ("AP", "LATERAL")]
    there, back = read_study(paths), read_study(paths[::-1])
    assert [r.identifier for r in there.radiographs] == [r.identifier for r in back.radiographs]
    assert set(there.headers) == {r.identifier for r in there.radiographs}


def test_files_of_two_studies_are_an_input_error(tmp_path):
    for study in ("one", "another"):
        save(make_dx(study=study), tmp_path / f"{study}.dcm")
    with pytest.raises(InputError, match="2 different studies"):
        read_study([tmp_path])


def test_what_lies_beside_images_in_a_folder_is_passed_over(tmp_path):
    save(make_dx(), tmp_path / "a.dcm")
    (tmp_path / "README.txt").write_text("not an image")
    (tmp_path / ".hidden").write_bytes(b"\0")
    assert len(read_study([tmp_path]).radiographs) == 1


def test_a_folder_without_images_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="none of the files"):
        read_study([tmp_path])


def test_the_same_film_twice_is_used_once(tmp_path):
    paths = [save(make_dx(), tmp_path / name) for name in ("a.dcm", "b.dcm")]
    study = read_study(paths)
    assert len(study.radiographs) == 1
    assert any("twice" in warning for warning in study.warnings)


def test_a_radiograph_beside_a_ct_is_used_and_the_ct_named(tmp_path):
    save(make_dx(), tmp_path / "a.dcm")
    ct = make_dx(view="LATERAL")
    ct.Modality = "CT"
    save(ct, tmp_path / "b.dcm")
    study = read_study([tmp_path])
    assert len(study.radiographs) == 1
    assert any("CT" in warning for warning in study.warnings)


def test_what_a_person_types_goes_before_what_the_file_says(tmp_path):
    path = save(a_film(), tmp_path / "a.dcm")
    typed = TypedFacts(pixel_spacing_mm=0.15, view=View.LATERAL, side=Side.LEFT, body_part="femur")
    radiograph = read_study([path], [typed]).radiographs[0]
    assert (radiograph.view, radiograph.side, radiograph.body_part) == (View.LATERAL, Side.LEFT, "FEMUR")
    assert radiograph.acquisition.pixel_spacing == (0.15, 0.15)
    assert radiograph.acquisition.typed


def test_a_typed_spacing_that_cannot_be_is_an_input_error():
    with pytest.raises(InputError, match="not plausible"):
        TypedFacts(pixel_spacing_mm=200)

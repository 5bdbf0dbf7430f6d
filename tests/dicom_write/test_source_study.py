import io

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from pipeline.errors import InputError
from tests.dicom_write.example import header_of, secondary_capture, surface_segmentation, write
from tests.factories import make_dx, save

NAMES = [
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    ("ISO_IR 100", "Buc^Jérôme"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ("GB18030", "Wang^XiaoDong=王^小东"),
]

RAW_NAME = {
    "Latin-1 that is not declared": (b"", b"M\xfcller^J\xfcrgen"),
    "UTF-8 that is not declared": (b"", "Müller^Jürgen".encode()),
    "bytes that the declared character set does not have": (b"ISO_IR 192", b"M\xfcller^J\xfcrgen"),
    "trailing spaces and empty components": (b"ISO_IR 100", b"Doe^Jane^^^   "),
}


def element_bytes(content: bytes, tag: bytes) -> bytes:
    """The value of a short text element in an Explicit VR Little Endian file."""
    at = content.index(tag)
    length = int.from_bytes(content[at + 6 : at + 8], "little")
    return content[at + 8 : at + 8 + length]


@pytest.mark.parametrize(("character_set", "name"), NAMES, ids=[str(name[0]) for name in NAMES])
def test_names_in_every_script_are_copied_exactly(tmp_path, character_set, name):
    source_path = save(make_dx(patient_name=name, character_set=character_set), tmp_path / "source.dcm")
    source = dcmread(source_path, stop_before_pixels=True)
    for result in write(tmp_path, sources={source.SOPInstanceUID: source}):
        written = dcmread(tmp_path / result.path)
        assert written.PatientName == name
        assert written.SpecificCharacterSet == character_set
        for tag in (b"\x10\x00\x10\x00PN", b"\x08\x00\x05\x00CS"):
            content = (tmp_path / result.path).read_bytes()
            assert element_bytes(content, tag) == element_bytes(source_path.read_bytes(), tag), result.kind


@pytest.mark.parametrize(("character_set", "name"), RAW_NAME.values(), ids=RAW_NAME.keys())
def test_wrongly_declared_names_come_out_byte_for_byte_as_they_came_in(tmp_path, character_set, name):
    marker_name, marker_set = b"N" * len(name), character_set.decode() or None
    name = name if len(name) % 2 == 0 else name + b" "
    content = io.BytesIO()
    make_dx(patient_name="N" * len(name), character_set=marker_set).save_as(content, enforce_file_format=True)
    source_bytes = content.getvalue().replace(marker_name.ljust(len(name), b"N"), name)
    source = dcmread(io.BytesIO(source_bytes), stop_before_pixels=True)
    result = surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source}).read_bytes()
    assert element_bytes(result, b"\x10\x00\x10\x00PN") == name


def test_a_name_that_was_looked_at_before_is_copied_all_the_same(tmp_path):
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    source = header_of(make_dx(patient_name=name, character_set=["", "ISO 2022 IR 87"]))
    assert source.PatientName == name
    assert str(source)
    assert dcmread(surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source})).PatientName == name


def with_other_identifiers(length_is_defined: bool) -> Dataset:
    dataset = make_dx(patient_name="Buc^Jérôme", character_set="ISO_IR 100")
    other = Dataset()
    other.PatientID, other.IssuerOfPatientID, other.TypeOfPatientID = "X1", "Clinique Jérôme", "TEXT"
    other.is_undefined_length_sequence_item = not length_is_defined
    dataset.OtherPatientIDsSequence = Sequence([other])
    dataset["OtherPatientIDsSequence"].is_undefined_length = not length_is_defined
    dataset.PatientSize = "1.7"
    return dataset


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("length_is_defined", [True, False])
def test_patients_are_copied_from_every_transfer_syntax(tmp_path, syntax, length_is_defined, dciodvfy_errors):
    dataset = with_other_identifiers(length_is_defined)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset["PixelData"].value = dataset["PixelData"].value[::-1]
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    source = dcmread(io.BytesIO(buffer.getvalue()), stop_before_pixels=True)
    path = surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source})
    assert dciodvfy_errors(path) == []
    result = dcmread(path)
    assert result.PatientName == "Buc^Jérôme"
    assert result.PatientSize == 1.7
    assert result.OtherPatientIDsSequence[0].IssuerOfPatientID == "Clinique Jérôme"
    assert not result["OtherPatientIDsSequence"].is_undefined_length


def test_the_whole_patient_and_study_come_along_and_nothing_else(tmp_path):
    dataset = make_dx()
    dataset.PatientComments, dataset.EthnicGroup = "Comment", "Group"
    dataset.ClinicalTrialSubjectID, dataset.ClinicalTrialSponsorName = "S1", "Sponsor"
    dataset.ClinicalTrialSeriesID = "not of this series"
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "By hand"
    dataset.private_block(0x0011, "SOMEBODY", create=True).add_new(1, "LO", "private")
    source = header_of(dataset)
    result = dcmread(surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source}))
    for keyword in ("PatientComments", "EthnicGroup", "ClinicalTrialSubjectID", "PatientIdentityRemoved", "StudyID"):
        assert result[keyword].value == source[keyword].value
    for keyword in ("ClinicalTrialSeriesID", "BodyPartExamined", "ViewPosition", "WindowCenter"):
        assert keyword not in result
    assert not [element for element in result if element.tag.is_private]


def test_attributes_that_the_source_lacks_are_not_made_up(tmp_path):
    dataset = make_dx()
    del dataset.ReferringPhysicianName, dataset.PatientSex
    source = header_of(dataset)
    result = dcmread(secondary_capture(tmp_path, sources={source.SOPInstanceUID: source}))
    assert "ReferringPhysicianName" not in result
    assert "PatientSex" not in result


@pytest.mark.parametrize(("offset", "hour"), [("+0900", "210000"), ("-0330", "083000"), ("+0000", "120000")])
def test_times_are_told_in_the_time_zone_of_the_study(tmp_path, offset, hour):
    dataset = make_dx()
    dataset.TimezoneOffsetFromUTC = offset
    source = header_of(dataset)
    result = dcmread(surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source}))
    assert (result.ContentTime, result.TimezoneOffsetFromUTC) == (hour, offset)


@pytest.mark.parametrize("nonsense", [b"UTC   ", b"+09:00", b"+2500 ", b"9     "])
def test_a_time_zone_that_is_none_does_not_stop_a_result(tmp_path, nonsense):
    dataset = make_dx()
    dataset.TimezoneOffsetFromUTC = "+0900"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    source = dcmread(io.BytesIO(buffer.getvalue().replace(b"+0900 ", nonsense)), stop_before_pixels=True)
    result = dcmread(surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source}))
    assert result.TimezoneOffsetFromUTC == nonsense.decode().strip()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_radiograph_without_an_identifier_is_refused_by_name(tmp_path, keyword):
    source = header_of(make_dx())
    del source[keyword]
    with pytest.raises(InputError, match=keyword):
        surface_segmentation(tmp_path, sources={source.SOPInstanceUID: source})

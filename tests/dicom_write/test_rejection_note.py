"""Rejection notes are sound, say which results do not hold any more, and are recognised as ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pipeline.dicom_check import check_instance
from pipeline.dicom_header import read_instance_header
from pipeline.dicom_write import WriteSettings, recognise_own
from pipeline.dicom_write.rejection_note import Replaced, write_rejection_note
from pipeline.records.instances import InstanceRole
from tests.dicom_write.example import CREATED, two_views, write

BECAUSE = "A later view came."


@pytest.fixture
def old(tmp_path: Path) -> list[Path]:
    """The files of a result that went out."""
    return [tmp_path / "old" / result.path for result in write(tmp_path / "old")]


def note_for(old: list[Path], out: Path, *, because: str = BECAUSE) -> Path:
    replaced = Replaced.read(old)
    assert replaced is not None
    made = write_rejection_note(replaced, because=because, out=out, software_version="0", created=CREATED)
    return out / made.path


def test_a_note_names_exactly_what_it_rejects_in_the_same_study(old: list[Path], tmp_path: Path) -> None:
    note = dcmread(note_for(old, tmp_path))
    headers = [dcmread(path, stop_before_pixels=True) for path in old]
    [study] = note.CurrentRequestedProcedureEvidenceSequence
    evidence = {
        (series.SeriesInstanceUID, reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert evidence == {(each.SeriesInstanceUID, each.SOPClassUID, each.SOPInstanceUID) for each in headers}
    assert note.StudyInstanceUID == study.StudyInstanceUID == headers[0].StudyInstanceUID
    assert note.PatientName == headers[0].PatientName
    assert note.ConceptNameCodeSequence[0].CodeValue == "113001"
    assert [item.TextValue for item in note.ContentSequence if item.ValueType == "TEXT"] == [BECAUSE]


def test_a_note_names_single_pictures_and_films_as_images_and_nothing_else(old: list[Path], tmp_path: Path) -> None:
    headers = [dcmread(path, stop_before_pixels=True) for path in old]
    items = dcmread(note_for(old, tmp_path)).ContentSequence
    named = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items if item.ValueType == "IMAGE"}
    pictures = [header for header in headers if header.SOPClassUID.keyword.endswith("SecondaryCaptureImageStorage")]
    assert any(picture.get("NumberOfFrames", 1) > 1 for picture in pictures)
    assert named == {picture.SOPInstanceUID for picture in pictures}


def test_a_note_tells_the_time_as_the_study_does(tmp_path: Path) -> None:
    views = two_views()
    for view in views.values():
        view.TimezoneOffsetFromUTC = "+1300"
    old = [tmp_path / each.path for each in write(tmp_path, sources=views)]
    note = dcmread(note_for(old, tmp_path / "note"))
    assert note.TimezoneOffsetFromUTC == "+1300"
    for moment in ("Series", "Content", "InstanceCreation"):
        assert (note[f"{moment}Date"].value, note[f"{moment}Time"].value) == ("20260103", "010000")


def test_a_note_is_sound_and_dciodvfy_finds_no_error(
    old: list[Path], tmp_path: Path, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    path = note_for(old, tmp_path)
    assert check_instance(dcmread(path), sources=list(two_views().values())) == ()
    assert dciodvfy_errors(path) == []


def test_a_note_that_comes_back_is_our_own(old: list[Path], tmp_path: Path) -> None:
    path = note_for(old, tmp_path)
    assert recognise_own(dcmread(path))
    assert read_instance_header(path).role is InstanceRole.OWN_RESULT


def test_the_same_rejection_is_the_same_instance_another_one_is_another(old: list[Path], tmp_path: Path) -> None:
    uids = [
        dcmread(note_for(files, tmp_path / name, because=because)).SOPInstanceUID
        for name, files, because in (
            ("1", old, BECAUSE),
            ("2", old[::-1], BECAUSE),
            ("3", old[1:], BECAUSE),
            ("4", old, "It does not hold."),
        )
    ]
    assert uids[0] == uids[1]
    assert len(set(uids)) == 3


def _of_another_study(note: Dataset) -> None:
    note.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = generate_uid()


def _less_in_the_evidence(note: Dataset) -> None:
    del note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]


def _somebody_elses(note: Dataset) -> None:
    series = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    was = series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    foreign = generate_uid()
    series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = foreign
    for item in note.ContentSequence:
        for reference in item.get("ReferencedSOPSequence", ()):
            if reference.ReferencedSOPInstanceUID == was:
                reference.ReferencedSOPInstanceUID = foreign


def _no_document(note: Dataset) -> None:
    note.ValueType = "TEXT"


def _pictures_as_anything(note: Dataset) -> None:
    for item in note.ContentSequence:
        item.ValueType = "COMPOSITE" if item.ValueType == "IMAGE" else item.ValueType


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (_of_another_study, "rejects something of another study"),
        (_less_in_the_evidence, "do not name the same instances"),
        (_somebody_elses, "rejects what is no earlier result of Bonecraft"),
        (_pictures_as_anything, "names a picture as no image"),
        (_no_document, "ValueType is none of CONTAINER"),
    ],
)
def test_what_is_wrong_with_a_note_is_found(
    old: list[Path], tmp_path: Path, damage: Callable[[Dataset], None], finding: str
) -> None:
    note = dcmread(note_for(old, tmp_path))
    damage(note)
    found = check_instance(note, sources=list(two_views().values()))
    assert any(finding in each.sentence for each in found)


def test_new_series_say_what_they_replace_and_are_other_instances(old: list[Path], tmp_path: Path) -> None:
    replaced = Replaced.read(old)
    assert replaced is not None
    settings = WriteSettings(replaces=replaced.uids, replaces_made=replaced.made)
    new = [dcmread(tmp_path / "new" / each.path) for each in write(tmp_path / "new", settings=settings)]
    assert all(each.SeriesDescription.endswith(f", replaces {replaced.made}") for each in new)
    assert max(len(each.SeriesDescription) for each in new) <= 64
    assert not {each.SOPInstanceUID for each in new} & set(replaced.uids)
    assert not {each.SeriesInstanceUID for each in new} & {each.SeriesInstanceUID for each in replaced.headers}


def test_where_nothing_is_to_be_rejected_there_is_no_note() -> None:
    assert Replaced.read([]) is None

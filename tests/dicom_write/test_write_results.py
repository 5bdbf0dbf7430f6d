from datetime import UTC, datetime

import pytest
from pydicom import dcmread

from pipeline.dicom_check import Check, UnsoundResult
from pipeline.dicom_write import WriteSettings, recognise_own
from pipeline.errors import InputError
from pipeline.radiograph import Side
from pipeline.results import FileKind
from tests.dicom_write.example import MODELS, changed_bone, picture_of, two_views, without_scale, write


def uids(results):
    return [(result.series_instance_uid, result.sop_instance_uid) for result in results]


def test_two_views_give_every_kind_of_result_and_each_is_what_the_list_says(tmp_path):
    results = write(tmp_path)
    assert [result.kind for result in results] == [
        FileKind.SURFACE_SEGMENTATION,
        *[FileKind.SECONDARY_CAPTURE] * 2,
        FileKind.TURNTABLE,
        *[FileKind.KEY_RENDERING] * 2,
        FileKind.MEASUREMENT_PAGE,
        FileKind.MEASUREMENT_REPORT,
        FileKind.KEY_OBJECTS,
        FileKind.ENCAPSULATED_STL,
    ]
    for result in results:
        dataset = dcmread(tmp_path / result.path)
        assert (dataset.SOPClassUID, dataset.SOPInstanceUID) == (result.sop_class_uid, result.sop_instance_uid)
        assert dataset.SeriesInstanceUID == result.series_instance_uid
        assert result.media_type == "application/dicom"
        assert recognise_own(dataset)
    assert len({result.sop_instance_uid for result in results}) == 10
    assert len({result.series_instance_uid for result in results}) == 8


def test_the_series_sort_surfaces_first_then_what_is_looked_at_and_what_is_read(tmp_path):
    kinds = {}
    for result in write(tmp_path):
        kinds.setdefault(result.kind, int(dcmread(tmp_path / result.path, stop_before_pixels=True).SeriesNumber))
    assert list(kinds.values()) == sorted(kinds.values())


def test_without_a_scale_there_is_nothing_whose_unit_is_mm(tmp_path):
    results = write(tmp_path, **without_scale())
    assert {result.kind for result in results} == {
        FileKind.SECONDARY_CAPTURE,
        FileKind.TURNTABLE,
        FileKind.KEY_RENDERING,
        FileKind.MEASUREMENT_PAGE,
        FileKind.MEASUREMENT_REPORT,
        FileKind.KEY_OBJECTS,
    }


def test_plain_pictures_without_a_dicom_header_get_no_dicom_results(tmp_path):
    assert write(tmp_path, sources={}, pictures=()) == ()
    assert list(tmp_path.iterdir()) == []


def test_the_same_study_sent_twice_gives_the_same_files(tmp_path):
    sources = two_views()
    reversed_sources = dict(reversed(two_views().items()))
    first, second = write(tmp_path / "a", sources=sources), write(tmp_path / "b", sources=reversed_sources)
    assert uids(first) == uids(second)
    for result in first:
        assert (tmp_path / "a" / result.path).read_bytes() == (tmp_path / "b" / result.path).read_bytes()


def test_the_uids_do_not_depend_on_the_hour(tmp_path):
    later = datetime(2026, 5, 5, tzinfo=UTC)
    assert uids(write(tmp_path / "a")) == uids(write(tmp_path / "b", created=later))


@pytest.mark.parametrize(
    "changes",
    [
        {"models": ()},
        {"settings": WriteSettings(choices=("pixel-spacing=0.2",))},
        {"sources": two_views(study="another")},
        {"sources": two_views(patient_name="Corrected^Name")},
        {"sources": dict([next(iter(two_views().items()))])},
        {"sources": two_views(burned_in="YES")},
        {"digests": ("other pixels under the same UID",)},
        {"software_version": "0.2.0"},
    ],
    ids=["model", "choice", "study", "corrected name", "one view less", "header", "pixels", "software"],
)
def test_other_inputs_models_or_choices_give_other_instances(tmp_path, changes):
    first, second = write(tmp_path / "a", models=MODELS), write(tmp_path / "b", **changes)
    assert not set(sum(uids(first), ())) & set(sum(uids(second), ()))


def test_a_series_holds_one_side_only_and_begins_with_the_frontal_view(tmp_path):
    sources = two_views()
    pictures = tuple(picture_of(source, side=side) for source in reversed(sources.values()) for side in Side)
    results = [r for r in write(tmp_path, sources=sources, pictures=pictures) if r.kind is FileKind.SECONDARY_CAPTURE]
    datasets = [dcmread(tmp_path / result.path) for result in results]
    found = [
        (d.Laterality, d.InstanceNumber, sources[r.radiograph].ViewPosition)
        for d, r in zip(datasets, results, strict=True)
    ]
    assert found == [("L", 1, "AP"), ("L", 2, "LL"), ("R", 1, "AP"), ("R", 2, "LL")]
    assert len({(d.Laterality, d.SeriesInstanceUID, d.SeriesNumber) for d in datasets}) == 2


def test_an_unsound_surface_is_stopped_and_nothing_is_left(tmp_path):
    in_centimetres = changed_bone(lambda bone: {"vertices": bone.vertices / 10})
    with pytest.raises(UnsoundResult, match="not the size of an adult's bone") as raised:
        write(tmp_path, frames=((in_centimetres,),))
    assert {finding.check for finding in raised.value.findings} == {Check.SIZE}
    assert list(tmp_path.iterdir()) == []


def test_radiographs_of_two_studies_are_refused(tmp_path):
    with pytest.raises(InputError, match="several studies"):
        write(tmp_path, sources=two_views(study="one") | two_views(study="two"))


def test_two_pictures_of_the_same_radiograph_and_side_are_refused(tmp_path):
    sources = two_views()
    picture = picture_of(next(iter(sources.values())))
    with pytest.raises(ValueError, match="two pictures"):
        write(tmp_path, sources=sources, pictures=(picture, picture))

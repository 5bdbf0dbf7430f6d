import re
import subprocess

import pytest
from highdicom.sr import srread
from pydicom import dcmread

from pipeline.radiograph import Side
from pipeline.results import DISCLAIMER, FileKind
from tests.dicom_write.example import file_of, two_views, without_scale, write
from tests.factories import make_bone


def report_file(out, **changes):
    return file_of(write(out, **changes), out, FileKind.MEASUREMENT_REPORT)


def numbers(item):
    """Every number at any depth, with the items below it."""
    for each in item.get("ContentSequence", ()):
        if each.ValueType == "NUM":
            value = each.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            yield each.ConceptNameCodeSequence[0].CodeValue, (float(value.NumericValue), unit), list(numbers(each))
        else:
            yield from numbers(each)


def test_dciodvfy_finds_no_error(tmp_path, dciodvfy_errors):
    assert dciodvfy_errors(report_file(tmp_path)) == []


def test_dciodvfy_finds_no_error_without_a_scale(tmp_path, dciodvfy_errors):
    assert dciodvfy_errors(report_file(tmp_path, **without_scale())) == []


def test_each_value_has_its_unit_and_its_interval_in_that_unit(tmp_path):
    found = {
        code: (value, [below[:2] for below in deeper])
        for code, value, deeper in numbers(dcmread(report_file(tmp_path)))
    }
    assert found["FL"] == ((431.3, "mm"), [("371886008", (2.2, "mm")), ("371885007", (2.4, "mm"))])
    assert found["NSA"] == ((127.3, "deg"), [("371886008", (3.3, "deg")), ("371885007", (3.3, "deg"))])
    assert found["EXPERR"] == ((0.94, "mm"), [])


def test_what_the_views_do_not_support_has_a_coded_reason(tmp_path):
    (group,) = srread(report_file(tmp_path)).content.get_image_measurement_groups()
    evaluated = {each.name.value: each.value.value for each in group.get_qualitative_evaluations()}
    assert evaluated["FAV"] == "NOLATERAL"


def test_a_group_is_tracked_like_the_bones_segment_and_names_bone_side_and_radiographs(tmp_path):
    results, sources = write(tmp_path), two_views()
    segment = dcmread(file_of(results, tmp_path, FileKind.SURFACE_SEGMENTATION)).SegmentSequence[0]
    (group,) = srread(file_of(results, tmp_path, FileKind.MEASUREMENT_REPORT)).content.get_image_measurement_groups()
    assert group.tracking_uid == segment.TrackingUID
    (site,) = group.finding_sites
    assert (site.value.value, site.laterality.value) == ("71341001", "24028007")
    assert {image.referenced_sop_instance_uid for image in group.source_images} == set(sources)


def test_each_value_names_the_radiographs_that_its_bone_was_seen_on(tmp_path):
    """Not another film of the study, nor a picture that came without a header."""
    shown = next(iter(two_views()))
    path = report_file(tmp_path, shown_on=(shown, "knee.png"))
    (group,) = srread(path).content.get_image_measurement_groups()
    named = {
        each.name.value: [image.referenced_sop_instance_uid for image in each.referenced_images]
        for each in group.get_measurements()
    }
    assert named == {"EXPERR": [], "INFERRED": [], "FL": [shown], "NSA": [shown]}


def test_landmarks_lie_in_the_frame_of_the_surfaces(tmp_path):
    results = write(tmp_path)
    surfaces = dcmread(file_of(results, tmp_path, FileKind.SURFACE_SEGMENTATION))
    points = [
        item
        for item in every_item(dcmread(file_of(results, tmp_path, FileKind.MEASUREMENT_REPORT)))
        if item.ValueType == "SCOORD3D"
    ]
    assert [list(point.GraphicData) for point in points] == [[1.5, -2.25, 3.0]]
    assert points[0].ReferencedFrameOfReferenceUID == surfaces.FrameOfReferenceUID


def test_without_a_scale_there_are_no_points_and_no_error_in_mm(tmp_path):
    items = list(every_item(dcmread(report_file(tmp_path, **without_scale()))))
    assert not any(item.ValueType == "SCOORD3D" for item in items)
    assert not any(item.ConceptNameCodeSequence[0].CodeValue == "EXPERR" for item in items if item.ValueType == "NUM")


def test_each_bone_has_a_group_of_its_own(tmp_path):
    bones = (make_bone(side=Side.RIGHT), make_bone(side=Side.LEFT))
    groups = srread(report_file(tmp_path, frames=(bones,))).content.get_image_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["femur_R", "femur_L"]


def test_dsrdump_prints_it_as_a_person_would_read_it(tmp_path, dcmtk):
    command = [dcmtk("dsrdump"), report_file(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert '"Femoral length")="431.3" (mm,UCUM,"mm")' in done.stdout
    assert "Not measured: needs a lateral view" in done.stdout


def test_dsr2html_shows_every_value_beside_its_name(tmp_path, dcmtk):
    done = subprocess.run(
        [dcmtk("dsr2html"), "--quiet", "--always-expand-inline", report_file(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    words = " ".join(re.sub(r"<[^>]*>", " ", done.stdout).split())
    assert "Femoral length: 431.3 mm" in words
    assert "Anteversion: Not measured: needs a lateral view" in words


@pytest.mark.parametrize("words", [DISCLAIMER, "uncertainties are the half-widths of 90 % intervals"])
def test_it_says_what_it_is_worth(tmp_path, words):
    texts = [item.TextValue for item in every_item(dcmread(report_file(tmp_path))) if item.ValueType == "TEXT"]
    assert words in texts


def every_item(dataset):
    for item in dataset.get("ContentSequence", ()):
        yield item
        yield from every_item(item)

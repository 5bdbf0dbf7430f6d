"""The story on the sample study: two views of a hip in, a folder of results out."""

import json
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import trimesh
from highdicom.sr import srread
from pydicom import dcmread

from pipeline.cli.sample import sample_folder
from pipeline.errors import InputError, RefusalCode
from pipeline.radiograph import Side, View
from pipeline.results import OPTIONAL_KINDS, FileKind, Report, Status
from pipeline.study import StudyOptions, reconstruct_study
from pipeline.typed_facts import TypedFacts
from tests.dicom_write.test_refusal import reasons
from tests.factories import save
from tests.scoring import Truth, mean_distance_mm

EVERYTHING = StudyOptions(also=OPTIONAL_KINDS)
STAGES = ["read", "gate", "enhance", "perceive", "calibrate", "fit", "assess", "render", "write"]


def sample_films() -> list[Path]:
    return sorted(sample_folder().glob("*.dcm"))


def changed(path: Path, out: Path, **elements: object) -> Path:
    """A copy of a film with elements changed, or removed by None."""
    dataset = dcmread(path)
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            del dataset[keyword]
    return save(dataset, out / path.name)


@pytest.fixture(scope="module")
def both_views(tmp_path_factory):
    """Folder and report of the sample study with everything that can be made, and what was told on the way."""
    out, told = tmp_path_factory.mktemp("both") / "out", []
    report = reconstruct_study(sample_films(), out, on_progress=told.append, options=EVERYTHING)
    return out, report, told


@pytest.fixture(scope="module")
def shape_only(tmp_path_factory):
    """Folder and report of the sample study without any spacing."""
    folder = tmp_path_factory.mktemp("shape-only")
    films = [changed(path, folder, ImagerPixelSpacing=None, PixelSpacing=None) for path in sample_films()]
    return folder / "out", reconstruct_study(films, folder / "out")


def test_the_femur_is_where_it_was_simulated_from(both_views):
    out, report, _ = both_views
    mesh = trimesh.load(out / "meshes/femur_R.ply")
    assert report.status is Status.RECONSTRUCTED
    assert mean_distance_mm(mesh, Truth.load(sample_folder())) < 2.0


def test_the_surface_is_closed_right_sided_and_of_a_humans_size(both_views):
    surface = both_views[1].surfaces[0]
    assert (surface.name, surface.watertight) == ("femur_R", True)
    assert 330 < max(surface.extent) < 600
    assert 0.2 < surface.inferred_fraction < 0.9


def test_a_right_femurs_head_points_to_the_patients_left(both_views):
    vertices = trimesh.load(both_views[0] / "meshes/femur_R.ply").vertices
    height = vertices[:, 2]
    top, shaft = vertices[height > height.max() - 30], vertices[np.abs(height - np.median(height)) < 30]
    assert top[:, 0].mean() > shaft[:, 0].mean()


def test_every_stage_tells_its_time_and_shows_a_picture(both_views):
    out, report, _ = both_views
    assert [stage.name for stage in report.stages] == STAGES
    assert all(stage.seconds >= 0 and stage.summary for stage in report.stages)
    assert all((out / stage.picture).is_file() for stage in report.stages if stage.name != "write")


def test_progress_runs_forward_through_the_stages(both_views):
    told = both_views[2]
    assert [step.stage for step in told] == STAGES
    assert all(before.fraction < after.fraction for before, after in pairwise(told))


def test_the_report_lists_exactly_the_files_of_the_folder(both_views):
    out, report, _ = both_views
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {file.path for file in report.files} == there - {"report.json"}
    assert Report.from_json((out / "report.json").read_text()) == report


def test_everything_that_was_promised_is_there(both_views):
    kinds = {file.kind for file in both_views[1].files}
    scenes, notes = {FileKind.SCENE, FileKind.SCENE_LOW_POLY}, {FileKind.REJECTION_NOTE}
    refusals = {FileKind.REFUSAL_REPORT, FileKind.REFUSAL_PICTURE}
    assert kinds == set(FileKind) - scenes - notes - refusals, "a lone bone is no scene, and nothing was replaced"


def test_the_page_needs_nothing_but_itself(both_views):
    page = (both_views[0] / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert page.count("data:image/") >= 15
    assert "not for diagnosis alone" in page


def test_neither_report_nor_page_names_the_patient(both_views):
    out, _, _ = both_views
    dataset = dcmread(sample_films()[0])
    for name in ("report.json", "report.html"):
        text = (out / name).read_text()
        assert str(dataset.PatientName) not in text
        assert dataset.PatientID not in text


def test_the_outline_runs_on_the_bone(both_views):
    for radiograph in both_views[1].radiographs:
        (contour,) = radiograph.contours
        assert (contour.bone, radiograph.side) == ("femur_R", "R")
        assert contour.error_mm < 2.0
        points = np.concatenate([np.array(polygon) for polygon in contour.polygons])
        inside = (points > 0).all(axis=1) & (points[:, 0] < radiograph.columns) & (points[:, 1] < radiograph.rows)
        assert inside.mean() > 0.5


def test_depth_arrays_are_mm_along_the_rays(both_views):
    out, report, _ = both_views
    arrays = np.load(out / next(file.path for file in report.files if file.kind is FileKind.DEPTH_ARRAY))
    thickness = arrays["thickness_mm"]
    assert 40 < thickness.max() < 120
    assert np.nanmin(arrays["front_mm"]) > 300


def test_without_spacing_the_shape_is_given_and_no_mm_are_claimed(shape_only):
    out, report = shape_only
    assert report.status is Status.RECONSTRUCTED
    assert not report.scale.known
    assert all(radiograph.mm_per_pixel is None for radiograph in report.radiographs)
    assert all(contour.error_mm is None for radiograph in report.radiographs for contour in radiograph.contours)
    assert all(measurement.value is None for measurement in report.measurements if measurement.unit == "mm")
    assert "Shape only" in (out / "report.html").read_text()


def all_along(polygon):
    """A closed polygon's points and many between them."""
    return np.concatenate([np.linspace(*edge, 50) for edge in zip(polygon, np.roll(polygon, -1, axis=0), strict=True)])


def test_outlines_and_shadows_lie_where_the_proof_draws_them(both_views):
    out, report, _ = both_views
    overlays = {
        kind: {file.radiograph: dcmread(out / file.path) for file in report.files if file.kind is kind}
        for kind in (FileKind.PRESENTATION_STATE, FileKind.FILM_SEGMENTATION)
    }
    for film in report.radiographs:
        (contour,) = film.contours
        drawn = np.concatenate([all_along(np.array(polygon)) for polygon in contour.polygons])
        inside = drawn[((drawn >= 0) & (drawn < [film.columns, film.rows])).all(axis=1)]
        (annotation,) = overlays[FileKind.PRESENTATION_STATE][film.identifier].GraphicAnnotationSequence
        lines = np.concatenate([np.reshape(o.GraphicData, (-1, 2)) for o in annotation.GraphicObjectSequence])
        row, column = np.nonzero(overlays[FileKind.FILM_SEGMENTATION][film.identifier].pixel_array)
        for found in (lines - 0.5, np.stack([column, row], axis=1)):
            assert found.min(axis=0) == pytest.approx(inside.min(axis=0), abs=3)
            assert found.max(axis=0) == pytest.approx(inside.max(axis=0), abs=3)


def test_without_spacing_no_surface_segmentation_is_written_and_every_mesh_says_why(shape_only):
    _, report = shape_only
    kinds = [file.kind for file in report.files]
    assert FileKind.SURFACE_SEGMENTATION not in kinds
    assert FileKind.SECONDARY_CAPTURE in kinds
    meshes = [file for file in report.files if file.kind in (FileKind.MESH, FileKind.MESH_LOW_POLY)]
    assert all("shape-only" in file.path and "not mm" in file.title for file in meshes)


def test_one_view_is_enough_and_says_what_it_costs(tmp_path, both_views):
    report = reconstruct_study(sample_films()[:1], tmp_path / "out")
    assert report.status is Status.RECONSTRUCTED
    assert report.surfaces[0].expected_error > both_views[1].surfaces[0].expected_error
    assert any("single view" in warning for warning in report.warnings)


def test_a_child_is_refused_and_the_folder_says_so(tmp_path):
    films = [changed(path, tmp_path, PatientAge="009Y") for path in sample_films()]
    report = reconstruct_study(films, tmp_path / "out")
    assert report.status is Status.REFUSED
    assert RefusalCode(report.refusal.code) is RefusalCode.CHILD
    written = json.loads((tmp_path / "out" / "report.json").read_text())
    assert written["refusal"]["code"] == "child"
    assert escape(report.refusal.sentence) in (tmp_path / "out" / "report.html").read_text()
    assert not list((tmp_path / "out").rglob("*.stl"))
    assert not any(file.kind.is_dicom for file in report.files), "nobody wants an answer"


def test_a_refusal_is_answered_where_that_is_wanted(tmp_path):
    films = [changed(path, tmp_path, PatientAge="009Y") for path in sample_films()]
    report = reconstruct_study(films, tmp_path / "out", options=StudyOptions(answers_refusals=True))
    answers = {file.kind: dcmread(tmp_path / "out" / file.path) for file in report.files if file.kind.is_dicom}
    assert set(answers) == {FileKind.REFUSAL_PICTURE, FileKind.REFUSAL_REPORT}
    assert report.refusal.sentence in answers[FileKind.REFUSAL_PICTURE].DerivationDescription
    assert report.refusal.advice


def test_other_pixels_under_the_same_uids_are_answered_under_other_uids(tmp_path):
    """And the same pixels, coded in another way, under the same."""

    def answered(name, edit):
        folder = tmp_path / name
        folder.mkdir()
        for path in sample_films():
            dataset = dcmread(path)
            dataset.PatientAge = "009Y"
            edit(dataset)
            save(dataset, folder / path.name)
        report = reconstruct_study([folder], tmp_path / f"{name}-out", options=StudyOptions(answers_refusals=True))
        return {file.sop_instance_uid for file in report.files if file.kind.is_dicom}

    def unpack(dataset):
        dataset.decompress(generate_instance_uid=False)

    def mirror(dataset):
        unpack(dataset)
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[:, ::-1]).tobytes()

    first = answered("first", lambda dataset: None)
    assert answered("unpacked", unpack) == first
    assert not answered("mirrored", mirror) & first


def test_a_blank_beside_a_good_film_is_left_out_and_said(tmp_path):
    good, other = sample_films()
    blank = dcmread(other)
    blank.decompress()
    blank.PixelData = bytes(len(blank.PixelData))
    report = reconstruct_study([good, save(blank, tmp_path / "blank.dcm")], tmp_path / "out")
    assert len(report.radiographs) == 1
    assert any("blank" in warning for warning in report.warnings)
    (said,) = [tmp_path / "out" / file.path for file in report.files if file.kind is FileKind.MEASUREMENT_REPORT]
    groups = srread(said).content.get_image_measurement_groups()
    (left_out,) = [group for group in groups if reasons(group) == ["NRNORADIOGRAPH"]]
    assert [each.referenced_sop_instance_uid for each in left_out.source_images] == [blank.SOPInstanceUID]


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError):
        reconstruct_study([tmp_path / "missing.dcm"], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_result_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="no result folder"):
        reconstruct_study(sample_films(), tmp_path)
    assert (tmp_path / "thesis.txt").is_file()


def test_what_is_typed_decides_the_side(tmp_path):
    films = [changed(path, tmp_path, ImageLaterality=None, Laterality=None) for path in sample_films()]
    options = StudyOptions(
        typed=(TypedFacts(side=Side.RIGHT, view=View.AP), TypedFacts(side=Side.RIGHT, view=View.LATERAL))
    )
    report = reconstruct_study(films, tmp_path / "out", options=options)
    assert {radiograph.side for radiograph in report.radiographs} == {"R"}

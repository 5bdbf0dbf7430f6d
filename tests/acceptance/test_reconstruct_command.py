"""`bonecraft reconstruct` as a person runs it: exit statuses, what it says, what it leaves."""

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from pydicom import dcmread

from pipeline.child_process import ChildProcess
from pipeline.dicom_read import read_radiograph
from pipeline.dicom_write.encoding import encode
from pipeline.records.results import ResultSet
from pipeline.results import FileKind, Report, Status
from tests.factories import make_dx, save
from tests.node_helpers import Hospital
from tests.test_worker import latest_result, work_until_idle

REPOSITORY = Path(__file__).parents[2]

TIMES_OF_CREATION = (
    *("SeriesDate", "SeriesTime", "ContentDate", "ContentTime", "InstanceCreationDate", "InstanceCreationTime"),
    "ContributionDateTime",
)
"""As docs/dicom-results.md lists them."""


def bonecraft(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed command line in a process of its own."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    assert bonecraft("sample", "--out", folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def done(sample, tmp_path_factory):
    out = tmp_path_factory.mktemp("done") / "results"
    return bonecraft("reconstruct", sample, "--out", out), out


def report_of(out: Path) -> Report:
    return Report.from_json((out / "report.json").read_text())


def test_a_folder_of_films_becomes_a_folder_of_results(done):
    finished, out = done
    assert finished.returncode == 0, finished.stderr
    assert report_of(out).status is Status.RECONSTRUCTED
    assert {"femur_R.stl", "femur_R.obj", "femur_R.ply", "femur_R.glb"} <= {p.name for p in (out / "meshes").iterdir()}


def test_the_table_says_what_came_out_and_where_it_lies(done):
    finished, out = done
    assert "femur_R" in finished.stdout
    assert "watertight" in finished.stdout
    assert "expected error" in finished.stdout
    assert str(out / "report.html") in finished.stdout


def test_results_belong_to_the_source_study(done, sample):
    _, out = done
    source = dcmread(next(sample.glob("*.dcm")))
    dicom = [file for file in report_of(out).files if file.kind.is_dicom]
    assert [file.kind for file in dicom].count(FileKind.SURFACE_SEGMENTATION) == 1
    assert [file.kind for file in dicom].count(FileKind.SECONDARY_CAPTURE) == 2
    for file in dicom:
        written = dcmread(out / file.path)
        assert written.StudyInstanceUID == source.StudyInstanceUID
        assert written.SOPInstanceUID == file.sop_instance_uid


def test_measurements_stand_on_points_of_the_bone(done):
    _, out = done
    mesh = trimesh.load(out / "meshes" / "femur_R.stl")
    measured = [measurement for measurement in report_of(out).measurements if measurement.value is not None]
    assert len(measured) >= 3
    for measurement in measured:
        assert measurement.points
        positions = [point.position for point in measurement.points]
        assert (mesh.bounds[0] <= positions).all()
        assert (positions <= mesh.bounds[1]).all()


def test_a_second_run_replaces_the_first(done, sample):
    _, out = done
    before = report_of(out)
    assert bonecraft("reconstruct", sample, "--out", out).returncode == 0
    assert [f.sop_instance_uid for f in report_of(out).files] == [f.sop_instance_uid for f in before.files]


def by_the_node(hospital: Hospital, sample: Path) -> ResultSet:
    """The result of a worker whose films came in the other order, and that computes with one thread."""
    accepted = [hospital.send_file(film) for film in sorted(sample.glob("*.dcm"), reverse=True)]
    command = (sys.executable, "-m", "pipeline.study_child")
    child = ChildProcess(command=command, timeout_seconds=300, threads=1)
    work_until_idle(hospital, child, patience_seconds=300)
    return latest_result(hospital, hospital.study(accepted[0]))


def without_times(content: bytes) -> bytes:
    """A DICOM file without the attributes that say when it was made."""
    dataset = dcmread(io.BytesIO(content))
    for item in (dataset, *dataset.get("ContributingEquipmentSequence", ())):
        for keyword in TIMES_OF_CREATION:
            item.pop(keyword, None)
    return encode(dataset)


def test_the_node_makes_the_same_bytes(done, sample, hospital):
    _, out = done
    ours, theirs = report_of(out), by_the_node(hospital, sample)
    assert replace(theirs.report, stages=()) == replace(ours, stages=()), "but for how long each stage took"
    assert {file.path for file in theirs.files} == {file.path for file in ours.files}
    for file in theirs.files:
        contents = (out / file.path).read_bytes(), hospital.store.read(file.blob_key)
        if file.kind.is_dicom:
            assert without_times(contents[0]) == without_times(contents[1]), file.path
        elif file.kind is not FileKind.REPORT_PAGE:  # which says how long each stage took
            assert contents[0] == contents[1], file.path


def test_a_refusal_exits_with_3_and_says_why(sample, tmp_path):
    for path in sample.glob("*.dcm"):
        dataset = dcmread(path)
        dataset.PatientAge = "007Y"
        save(dataset, tmp_path / path.name)
    finished = bonecraft("reconstruct", tmp_path, "--out", tmp_path / "out")
    assert finished.returncode == 3
    assert "refused (child)" in finished.stderr
    assert report_of(tmp_path / "out").refusal.code == "child"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"not a radiograph", "not a DICOM file"), (b"\x89PNG\r\n\x1a\n broken", "not a PNG or JPEG picture")],
)
def test_an_unreadable_file_exits_with_2_and_one_line(content, why, tmp_path):
    path = tmp_path / ("broken.png" if content.startswith(b"\x89PNG") else "broken.dcm")
    path.write_bytes(content)
    finished = bonecraft("reconstruct", path, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert why in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not (tmp_path / "out").exists()


def test_films_of_two_studies_exit_with_2(tmp_path):
    for study in ("one", "another"):
        save(make_dx(study=study), tmp_path / f"{study}.dcm")
    finished = bonecraft("reconstruct", tmp_path, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert "different studies" in finished.stderr


def as_picture(film: Path, path: Path) -> Path:
    pixels = read_radiograph(film).pixels
    low, high = np.percentile(pixels, [0.5, 99.5])
    Image.fromarray((np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8)).save(path)
    return path


def test_pictures_are_taken_with_what_is_typed(sample, tmp_path):
    films = sorted(sample.glob("*.dcm"))
    pictures = [
        as_picture(film, tmp_path / f"{film.stem}.{kind}") for film, kind in zip(films, ("png", "jpg"), strict=True)
    ]
    spacings = [
        float(dcmread(film).ImagerPixelSpacing[0]) / float(dcmread(film).EstimatedRadiographicMagnificationFactor)
        for film in films
    ]
    typed = ["--pixel-spacing", spacings[0], "--pixel-spacing", spacings[1], "--view", "AP", "--view", "LATERAL"]
    finished = bonecraft(
        "reconstruct", *pictures, *typed, "--side", "R", "--body-part", "HIP", "--out", tmp_path / "out"
    )
    report = report_of(tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert report.scale.provenance == "typed by the user"
    assert not any(file.kind.is_dicom for file in report.files), "pictures belong to no study"


def test_a_picture_without_spacing_is_shape_only(sample, tmp_path):
    picture = as_picture(min(sample.glob("*.dcm")), tmp_path / "hip.png")
    finished = bonecraft("reconstruct", picture, "--view", "AP", "--side", "R", "--out", tmp_path / "out")
    assert finished.returncode == 0, finished.stderr
    assert not report_of(tmp_path / "out").scale.known
    assert "Shape only" in finished.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--pixel-spacing", "900"],
        ["--side", "up"],
        ["--view", "sideways"],
        ["--side", "L", "--side", "R", "--side", "L"],
    ],
)
def test_what_cannot_be_typed_exits_with_2(options, sample, tmp_path):
    finished = bonecraft("reconstruct", *sorted(sample.glob("*.dcm")), *options, "--out", tmp_path / "out")
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr


def test_the_same_words_from_any_folder(tmp_path):
    finished = bonecraft("--version", folder=tmp_path)
    assert finished.returncode == 0
    assert finished.stdout.strip()[0].isdigit()

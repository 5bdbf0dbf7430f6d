"""Uploads: looked at first, then stored like everything else, with what was typed marked as typed."""

import io
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from sqlalchemy import func, select

from pipeline.database import Database
from pipeline.dicom_acquisition import TYPED_SPACING
from pipeline.dicom_read import radiograph_of
from pipeline.records import instances, tables
from pipeline.records.users import Role
from pipeline.settings import NodeSettings
from pipeline.store import Store
from tests.viewer_api.example_study import SAMPLE, receive_sample
from tests.viewer_api.people import Person
from viewer_api.app import create_app

AP = {"view": "AP", "side": "R", "body_part": "FEMUR", "pixel_spacing_mm": 0.2}
NOTHING = {"view": "", "side": "", "body_part": "", "pixel_spacing_mm": None}


@pytest.fixture
def specialist(people) -> Person:
    return people(Role.SPECIALIST)


def png(*, seed: int = 1, mode: str = "L") -> bytes:
    shape = (600, 400) if mode == "L" else (600, 400, 3)
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(person: Person, files: dict[str, bytes], facts: list[dict], patient_id: str = ""):
    return person.post(
        "/api/uploads",
        files=[("files", (name, data)) for name, data in files.items()],
        data={"description": json.dumps({"patient_id": patient_id, "facts": facts})},
    )


def stored_datasets(database: Database, store: Store, study_id: str) -> list:
    with database.begin() as connection:
        radiographs = instances.radiographs_of(connection, study_id)
    return [dcmread(io.BytesIO(store.read(each.blob_key))) for each in radiographs]


def count_instances(database: Database) -> int:
    with database.begin() as connection:
        return connection.execute(select(func.count()).select_from(tables.instances)).scalar_one()


def test_a_picture_becomes_a_secondary_capture_that_says_what_was_typed(
    specialist: Person, database: Database, web_store: Store
):
    answer = upload(specialist, {"hip.png": png()}, [AP], patient_id="P-7")
    assert answer.status_code == 201, answer.text
    (study_id,) = answer.json()["studies"]
    (dataset,) = stored_datasets(database, web_store, study_id)
    assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"
    assert (dataset.PatientID, dataset.ViewPosition, dataset.ImageLaterality) == ("P-7", "AP", "R")
    assert dataset.PixelSpacingCalibrationDescription == TYPED_SPACING
    assert "typed" in dataset.ImageComments
    radiograph = radiograph_of(dataset, name="hip.png")
    assert radiograph.acquisition.typed
    assert radiograph.acquisition.pixel_spacing == (0.2, 0.2)


@pytest.mark.parametrize("facts", [AP, NOTHING], ids=["all typed", "nothing typed"])
def test_it_is_valid_dicom(
    specialist: Person, database: Database, web_store: Store, tmp_path: Path, dciodvfy_errors, facts: dict
):
    (study_id,) = upload(specialist, {"hip.png": png()}, [facts]).json()["studies"]
    (dataset,) = stored_datasets(database, web_store, study_id)
    dataset.save_as(tmp_path / "uploaded.dcm", enforce_file_format=True)
    assert dciodvfy_errors(tmp_path / "uploaded.dcm") == []


def test_its_pixels_are_those_of_the_picture(specialist: Person, database: Database, web_store: Store):
    data = png(seed=5)
    (study_id,) = upload(specialist, {"hip.png": data}, [NOTHING]).json()["studies"]
    (dataset,) = stored_datasets(database, web_store, study_id)
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(dataset.pixel_array, np.asarray(picture))
    assert "PixelSpacing" not in dataset


def test_a_colour_picture_stays_colour_so_that_the_gate_can_tell(
    specialist: Person, database: Database, web_store: Store
):
    (study_id,) = upload(specialist, {"photo.png": png(mode="RGB")}, [AP]).json()["studies"]
    (dataset,) = stored_datasets(database, web_store, study_id)
    assert radiograph_of(dataset, name="photo.png").was_colour


def test_two_pictures_of_one_upload_are_one_study(specialist: Person):
    answer = upload(specialist, {"a.png": png(seed=1), "b.png": png(seed=2)}, [AP, {**AP, "view": "LATERAL"}]).json()
    assert len(answer["studies"]) == 1
    study = specialist.get(f"/api/studies/{answer['studies'][0]}").json()
    assert sorted(radiograph["view"] for radiograph in study["radiographs"]) == ["AP", "LATERAL"]


def test_sending_the_same_again_adds_nothing(specialist: Person, database: Database):
    first = upload(specialist, {"hip.png": png()}, [AP]).json()
    count = count_instances(database)
    assert upload(specialist, {"hip.png": png()}, [AP]).json()["studies"] == first["studies"]
    assert count_instances(database) == count


def test_a_dicom_file_is_stored_as_it_is(specialist: Person, database: Database, web_store: Store):
    data = (SAMPLE / "1-ap.dcm").read_bytes()
    (study_id,) = upload(specialist, {"1-ap.dcm": data}, [NOTHING]).json()["studies"]
    with database.begin() as connection:
        (instance,) = instances.radiographs_of(connection, study_id)
    assert web_store.read(instance.blob_key) == data


def test_what_is_typed_about_a_dicom_file_makes_a_derived_image(
    specialist: Person, database: Database, web_store: Store
):
    data = (SAMPLE / "1-ap.dcm").read_bytes()
    (study_id,) = upload(specialist, {"1-ap.dcm": data}, [{**NOTHING, "side": "L"}]).json()["studies"]
    (dataset,) = stored_datasets(database, web_store, study_id)
    original = dcmread(io.BytesIO(data))
    assert dataset.ImageLaterality == "L"
    assert dataset.ImageType[0] == "DERIVED"
    assert dataset.SOPInstanceUID != original.SOPInstanceUID
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert np.array_equal(dataset.pixel_array, original.pixel_array)


def test_a_preview_shows_a_dicom_file_and_keeps_nothing(specialist: Person, database: Database, tmp_path: Path):
    data = (SAMPLE / "1-ap.dcm").read_bytes()
    facts = specialist.post("/api/uploads/preview", files={"file": ("1-ap.dcm", data)}).json()
    assert (facts["view"], facts["side"], facts["rows"], facts["columns"]) == ("AP", "right", 900, 779)
    assert facts["picture"].startswith("data:image/png;base64,")
    assert count_instances(database) == 0
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_no_radiograph_is_named_with_the_reason_and_the_rest_is_taken(specialist: Person):
    answer = upload(specialist, {"letter.pdf": b"%PDF-1.7 nothing else", "hip.png": png()}, [NOTHING, AP]).json()
    assert len(answer["studies"]) == 1
    (problem,) = answer["problems"]
    assert problem["name"] == "letter.pdf"
    assert "DICOM" in problem["sentence"]


@pytest.mark.parametrize("spacing", [0.0001, 50])
def test_an_impossible_spacing_is_refused_before_anything_is_stored(
    specialist: Person, database: Database, spacing: float
):
    answer = upload(specialist, {"hip.png": png()}, [{**AP, "pixel_spacing_mm": spacing}])
    assert answer.status_code == 422
    assert "plausible" in answer.json()["detail"]
    assert count_instances(database) == 0


def test_a_specialist_cannot_add_to_the_institutions_own_study(
    specialist: Person, people, database: Database, web_store: Store, institution_id
):
    study_id = receive_sample(database, web_store, institution_id)
    data = (SAMPLE / "1-ap.dcm").read_bytes()
    answer = upload(specialist, {"1-ap.dcm": data}, [{**NOTHING, "side": "L"}]).json()
    assert answer["studies"] == []
    assert "belongs to the institution" in answer["problems"][0]["sentence"]
    assert specialist.get(f"/api/studies/{study_id}").status_code == 404


def test_specialists_see_their_own_studies_only_and_staff_see_all(people):
    first, second = people(Role.SPECIALIST, name="first"), people(Role.SPECIALIST, name="second")
    (study_id,) = upload(first, {"hip.png": png()}, [AP]).json()["studies"]
    assert first.get(f"/api/studies/{study_id}").status_code == 200
    assert second.get(f"/api/studies/{study_id}").status_code == 404
    assert second.post("/api/studies/search", json={}).json()["total"] == 0
    assert people(Role.RADIOLOGIST).get(f"/api/studies/{study_id}").status_code == 200


@pytest.mark.parametrize("path", ["/api/uploads", "/api/uploads/preview"])
def test_who_is_not_logged_in_is_refused_before_anything_of_the_upload_is_read(newcomer: Person, path: str):
    address = newcomer.client.base_url
    with socket.create_connection((address.host, address.port), timeout=30) as line:
        head = ("content-type: multipart/form-data; boundary=b", "content-length: 100000000", "host: here", "", "")
        line.sendall(f"POST {path} HTTP/1.1\r\n".encode() + "\r\n".join(head).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 401 "), "no byte of the body was sent"


def test_nothing_is_taken_in_where_the_disk_is_nearly_full_and_the_page_is_told(
    people, visit, web_settings: NodeSettings, database: Database, web_store: Store
):
    technologist = people(Role.TECHNOLOGIST)
    full = web_settings.model_copy(update={"minimum_free_megabytes": 1 << 40})
    person = visit(create_app(full, database, web_store))
    assert person.log_in("technologist@demo.example.org").is_success
    preview = person.post("/api/uploads/preview", files={"file": ("1-ap.dcm", (SAMPLE / "1-ap.dcm").read_bytes())})
    for answer in (preview, upload(person, {"hip.png": png()}, [AP])):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
        assert "MB are free" in answer.json()["detail"]
    assert technologist.post("/api/studies/search", json={}).json()["total"] == 0


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"data": {"description": "{}"}}, "the form"),
        ({"data": {"description": '{"facts": []}'}, "files": {"other": ("a.png", b"x")}}, "files"),
        ({"files": {"files": ("a.png", b"x")}}, "description"),
        ({"data": {"description": "x" * 30_000}, "files": {"files": ("a.png", b"x")}}, "description"),
        ({"data": {"description": "{}"}, "files": {"files": ("a.png", b"x")}}, "facts"),
    ],
    ids=["no form", "no files", "no description", "too long", "incomplete"],
)
def test_a_form_that_is_incomplete_is_refused_with_what_is_wrong(specialist: Person, form: dict, wrong: str):
    answer = specialist.post("/api/uploads", **form)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"Missing or wrong: {wrong}.")


def test_more_files_than_one_upload_may_have_are_refused(specialist: Person):
    files = [("files", (f"{number}.png", b"x")) for number in range(30)]
    assert specialist.post("/api/uploads", files=files).status_code == 413

"""What a study's page is told, before, during and after its reconstruction."""

import dataclasses
import io
import json
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from PIL import Image
from sqlalchemy import insert

from pipeline.database import Database
from pipeline.jobs import rerun
from pipeline.records import reconstructions, results, supersession, tables
from pipeline.records.replacement import Replacement
from pipeline.records.users import Role
from pipeline.results import SHAPE_ONLY, Report, ScaleReport, Status
from pipeline.store import Store
from tests.node_helpers import Hospital
from tests.viewer_api.example_study import NOON, ExampleStudy, add_finished_study, receive_sample
from tests.viewer_api.people import Person
from viewer_api.shown import WHY_REPLACED


@pytest.fixture
def radiologist(people) -> Person:
    return people(Role.RADIOLOGIST)


def test_the_list_shows_state_patient_and_number_of_radiographs(radiologist: Person, example: ExampleStudy):
    (line,) = radiologist.post("/api/studies/search", json={"text": "sample"}).json()["studies"]
    assert line["id"] == str(example.study_id)
    assert (line["state"], line["radiographs"]) == ("reconstructed", 2)
    assert line["patient_name"] == "Sample^Bonecraft"


def test_a_search_without_a_match_is_empty(radiologist: Person, example: ExampleStudy):
    found = radiologist.post("/api/studies/search", json={"text": "nobody of that name"}).json()
    assert (found["studies"], found["total"], found["pages"]) == ([], 0, 1)


def test_the_study_comes_with_its_newest_report_and_files(radiologist: Person, example: ExampleStudy):
    study = radiologist.get(f"/api/studies/{example.study_id}").json()
    result = study["result"]
    report = Report.from_json(json.dumps({**result["report"], "files": []}))
    assert report.scale.known
    assert [radiograph.view for radiograph in report.radiographs] == ["AP", "LATERAL"]
    pictures = {file["path"] for file in result["files"]}
    assert {radiograph.picture for radiograph in report.radiographs} <= pictures
    assert study["history"][0]["id"] == str(example.result_id)


def test_a_mesh_downloads_whole_under_a_good_name(radiologist: Person, example: ExampleStudy):
    study = radiologist.get(f"/api/studies/{example.study_id}").json()
    mesh = next(file for file in study["result"]["files"] if file["path"].endswith("femur_R.stl"))
    response = radiologist.get(f"{mesh['url']}?download=1")
    assert len(response.content) == mesh["size"]
    assert response.headers["content-disposition"] == 'attachment; filename="bonecraft-femur_R.stl"'
    assert response.headers["content-type"] == "model/stl"


def test_what_could_run_is_never_opened_on_our_origin(radiologist: Person, example: ExampleStudy):
    study = radiologist.get(f"/api/studies/{example.study_id}").json()
    page = next(file for file in study["result"]["files"] if file["kind"] == "report-page")
    assert radiologist.get(page["url"]).headers["content-disposition"].startswith("attachment")


def test_a_received_radiograph_is_shown_before_any_result(
    radiologist: Person, database: Database, web_store: Store, institution_id
):
    study_id = receive_sample(database, web_store, institution_id)
    study = radiologist.get(f"/api/studies/{study_id}").json()
    assert study["result"] is None
    frontal = next(radiograph for radiograph in study["radiographs"] if radiograph["view"] == "AP")
    response = radiologist.get(frontal["picture"])
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.size == (779, 900)
        assert picture.getextrema() == (0, 255)


def test_progress_is_told_until_the_study_has_arrived(
    radiologist: Person, database: Database, web_store: Store, institution_id
):
    study_id = receive_sample(database, web_store, institution_id)
    with database.begin() as connection:
        reconstruction = reconstructions.of_study(connection, study_id)[0]
    seen = []
    with radiologist.client.stream("GET", f"/api/studies/{study_id}/progress") as response:
        for line in response.iter_lines():
            if line.startswith("event:"):
                seen.append(line.removeprefix("event: "))
            if line.startswith("data:"):
                seen.append(json.loads(line.removeprefix("data: "))["state"])
                advance(database, reconstruction, len(seen))
    assert seen[:2] == ["progress", "queued"]
    assert ["changed", "running"] in [seen[i : i + 2] for i in range(len(seen))]
    assert seen[-2:] == ["arrived", "refused"]


def advance(database: Database, reconstruction: reconstructions.Reconstruction, told: int) -> None:
    """Do what a worker does, one step for each thing that was told."""
    with database.begin() as connection:
        if told == 2:
            reconstructions.begin(connection, reconstruction, now=NOON)
        if told == 6:
            sentence = "No bone that the model knows."
            reconstructions.finish(connection, reconstruction, "refused", now=NOON, problem=sentence)


def test_a_refused_study_says_why(radiologist: Person, database: Database, web_store: Store, institution_id):
    study_id = receive_sample(database, web_store, institution_id)
    with database.begin() as connection:
        reconstruction = reconstructions.of_study(connection, study_id)[0]
        reconstructions.finish(connection, reconstruction, "refused", now=NOON, problem="This is a child.")
    study = radiologist.get(f"/api/studies/{study_id}").json()["study"]
    assert (study["state"], study["problem"]) == ("refused", "This is a child.")


def test_a_shape_without_scale_is_told_as_such(
    radiologist: Person, database: Database, web_store: Store, institution_id, tmp_path
):
    folder = tmp_path / "shape-only"
    folder.mkdir()
    added = add_finished_study(database, web_store, institution_id, folder, scale_known=False)
    study = radiologist.get(f"/api/studies/{added.study_id}").json()
    assert not study["result"]["report"]["scale"]["known"]
    assert radiologist.get("/api/session").json()["shape_only"] == SHAPE_ONLY


def test_a_wrong_address_is_a_page_that_says_so(radiologist: Person):
    assert radiologist.get("/no-such-page").status_code == 404
    answer = radiologist.get("/api/no-such-thing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")


def test_an_earlier_study_that_was_fetched_to_compare_with_is_named(
    radiologist: Person, database: Database, example: ExampleStudy, institution_id: UUID
):
    earlier = {"study_instance_uid": "1.2.3", "study_date": "20251001", "state": "left-out"}
    with database.begin() as connection:
        study_id = connection.execute(
            insert(tables.studies).values(institution_id=institution_id, **earlier).returning(tables.studies.c.id)
        ).scalar_one()
        peer_id = connection.execute(
            insert(tables.peers)
            .values(institution_id=institution_id, ae_title="PACS", host="127.0.0.1", port=104)
            .returning(tables.peers.c.id)
        ).scalar_one()
        fetched = {"purpose": "prior", "state": "fetched", "fetched_study_uid": "1.2.3"}
        whose = {"institution_id": institution_id, "study_id": example.study_id, "peer_id": peer_id}
        times = {"planned_at": NOON, "next_attempt_at": NOON}
        connection.execute(insert(tables.fetches).values(**fetched, **whose, **times))
    shown = radiologist.get(f"/api/studies/{example.study_id}").json()
    assert shown["earlier"] == [{"id": str(study_id), "study_date": "20251001"}]
    assert radiologist.get(f"/api/studies/{study_id}").json()["earlier"] == []


@pytest.fixture
def run_again(database: Database, example: ExampleStudy) -> ExampleStudy:
    """The example, reconstructed anew: another result has taken the place of the first."""
    with database.begin() as connection:
        assert rerun(connection, example.reconstruction_id)
        row = reconstructions.lock(connection, example.reconstruction_id)
        replaced = supersession.make_room(connection, row.study_id)
        owner = {"institution_id": row.institution_id, "study_id": row.study_id, "reconstruction_id": row.id}
        scale = ScaleReport(known=False, relative_uncertainty=1.0, provenance="none")
        report = Report(status=Status.REFUSED, software_version="0", scale=scale)
        newer = results.add(connection, **owner, report=report, files=[])
        supersession.supersede(connection, replaced, by=newer, now=NOON)
    return dataclasses.replace(example, result_id=newer)


def test_the_page_shows_the_newest_result_and_lists_the_earlier_ones_with_why(
    radiologist: Person, example: ExampleStudy, run_again: ExampleStudy
):
    page = radiologist.get(f"/api/studies/{example.study_id}").json()
    newest, earlier = page["history"]
    assert page["result"]["id"] == newest["id"] == str(run_again.result_id)
    assert (newest["replaced_by"], newest["reason"]) == (None, "")
    assert (earlier["id"], earlier["replaced_by"]) == (str(example.result_id), newest["id"])
    assert (earlier["reason"], earlier["radiographs"]) == ("the study was reconstructed anew", 2)


def test_the_page_has_words_for_every_reason_of_a_replacement():
    assert set(WHY_REPLACED) == {None, *Replacement}
    assert WHY_REPLACED[Replacement.CORRECTED] == "the patient's data were corrected"


def test_an_earlier_result_can_be_opened_with_its_files(
    radiologist: Person, example: ExampleStudy, run_again: ExampleStudy
):
    address = f"/api/studies/{example.study_id}/results"
    earlier = radiologist.get(f"{address}/{example.result_id}").json()
    assert earlier["report"]["status"] == "reconstructed"
    mesh = next(file for file in earlier["files"] if file["path"].endswith("femur_R.stl"))
    assert len(radiologist.get(mesh["url"]).content) == mesh["size"]
    assert radiologist.get(f"{address}/{uuid4()}").status_code == 404


def test_a_waiting_study_says_for_what_and_until_when(radiologist: Person, hospital: Hospital):
    waiting = hospital.send("AP", now=NOON)
    study = radiologist.get(f"/api/studies/{waiting.study_id}").json()["study"]
    assert study["waits_for"] == "a lateral view of the right hip"
    assert datetime.fromisoformat(study["wait_until"]) == NOON + timedelta(seconds=60)

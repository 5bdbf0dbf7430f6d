"""Other programs search, retrieve and store by DICOMweb: dicomweb-client, and Orthanc's plugin as a client."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient
from fastapi import FastAPI
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from requests import HTTPError
from sqlalchemy import select, update

from pipeline.clock import utc_now
from pipeline.database import Database
from pipeline.dicom_json import tag_of
from pipeline.dicomweb_services import ROOT, SERVICES
from pipeline.records import admin, tables, tokens
from pipeline.records.served import unread
from pipeline.records.users import Role
from pipeline.results import FileKind
from pipeline.settings import NodeSettings
from pipeline.site_values import Subject
from pipeline.store import Store
from tests.dicom_write.example import file_of, turntable, write
from tests.factories import make_dx, save, stable_uid
from tests.node_helpers import Hospital
from tests.peers import free_port, running_orthanc
from tests.scp_node.test_postman import Outbox
from tests.viewer_api.fixtures import PeopleMaker
from tests.viewer_api.people import Person
from viewer_api import dicomweb
from viewer_api.app import create_app

SURFACE = "1.2.840.10008.5.1.4.1.1.66.5"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
JSON = {"accept": "application/dicom+json"}


@dataclass(frozen=True, kw_only=True)
class Door:
    """The DICOMweb door of a node that has a study of the demo hospital with its results."""

    url: str
    database: Database

    def token(self, name: str = "viewer", *, institution: str = "demo", **rights: bool) -> str:
        subject = Subject.of_token(institution, name)
        with self.database.begin() as connection:
            admin.change(connection, subject, subject.value(rights or {"may_read": True}), who="test", source="test")
            row = connection.execute(select(tables.institutions.c.id).where(tables.institutions.c.slug == institution))
            return tokens.renew(connection, row.scalar_one(), name, now=utc_now())

    def client(self, token: str) -> DICOMwebClient:
        client = DICOMwebClient(self.url, headers={"authorization": f"Bearer {token}"})
        client.set_http_retry_params(retry=False)
        return client

    def get(self, path: str, token: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {token}", **headers})

    def digests(self) -> dict[str, str]:
        """Of every instance that is served, by SOPInstanceUID, as the records have it."""
        with self.database.begin() as connection:
            rows = [
                *connection.execute(select(tables.instances.c.sop_instance_uid, tables.instances.c.digest)),
                *connection.execute(select(tables.result_files.c.sop_instance_uid, tables.result_files.c.digest)),
            ]
        return {row.sop_instance_uid: row.digest for row in rows}


@pytest.fixture
def hospital(database: Database, web_store: Store, institution_id: UUID, tmp_path: Path) -> Hospital:
    return Hospital(database, web_store, institution_id, tmp_path)


@pytest.fixture
def door(hospital: Hospital, visit, web_app: FastAPI, tmp_path: Path) -> Door:
    Outbox(hospital, tmp_path / "results", free_port())
    return Door(url=f"{visit(web_app).client.base_url}".rstrip("/") + "/dicom-web", database=hospital.database)


def study_uid() -> str:
    return make_dx().StudyInstanceUID


def values(found: list[dict], keyword: str) -> list[object]:
    return [each[tag_of(keyword)].get("Value", [""])[0] for each in found]


def test_the_door_offers_what_the_conformance_statement_says() -> None:
    routes = [route for router in dicomweb.ROUTERS for route in router.routes]
    offered = {(method, route.path.replace(":path", "")) for route in routes for method in route.methods}
    assert offered == {(each.method, ROOT + each.resource) for each in SERVICES}


def test_a_study_is_found_with_its_radiographs_and_results(door: Door) -> None:
    client = door.client(door.token())
    [study] = client.search_for_studies()
    assert values([study], "StudyInstanceUID") == [study_uid()]
    assert study[tag_of("PatientName")]["Value"] == [{"Alphabetic": "Sample^Bonecraft"}]
    assert study[tag_of("ModalitiesInStudy")]["Value"] == ["DX", "OT", "SEG"]
    assert values([study], "NumberOfStudyRelatedInstances") == [5]
    assert values([study], "RetrieveURL") == [f"{door.url}/studies/{study_uid()}"]
    series = client.search_for_series(study_uid())
    assert set(values(series, "Modality")) == {"DX", "OT", "SEG"}
    assert sum(values(series, "NumberOfSeriesRelatedInstances")) == 5
    found = client.search_for_instances(study_uid(), search_filters={"SOPClassUID": SURFACE})
    assert len(found) == 1
    in_series = client.search_for_instances(study_uid(), values(series, "SeriesInstanceUID")[0])
    assert in_series != []


QUERIES = (
    ({"PatientID": "ID a study"}, 1),
    ({"00100020": "ID*"}, 1),
    ({"PatientID": "id*"}, 0),
    ({"PatientName": "sample^*"}, 1),
    ({"PatientName": "%"}, 0),
    ({"StudyDate": "20260101-20260131"}, 1),
    ({"StudyDate": "-20251231"}, 0),
    ({"StudyDate": "20260102-"}, 1),
    ({"StudyDate": "-"}, 1),
    ({"StudyTime": " - "}, 1),
    ({"StudyTime": "1015"}, 1),
    ({"StudyTime": "1016-"}, 0),
    ({"AccessionNumber": "A?"}, 1),
    ({"ModalitiesInStudy": "SEG"}, 1),
    ({"ModalitiesInStudy": "CT,MR"}, 0),
    ({"StudyInstanceUID": "1.2.3,1.2.4"}, 0),
    ({"ReferringPhysicianName": "Referring*"}, 1),
    ({"limit": "0"}, 0),
    ({"offset": "1"}, 0),
)


def test_studies_are_searched_by_attributes(door: Door) -> None:
    headers = {"authorization": f"Bearer {door.token()}", **JSON}
    with httpx.Client(headers=headers) as client:
        for query, count in QUERIES:
            answer = client.get(f"{door.url}/studies", params=query)
            assert answer.status_code == (200 if count else 204), query
            assert len(answer.json() if count else []) == count, query


def test_what_cannot_be_searched_for_is_said_without_repeating_it(door: Door) -> None:
    answer = door.get("/studies?OtherPatientNames=Secret", door.token())
    assert answer.status_code == 400
    assert "Secret" not in answer.text
    assert door.get("/studies?PatientID=A%00", door.token()).status_code == 400
    assert door.get("/studies/1%00/series", door.token()).status_code == 400
    assert door.get("/studies/1%00", door.token()).status_code == 404
    fuzzy = door.get("/studies?fuzzymatching=true&PatientName=Sample*&includefield=all", door.token())
    assert "fuzzymatching parameter is not supported" in fuzzy.headers["warning"]


def test_what_is_retrieved_is_byte_for_byte_what_is_kept(door: Door) -> None:
    client = door.client(door.token())
    answer = door.get(f"/studies/{study_uid()}", door.token("second"))
    parts = [part.split(b"\r\n\r\n", 1) for part in answer.content.split(parts_of(answer))[1:-1]]
    assert all(b"application/dicom; transfer-syntax=1.2.840.10008.1.2.1" in head for head, _ in parts)
    files = [body.removesuffix(b"\r\n--") for _, body in parts]
    assert {hashlib.sha256(file).hexdigest() for file in files} == set(door.digests().values())
    datasets = client.retrieve_study(study_uid())
    assert {each.SOPInstanceUID for each in datasets} == set(door.digests())


def parts_of(answer: httpx.Response) -> bytes:
    return answer.headers["content-type"].rpartition("boundary=")[2].encode()


def test_a_series_and_an_instance_are_retrieved_and_another_syntax_is_refused(door: Door) -> None:
    client, wanted = door.client(door.token()), make_dx()
    level = (wanted.StudyInstanceUID, wanted.SeriesInstanceUID)
    assert {each.SeriesInstanceUID for each in client.retrieve_series(*level)} == {wanted.SeriesInstanceUID}
    found = client.retrieve_instance(*level, wanted.SOPInstanceUID)
    assert found.PixelData == wanted.PixelData
    path = "/studies/{}/series/{}/instances/{}".format(*level, wanted.SOPInstanceUID)
    jpeg = 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.50'
    refused = door.get(path, door.token("second"), accept=jpeg)
    assert refused.status_code == 406
    assert "It is kept as 1.2.840.10008.1.2.1" in refused.text


def test_metadata_says_where_bulk_data_is_and_that_is_what_the_file_holds(door: Door) -> None:
    client = door.client(door.token())
    [found] = client.search_for_instances(study_uid(), search_filters={"SOPClassUID": SURFACE})
    level = [values([found], f"{each}InstanceUID")[0] for each in ("Study", "Series", "SOP")]
    plain = client.retrieve_instance_metadata(*level)
    points = plain["00660002"]["Value"][0]["00660011"]["Value"][0]["00660016"]
    surface = client.retrieve_instance(*level)
    [kept] = client.retrieve_bulkdata(points["BulkDataURI"])
    assert kept == surface.SurfaceSequence[0].SurfacePointsSequence[0].PointCoordinatesData
    again = Dataset.from_json(plain, bulk_data_uri_handler=lambda *_: b"")
    assert again.PatientName == surface.PatientName
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_bulkdata(points["BulkDataURI"].replace("00660011/0", "00660011/7"))


def test_frames_are_the_pixels_and_pictures_are_what_a_screen_shows(door: Door) -> None:
    client, wanted = door.client(door.token()), make_dx()
    level = (wanted.StudyInstanceUID, wanted.SeriesInstanceUID, wanted.SOPInstanceUID)
    [frame] = client.retrieve_instance_frames(*level, frame_numbers=[1])
    assert frame == wanted.PixelData
    png = client.retrieve_instance_rendered(*level, media_types=("image/png",))
    assert Image.open(BytesIO(png)).size == (wanted.Columns, wanted.Rows)
    [found, *_] = client.search_for_instances(study_uid(), search_filters={"SOPClassUID": CAPTURE})
    its = [values([found], f"{each}InstanceUID")[0] for each in ("Study", "Series", "SOP")]
    jpeg = Image.open(BytesIO(client.retrieve_instance_rendered(*its, media_types=("image/jpeg",))))
    assert (jpeg.format, jpeg.mode) == ("JPEG", "RGB")
    with pytest.raises(HTTPError, match="422"):
        client.retrieve_instance_frames(*level, frame_numbers=[2])


def test_frames_of_a_turntable_are_given_in_the_order_asked_for_and_each_once(
    door: Door, hospital: Hospital, tmp_path: Path
) -> None:
    path = file_of(write(tmp_path / "more"), tmp_path / "more", FileKind.TURNTABLE)
    moving = dcmread(path)
    blob = hospital.store.put_file(hospital.institution_id, path)
    kept = {"blob_key": blob.key, "sop_instance_uid": moving.SOPInstanceUID, "attributes": None}
    files = tables.result_files
    with door.database.begin() as connection:
        connection.execute(update(files).where(files.c.sop_class_uid == SURFACE).values(**kept))
    client = door.client(door.token())
    level = (study_uid(), moving.SeriesInstanceUID, moving.SOPInstanceUID)
    shown = turntable().frames
    frames = client.retrieve_instance_frames(*level, frame_numbers=[3, 1])
    assert frames == [shown[2].tobytes(), shown[0].tobytes()]
    for numbers, status in (([1, len(shown) + 1], "422"), ([1, 2, 1], "400")):
        with pytest.raises(HTTPError, match=status):
            client.retrieve_instance_frames(*level, frame_numbers=numbers)


def test_a_surface_has_no_picture(door: Door) -> None:
    client = door.client(door.token())
    [found] = client.search_for_instances(study_uid(), search_filters={"SOPClassUID": SURFACE})
    level = [values([found], f"{each}InstanceUID")[0] for each in ("Study", "Series", "SOP")]
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_rendered(*level, media_types=("image/png",))


def test_nobody_comes_in_without_a_token_that_holds(door: Door) -> None:
    asked = httpx.get(f"{door.url}/studies")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Bearer")
    token = door.token()
    assert door.get("/studies", token).status_code == 200
    assert httpx.get(f"{door.url}/studies", auth=("anybody", token)).status_code == 200
    assert door.get("/studies", token + "x").status_code == 401
    subject = Subject.of_token("demo", "viewer")
    with door.database.begin() as connection:
        revoked = subject.value({"may_read": True, "revoked": True})
        change = admin.change(connection, subject, revoked, who="test", source="test")
    assert door.get("/studies", token).status_code == 401
    with door.database.begin() as connection:
        admin.undo(connection, change.id, who="test", source="test")
    assert door.get("/studies", token).status_code == 200
    assert door.token() != token
    assert door.get("/studies", token).status_code == 401, "it was made anew"


def test_another_institution_sees_nothing(door: Door, other_institution_id: UUID) -> None:
    theirs = door.token(institution="other")
    wanted = make_dx()
    instance = f"/studies/{wanted.StudyInstanceUID}/series/{wanted.SeriesInstanceUID}/instances/{wanted.SOPInstanceUID}"
    assert door.get("/studies", theirs).status_code == 204
    assert door.get(f"/instances?SOPInstanceUID={wanted.SOPInstanceUID}", theirs).status_code == 204
    for path in ("", "/metadata", "/frames/1", "/rendered", "/bulkdata/7FE00010"):
        assert door.get(instance + path, theirs).status_code == 404


def test_a_person_reads_with_the_session_of_the_page(door: Door, people: PeopleMaker) -> None:
    assert people(Role.RADIOLOGIST).get("/dicom-web/studies").status_code == 200
    assert people(Role.SPECIALIST).get("/dicom-web/studies").status_code == 204, "only what they uploaded"
    assert people(Role.RADIOLOGIST, institution="other").get("/dicom-web/studies").status_code == 204


def test_a_program_stores_radiographs_as_a_modality_does(door: Door) -> None:
    reader, writer = door.client(door.token()), door.client(door.token("gateway", may_store=True))
    answer = writer.store_instances([make_dx(study="another"), make_dx(study="another", view="LATERAL")])
    assert len(answer.ReferencedSOPSequence) == 2
    assert "FailedSOPSequence" not in answer
    with pytest.raises(HTTPError, match="403"):
        writer.search_for_studies()
    with pytest.raises(HTTPError, match="403"):
        reader.store_instances([make_dx(study="third")])
    assert len(reader.search_for_instances(stable_uid("another", "study"))) == 2
    with door.database.begin() as connection:
        row = connection.execute(select(tables.instances).order_by(tables.instances.c.received_at.desc())).first()
    assert (row.calling_ae_title, row.called_ae_title, row.received_from) == ("gateway", "STOW-RS", "127.0.0.1")


def test_each_instance_of_a_request_has_its_own_fate(door: Door, tmp_path: Path) -> None:
    token = door.token("gateway", may_store=True)
    sound = save(make_dx(study="another"), tmp_path / "sound.dcm").read_bytes()
    answer = stow(door, token, "", sound, b"no DICOM at all")
    assert answer.status_code == 202
    [failed] = answer.json()[tag_of("FailedSOPSequence")]["Value"]
    assert failed[tag_of("FailureReason")]["Value"] == [0xC000]
    with door.database.begin() as connection:
        assert len(connection.execute(select(tables.quarantine)).all()) == 1
    elsewhere = stow(door, token, "/1.2.3", sound)
    assert elsewhere.status_code == 409
    [failed] = elsewhere.json()[tag_of("FailedSOPSequence")]["Value"]
    assert failed[tag_of("FailureReason")]["Value"] == [0xA900]
    assert stow(door, token, "", sound).status_code == 200, "the same bytes again are a success"
    url = f"{door.url}/studies"
    assert httpx.post(url, headers={"authorization": f"Bearer {token}"}, content=sound).status_code == 415


def stow(door: Door, token: str, study: str, *files: bytes) -> httpx.Response:
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files) + b"--b--\r\n"
    headers = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
    return httpx.post(
        f"{door.url}/studies{study}", headers={"authorization": f"Bearer {token}", **headers}, content=body
    )


def test_a_session_stores_only_with_the_pages_own_csrf_token(door: Door, people: PeopleMaker, tmp_path: Path) -> None:
    person: Person = people(Role.SPECIALIST)
    sound = save(make_dx(study="mine"), tmp_path / "mine.dcm").read_bytes()
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + sound + b"\r\n--b--\r\n"
    headers = {"content-type": "multipart/related; boundary=b"}
    forged = httpx.post(f"{door.url}/studies", content=body, headers=headers, cookies=person.client.cookies)
    assert forged.status_code == 403
    assert person.post("/dicom-web/studies", content=body, headers=headers).status_code == 200
    assert len(person.get("/dicom-web/studies").json()) == 1


@pytest.mark.orthanc
def test_orthanc_stores_to_us_and_reads_from_us(door: Door, tmp_path: Path) -> None:
    token = door.token("orthanc", may_read=True, may_store=True)
    node = {"Url": door.url + "/", "Username": "orthanc", "Password": token}
    folder = tmp_path / "orthanc"
    folder.mkdir()
    web = {"Enable": True, "Root": "/dicom-web/", "Servers": {"bonecraft": node}}
    with running_orthanc(folder, DicomWeb=web) as orthanc:
        file = save(make_dx(study="from Orthanc"), tmp_path / "sent.dcm").read_bytes()
        sent = httpx.post(f"{orthanc.url}/instances", content=file).json()["ID"]
        server = f"{orthanc.url}/dicom-web/servers/bonecraft"
        stored = httpx.post(f"{server}/stow", json={"Resources": [sent], "Synchronous": True}, timeout=60)
        assert stored.is_success, stored.text
        assert door.get(f"/studies/{stable_uid('from Orthanc', 'study')}", token).status_code == 200
        wanted = {"Resources": [{"Study": study_uid()}], "Synchronous": True}
        taken = httpx.post(f"{server}/retrieve", json=wanted, timeout=60)
        assert taken.is_success, taken.text
        instances = httpx.get(f"{orthanc.url}/instances").json()
        files = [httpx.get(f"{orthanc.url}/instances/{each}/file").content for each in instances]
    assert {hashlib.sha256(file).hexdigest() for file in files} >= {
        digest for uid, digest in door.digests().items() if uid != dcmread(BytesIO(file)).SOPInstanceUID
    }


def test_a_viewer_of_another_site_is_let_in_where_it_is_named(
    hospital: Hospital, visit, web_settings: NodeSettings, web_store: Store, tmp_path: Path
) -> None:
    named = web_settings.model_copy(update={"dicomweb_origins": ("https://viewer.example.org",)})
    url = f"{visit(create_app(named, hospital.database, web_store)).client.base_url}".rstrip("/")
    door = Door(url=f"{url}/dicom-web", database=hospital.database)
    hospital.send("AP")
    token, elsewhere = door.token(), {"origin": "https://elsewhere.example.org"}
    viewer = {"origin": "https://viewer.example.org", "sec-fetch-site": "cross-site"}
    asked = httpx.options(f"{door.url}/studies", headers={**viewer, "access-control-request-method": "GET"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, viewer["origin"])
    assert "authorization" in asked.headers["access-control-allow-headers"]
    found = door.get("/studies", token, **viewer)
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, viewer["origin"])
    assert "access-control-allow-credentials" not in found.headers, "cookies stay where they are"
    assert "access-control-allow-origin" not in door.get("/studies", token, **elsewhere).headers
    assert "access-control-allow-origin" not in httpx.get(f"{url}/api/session", headers=viewer).headers


def test_a_removed_radiograph_is_served_no_more(door: Door) -> None:
    token = door.token()
    assert len(door.get("/instances?Modality=DX", token).json()) == 2
    with door.database.begin() as connection:
        connection.execute(update(tables.instances).values(removed_at=utc_now(), attributes=None))
    assert door.get("/instances?Modality=DX", token).status_code == 204


def test_a_file_that_cannot_be_read_now_is_found_once_it_can(door: Door, hospital: Hospital) -> None:
    token, store = door.token(), hospital.store
    assert store.folder is not None
    with door.database.begin() as connection:
        [away, damaged] = connection.execute(select(tables.instances.c.blob_key)).scalars()
    path, elsewhere = store.folder / away, store.folder / "elsewhere"
    path.rename(elsewhere)
    (store.folder / damaged).chmod(0o600)
    (store.folder / damaged).write_bytes(b"DICM" * 100)
    assert door.get("/instances?Modality=DX", token).status_code == 204
    elsewhere.rename(path)
    assert len(door.get("/instances?Modality=DX", token).json()) == 1
    with door.database.begin() as connection:
        assert unread(connection, hospital.scope) == (), "the damaged one is not read again and again"


def test_who_retrieves_a_study_waits_for_its_files_alone(door: Door, hospital: Hospital) -> None:
    hospital.send("AP", study="another")
    assert door.get(f"/studies/{study_uid()}", door.token()).status_code == 200
    with door.database.begin() as connection:
        assert len(unread(connection, hospital.scope)) == 1
        assert unread(connection, hospital.scope, study_uid()) == ()


def test_nothing_is_taken_in_where_the_disk_is_nearly_full(
    hospital: Hospital, visit, web_settings: NodeSettings, web_store: Store, tmp_path: Path
) -> None:
    full = web_settings.model_copy(update={"minimum_free_megabytes": 1 << 40})
    url = f"{visit(create_app(full, hospital.database, web_store)).client.base_url}".rstrip("/")
    door = Door(url=f"{url}/dicom-web", database=hospital.database)
    sound = save(make_dx(), tmp_path / "sound.dcm").read_bytes()
    answer = stow(door, door.token("gateway", may_store=True), "", sound)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "300")
    assert door.digests() == {}

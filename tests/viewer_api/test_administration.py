"""AE titles and peers: shown before they are changed, recorded, undone, called."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from pipeline.database import Database
from pipeline.records import checks, tokens
from pipeline.records.users import Role
from tests.viewer_api.people import Person

PACS = {"host": "127.0.0.1", "port": 4242, "allow_from": ["127.0.0.1/32"], "sends": True, "receives": True}


@pytest.fixture
def administrator(people) -> Person:
    return people(Role.ADMIN)


def add_pacs(administrator: Person) -> str:
    administrator.post("/api/administration/changes", json={"subject": "peer", "name": "PACS", "value": PACS})
    return administrator.get("/api/administration").json()["peers"][0]["id"]


def test_a_change_is_shown_before_it_is_made(administrator: Person):
    wanted = {"subject": "peer", "name": "PACS", "value": PACS}
    shown = administrator.post("/api/administration/preview", json=wanted).json()["lines"]
    assert "+ port = 4242" in shown
    assert administrator.get("/api/administration").json()["peers"] == []


def test_a_change_is_made_recorded_and_undone(administrator: Person):
    add_pacs(administrator)
    settings = administrator.get("/api/administration").json()
    assert settings["peers"][0]["ae_title"] == "PACS"
    change = settings["changes"][0]
    assert (change["who"], change["source"], change["undoable"]) == ("admin@demo.example.org", "web", True)
    assert administrator.post(f"/api/administration/changes/{change['id']}/undo").status_code == 201
    assert administrator.get("/api/administration").json()["peers"] == []


def test_what_a_later_change_covers_cannot_be_undone(administrator: Person):
    add_pacs(administrator)
    moved = {"subject": "peer", "name": "PACS", "value": {**PACS, "port": 104}}
    administrator.post("/api/administration/changes", json=moved)
    newest, first = administrator.get("/api/administration").json()["changes"][:2]
    assert (newest["undoable"], first["undoable"]) == (True, False)
    assert administrator.post(f"/api/administration/changes/{first['id']}/undo").status_code == 422


def test_only_what_is_named_changes_of_an_institution(administrator: Person):
    wanted = {"subject": "institution", "value": {"called_ae_titles": ["BONECRAFT", "BONES2"]}}
    administrator.post("/api/administration/changes", json=wanted)
    settings = administrator.get("/api/administration").json()
    assert (settings["institution"], settings["called_ae_titles"]) == ("Demo Hospital", ["BONECRAFT", "BONES2"])


def test_whether_refusals_are_answered_is_shown_and_set(administrator: Person):
    assert administrator.get("/api/administration").json()["answers_refusals"] is False
    wanted = {"subject": "institution", "value": {"answers_refusals": True}}
    shown = administrator.post("/api/administration/preview", json=wanted).json()["lines"]
    assert shown == ["- answers_refusals = false", "+ answers_refusals = true"]
    administrator.post("/api/administration/changes", json=wanted)
    assert administrator.get("/api/administration").json()["answers_refusals"] is True


def test_only_what_is_named_changes_of_a_peer(administrator: Person):
    add_pacs(administrator)
    administrator.post("/api/administration/changes", json={"subject": "peer", "name": "PACS", "value": {"port": 104}})
    [peer] = administrator.get("/api/administration").json()["peers"]
    assert (peer["host"], peer["port"], peer["sends"], peer["receives"]) == ("127.0.0.1", 104, True, True)


def test_an_ae_title_of_another_institution_is_refused(administrator: Person, people):
    wanted = {"subject": "institution", "value": {"called_ae_titles": ["BONECRAFT"]}}
    answer = people(Role.ADMIN, institution="other").post("/api/administration/changes", json=wanted)
    assert answer.status_code == 422
    assert "another institution" in answer.json()["detail"]


def test_a_wrong_value_is_told_with_its_name(administrator: Person):
    wanted = {"subject": "peer", "name": "PACS", "value": {**PACS, "port": 99999}}
    answer = administrator.post("/api/administration/preview", json=wanted)
    assert answer.status_code == 422
    assert "port" in answer.json()["detail"]


def test_another_institutions_peers_and_changes_are_out_of_reach(administrator: Person, people):
    peer = add_pacs(administrator)
    change = administrator.get("/api/administration").json()["changes"][0]["id"]
    stranger = people(Role.ADMIN, institution="other")
    assert stranger.get("/api/administration").json()["peers"] == []
    assert stranger.post(f"/api/administration/changes/{change}/undo").status_code == 404
    assert stranger.post(f"/api/administration/peers/{peer}/checks").status_code == 404


def test_an_echo_is_asked_for_and_its_answer_read(administrator: Person, people, database: Database):
    peer = add_pacs(administrator)
    check = administrator.post(f"/api/administration/peers/{peer}/checks").json()["id"]
    address = f"/api/administration/checks/{check}"
    assert not administrator.get(address).json()["finished"]
    with database.begin() as connection:
        now = datetime.now(UTC)
        checks.finish_check(connection, UUID(check), ok=False, sentence="Nobody listens there.", now=now)
    answer = administrator.get(address).json()
    assert answer == {"finished": True, "ok": False, "sentence": "Nobody listens there."}
    assert people(Role.ADMIN, institution="other").get(address).status_code == 404


OHIF = {"subject": "token", "name": "ohif", "value": {"may_read": True}}
ARCHIVE = {"subject": "source", "name": "archive", "value": {"url": "http://192.0.2.7:8042"}}


def test_a_token_is_shown_once_and_made_anew(administrator: Person, database: Database):
    assert administrator.post("/api/administration/changes", json=OHIF).is_success
    made = [administrator.post("/api/administration/tokens/ohif/secret").json()["token"] for _ in range(2)]
    with database.begin() as connection:
        first, second = (tokens.find(connection, secret, now=datetime.now(UTC)) for secret in made)
    assert (first, second.may_read, second.may_store) == (None, True, False)
    answer = administrator.get("/api/administration")
    assert [each["program"] for each in answer.json()["tokens"]] == ["ohif"]
    assert made[1] not in answer.text


def test_only_what_is_named_changes_of_a_token_and_it_is_undone(administrator: Person):
    administrator.post("/api/administration/changes", json=OHIF)
    administrator.post("/api/administration/changes", json={**OHIF, "value": {"revoked": True}})
    settings = administrator.get("/api/administration").json()
    assert settings["tokens"][0]["value"] == {"may_read": True, "may_store": False, "revoked": True}
    administrator.post(f"/api/administration/changes/{settings['changes'][0]['id']}/undo")
    assert not administrator.get("/api/administration").json()["tokens"][0]["value"]["revoked"]


def test_a_source_is_added_and_removed(administrator: Person):
    assert administrator.post("/api/administration/changes", json=ARCHIVE).is_success
    [source] = administrator.get("/api/administration").json()["sources"]
    assert (source["name"], source["value"]["url"], source["taken"]) == ("archive", "http://192.0.2.7:8042", 0)
    administrator.post("/api/administration/changes", json={**ARCHIVE, "value": None})
    assert administrator.get("/api/administration").json()["sources"] == []


def test_another_institutions_sources_and_tokens_are_out_of_reach(administrator: Person, people):
    for wanted in (OHIF, ARCHIVE):
        administrator.post("/api/administration/changes", json=wanted)
    stranger = people(Role.ADMIN, institution="other")
    seen = stranger.get("/api/administration").json()
    assert (seen["sources"], seen["tokens"]) == ([], [])
    assert stranger.post("/api/administration/tokens/ohif/secret").status_code == 404
    assert people(Role.RADIOLOGIST).post("/api/administration/tokens/ohif/secret").status_code == 403

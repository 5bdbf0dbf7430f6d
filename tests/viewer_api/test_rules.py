"""Rules in the viewer: what they left out, and how an administrator changes them."""

from datetime import UTC, datetime

import pytest

from pipeline.records import admin
from pipeline.records.users import Role
from pipeline.rules import Priority, Rule
from pipeline.site_values import RulesValue, Subject
from tests.node_helpers import Hospital
from tests.viewer_api.people import Person

NO_HIPS = Rule(name="no-hips", sentence="Another department does hips.", body_part=("HIP",), process=False)


@pytest.fixture
def left_out(hospital: Hospital) -> str:
    """The address of a study that a rule left out."""
    with hospital.database.begin() as connection:
        value = RulesValue(rules=(NO_HIPS,))
        admin.change(connection, Subject.of_rules("demo"), value, who="admin", source="command line")
    hospital.send("AP")
    return f"/api/studies/{hospital.send('LATERAL').study_id}"


class TestAStudyThatWasLeftOut:
    def test_its_page_names_the_rule(self, people, left_out: str):
        study = people(Role.RADIOLOGIST).get(left_out).json()["study"]
        assert study["state"] == "left-out"
        assert study["problem"] == "Left out by rule 'no-hips': Another department does hips."

    def test_somebody_who_sees_it_can_have_it_processed_once(self, people, left_out: str):
        radiologist: Person = people(Role.RADIOLOGIST)
        assert radiologist.post(f"{left_out}/process").json()["state"] == "queued"
        again = radiologist.post(f"{left_out}/process")
        assert again.status_code == 409
        assert "No rule leaves this study out any more" in again.json()["detail"]

    def test_nobody_of_another_institution_can(self, people, left_out: str):
        stranger: Person = people(Role.ADMIN, institution="other")
        assert stranger.post(f"{left_out}/process").status_code == 404
        assert people(Role.ADMIN).get(left_out).json()["study"]["state"] == "left-out"


def test_a_study_says_how_urgent_it_is(people, hospital: Hospital):
    urgent = Rule(name="urgent", body_part=("HIP",), priority=Priority.STAT)
    with hospital.database.begin() as connection:
        value = RulesValue(rules=(urgent,))
        admin.change(connection, Subject.of_rules("demo"), value, who="admin", source="command line")
    hospital.send("AP")
    complete = hospital.send("LATERAL")
    study = people(Role.RADIOLOGIST).get(f"/api/studies/{complete.study_id}").json()["study"]
    assert (study["state"], study["priority"]) == ("queued", "stat")


RULES = "/api/administration/rules"
ADD_NO_HIPS = {"action": "add", "name": "no-hips", "rule": NO_HIPS.model_dump(mode="json")}
SHOWN = ['+ order = ["no-hips"]', f'+ rule no-hips = "{NO_HIPS}"']


class TestChangingRules:
    @pytest.fixture
    def administrator(self, people) -> Person:
        return people(Role.ADMIN)

    @staticmethod
    def names(administrator: Person) -> list[str]:
        return [rule["entries"]["name"] for rule in administrator.get(RULES).json()["rules"]]

    def test_a_change_is_shown_with_what_it_would_have_done(self, administrator: Person, hospital: Hospital):
        hospital.send("AP", now=datetime.now(UTC))
        shown = administrator.post(f"{RULES}/preview", json=ADD_NO_HIPS).json()
        assert shown["lines"] == SHOWN
        assert shown["notes"][0] == "1 of 1 studies of the last 7 days would have fared differently"
        assert self.names(administrator) == []

    def test_a_change_is_made_recorded_and_undone(self, administrator: Person):
        assert administrator.post(f"{RULES}/changes", json=ADD_NO_HIPS | {"agreed": SHOWN}).status_code == 201
        assert self.names(administrator) == ["no-hips"]
        (change,) = administrator.get("/api/administration").json()["changes"]
        assert (change["subject"], change["lines"], change["source"]) == ("rules demo", SHOWN, "web")
        assert administrator.post(f"/api/administration/changes/{change['id']}/undo").status_code == 201
        assert self.names(administrator) == []

    def test_one_edit_leaves_the_rules_of_others_alone(self, administrator: Person):
        administrator.post(f"{RULES}/changes", json=ADD_NO_HIPS)
        other = {"name": "urgent", "calling_ae_title": ["ER*"], "priority": "stat"}
        administrator.post(f"{RULES}/changes", json={"action": "add", "name": "urgent", "rule": other, "position": 1})
        changed = NO_HIPS.model_dump(mode="json") | {"body_part": ["HIP", "PELVIS"]}
        administrator.post(f"{RULES}/changes", json={"action": "change", "name": "no-hips", "rule": changed})
        assert self.names(administrator) == ["urgent", "no-hips"]
        administrator.post(f"{RULES}/changes", json={"action": "move", "name": "no-hips", "position": 1})
        administrator.post(f"{RULES}/changes", json={"action": "remove", "name": "urgent"})
        (rule,) = administrator.get(RULES).json()["rules"]
        assert rule["entries"]["body_part"] == ["HIP", "PELVIS"]

    def test_what_became_another_change_meanwhile_is_not_made(self, administrator: Person):
        urgent = {"name": "urgent", "priority": "stat"}
        administrator.post(f"{RULES}/changes", json={"action": "add", "name": "urgent", "rule": urgent})
        refused = administrator.post(f"{RULES}/changes", json=ADD_NO_HIPS | {"agreed": SHOWN})
        assert refused.status_code == 409
        assert "Somebody else has changed this meanwhile" in refused.json()["detail"]
        assert self.names(administrator) == ["urgent"]

    def test_a_mistake_is_told_with_its_entry(self, administrator: Person):
        wrong = ADD_NO_HIPS | {"rule": {"name": "no hips", "process": False}}
        answer = administrator.post(f"{RULES}/preview", json=wrong)
        assert answer.status_code == 422
        assert "name: 'no hips' may hold a-z" in answer.json()["detail"]

    def test_only_administrators_see_and_change_rules(self, people):
        radiologist: Person = people(Role.RADIOLOGIST)
        assert radiologist.get(RULES).status_code == 403
        assert radiologist.post(f"{RULES}/changes", json=ADD_NO_HIPS).status_code == 403


def test_a_setting_that_became_another_change_meanwhile_is_not_made(people):
    administrator: Person = people(Role.ADMIN)
    titles = {"subject": "institution", "value": {"called_ae_titles": ["OTHER"]}, "agreed": ["- was", "+ becomes"]}
    assert administrator.post("/api/administration/changes", json=titles).status_code == 409
    assert administrator.get("/api/administration").json()["called_ae_titles"] == ["BONECRAFT"]

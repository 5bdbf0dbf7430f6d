"""Rules in the viewer: what they left out, and how an administrator changes them."""

import pytest

from pipeline.records import admin
from pipeline.records.users import Role
from pipeline.rules import Rule
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

"""An administrator tries, changes and explains rules by command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from pipeline.cli.admin_changes import changes
from pipeline.cli.rules import rules
from pipeline.cli.status import app as status
from pipeline.errors import BonecraftError, ConfigurationError, InputError
from pipeline.records import admin, deliveries, tables
from pipeline.site_values import PeerValue, Subject
from tests.factories import make_dx, save, stable_uid
from tests.node_helpers import Hospital
from tests.test_records import add_result

ROOT = Path(__file__).parents[1]
NO_HIPS = ("add", "--name", "no-hips", "--sentence", "Another department does hips.", "--when", "body-part=H?P*")
LEAVE_OUT = ("--leave-out",)
HIP_STUDY = stable_uid("a study", "study")


@pytest.fixture
def command(hospital: Hospital, database_url: str, monkeypatch):
    """Call `bonecraft rules` on the hospital's node; errors that `main` turns into an exit code are raised."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)

    def call(*arguments: str, given: str | None = None, app=rules, exit_code: int = 0) -> str:
        result = CliRunner().invoke(app, arguments, input=given)
        if isinstance(result.exception, BonecraftError):
            raise result.exception
        assert result.exit_code == exit_code, result.output
        return result.output

    return call


@pytest.fixture
def pacs(hospital: Hospital) -> None:
    """A peer that gets results."""
    with hospital.database.begin() as connection:
        peer = PeerValue(host="127.0.0.1", port=104, receives=True)
        admin.change(connection, Subject.of_peer("demo", "PACS"), peer, who="admin", source="web")


def send_hip(hospital: Hospital) -> object:
    hospital.send("AP", now=datetime.now(UTC))
    return hospital.send("LATERAL", now=datetime.now(UTC))


class TestChanging:
    def test_a_change_is_tried_on_past_studies_and_made_when_somebody_agrees(self, command, hospital: Hospital):
        send_hip(hospital)
        shown = command(*NO_HIPS, *LEAVE_OUT, given="y\n")
        assert "would change rules demo" in shown
        assert '+ rule no-hips = "when body part is H?P*: leave out (Another department does hips.)"' in shown
        assert "1 of 1 studies of the last 7 days would have fared differently" in shown
        assert f"{HIP_STUDY}: processed -> left out by rule 'no-hips'" in shown
        assert "take it back with: bonecraft changes undo 1" in shown
        assert "1  no-hips: when body part is H?P*" in command("list")

    def test_nothing_changes_unless_somebody_agrees(self, command):
        assert "Aborted" in command(*NO_HIPS, *LEAVE_OUT, given="n\n", exit_code=1)
        assert "Aborted" in command(*NO_HIPS, *LEAVE_OUT, exit_code=1)
        command(*NO_HIPS, *LEAVE_OUT, "--dry-run")
        assert "no rules: every study is processed" in command("list")

    def test_a_preview_names_no_patient(self, command, hospital: Hospital):
        send_hip(hospital)
        shown = command(*NO_HIPS, *LEAVE_OUT, "--dry-run")
        assert "Sample" not in shown
        assert "ID a study" not in shown

    def test_studies_of_earlier_days_do_not_count(self, command, hospital: Hospital):
        hospital.send("AP")
        shown = command(*NO_HIPS, *LEAVE_OUT, "--dry-run", "--days", "3")
        assert "0 of 0 studies of the last 3 days" in shown

    def test_rules_are_changed_moved_removed_and_each_change_is_undone(self, command):
        command(*NO_HIPS, *LEAVE_OUT, "--yes")
        command("add", "--name", "urgent", "--when", "calling-ae-title=ER*", "--priority", "stat", "--yes")
        command("move", "--name", "urgent", "--position", "1", "--yes")
        command("set", "--name", "no-hips", "--when", "body-part=HIP", "--when", "body-part=FOOT", "--yes")
        command("set", "--name", "no-hips", "--without", "sentence", "--yes")
        listed = json.loads(command("list", "--json"))
        assert listed == {
            "demo": [
                {"name": "urgent", "calling_ae_title": ["ER*"], "priority": "stat"},
                {"name": "no-hips", "body_part": ["HIP", "FOOT"], "process": False},
            ]
        }
        command("remove", "--name", "urgent", "--yes")
        command("remove", "--name", "no-hips", "--yes")
        assert json.loads(command("list", "--json")) == {}
        command("undo", "7", app=changes)
        command("undo", "6", app=changes)
        assert json.loads(command("list", "--json")) == listed

    def test_ages_and_what_goes_where_can_be_said(self, command, pacs):
        ages = ("--when", "minimum-age-years=16", "--when", "maximum-age-years=40")
        command("add", "--name", "it", *ages, "--send", "PACS=surface-segmentation", "--send", "*=nothing", "--yes")
        (rule,) = json.loads(command("list", "--json"))["demo"]
        assert (rule["minimum_age_years"], rule["maximum_age_years"]) == (16, 40)
        assert rule["send"] == {"*": [], "PACS": ["surface-segmentation"]}

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("add", "--name", "it"), "rule 'it': the rule decides nothing"),
            (("add", "--name", "it", "--when", "colour=red"), "a rule has no 'colour' here; it has modality, "),
            (("add", "--name", "it", "--when", "HIP"), "--when 'HIP' is no condition"),
            (("add", "--name", "it", "--when", "maximum-age-years=x"), "an age is a number of years"),
            (("add", "--name", "it", "--send", "PACS"), "--send 'PACS' names no results"),
            (("add", "--name", "it", "--send", "PACS9=all"), "'PACS9', which is no peer of the institution"),
            (("add", "--name", "it", "--priority", "soon"), "rule 'it': priority: "),
            (("add", "--name", "it", "--process", "--position", "3"), "there is no position 3: say one from 1 to 1"),
            (("move", "--name", "it", "--position", "1"), "there is no rule 'it'"),
            (("add", "--name", "it", "--process", "--institution", "other"), "there is no institution other"),
        ],
    )
    def test_a_mistake_is_told_with_what_to_do(self, command, arguments, told):
        with pytest.raises(ConfigurationError) as caught:
            command(*arguments, "--dry-run")
        assert told in str(caught.value)

    def test_a_name_that_is_taken_is_refused(self, command):
        command(*NO_HIPS, *LEAVE_OUT, "--yes")
        with pytest.raises(ConfigurationError, match="there is a rule 'no-hips' already"):
            command(*NO_HIPS, *LEAVE_OUT, "--yes")

    def test_rules_of_a_site_file_are_tried_before_they_are_applied(self, command, hospital: Hospital, tmp_path: Path):
        send_hip(hospital)
        file = tmp_path / "site.toml"
        rule = '[[institutions.rules]]\nname = "none"\nprocess = false\n'
        file.write_text(f'[[institutions]]\nslug = "demo"\nname = "Demo Hospital"\n{rule}')
        shown = command("preview", str(file), "--days", "2")
        assert '+ rule none = "always: leave out"' in shown
        assert "1 of 1 studies of the last 2 days would have fared differently" in shown
        assert json.loads(command("list", "--json")) == {}


class TestTrying:
    @pytest.fixture
    def ruled(self, command, pacs):
        command(*NO_HIPS, "--when", "calling-ae-title=WARD", *LEAVE_OUT, "--yes")
        command("add", "--name", "quiet", "--send", "PACS=nothing", "--yes")
        return command

    def test_a_file_is_told_what_would_become_of_it_and_why(self, ruled, tmp_path: Path):
        file = str(save(make_dx(), tmp_path / "a.dcm"))
        assert ruled("test", file).splitlines() == [
            f"study {HIP_STUDY}, radiographs: 1",
            "  rule no-hips does not match: calling ae title '' is not WARD",
            "  rule quiet matches: it has no conditions",
            "  => processed: no rule says anything of it",
            "  => priority routine: no rule says anything of it",
            "  => PACS gets nothing: rule 'quiet'",
        ]
        shown = ruled("test", file, "--calling-ae-title", "WARD")
        assert "rule no-hips matches: body part 'HIP' is H?P*, calling ae title 'WARD' is WARD" in shown
        assert "=> left out: rule 'no-hips': Another department does hips." in shown

    def test_a_received_study_is_tried_by_its_uid(self, ruled, hospital: Hospital):
        send_hip(hospital)
        (tried,) = json.loads(ruled("test", HIP_STUDY, "--json"))
        assert (tried["radiographs"], tried["verdict"]["process"]) == (2, {"choice": True, "rule": None})
        assert tried["verdict"]["send"] == {"PACS": {"choice": [], "rule": "quiet"}}

    def test_what_is_no_radiograph_is_left_alone(self, ruled, tmp_path: Path):
        report = make_dx()
        report.Modality = "MR"
        shown = ruled("test", str(save(report, tmp_path / "a.dcm")))
        assert "nothing in it is a radiograph" in shown

    def test_what_is_neither_file_nor_study_is_told(self, ruled):
        with pytest.raises(ConfigurationError, match=r"'1\.2\.3' is neither a file nor the StudyInstanceUID"):
            ruled("test", "1.2.3")


def test_a_study_that_was_left_out_is_processed_by_hand(command, hospital: Hospital):
    command(*NO_HIPS, *LEAVE_OUT, "--yes")
    accepted = send_hip(hospital)
    assert "What rules left out: bonecraft rules left-out" in command(app=status)
    assert "Left out by rule 'no-hips': Another department does hips." in command("left-out")
    (left_out,) = json.loads(command("left-out", "--json"))
    assert left_out["study_instance_uid"] == HIP_STUDY
    assert "is queued" in command("process", HIP_STUDY)
    assert hospital.study(accepted).state == "queued"
    assert "no rule left a study out" in command("left-out")
    with pytest.raises(ConfigurationError, match="no rule leaves a study"):
        command("process", str(accepted.study_id))


def test_what_a_rule_kept_from_a_peer_is_sent_by_hand(command, hospital: Hospital, pacs):
    command("add", "--name", "quiet", "--send", "PACS=nothing", "--yes")
    complete = send_hip(hospital)
    result_set = add_result(hospital, complete.study_id, complete.reconstruction_id)
    with hospital.database.begin() as connection:
        assert deliveries.plan(connection, result_set_id=result_set) == 0
        assert deliveries.claim_due(connection, now=datetime.now(UTC)) == ()
    assert "1 results will be sent to PACS" in command("send", HIP_STUDY, "--to", "PACS")
    with hospital.database.begin() as connection:
        assert len(deliveries.claim_due(connection, now=datetime.now(UTC))) == 1
    with pytest.raises(ConfigurationError, match="no rule kept a result of study"):
        command("send", HIP_STUDY, "--to", "PACS")


def test_a_peer_of_the_same_title_in_another_institution_gets_nothing(command, hospital: Hospital, pacs):
    command("add", "--name", "quiet", "--send", "PACS=nothing", "--yes")
    complete = send_hip(hospital)
    result_set = add_result(hospital, complete.study_id, complete.reconstruction_id)
    with hospital.database.begin() as connection:
        deliveries.plan(connection, result_set_id=result_set)
        other = insert(tables.institutions).values(slug="other", name="Other").returning(tables.institutions.c.id)
        owner = {"institution_id": connection.execute(other).scalar_one()}
        peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "receives": True}
        connection.execute(insert(tables.peers).values(**owner, **peer))
    with pytest.raises(InputError, match="several peers 'PACS'; there are: demo/PACS, other/PACS"):
        command("send", HIP_STUDY, "--to", "PACS")
    with pytest.raises(ConfigurationError, match="no rule kept a result of study"):
        command("send", HIP_STUDY, "--to", "other/PACS")
    assert "1 results will be sent to demo/PACS" in command("send", HIP_STUDY, "--to", "demo/PACS")


def film(folder: Path, body_part: str) -> Path:
    """A film whose sender names the body part in BodyPartExamined alone."""
    dataset = make_dx(study=body_part)
    del dataset.AnatomicRegionSequence
    dataset.BodyPartExamined = body_part
    return save(dataset, folder / f"{body_part.lower()}.dcm")


def transcript() -> Iterator[tuple[list[str], list[str]]]:
    """The commands of the page's section about rules, each with what it answers."""
    section = (ROOT / "docs/administrators.md").read_text().partition("\n## Rules\n")[2]
    (block,) = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    for each in block.removeprefix("$ ").replace("\\\n", "").split("\n$ "):
        command, *answer = each.rstrip("\n").split("\n")
        yield shlex.split(command), answer


def test_the_page_shows_what_the_commands_say(command, hospital: Hospital, pacs, tmp_path: Path, monkeypatch):
    with hospital.database.begin() as connection:
        peer = PeerValue(host="127.0.0.1", port=105, receives=True)
        admin.change(connection, Subject.of_peer("demo", "RESEARCH"), peer, who="admin", source="web")
    monkeypatch.chdir(tmp_path)
    for body_part in ("FOOT", "HIP"):
        hospital.send_file(film(tmp_path, body_part), now=datetime.now(UTC))
    for (bonecraft, verb, *arguments), answer in transcript():
        assert (bonecraft, verb) == ("bonecraft", "rules")
        assert command(*arguments, given="y\n").splitlines() == answer

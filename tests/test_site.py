"""site.toml seeds institutions, peers and users, and never silently overwrites what people changed since."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from pipeline.errors import ConfigurationError
from pipeline.records import admin, tables, users
from pipeline.rules import Rule
from pipeline.site import Verdict, apply_site, plan
from pipeline.site_file import load_site, read_password
from pipeline.site_values import (
    InstitutionValue,
    PeerValue,
    RulesValue,
    SourceValue,
    Subject,
    UserValue,
    differences,
)

EXAMPLE = """
[[institutions]]
slug = "demo"
name = "Demo Hospital"
called_ae_titles = ["BONECRAFT"]
[[institutions.peers]]
ae_title = "PACS"
host = "127.0.0.1"
port = 4242
allow_from = ["127.0.0.1/32"]
sends = true
receives = true
[[institutions.users]]
email = "admin@example.org"
role = "admin"
password_file = "secrets/admin"
"""

PACS = Subject.of_peer("demo", "PACS")
OLD = PeerValue(host="10.0.0.1", port=104)
NEW = PeerValue(host="10.0.0.1", port=11112)
BY_HAND = PeerValue(host="10.0.0.9", port=104)


def site_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_site(site_file(tmp_path, text))
    return str(caught.value)


class TestReading:
    def test_the_example_names_an_institution_a_peer_and_a_user(self, tmp_path):
        site = load_site(site_file(tmp_path, EXAMPLE))
        assert site.wanted == {
            Subject.of_institution("demo"): InstitutionValue(name="Demo Hospital", called_ae_titles=("BONECRAFT",)),
            PACS: PeerValue(host="127.0.0.1", port=4242, allow_from=("127.0.0.1/32",), sends=True, receives=True),
            Subject.of_user("demo", "admin@example.org"): UserValue(role="admin"),
        }

    def test_a_source_lies_in_its_institution(self, tmp_path):
        source = '[[institutions.sources]]\nname = "archive"\nurl = "http://10.0.0.5:8042"\n'
        site = load_site(site_file(tmp_path, EXAMPLE + source))
        assert site.wanted[Subject.of_source("demo", "archive")] == SourceValue(url="http://10.0.0.5:8042")
        assert "'archive' is named twice" in complaint(tmp_path, EXAMPLE + source + source)

    def test_password_files_lie_beside_the_site_file(self, tmp_path):
        site = load_site(site_file(tmp_path, EXAMPLE))
        assert list(site.password_files.values()) == [tmp_path / "secrets/admin"]

    @pytest.mark.parametrize(
        ("was", "becomes", "told"),
        [
            ("port = 4242", "port = 70000", 'institutions "demo", peers "PACS", port: '),
            ("port = 4242", 'port = "4242"', 'institutions "demo", peers "PACS", port: '),
            ("port = 4242", "", 'institutions "demo", peers "PACS", port: is missing'),
            ("port = 4242", "port = 4242\ncolour = 1", 'peers "PACS", colour: is not known here; check the spelling'),
            ('"PACS"', '"   "', "an AE title needs at least one character that is not a space"),
            ('"PACS"', '"A_TITLE_TOO_LONG_"', "has 17 characters; DICOM allows 16"),
            ('"PACS"', "'PA\\CS'", "no backslash"),
            ('"PACS"', '"PA\\tCS"', "ASCII letters"),
            ('"PACS"', '"PÄCS"', "ASCII letters"),
            ('"BONECRAFT"', '"BONE\\\\CRAFT"', 'institutions "demo", called_ae_titles "BONE\\CRAFT": '),
            ('"127.0.0.1"', '"http://pacs"', "neither a host name nor an IP address"),
            ('"127.0.0.1"', '"127.0.0.256"', "neither a host name nor an IP address"),
            ('"127.0.0.1/32"', '"127.0.0.1/8"', "write '127.0.0.0/8' or '127.0.0.1'"),
            ('"127.0.0.1/32"', '"everywhere"', "is not a range of addresses"),
            ('["127.0.0.1/32"]', "[]", "a peer that sends needs allow_from"),
            ('"demo"', '"Demo Hospital"', "slug 'Demo Hospital' may hold"),
            ('"admin@example.org"', '"admin"', "'admin' is not an e-mail address"),
            ('role = "admin"', 'role = "boss"', "'admin', 'radiologist', 'technologist' or 'specialist'"),
        ],
    )
    def test_what_is_wrong_is_said_with_file_entry_and_fix(self, tmp_path, was, becomes, told):
        assert was in EXAMPLE
        said = complaint(tmp_path, EXAMPLE.replace(was, becomes, 1))
        assert said.startswith(str(tmp_path / "site.toml"))
        assert told in said

    def test_a_body_part_may_be_waited_for_in_its_own_way(self, tmp_path):
        wait = '\n[[institutions.waits]]\nbody_part = "KNEE"\nquiet_seconds = 20\n'
        at = EXAMPLE.index("[[institutions.peers]]")
        site = load_site(site_file(tmp_path, EXAMPLE[:at] + wait + EXAMPLE[at:]))
        [part] = site.wanted[Subject.of_institution("demo")].waits
        assert (part.body_part, part.quiet_seconds, part.maximum_wait_seconds) == ("KNEE", 20, None)
        said = complaint(tmp_path, EXAMPLE[:at] + wait.replace("20", "100000") + EXAMPLE[at:])
        assert 'institutions "demo", waits "KNEE", quiet_seconds: ' in said

    def test_an_institution_may_want_an_answer_to_refusals(self, tmp_path):
        site = load_site(site_file(tmp_path, EXAMPLE.replace('name = "Demo', 'answers_refusals = true\nname = "Demo')))
        assert site.wanted[Subject.of_institution("demo")].answers_refusals

    def test_two_institutions_cannot_answer_to_one_title(self, tmp_path):
        other = '[[institutions]]\nslug = "other"\nname = "Other"\ncalled_ae_titles = ["BONECRAFT"]\n'
        assert "called AE title 'BONECRAFT' is named twice" in complaint(tmp_path, EXAMPLE + other)

    def test_a_missing_file_says_what_to_do(self, tmp_path):
        with pytest.raises(ConfigurationError, match="create it or leave out --site"):
            load_site(tmp_path / "site.toml")

    def test_a_file_that_is_no_toml_says_where(self, tmp_path):
        assert "line 1" in complaint(tmp_path, "institutions = oops\n")

    def test_spaces_around_an_ae_title_mean_nothing(self, tmp_path):
        assert PACS in load_site(site_file(tmp_path, EXAMPLE.replace('"PACS"', '" PACS "'))).wanted

    def test_a_password_file_loses_its_line_end_only(self, tmp_path):
        (tmp_path / "secret").write_text(" correct horse \n")
        assert read_password(tmp_path / "secret") == " correct horse "

    def test_a_password_file_of_two_lines_is_refused(self, tmp_path):
        (tmp_path / "secret").write_text("one\ntwo\n")
        with pytest.raises(ConfigurationError, match="must hold one line"):
            read_password(tmp_path / "secret")


class TestSubjects:
    @pytest.mark.parametrize("text", ["institution demo", "peer demo/PACS", "peer demo/A/B C", "user demo/a@b.org"])
    def test_a_subject_reads_back_what_it_writes(self, text):
        assert str(Subject.parse(text)) == text

    def test_differences_are_lines_as_one_would_write_them(self):
        assert differences(OLD, NEW) == ("- port = 104", "+ port = 11112")
        assert differences(None, UserValue(role="admin")) == (
            '+ role = "admin"',
            "+ verified = true",
            "+ disabled = false",
        )


class TestThreeWays:
    """`plan` compares what the file says, what it said last, and what the database holds."""

    @staticmethod
    def verdicts(wanted, seeded, current, *, force=False):
        versions = {"wanted": wanted, "seeded": seeded, "current": current}
        as_maps = {name: {} if value is None else {PACS: value} for name, value in versions.items()}
        return [step.verdict for step in plan(**as_maps, force=force)]

    def test_nothing_to_do_when_file_and_database_agree(self):
        assert self.verdicts(NEW, OLD, NEW) == []

    def test_a_new_entry_is_added(self):
        assert self.verdicts(NEW, None, None) == [Verdict.ADDED]

    def test_an_edit_of_the_file_is_applied(self):
        assert self.verdicts(NEW, OLD, OLD) == [Verdict.UPDATED]

    def test_an_entry_taken_from_the_file_is_removed(self):
        assert self.verdicts(None, OLD, OLD) == [Verdict.REMOVED]

    @pytest.mark.parametrize(
        ("wanted", "seeded", "current"),
        [
            (OLD, OLD, BY_HAND),  # changed by hand
            (NEW, OLD, BY_HAND),  # changed by hand, and the file was edited
            (NEW, None, BY_HAND),  # set by hand before the file named it
            (OLD, OLD, None),  # removed by hand
            (None, OLD, BY_HAND),  # changed by hand, and taken from the file
        ],
    )
    def test_what_was_changed_by_hand_is_kept_unless_forced(self, wanted, seeded, current):
        assert self.verdicts(wanted, seeded, current) == [Verdict.KEPT]
        assert Verdict.KEPT not in self.verdicts(wanted, seeded, current, force=True)

    def test_what_is_kept_says_why_and_what_to_do(self):
        (step,) = plan(wanted={PACS: NEW}, seeded={PACS: OLD}, current={PACS: BY_HAND})
        headline, *difference = step.lines()
        assert headline == (
            "kept peer demo/PACS: it was changed by hand, and the file was edited too; "
            "write what shall hold into the file, or overwrite with `bonecraft site apply --force FILE`"
        )
        assert '  - host = "10.0.0.9"' in difference

    def test_what_only_people_made_is_none_of_the_files_business(self):
        assert plan(wanted={}, seeded={}, current={PACS: BY_HAND}) == ()

    def test_an_institution_comes_before_its_peers_and_leaves_after_them(self):
        institution, value = Subject.of_institution("demo"), InstitutionValue(name="Demo")
        both = {PACS: OLD, institution: value}
        assert [step.subject for step in plan(wanted=both, seeded={}, current={})] == [institution, PACS]
        assert [step.subject for step in plan(wanted={}, seeded=both, current=both)] == [PACS, institution]


class TestApplying:
    """The same, on a real PostgreSQL."""

    @pytest.fixture
    def site(self, tmp_path):
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/admin").write_text("correct horse battery\n")
        return load_site(site_file(tmp_path, EXAMPLE))

    @staticmethod
    def apply(database, site, **options):
        with database.begin() as connection:
            return apply_site(connection, site, who="site.toml", **options)

    @staticmethod
    def by_hand(database, subject, value):
        with database.begin() as connection:
            return admin.change(connection, subject, value, who="admin@example.org", source="web")

    @staticmethod
    def current(database):
        with database.begin() as connection:
            return admin.current_values(connection)

    def edited(self, tmp_path, was, becomes):
        return load_site(site_file(tmp_path, EXAMPLE.replace(was, becomes)))

    def test_an_empty_database_holds_afterwards_what_the_file_says(self, database, site):
        steps = self.apply(database, site)
        assert [step.verdict for step in steps] == [Verdict.ADDED] * 3
        assert self.current(database) == dict(site.wanted)

    def test_applying_again_changes_and_records_nothing(self, database, site):
        self.apply(database, site)
        assert self.apply(database, site) == ()
        with database.begin() as connection:
            assert len(admin.list_changes(connection)) == 3

    def test_a_seeded_user_logs_in_with_the_password_of_the_file(self, database, site):
        self.apply(database, site)
        with database.begin() as connection:
            found = users.check_login(
                connection,
                email="admin@example.org",
                password="correct horse battery",
                source="10.0.0.1",
                now=datetime.now(UTC),
            )
        assert isinstance(found, users.User)

    def test_an_edit_of_the_file_reaches_the_database(self, database, site, tmp_path):
        self.apply(database, site)
        (step,) = self.apply(database, self.edited(tmp_path, "port = 4242", "port = 104"))
        assert step.lines() == ("updated peer demo/PACS", "  - port = 4242", "  + port = 104")
        assert self.current(database)[PACS].port == 104

    def test_what_was_changed_by_hand_is_kept_and_told_at_every_start(self, database, site, tmp_path):
        self.apply(database, site)
        self.by_hand(database, PACS, BY_HAND)
        for file in (site, self.edited(tmp_path, "port = 4242", "port = 104")):
            (step,) = self.apply(database, file)
            assert step.verdict is Verdict.KEPT
            assert self.current(database)[PACS] == BY_HAND

    def test_what_was_changed_by_hand_is_overwritten_when_forced(self, database, site):
        self.apply(database, site)
        self.by_hand(database, PACS, BY_HAND)
        self.apply(database, site, force=True)
        assert self.current(database) == dict(site.wanted)

    def test_a_change_by_hand_that_the_file_catches_up_with_is_the_new_seed(self, database, site, tmp_path):
        self.apply(database, site)
        self.by_hand(database, PACS, site.wanted[PACS].model_copy(update={"port": 104}))
        assert self.apply(database, self.edited(tmp_path, "port = 4242", "port = 104")) == ()
        (step,) = self.apply(database, self.edited(tmp_path, "port = 4242", "port = 105"))
        assert step.verdict is Verdict.UPDATED

    def test_what_leaves_the_file_leaves_the_database(self, database, site, tmp_path):
        self.apply(database, site)
        self.apply(database, load_site(site_file(tmp_path, EXAMPLE[: EXAMPLE.index("[[institutions.peers]]")])))
        assert list(self.current(database)) == [Subject.of_institution("demo")]

    def test_an_institution_with_peers_of_people_does_not_leave_with_the_file(self, database, site, tmp_path):
        self.apply(database, site)
        self.by_hand(database, Subject.of_peer("demo", "OTHER"), OLD)
        steps = self.apply(database, load_site(site_file(tmp_path, "institutions = []\n")))
        assert [(step.subject.kind, step.verdict) for step in steps] == [
            ("user", Verdict.REMOVED),
            ("peer", Verdict.REMOVED),
            ("institution", Verdict.KEPT),
        ]
        assert "still has peers" in steps[-1].reason

    def test_a_file_that_cannot_be_carried_out_changes_nothing(self, database, site, tmp_path):
        missing = self.edited(tmp_path, "secrets/admin", "secrets/nobody")
        with pytest.raises(ConfigurationError, match=r"password file .*nobody cannot be read: No such file"):
            self.apply(database, missing)
        assert self.current(database) == {}


class TestRules:
    """Rules are a subject of their own beside their institution."""

    NO_FEET = Rule(name="no-feet", body_part=("FOOT",), process=False)
    RULES = Subject.of_rules("demo")
    WITH_RULES = (
        EXAMPLE
        + """
[[institutions.rules]]
name = "no-feet"
body_part = ["FOOT"]
process = false
[[institutions.rules]]
name = "surfaces-only"
send = { PACS = ["surface-segmentation"] }
"""
    )

    def test_the_file_gives_them_in_their_order(self, tmp_path):
        value = load_site(site_file(tmp_path, self.WITH_RULES)).wanted[self.RULES]
        assert [rule.name for rule in value.rules] == ["no-feet", "surfaces-only"]

    @pytest.mark.parametrize(
        ("was", "becomes", "told"),
        [
            ("process = false", "process = 3", 'institutions "demo", rules "no-feet", process: '),
            ("body_part", "bodypart", 'rules "no-feet", bodypart: is not known here; check the spelling'),
            ("process = false", "", 'rules "no-feet": the rule decides nothing'),
            ('"surfaces-only"', '"no-feet"', "rule of 'demo' 'no-feet' is named twice"),
        ],
    )
    def test_a_mistake_is_told_with_the_name_of_the_rule(self, tmp_path, was, becomes, told):
        assert told in complaint(tmp_path, self.WITH_RULES.replace(was, becomes))

    def test_rules_made_by_hand_outlive_an_edit_of_the_file_and_the_edit_is_applied(self, database, tmp_path):
        plain = EXAMPLE[: EXAMPLE.index("[[institutions.users]]")]
        TestApplying.apply(database, load_site(site_file(tmp_path, plain)))
        TestApplying.by_hand(database, self.RULES, RulesValue(rules=(self.NO_FEET,)))
        renamed = load_site(site_file(tmp_path, plain.replace("Demo Hospital", "Another Hospital")))
        TestApplying.apply(database, renamed)
        current = TestApplying.current(database)
        assert current[Subject.of_institution("demo")].name == "Another Hospital"
        assert current[self.RULES] == RulesValue(rules=(self.NO_FEET,))

    def test_rules_of_the_file_that_were_changed_by_hand_are_kept_and_told(self, database, tmp_path):
        plain = self.WITH_RULES.replace('password_file = "secrets/admin"', "")
        TestApplying.apply(database, load_site(site_file(tmp_path, plain)))
        TestApplying.by_hand(database, self.RULES, RulesValue(rules=(self.NO_FEET,)))
        (step,) = TestApplying.apply(database, load_site(site_file(tmp_path, plain)))
        assert (step.subject, step.verdict) == (self.RULES, Verdict.KEPT)
        assert step.lines()[-1] == '  + rule surfaces-only = "always: PACS gets surface-segmentation"'

    def test_a_rule_for_a_peer_that_is_not_there_is_refused(self, database, institution_id):
        only = Rule(name="only", send={"PACS3": ()})
        with pytest.raises(
            ConfigurationError, match=r"rule 'only' sends to 'PACS3', which is no peer of the institution"
        ):
            TestApplying.by_hand(database, self.RULES, RulesValue(rules=(only,)))

    def test_a_peer_that_rules_send_to_stays_until_they_do_not(self, database, institution_id):
        TestApplying.by_hand(database, PACS, OLD)
        only = Rule(name="only", send={"PACS": ("surface-segmentation",)})
        TestApplying.by_hand(database, self.RULES, RulesValue(rules=(only,)))
        with pytest.raises(ConfigurationError, match="the rules 'only' send to it"):
            TestApplying.by_hand(database, PACS, None)
        TestApplying.by_hand(database, self.RULES, RulesValue(rules=(self.NO_FEET,)))
        TestApplying.by_hand(database, PACS, None)
        assert PACS not in TestApplying.current(database)

    def test_a_file_may_let_a_peer_go_and_change_the_rules_that_sent_to_it(self, database, tmp_path):
        with_rules = self.WITH_RULES.replace('password_file = "secrets/admin"', "")
        TestApplying.apply(database, load_site(site_file(tmp_path, with_rules)))
        begin = with_rules.index("[[institutions.peers]]")
        end = with_rules.index("[[institutions.", begin + 1)
        without = (with_rules[:begin] + with_rules[end:]).replace(
            'send = { PACS = ["surface-segmentation"] }', "process = false"
        )
        TestApplying.apply(database, load_site(site_file(tmp_path, without)))
        assert PACS not in TestApplying.current(database)

    def test_an_undone_change_of_rules_puts_the_former_rules_back(self, database, institution_id):
        former = RulesValue(rules=(self.NO_FEET,))
        TestApplying.by_hand(database, self.RULES, former)
        removal = TestApplying.by_hand(database, self.RULES, None)
        assert self.RULES not in TestApplying.current(database)
        with database.begin() as connection:
            admin.undo(connection, removal.id, who="root@host", source="command line")
        assert TestApplying.current(database)[self.RULES] == former


def wait_for_delivery(connection, institution_id):
    """A result that is to be sent to the only peer; gives the condition on `deliveries` that is this one."""

    def add(table, **values):
        row = {"institution_id": institution_id, **values}
        return connection.execute(insert(table).values(row).returning(table.c.id)).scalar_one()

    study = add(tables.studies, study_instance_uid="1.2.3")
    reconstruction = add(tables.reconstructions, study_id=study, input_digest="d", instance_ids=[])
    result_set = add(tables.result_sets, study_id=study, reconstruction_id=reconstruction, report={})
    what = {"path": "a.dcm", "kind": "surface-segmentation", "media_type": "application/dicom", "title": "A"}
    file = add(tables.result_files, result_set_id=result_set, blob_key="k", size=1, digest="d", **what)
    peer = connection.execute(select(tables.peers.c.id)).scalar_one()
    return tables.deliveries.c.id == add(tables.deliveries, result_file_id=file, peer_id=peer)


class TestHistory:
    """Every change is recorded and can be taken back."""

    @pytest.fixture(autouse=True)
    def _demo(self, institution_id):
        """There is an institution `demo`."""

    @staticmethod
    def change(connection, value, subject=PACS):
        return admin.change(connection, subject, value, who="root@host", source="command line")

    def test_a_change_says_what_was_before(self, database):
        with database.begin() as connection:
            self.change(connection, OLD)
            self.change(connection, NEW)
            newest, first = admin.list_changes(connection)
        assert (first.before, first.after) == (None, OLD)
        assert (newest.before, newest.after, newest.who) == (OLD, NEW, "root@host")

    def test_an_institution_sees_its_own_history_only(self, database):
        other = Subject.of_institution("other")
        with database.begin() as connection:
            self.change(connection, InstitutionValue(name="Other"), other)
            self.change(connection, OLD, Subject.of_peer("demo", "A B/C"))
            (mine,) = admin.list_changes(connection, institution="demo")
            (theirs,) = admin.list_changes(connection, institution="other")
        assert mine.subject.name == "A B/C"
        assert theirs.subject == other

    def test_a_peer_for_which_results_wait_cannot_be_removed(self, database, institution_id):
        with database.begin() as connection:
            self.change(connection, OLD)
            waiting = wait_for_delivery(connection, institution_id)
            with pytest.raises(ConfigurationError, match="1 of its deliveries wait"):
                self.change(connection, None)
            connection.execute(tables.deliveries.update().where(waiting).values(state="sent"))
            with pytest.raises(ConfigurationError, match="1 of its deliveries wait to be sent or committed to"):
                self.change(connection, None)
            connection.execute(tables.deliveries.update().where(waiting).values(state="delivered"))
            self.change(connection, None)
            assert admin.current_value(connection, PACS) is None

    def test_setting_what_is_set_is_no_change(self, database):
        with database.begin() as connection:
            assert self.change(connection, OLD) is not None
            assert self.change(connection, OLD) is None

    @pytest.mark.parametrize(("before", "after"), [(None, OLD), (OLD, NEW), (OLD, None)])
    def test_an_undo_puts_back_what_was_and_can_itself_be_undone(self, database, before, after):
        with database.begin() as connection:
            self.change(connection, before)
            change = self.change(connection, after)
            undone = admin.undo(connection, change.id, who="root@host", source="command line")
            assert undone.undoes == change.id
            assert admin.current_value(connection, PACS) == before
            admin.undo(connection, undone.id, who="root@host", source="command line")
            assert admin.current_value(connection, PACS) == after

    def test_a_change_below_a_later_one_cannot_be_undone(self, database):
        with database.begin() as connection:
            first = self.change(connection, OLD)
            self.change(connection, NEW)
            with pytest.raises(ConfigurationError, match="was changed again after change"):
                admin.undo(connection, first.id, who="root@host", source="command line")

    def test_a_called_ae_title_answers_for_one_institution_only(self, database):
        other = Subject.of_institution("other")
        with database.begin() as connection:
            with pytest.raises(ConfigurationError, match="BONECRAFT belongs to another institution"):
                self.change(connection, InstitutionValue(name="Other", called_ae_titles=("BONECRAFT",)), other)
            assert admin.current_value(connection, other) is None

    def test_a_peer_needs_its_institution_first(self, database):
        with database.begin() as connection, pytest.raises(ConfigurationError, match="there is no institution 'nope'"):
            self.change(connection, OLD, Subject.of_peer("nope", "PACS"))

    def test_a_user_is_shut_out_and_let_in_again(self, database):
        subject = Subject.of_user("demo", "r@example.org")
        with database.begin() as connection:
            self.change(connection, UserValue(role="radiologist"), subject)
            shut = self.change(connection, UserValue(role="radiologist", disabled=True), subject)
            assert users.find_user(connection, email="r@example.org").disabled
            admin.undo(connection, shut.id, who="root@host", source="command line")
            assert not users.find_user(connection, email="r@example.org").disabled

"""An administrator sets institutions, peers and users by command line, sees what changes, and takes it back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.certificates import fingerprints
from pipeline.cli.admin import institutions, peers
from pipeline.cli.admin_changes import changes, site
from pipeline.cli.admin_sources import sources
from pipeline.cli.admin_tokens import app as app_of_tokens
from pipeline.cli.admin_users import users
from pipeline.clock import utc_now
from pipeline.database import Database
from pipeline.embedded_postgres import ROLE
from pipeline.errors import BonecraftError, ConfigurationError
from pipeline.records import tokens

APPS = {
    "institutions": institutions,
    "peers": peers,
    "users": users,
    "sources": sources,
    "tokens": app_of_tokens,
    "changes": changes,
    "site": site,
}
SENDER = ("--allow-from", "10.0.0.0/24", "--sends")


@pytest.fixture
def bonecraft(database_url, monkeypatch):
    """Call a command; the errors that `main` would turn into an exit code are raised."""
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")

    def call(command: str, *arguments: str, given: str | None = None) -> str:
        result = CliRunner().invoke(APPS[command], arguments, input=given)
        if isinstance(result.exception, BonecraftError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return call


@pytest.fixture
def demo(bonecraft):
    """An institution `demo` with a peer PACS."""
    bonecraft("institutions", "add", "--slug", "demo", "--name", "Demo Hospital", "--called-ae-title", "BONECRAFT")
    bonecraft("peers", "add", *PACS, "--host", "10.0.0.1", "--port", "104", *SENDER)
    return bonecraft


PACS = ("--institution", "demo", "--ae-title", "PACS")
ARCHIVE = ("--institution", "demo", "--name", "archive")
LOGIN = ("--user-name", "bonecraft", "--password-file", "archive-password")
USER = ("--institution", "demo", "--email", "r@example.org")


def test_adding_a_peer_shows_what_is_new_and_how_to_take_it_back(demo):
    shown = demo("peers", "add", "--institution", "demo", "--ae-title", "VIEWER", "--host", "viewer", "--port", "11112")
    assert "added peer demo/VIEWER" in shown
    assert '+ host = "viewer"' in shown
    assert "bonecraft changes undo 3" in shown


def test_a_peers_dicomweb_service_is_set_with_the_names_of_files_and_taken_away_again(demo):
    web = ("--dicomweb-url", "https://10.0.0.1:8043/dicom-web/", "--dicomweb-user", "bonecraft")
    with pytest.raises(ConfigurationError, match="belong together: give both or none"):
        demo("peers", "set", *PACS, *web)
    shown = demo("peers", "set", *PACS, *web, "--dicomweb-password-file", "pacs-password")
    assert '+ dicomweb_url = "https://10.0.0.1:8043/dicom-web"' in shown
    for outside in ("../other/pacs-password", "/etc/passwd", ".."):
        with pytest.raises(ConfigurationError, match="write it without a path"):
            demo("peers", "set", *PACS, "--dicomweb-password-file", outside)
    demo("peers", "set", *PACS, "--port", "4242")
    assert demo("peers", "list", "--json").count("pacs-password") == 1
    nothing = ("--dicomweb-url", "", "--dicomweb-user", "", "--dicomweb-password-file", "")
    assert '- dicomweb_user = "bonecraft"' in demo("peers", "set", *PACS, *nothing)


def test_changing_a_peer_changes_only_what_was_said(demo):
    shown = demo("peers", "set", *PACS, "--port", "11112", "--receives")
    assert "changed peer demo/PACS" in shown
    listed = json.loads(demo("peers", "list", "--json"))
    assert listed == {
        "peer demo/PACS": {
            "host": "10.0.0.1",
            "port": 11112,
            "allow_from": ["10.0.0.0/24"],
            "sends": True,
            "receives": True,
            "tls": False,
            "requires_certificate": False,
            "asked_for": "nothing",
            "dicomweb_url": "",
            "dicomweb_user": "",
            "dicomweb_password_file": "",
            "dicomweb_token_file": "",
            "dicomweb_ca_file": "",
            "certificates": [],
            "maximum_associations": 32,
            "commitment": "auto",
            "silence_alarm": True,
        }
    }


def test_a_peer_is_asked_for_commitments_where_it_can_or_never(demo):
    shown = demo("peers", "set", *PACS, "--commitment", "never")
    assert '- commitment = "auto"' in shown
    assert '+ commitment = "never"' in shown
    with pytest.raises(ConfigurationError, match="'auto' or 'never'"):
        demo("peers", "set", *PACS, "--commitment", "sometimes")


def test_a_peer_is_bound_to_a_certificate_by_file_or_fingerprint_and_let_go(demo, tmp_path):
    issue(make_authority(tmp_path), Pair.named(tmp_path, "pacs"), name="pacs", hosts=("pacs",), days=1)
    file = tmp_path / "pacs.pem"
    (bound,) = fingerprints(file)
    assert f'+ certificates = ["{bound}"]' in demo("peers", "set", *PACS, "--certificate", str(file))
    with_colons = ":".join(bound[i : i + 2].upper() for i in range(0, 64, 2))
    typed = demo("peers", "set", *PACS, "--certificate", f"sha256 Fingerprint={with_colons}")
    assert "is set so already" in typed
    assert "+ certificates = []" in demo("peers", "set", *PACS, "--certificate", "any")
    with pytest.raises(ConfigurationError, match="bonecraft tls show FILE prints it"):
        demo("peers", "set", *PACS, "--certificate", "pacs.pem")


def test_the_associations_of_a_peer_are_limited_from_one_upwards(demo):
    shown = demo("peers", "set", *PACS, "--maximum-associations", "4")
    assert "- maximum_associations = 32" in shown
    with pytest.raises(ConfigurationError, match="maximum_associations: Input should be greater"):
        demo("peers", "set", *PACS, "--maximum-associations", "0")


def test_a_dry_run_shows_the_change_and_makes_none(demo):
    shown = demo("peers", "set", *PACS, "--port", "4242", "--dry-run")
    assert "would change peer demo/PACS" in shown
    assert "+ port = 4242" in shown
    assert "4242" not in demo("peers", "list")


def test_a_removed_peer_comes_back_by_undo(demo):
    before = demo("peers", "list")
    removed = demo("peers", "remove", *PACS)
    assert "no peers yet" in demo("peers", "list")
    demo("changes", "undo", removed.split()[-1])
    assert demo("peers", "list") == before


def test_the_history_says_who_and_what(demo):
    demo("peers", "set", *PACS, "--port", "11112")
    shown = demo("changes", "list")
    assert "changed peer demo/PACS" in shown
    assert "- port = 104" in shown
    assert "command line" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--port", "70000"), "port: Input should be less than or equal to 65535"),
        (("--host", "dicom://pacs"), "neither a host name nor an IP address"),
        (("--allow-from", "10.0.0.300"), "is not a range of addresses"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(demo, arguments, told):
    with pytest.raises(BonecraftError, match=told):
        demo("peers", "set", *PACS, *arguments)


def test_adding_twice_is_refused(demo):
    with pytest.raises(BonecraftError, match="is there already; change it with `set`"):
        demo("peers", "add", *PACS, "--host", "10.0.0.2", "--port", "104")


def test_removing_what_is_not_there_is_refused(demo):
    with pytest.raises(BonecraftError, match="there is no peer demo/NOBODY"):
        demo("peers", "remove", "--institution", "demo", "--ae-title", "NOBODY")


def test_an_institution_with_peers_stays(demo):
    with pytest.raises(BonecraftError, match="remove peers, rules, users, sources and tokens first"):
        demo("institutions", "remove", "--slug", "demo")
    assert "Demo Hospital" in demo("institutions", "list")


def test_a_peer_is_asked_for_missing_views_where_that_is_set(demo):
    shown = demo("peers", "set", *PACS, "--asked-for", "missing-views")
    assert '- asked_for = "nothing"' in shown
    assert '+ asked_for = "missing-views"' in shown
    with pytest.raises(ConfigurationError, match="asked_for"):
        demo("peers", "set", *PACS, "--asked-for", "everything")


def test_a_source_is_added_changed_and_put_back(demo):
    demo("sources", "add", *ARCHIVE, "--url", "http://10.0.0.5:8042/", *LOGIN)
    demo("sources", "set", *ARCHIVE, "--history")
    listed = json.loads(demo("sources", "list", "--json"))
    assert listed == {
        "source demo/archive": {
            "url": "http://10.0.0.5:8042",
            "user_name": "bonecraft",
            "password_file": "archive-password",
            "ca_file": "",
            "history": True,
        }
    }
    demo("changes", "undo", "4")
    assert not json.loads(demo("sources", "list", "--json"))["source demo/archive"]["history"]
    demo("sources", "remove", *ARCHIVE)
    assert "no sources yet" in demo("sources", "list")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--url", "10.0.0.5:8042"), "is no web address"),
        (("--url", "http://bonecraft:secret@10.0.0.5"), "may hold no user, password"),
        (("--url", "http://10.0.0.5", "--user-name", "bonecraft"), "go together"),
        (("--url", "http://10.0.0.5", "--user-name", "b", "--password-file", "/etc/shadow"), "without a path"),
    ],
)
def test_a_source_that_cannot_be_asked_is_refused_with_the_reason(demo, arguments, told):
    with pytest.raises(ConfigurationError, match=told):
        demo("sources", "add", *ARCHIVE, *arguments)


def test_a_new_user_without_a_password_gets_a_one_time_link(demo):
    shown = demo("users", "add", *USER, "--role", "radiologist")
    assert "added user demo/r@example.org" in shown
    assert "http://127.0.0.1:8080/login/once#" in shown


def test_a_password_is_asked_for_unseen(demo):
    shown = demo("users", "add", *USER, "--role", "admin", "--ask-password", given="correct horse 1\ncorrect horse 1\n")
    assert "set the password" in shown
    assert "correct horse" not in shown
    assert "correct horse" not in demo("changes", "list")


def test_a_password_comes_from_a_file(demo, tmp_path):
    (tmp_path / "secret").write_text("correct horse battery\n")
    shown = demo("users", "add", *USER, "--role", "admin", "--password-file", str(tmp_path / "secret"))
    assert "set the password" in shown
    assert "login/once" not in shown


def test_a_short_password_adds_nobody(demo, tmp_path):
    (tmp_path / "secret").write_text("short\n")
    with pytest.raises(BonecraftError, match="a password has 12 to"):
        demo("users", "add", *USER, "--role", "admin", "--password-file", str(tmp_path / "secret"))
    assert "no users yet" in demo("users", "list")


def test_a_site_file_is_shown_before_it_is_applied(demo, tmp_path):
    file = tmp_path / "site.toml"
    file.write_text('[[institutions]]\nslug = "north"\nname = "North"\n')
    assert "added institution north" in demo("site", "apply", str(file), "--dry-run")
    assert "north" not in demo("institutions", "list")
    demo("site", "apply", str(file))
    assert "north" in demo("institutions", "list")
    assert "the database holds what" in demo("site", "apply", str(file))


def test_a_site_file_can_be_applied_to_an_empty_database(postgres, bonecraft, tmp_path, monkeypatch):
    file = tmp_path / "site.toml"
    file.write_text('[[institutions]]\nslug = "north"\nname = "North"\n')
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", empty_database(postgres))
    with pytest.raises(BonecraftError, match="the database has no tables yet"):
        bonecraft("institutions", "list")
    bonecraft("site", "apply", str(file))
    assert "North" in bonecraft("institutions", "list")


def empty_database(postgres) -> str:
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres.superuser_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(ROLE)))
    return postgres.superuser_url.replace("://postgres@/postgres", f"://{ROLE}@/{name}", 1)


def test_an_error_of_ours_is_one_line_and_exit_code_2(database_url):
    bonecraft = Path(sys.executable).with_name("bonecraft")
    done = subprocess.run(
        [bonecraft, "peers", "add", "--institution", "nope", "--ae-title", "PACS", "--host", "h", "--port", "104"],
        env=os.environ | {"BONECRAFT_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("bonecraft: there is no institution 'nope'; add it first")
    assert "bonecraft institutions add --slug nope --name NAME" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_body_part_is_waited_for_in_its_own_way_and_other_edits_keep_that(demo):
    demo(
        "institutions", "set", "--slug", "demo", "--wait", "knee:quiet_seconds=20", "--wait", "PELVIS:by_content=false"
    )
    demo("institutions", "set", "--slug", "demo", "--maximum-wait-seconds", "900")
    [value] = json.loads(demo("institutions", "list", "--json")).values()
    assert (value["quiet_seconds"], value["maximum_wait_seconds"]) == (60, 900)
    assert [wait["body_part"] for wait in value["waits"]] == ["KNEE", "PELVIS"]
    shown = demo("institutions", "set", "--slug", "demo", "--wait", "")
    assert '- waits = [{body_part = "KNEE", quiet_seconds = 20, by_content = true}' in shown
    assert "+ waits = []" in shown


def test_an_institution_may_want_an_answer_to_refusals_and_other_edits_keep_that(demo):
    shown = demo("institutions", "set", "--slug", "demo", "--answers-refusals")
    assert "- answers_refusals = false" in shown
    longer = demo("institutions", "set", "--slug", "demo", "--maximum-wait-seconds", "900")
    [value] = json.loads(demo("institutions", "list", "--json")).values()
    assert (value["answers_refusals"], value["maximum_wait_seconds"]) == (True, 900)
    for change in (longer, shown):
        demo("changes", "undo", change.split()[-1])
    [value] = json.loads(demo("institutions", "list", "--json")).values()
    assert (value["answers_refusals"], value["maximum_wait_seconds"]) == (False, 600)


def test_a_wait_that_cannot_be_is_refused_with_the_fix(demo):
    for wait, why in (
        ("KNEE:quiet_seconds=1000", "maximum_wait_seconds = 600 is shorter than quiet_seconds = 1000"),
        ("KNEE:patience=3", "is not known here"),
        ("KNEE/LEFT:quiet_seconds=1", "is not what BodyPartExamined holds"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            demo("institutions", "set", "--slug", "demo", "--wait", wait)
    with pytest.raises(ConfigurationError, match="body part KNEE is named twice"):
        demo("institutions", "set", "--slug", "demo", "--wait", "KNEE:", "--wait", "KNEE:by_content=false")


VIEWER = ("--institution", "demo", "--for", "ohif")


def token_in(shown: str) -> str:
    return re.search(r"bonecraft_[\w-]{43}", shown)[0]


def grant_of(database: Database, token: str) -> tokens.Grant | None:
    with database.begin() as connection:
        return tokens.find(connection, token, now=utc_now())


def test_a_token_is_shown_once_and_may_do_what_was_said(demo, database):
    shown = demo("tokens", "add", *VIEWER, "--read")
    assert "added token demo/ohif" in shown
    grant = grant_of(database, token_in(shown))
    assert (grant.name, grant.may_read, grant.may_store) == ("ohif", True, False)
    for told in (demo("tokens", "list"), demo("tokens", "list", "--json"), demo("changes", "list")):
        assert token_in(shown) not in told
    assert "demo/ohif: made" in demo("tokens", "list")
    demo("tokens", "set", *VIEWER, "--store")
    assert grant_of(database, token_in(shown)).may_store


def test_a_token_that_may_do_nothing_is_refused(demo):
    with pytest.raises(ConfigurationError, match="let it read, store or both"):
        demo("tokens", "add", *VIEWER)


def test_a_revoked_token_lets_nobody_in_until_that_is_undone(demo, database):
    token = token_in(demo("tokens", "add", *VIEWER, "--read"))
    number = re.search(r"changes undo (\d+)", demo("tokens", "revoke", *VIEWER))[1]
    assert grant_of(database, token) is None
    demo("changes", "undo", number)
    assert grant_of(database, token) is not None


def test_a_renewed_token_replaces_the_one_before_and_a_removed_one_is_gone(demo, database):
    token = token_in(demo("tokens", "add", *VIEWER, "--read"))
    renewed = token_in(demo("tokens", "renew", *VIEWER))
    assert grant_of(database, token) is None
    assert grant_of(database, renewed) is not None
    number = re.search(r"changes undo (\d+)", demo("tokens", "remove", *VIEWER))[1]
    demo("changes", "undo", number)
    assert grant_of(database, renewed) is None, "it has to be made anew"

"""Logging in, and what keeps others out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.database import Database
from pipeline.records.login_attempts import FAILURES_BEFORE_LOCK, LOCK_LENGTH
from pipeline.records.users import Role, create_login_link, find_user
from pipeline.settings import NodeSettings
from pipeline.store import Store
from tests.viewer_api.people import PASSWORD, Person
from viewer_api.app import create_app

EMAIL = "radiologist@demo.example.org"


def test_a_person_logs_in_sees_who_they_are_and_logs_out(people):
    person = people(Role.RADIOLOGIST)
    session = person.get("/api/session").json()
    assert session["user"] == {"email": EMAIL, "role": "radiologist", "institution": "Demo Hospital"}
    assert person.client.delete("/api/session").status_code == 204
    assert person.get("/api/session").json()["user"] is None
    assert person.post("/api/studies/search", json={}).status_code == 401


def test_a_stolen_cookie_is_worthless_after_logging_out(people, visit, web_app):
    person = people(Role.RADIOLOGIST)
    token = person.client.cookies["bonecraft"]
    person.client.delete("/api/session")
    thief = visit(web_app)
    thief.client.cookies.set("bonecraft", token)
    assert thief.get("/api/session").json()["user"] is None


def test_nobody_gets_in_with_a_wrong_password(people, newcomer):
    people(Role.RADIOLOGIST)
    response = newcomer.log_in(EMAIL, "wrong password")
    assert response.status_code == 401
    assert "wrong password" not in response.text


def fail_to_log_in(visitor: Person, email: str = EMAIL, *, source: str = "") -> list[tuple[int, str]]:
    """So often that no more attempts are looked at; gives every answer."""
    answers = [visitor.log_in(email, "wrong", source=source) for _ in range(FAILURES_BEFORE_LOCK + 1)]
    return [(each.status_code, each.text) for each in answers]


def test_the_answers_do_not_tell_whether_an_address_has_an_account(people, newcomer):
    people(Role.RADIOLOGIST)
    answers = fail_to_log_in(newcomer)
    assert [code for code, _ in answers] == [401] * FAILURES_BEFORE_LOCK + [429]
    assert fail_to_log_in(newcomer, "nobody@example.org") == answers


def test_no_more_passwords_are_tried_after_failures_for_a_while(visit_at, people):
    people(Role.RADIOLOGIST)
    now = datetime.now(UTC)
    visitor = visit_at(lambda: now)
    fail_to_log_in(visitor)
    now += LOCK_LENGTH - timedelta(seconds=1)
    assert visitor.log_in(EMAIL).status_code == 429, "turned away, and no longer for it"
    now += timedelta(seconds=2)
    assert visitor.log_in(EMAIL).status_code == 200


def test_a_stranger_elsewhere_does_not_shut_anybody_out(people, newcomer):
    people(Role.ADMIN)
    email = "admin@demo.example.org"
    fail_to_log_in(newcomer, email, source="198.51.100.7")
    assert newcomer.log_in(email, source="198.51.100.7").status_code == 429
    assert newcomer.log_in(email, source="10.0.0.1").status_code == 200


def test_failures_are_forgotten_once_a_password_is_right(people, newcomer):
    people(Role.RADIOLOGIST)
    for _ in range(2):
        for _ in range(FAILURES_BEFORE_LOCK - 1):
            assert newcomer.log_in(EMAIL, "wrong").status_code == 401
        assert newcomer.log_in(EMAIL).status_code == 200


def test_guesses_that_come_at_once_are_counted_one_after_the_other(people, newcomer):
    people(Role.RADIOLOGIST)
    with ThreadPoolExecutor(8) as threads:
        codes = list(threads.map(lambda _: newcomer.log_in(EMAIL, "wrong").status_code, range(12)))
    assert sorted(codes) == [401] * FAILURES_BEFORE_LOCK + [429] * (12 - FAILURES_BEFORE_LOCK)


def test_an_administrator_lets_in_again_who_failed_too_often(people, newcomer):
    admin = people(Role.ADMIN)
    people(Role.RADIOLOGIST)
    fail_to_log_in(newcomer)
    user = next(person for person in admin.get("/api/users").json() if person["email"] == EMAIL)
    for verb in ("disable", "enable"):
        assert admin.post(f"/api/users/{user['id']}/{verb}").is_success
    assert newcomer.log_in(EMAIL).status_code == 200


def test_a_session_ends_after_a_working_day(visit_at, people):
    people(Role.RADIOLOGIST)
    now = datetime.now(UTC)
    person = visit_at(lambda: now)
    person.log_in(EMAIL)
    assert person.get("/api/session").json()["user"] is not None
    now += timedelta(hours=13)
    assert person.get("/api/session").json()["user"] is None


def test_a_one_time_link_lets_in_once(database: Database, people, newcomer):
    people(Role.RADIOLOGIST)
    with database.begin() as connection:
        user = find_user(connection, email=EMAIL)
        assert user is not None
        token = create_login_link(connection, user.id, now=datetime.now(UTC))
    assert newcomer.post("/api/session/once", json={"token": token}).json()["user"]["email"] == EMAIL
    assert newcomer.post("/api/session/once", json={"token": token}).status_code == 401


def test_a_one_time_link_grows_old(database: Database, people, newcomer):
    people(Role.RADIOLOGIST)
    with database.begin() as connection:
        user = find_user(connection, email=EMAIL)
        assert user is not None
        token = create_login_link(connection, user.id, now=datetime.now(UTC) - timedelta(hours=1))
    assert newcomer.post("/api/session/once", json={"token": token}).status_code == 401


def test_the_cookie_is_hidden_from_scripts_and_other_sites(people, newcomer):
    people(Role.RADIOLOGIST)
    cookie = newcomer.log_in(EMAIL).headers["set-cookie"].lower()
    assert cookie.startswith("bonecraft=")
    assert all(flag in cookie for flag in ("httponly", "samesite=strict", "path=/"))


def test_over_https_the_cookie_is_bound_to_host_and_tls(database: Database, web_store: Store, people, visit, tmp_path):
    people(Role.RADIOLOGIST)
    settings = NodeSettings(data_folder=tmp_path, web_origin="https://bones.example.org")
    cookie = visit(create_app(settings, database, web_store)).log_in(EMAIL).headers["set-cookie"]
    assert cookie.startswith("__Host-bonecraft=")
    assert "Secure" in cookie


def test_a_request_without_the_csrf_token_changes_nothing(people):
    person = people(Role.ADMIN)
    del person.client.headers["x-csrf-token"]
    assert person.client.delete("/api/session").status_code == 403
    assert person.get("/api/session").json()["user"] is not None


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example.org"}, {"sec-fetch-site": "cross-site"}], ids=["origin", "fetch"]
)
def test_another_site_cannot_log_anybody_in(people, newcomer, headers):
    people(Role.RADIOLOGIST)
    credentials = {"email": EMAIL, "password": PASSWORD}
    assert newcomer.post("/api/session", json=credentials, headers=headers).status_code == 403


def test_a_specialist_registers_waits_is_verified_and_comes_in(people, newcomer):
    admin = people(Role.ADMIN)
    form = {"institution": "demo", "email": "New@Example.org", "password": PASSWORD}
    assert newcomer.get("/api/institutions").json()[0] == {"slug": "demo", "name": "Demo Hospital"}
    assert newcomer.post("/api/registrations", json=form).status_code == 202
    assert newcomer.log_in("new@example.org").status_code == 401
    waiting = next(person for person in admin.get("/api/users").json() if not person["verified"])
    assert (waiting["email"], waiting["role"]) == ("new@example.org", "specialist")
    assert admin.post(f"/api/users/{waiting['id']}/verify").json()["verified"]
    assert newcomer.log_in("new@example.org").status_code == 200


def test_registering_twice_tells_nothing_and_changes_nothing(people, newcomer):
    people(Role.RADIOLOGIST)
    form = {"institution": "demo", "email": EMAIL, "password": "another password entirely"}
    assert newcomer.post("/api/registrations", json=form).status_code == 202
    assert newcomer.log_in(EMAIL).status_code == 200


def test_a_short_password_is_refused_with_the_reason(people, newcomer):
    form = {"institution": "demo", "email": "new@example.org", "password": "short"}
    response = newcomer.post("/api/registrations", json=form)
    assert response.status_code == 422
    assert "12" in response.json()["detail"]


@pytest.mark.parametrize("email", ["x@y@z", "a/b@c.org", "a b@c.org", "a@", "nobody"])
def test_an_address_that_no_setting_could_name_is_refused(people, newcomer, email):
    admin = people(Role.ADMIN)
    form = {"institution": "demo", "email": email, "password": PASSWORD}
    assert newcomer.post("/api/registrations", json=form).status_code == 422
    assert admin.get("/api/administration").status_code == 200


def test_an_administrator_of_another_institution_cannot_verify(people, newcomer):
    admin = people(Role.ADMIN)
    stranger = people(Role.ADMIN, institution="other")
    form = {"institution": "demo", "email": "new@example.org", "password": PASSWORD}
    newcomer.post("/api/registrations", json=form)
    waiting = next(person for person in admin.get("/api/users").json() if not person["verified"])
    assert stranger.post(f"/api/users/{waiting['id']}/verify").status_code == 404


def test_disabling_a_person_ends_their_session_and_can_be_undone(people):
    admin, colleague = people(Role.ADMIN), people(Role.RADIOLOGIST)
    user = next(person for person in admin.get("/api/users").json() if person["email"] == EMAIL)
    admin.post(f"/api/users/{user['id']}/disable")
    assert colleague.get("/api/session").json()["user"] is None
    assert colleague.log_in(EMAIL).status_code == 401
    change = admin.get("/api/administration").json()["changes"][0]
    assert admin.post(f"/api/administration/changes/{change['id']}/undo").status_code == 201
    assert colleague.log_in(EMAIL).status_code == 200


def test_nobody_can_lock_themselves_out(people):
    admin = people(Role.ADMIN)
    me = next(person for person in admin.get("/api/users").json() if person["you"])
    assert admin.post(f"/api/users/{me['id']}/disable").status_code == 409


def test_every_answer_carries_the_security_headers(newcomer: Person):
    for path in ("/", "/api/session", "/nothing-here", "/api/nothing-here"):
        headers = newcomer.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_a_wrong_request_is_not_repeated_in_the_answer(newcomer: Person):
    response = newcomer.post("/api/session", json={"email": "a@example.org", "password": ["my secret"]})
    assert response.status_code == 422
    assert "my secret" not in response.text


def test_a_request_that_is_too_large_is_refused_however_it_arrives(newcomer: Person):
    assert newcomer.post("/api/session", content=b"x" * (2 << 20)).status_code == 413
    assert newcomer.post("/api/session", content=iter([b"x" * (1 << 20)] * 2)).status_code == 413

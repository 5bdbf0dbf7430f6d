"""Every address of a study, taken from the router, answers its owner and nobody else."""

import json
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette import status

from pipeline.records.users import Role
from tests.viewer_api.example_study import ExampleStudy
from tests.viewer_api.people import Person
from viewer_api.permissions import POLICY, Permission

PUBLIC = {
    "/api/session",
    "/api/session/once",
    "/api/institutions",
    "/api/registrations",
    "/healthz",
    "/favicon.svg",
}
"""Answer people who are not logged in; the page's own addresses (without /api) hold no data."""


def addresses_of(app: FastAPI, study: dict) -> Iterator[tuple[str, str]]:
    """(method, address) of every route below a study, with each parameter filled from what the owner sees."""
    known = {
        "study_id": [study["study"]["id"]],
        "instance_id": [radiograph["id"] for radiograph in study["radiographs"]],
        "result_id": [entry["id"] for entry in study["history"]],
        "file_id": [file["url"].split("/")[-1] for file in study["result"]["files"]],
    }
    for route in api_routes(app):
        if "{study_id}" not in route.path:
            continue
        for method in route.methods:
            own = [name for name in re.findall(r"{(\w+)}", route.path) if name != "study_id"]
            for values in known[own[0]] if own else [""]:
                filled = route.path.replace("{study_id}", known["study_id"][0])
                yield method, filled.replace(f"{{{own[0]}}}", values) if own else filled


def api_routes(app: FastAPI) -> list[RouteContext]:
    """Every route that the application answers, those of included routers too; not the folder of static files."""
    return [route for route in iter_route_contexts(app.routes) if route.methods]


@pytest.fixture
def owner(people) -> Person:
    return people(Role.RADIOLOGIST)


def test_the_walk_covers_every_kind_of_address(owner: Person, web_app: FastAPI, example: ExampleStudy):
    study = owner.get(f"/api/studies/{example.study_id}").json()
    walked = {re.sub(r"[0-9a-f-]{36}", "*", address) for _, address in addresses_of(web_app, study)}
    assert walked == {
        "/studies/*",
        "/api/studies/*",
        "/api/studies/*/process",
        "/api/studies/*/progress",
        "/api/studies/*/radiographs/*",
        "/api/studies/*/results/*",
        "/api/studies/*/files/*",
    }


def test_the_owner_gets_every_address_and_others_none(people, owner: Person, web_app: FastAPI, example: ExampleStudy):
    study = owner.get(f"/api/studies/{example.study_id}").json()
    strangers = [people(role, institution="other") for role in Role]
    specialist = people(Role.SPECIALIST)
    for method, address in addresses_of(web_app, study):
        answer = owner.client.request(method, address)
        assert answer.is_success or answer.status_code == status.HTTP_409_CONFLICT, address  # nothing to be done there
        for stranger in (*strangers, specialist):
            response = stranger.client.request(method, address)
            assert response.status_code == 404, address
            assert not names_the_patient(response.text)


def names_the_patient(text: str) -> bool:
    return "Sample" in text or "sample-" in text


def test_nobody_sees_data_without_logging_in(newcomer: Person, web_app: FastAPI, example: ExampleStudy):
    for route in api_routes(web_app):
        if route.path in PUBLIC or not route.path.startswith("/api/"):
            continue
        for method in route.methods:
            address = re.sub(r"{\w+}", str(example.study_id), route.path)
            response = newcomer.client.request(method, address)
            assert response.status_code == 401, (method, address)
            assert not names_the_patient(response.text)


def test_other_institutions_studies_are_in_no_list(people, owner: Person, example: ExampleStudy):
    stranger = people(Role.ADMIN, institution="other")
    assert owner.post("/api/studies/search", json={}).json()["total"] == 1
    assert stranger.post("/api/studies/search", json={"text": "Sample"}).json()["total"] == 0


@pytest.mark.parametrize("role", list(Role))
def test_the_policy_decides_who_administers(people, role: Role):
    person = people(role)
    expected = 200 if Permission.ADMINISTER in POLICY[role] else 403
    assert person.get("/api/administration").status_code == expected
    assert person.get("/api/users").status_code == (200 if Permission.MANAGE_USERS in POLICY[role] else 403)


def test_no_address_names_a_patient(owner: Person, web_app: FastAPI, example: ExampleStudy):
    study = owner.get(f"/api/studies/{example.study_id}").json()
    addresses = [address for _, address in addresses_of(web_app, study)]
    assert not any(names_the_patient(address) for address in addresses)
    assert "Sample" in json.dumps(study)

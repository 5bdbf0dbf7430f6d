"""The web door on a real port, a real PostgreSQL and a real store, and people who open it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert

from pipeline.clock import Clock
from pipeline.database import Database
from pipeline.records import tables
from pipeline.records.users import Role, add_user
from pipeline.settings import NodeSettings
from pipeline.store import Store, open_store
from tests.viewer_api.example_study import ExampleStudy, add_finished_study
from tests.viewer_api.people import PASSWORD, Person
from tests.viewer_api.served import served
from viewer_api.app import create_app


@pytest.fixture
def web_settings(tmp_path: Path) -> NodeSettings:
    return NodeSettings(data_folder=tmp_path / "data")


@pytest.fixture
def web_store(web_settings: NodeSettings) -> Store:
    return open_store(web_settings)


@pytest.fixture
def web_app(web_settings: NodeSettings, database: Database, web_store: Store) -> FastAPI:
    return create_app(web_settings, database, web_store)


@pytest.fixture
def visit() -> Iterator[Callable[[FastAPI], Person]]:
    """Serve an application, and go there as somebody who is not logged in."""
    with ExitStack() as open_things:
        addresses: dict[FastAPI, str] = {}

        def go(app: FastAPI) -> Person:
            if app not in addresses:
                addresses[app] = open_things.enter_context(served(app))
            return Person(open_things.enter_context(httpx.Client(base_url=addresses[app], timeout=30)))

        yield go


@pytest.fixture
def visit_at(visit, web_settings: NodeSettings, database: Database, web_store: Store) -> Callable[[Clock], Person]:
    """Go there when a clock of the test's own says what time it is."""
    return lambda clock: visit(create_app(web_settings, database, web_store, clock=clock))


@pytest.fixture
def newcomer(visit, web_app: FastAPI) -> Person:
    """Somebody who is not logged in."""
    return visit(web_app)


@pytest.fixture
def other_institution_id(database: Database) -> UUID:
    with database.begin() as connection:
        row = insert(tables.institutions).values(slug="other", name="Other Clinic")
        return connection.execute(row.returning(tables.institutions.c.id)).scalar_one()


class PeopleMaker:
    """Makes people of a role, logged in."""

    def __init__(self, visit: Callable[[], Person], database: Database, institutions: dict[str, UUID]) -> None:
        self._visit, self._database, self._institutions = visit, database, institutions

    def __call__(self, role: Role, *, institution: str = "demo", name: str = "") -> Person:
        email = f"{name or role}@{institution}.example.org"
        with self._database.begin() as connection:
            add_user(
                connection,
                institution_id=self._institutions[institution],
                email=email,
                role=role,
                password=PASSWORD,
                verified_at=datetime.now(UTC),
            )
        person = self._visit()
        assert person.log_in(email).is_success
        return person


@pytest.fixture
def people(
    visit, web_app: FastAPI, database: Database, institution_id: UUID, other_institution_id: UUID
) -> PeopleMaker:
    return PeopleMaker(lambda: visit(web_app), database, {"demo": institution_id, "other": other_institution_id})


@pytest.fixture
def example(database: Database, web_store: Store, institution_id: UUID, tmp_path: Path) -> ExampleStudy:
    """A reconstructed study of the demo institution."""
    folder = tmp_path / "result"
    folder.mkdir()
    return add_finished_study(database, web_store, institution_id, folder)

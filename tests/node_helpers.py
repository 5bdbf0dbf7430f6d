"""What tests of the node's core say often."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, insert, select

from pipeline.child_process import ChildProcess
from pipeline.database import Database
from pipeline.inbox import Accepted, Incoming, accept
from pipeline.records import tables
from pipeline.records.instances import Instance, by_ids
from pipeline.records.studies import Study, StudyScope, get_study
from pipeline.store import Store
from tests.factories import make_dx, save

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
FAKE_CHILD = Path(__file__).parent / "fake_child.py"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def fake_child(behaviour: str, folder: Path | None = None, *, timeout_seconds: float = 60) -> ChildProcess:
    command = (sys.executable, str(FAKE_CHILD), behaviour, *([str(folder)] if folder else []))
    return ChildProcess(command=command, timeout_seconds=timeout_seconds, threads=1)


def instances_of(connection: Connection, study_id: UUID) -> tuple[Instance, ...]:
    """Everything received for a study, in use or not."""
    of_study = select(tables.instances.c.id).where(tables.instances.c.study_id == study_id)
    return by_ids(connection, connection.execute(of_study).scalars().all())


def add_demo_hospital(database: Database) -> UUID:
    """An institution, "Demo Hospital" (`demo`), called as BONECRAFT."""
    with database.begin() as connection:
        demo = connection.execute(
            insert(tables.institutions).values(slug="demo", name="Demo Hospital").returning(tables.institutions.c.id)
        ).scalar_one()
        connection.execute(insert(tables.called_ae_titles).values(ae_title="BONECRAFT", institution_id=demo))
    return demo


class Hospital:
    """An institution whose modality sends to the inbox."""

    def __init__(self, database: Database, store: Store, institution_id: UUID, folder: Path) -> None:
        self.database, self.store, self.institution_id, self.folder = database, store, institution_id, folder

    @property
    def scope(self) -> StudyScope:
        return StudyScope(institution_id=self.institution_id)

    def send_file(self, path: Path, *, now: datetime = NOON, **facts: object) -> Accepted:
        incoming = Incoming(
            path=path,
            institution_id=self.institution_id,
            calling_ae_title="MODALITY",
            called_ae_title="BONECRAFT",
            received_from="127.0.0.1",
            **facts,
        )
        return accept(self.database, self.store, incoming, now=now)

    def send(self, view: str, *, side: str = "R", study: str = "a study", now: datetime = NOON) -> Accepted:
        path = save(make_dx(study=study, view=view, side=side), self.folder / f"{study}-{view}-{side}.dcm")
        return self.send_file(path, now=now)

    def study(self, accepted: Accepted) -> Study:
        with self.database.begin() as connection:
            found = get_study(connection, self.scope, accepted.study_id)
        assert found is not None
        return found

"""A hospital with one reconstructed study, whose result was delivered, for tests of what becomes of it later."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, update

from pipeline.records import admin, deliveries, results, tables
from pipeline.records.results import StoredFile
from pipeline.results import FileKind, Report, ResultFile, ScaleReport, Status
from pipeline.retention import outlooks, run
from pipeline.site_values import InstitutionValue, Subject
from pipeline.store import StoreUnavailable
from tests.node_helpers import NOON, Hospital, after

DAY = 86_400
DEMO = Subject.of_institution("demo")
PICTURE = ResultFile(path="a.dcm", kind=FileKind.SECONDARY_CAPTURE, media_type="application/dicom", title="A picture")
REPORT = Report(
    status=Status.RECONSTRUCTED,
    software_version="0",
    scale=ScaleReport(known=True, relative_uncertainty=0.02, provenance="typed"),
)


def days(number: float) -> datetime:
    return after(number * DAY)


@dataclass(frozen=True)
class Ward:
    """A hospital with one reconstructed study, whose result goes to PACS."""

    hospital: Hospital
    study: UUID
    reconstruction: UUID
    result_set: UUID

    def keep(self, **kept: int) -> datetime:
        """Set so many days; when that was done."""
        with self.hospital.database.begin() as connection:
            value = InstitutionValue(name="Demo Hospital", called_ae_titles=("BONECRAFT",), **kept)
            change = admin.change(connection, DEMO, value, who="admin@example.org", source="web")
        assert change is not None
        return change.changed_at

    def run(self, *, now: datetime, given_up: bool = False) -> dict[str, int]:
        """Removes; gives how many of what."""
        done = run(self.hospital.database, self.hospital.store, now=now, given_up=given_up)
        return {str(each.rule.what): len(each.items) for each in done}

    def reasons(self, *, now: datetime) -> set[str]:
        """Why something stays."""
        with self.hospital.database.begin() as connection:
            return {due.held_back for each in outlooks(connection, now=now) for due in each.held_back}

    def set(self, table: str, **values: object) -> None:
        with self.hospital.database.begin() as connection:
            connection.execute(update(tables.metadata.tables[table]).values(**values))

    def count(self, table: str) -> int:
        with self.hospital.database.begin() as connection:
            counted = select(func.count()).select_from(tables.metadata.tables[table])
            return int(connection.execute(counted).scalar_one())

    def keys(self, table: str) -> list[str]:
        with self.hospital.database.begin() as connection:
            return list(connection.execute(select(tables.metadata.tables[table].c.blob_key)).scalars())

    def has_bytes(self, key: str) -> bool:
        try:
            self.hospital.store.read(key)
        except StoreUnavailable:
            return False
        return True


@pytest.fixture
def ward(hospital: Hospital, tmp_path: Path) -> Ward:
    hospital.send("AP")
    accepted = hospital.send("LATERAL")
    (tmp_path / "a.dcm").write_bytes(b"a picture")
    blob = hospital.store.put_file(hospital.institution_id, tmp_path / "a.dcm")
    owner = {"institution_id": hospital.institution_id}
    with hospital.database.begin() as connection:
        peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "receives": True}
        connection.execute(insert(tables.peers).values(**owner, **peer))
        result_set = results.add(
            connection,
            **owner,
            study_id=accepted.study_id,
            reconstruction_id=accepted.reconstruction_id,
            report=REPORT,
            files=[StoredFile(described=PICTURE, blob_key=blob.key, size=blob.size, digest=blob.digest)],
        )
        deliveries.plan(connection, result_set_id=result_set)
    made = Ward(hospital, accepted.study_id, accepted.reconstruction_id, result_set)
    made.set("deliveries", state="delivered")
    made.set("result_files", sop_instance_uid="2.25.7")
    made.set("result_sets", created_at=NOON)
    made.set("reconstructions", state="reconstructed")
    made.set("studies", state="reconstructed")
    return made

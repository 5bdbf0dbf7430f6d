"""A rejection note reaches a real archive after the results that take the place of what it rejects."""

from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from sqlalchemy import func, select, update

from pipeline.dicom_write import WriteSettings
from pipeline.dicom_write.rejection_note import Replaced, write_rejection_note
from pipeline.records import deliveries, reconstructions, results, supersession, tables
from pipeline.records.results import StoredFile
from pipeline.results import FileKind, Report, ResultFile, ScaleReport, Status
from tests.dicom_write.example import CREATED, write
from tests.node_helpers import NOON, Hospital, after
from tests.peers import OrthancPeer
from tests.scp_node.test_postman import Outbox

KINDS = (FileKind.SURFACE_SEGMENTATION, FileKind.SECONDARY_CAPTURE)
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"

pytestmark = pytest.mark.orthanc


def replace(outbox: Outbox, folder: Path, old: list[Path]) -> ResultFile:
    """Another result takes the place of the first; gives its rejection note."""
    hospital, replaced = outbox.hospital, Replaced.read(old)
    assert replaced is not None
    settings = WriteSettings(replaces=replaced.uids, replaces_made=replaced.made)
    new = [each for each in write(folder, settings=settings) if each.kind in KINDS]
    note = write_rejection_note(replaced, because="A later view.", out=folder, software_version="0", created=CREATED)
    files = []
    for described in (*new, note):
        blob = hospital.store.put_file(hospital.institution_id, folder / described.path)
        files.append(StoredFile(described=described, blob_key=blob.key, size=blob.size, digest=blob.digest))
    scale = ScaleReport(known=True, relative_uncertainty=0.02, provenance="source-distances")
    with hospital.database.begin() as connection:
        study_id = connection.execute(select(tables.studies.c.id)).scalar_one()
        [made] = reconstructions.of_study(connection, study_id)
        replaced = supersession.make_room(connection, study_id)
        owner = {"institution_id": made.institution_id, "study_id": study_id, "reconstruction_id": made.id}
        report = Report(status=Status.RECONSTRUCTED, software_version="0", scale=scale)
        created = results.add(connection, **owner, report=report, files=files)
        deliveries.plan(connection, result_set_id=created)
        supersession.supersede(connection, replaced, by=created, now=NOON)
        waiting = tables.deliveries.c.state == "pending"
        connection.execute(update(tables.deliveries).where(waiting).values(next_attempt_at=NOON))
    return note


def test_orthanc_takes_the_new_results_and_then_the_note(
    hospital: Hospital, orthanc: OrthancPeer, tmp_path: Path
) -> None:
    orthanc.delete_everything()
    outbox = Outbox(hospital, tmp_path / "old", orthanc.dicom_port)
    outbox.now = after(1)
    with hospital.database.begin() as connection:
        never = update(tables.peers).values(commitment="never").returning(tables.peers.c.id)
        peer_id = connection.execute(never).scalar_one()
    assert outbox.postman.deliver_to(peer_id) == 3
    old = [tmp_path / "old" / row["path"] for row in sent_files(hospital)]
    note = replace(outbox, tmp_path / "new", old)
    visits = [outbox.postman.deliver_to(peer_id) for _ in range(3)]
    assert visits == [3, 1, 0], "the note by itself, when the new results are there"
    [kept] = instances_of_class(orthanc, KEY_OBJECTS)
    assert kept == note.sop_instance_uid
    descriptions = {
        httpx.get(f"{orthanc.url}/series/{series}").json()["MainDicomTags"]["SeriesDescription"]
        for series in httpx.get(f"{orthanc.url}/series").json()
    }
    made = dcmread(old[0], stop_before_pixels=True)
    when = f"{made.SeriesDate[:4]}-{made.SeriesDate[4:6]}-{made.SeriesDate[6:]}"
    assert sum(f", replaces {when}" in each for each in descriptions) == len(descriptions) // 2
    orthanc.delete_everything()


def sent_files(hospital: Hospital) -> list[dict]:
    with hospital.database.begin() as connection:
        assert connection.execute(select(func.count()).select_from(tables.deliveries)).scalar_one() == 3
        return [dict(row) for row in connection.execute(select(tables.result_files.c.path)).mappings()]


def instances_of_class(orthanc: OrthancPeer, sop_class_uid: str) -> list[str]:
    found = httpx.get(f"{orthanc.url}/instances", params={"expand": "1"}).json()
    metadata = {each["ID"]: each["MainDicomTags"]["SOPInstanceUID"] for each in found}
    return [
        uid
        for instance, uid in metadata.items()
        if httpx.get(f"{orthanc.url}/instances/{instance}/metadata/SopClassUid").text == sop_class_uid
    ]

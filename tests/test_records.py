from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from pipeline.database import Database
from pipeline.jobs import settle_due
from pipeline.records import deliveries, reconstructions, results, status, tables
from pipeline.records.instances import get_instance
from pipeline.records.results import StoredFile
from pipeline.records.studies import StudyScope, count_studies, get_study, list_studies
from pipeline.results import FileKind, Report, ResultFile, ScaleReport, Status
from tests.node_helpers import NOON, Hospital, after, instances_of

STRANGER = StudyScope(institution_id=UUID(int=0))


def surface(title: str) -> ResultFile:
    return ResultFile(
        path="surface.dcm",
        kind=FileKind.SURFACE_SEGMENTATION,
        media_type="application/dicom",
        title=title,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.5",
        sop_instance_uid="2.25.1",
    )


def add_result(hospital: Hospital, study_id: UUID, reconstruction_id: UUID, *, title: str = "Right femur") -> UUID:
    scale = ScaleReport(known=True, relative_uncertainty=0.02, provenance="calibrated")
    described = surface(title)
    report = Report(status=Status.RECONSTRUCTED, software_version="0", scale=scale, files=(described,))
    with hospital.database.begin() as connection:
        return results.add(
            connection,
            institution_id=hospital.institution_id,
            study_id=study_id,
            reconstruction_id=reconstruction_id,
            report=report,
            files=[StoredFile(described=described, blob_key="key", size=1, digest="00")],
        )


@pytest.fixture
def pending(hospital: Hospital) -> Hospital:
    """A hospital with one file to be delivered to PACS."""
    with hospital.database.begin() as connection:
        owner = {"institution_id": hospital.institution_id, "host": "127.0.0.1", "port": 104}
        connection.execute(insert(tables.peers).values(ae_title="PACS", receives=True, **owner))
    hospital.send("AP")
    complete = hospital.send("LATERAL")
    result_set = add_result(hospital, complete.study_id, complete.reconstruction_id)
    with hospital.database.begin() as connection:
        assert deliveries.plan(connection, result_set_id=result_set) == 1
        assert deliveries.plan(connection, result_set_id=result_set) == 0
    return hospital


def claim(database: Database, when) -> tuple[deliveries.DueDelivery, ...]:
    with database.begin() as connection:
        return deliveries.claim_due(connection, now=when, lease=timedelta(minutes=5))


FAR = NOON + timedelta(days=36_500)


def test_studies_are_listed_newest_first_and_found_by_any_part_of_their_names(hospital: Hospital) -> None:
    hospital.send("AP", study="older")
    hospital.send("AP", study="newer", now=after(5))
    with hospital.database.begin() as connection:
        listed = list_studies(connection, hospital.scope)
        found = list_studies(connection, hospital.scope, search="id OLD")
        assert count_studies(connection, hospital.scope) == 2
        assert count_studies(connection, hospital.scope, search="nobody") == 0
    assert [study.header.patient_id for study in listed] == ["ID newer", "ID older"]
    assert [study.header.patient_id for study in found] == ["ID older"]


@pytest.mark.parametrize("search", ["%", "_", "\\"])
def test_a_search_is_taken_literally(hospital: Hospital, search: str) -> None:
    hospital.send("AP")
    with hospital.database.begin() as connection:
        assert list_studies(connection, hospital.scope, search=search) == ()


def test_another_institution_sees_nothing_of_a_study(pending: Hospital) -> None:
    with pending.database.begin() as connection:
        [study] = list_studies(connection, pending.scope)
        [instance, _] = instances_of(connection, study.id)
        [file] = results.latest(connection, pending.scope, study.id).files
        assert results.get_file(connection, pending.scope, file.id) == file
        assert get_instance(connection, pending.scope, instance.id) == instance
        assert list_studies(connection, STRANGER) == ()
        assert get_study(connection, STRANGER, study.id) is None
        assert get_instance(connection, STRANGER, instance.id) is None
        assert results.latest(connection, STRANGER, study.id) is None
        assert results.get_file(connection, STRANGER, file.id) is None


def test_the_result_of_the_newest_input_is_shown_in_whichever_order_they_were_finished(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.begin() as connection:
        [first] = settle_due(connection, now=after(61))
    late = hospital.send("LATERAL", now=after(90))
    add_result(hospital, late.study_id, late.reconstruction_id, title="two views")
    add_result(hospital, late.study_id, first, title="one view")
    with hospital.database.begin() as connection:
        history = results.history(connection, hospital.scope, late.study_id)
    assert [result.files[0].title for result in history] == ["two views", "one view"]


def test_a_reconstruction_has_one_result_however_often_it_is_done(pending: Hospital) -> None:
    with pending.database.begin() as connection:
        [study] = list_studies(connection, pending.scope)
    with pytest.raises(IntegrityError):
        add_result(pending, study.id, study.progress.reconstruction_id)


def test_a_result_of_an_older_input_leaves_the_studys_state_alone(hospital: Hospital) -> None:
    hospital.send("AP")
    with hospital.database.begin() as connection:
        [first] = settle_due(connection, now=after(61))
    late = hospital.send("LATERAL", now=after(90))
    with hospital.database.begin() as connection:
        older = reconstructions.lock(connection, first)
        reconstructions.finish(connection, older, "reconstructed", now=after(95), problem="")
    assert hospital.study(late).state == "queued"


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(pending: Hospital) -> None:
    [due] = claim(pending.database, FAR)
    assert claim(pending.database, FAR + timedelta(minutes=4)) == ()
    [again] = claim(pending.database, FAR + timedelta(minutes=6))
    assert (again.id, due.attempts, again.attempts) == (due.id, 1, 2)


def test_two_senders_never_claim_the_same_delivery(pending: Hospital) -> None:
    with pending.database.begin() as one, pending.database.begin() as other:
        claimed = [*deliveries.claim_due(one, now=FAR), *deliveries.claim_due(other, now=FAR)]
    assert len(claimed) == 1


def test_what_was_delivered_is_not_due_again(pending: Hospital) -> None:
    [due] = claim(pending.database, FAR)
    with pending.database.begin() as connection:
        deliveries.mark_delivered(connection, due.id, now=FAR)
    assert claim(pending.database, FAR + timedelta(days=1)) == ()


def test_what_failed_is_due_when_its_time_comes(pending: Hospital) -> None:
    [due] = claim(pending.database, FAR)
    with pending.database.begin() as connection:
        deliveries.mark_failed(connection, due.id, problem="refused", next_attempt_at=FAR + timedelta(minutes=1))
    assert claim(pending.database, FAR + timedelta(seconds=59)) == ()
    assert len(claim(pending.database, FAR + timedelta(seconds=61))) == 1


def test_a_sender_that_outlived_its_lease_does_not_undo_a_delivery(pending: Hospital) -> None:
    [due] = claim(pending.database, FAR)
    with pending.database.begin() as connection:
        deliveries.mark_delivered(connection, due.id, now=FAR)
        deliveries.mark_failed(connection, due.id, problem="too late", next_attempt_at=None)
        assert status.snapshot(connection).deliveries == {"delivered": 1}


def test_a_dead_letter_is_shown_and_can_be_sent_again(pending: Hospital) -> None:
    [due] = claim(pending.database, FAR)
    with pending.database.begin() as connection:
        deliveries.mark_failed(connection, due.id, problem="PACS does not take this class", next_attempt_at=None)
        [letter] = status.snapshot(connection).failed_deliveries
        assert (letter.peer, letter.problem) == ("PACS", "PACS does not take this class")
        assert deliveries.resend(connection, due.id, now=FAR)
        assert not deliveries.resend(connection, UUID(int=0), now=FAR)
        assert status.snapshot(connection).deliveries == {"pending": 1}
    assert len(claim(pending.database, FAR)) == 1


def test_the_snapshot_counts_what_is_there(pending: Hospital) -> None:
    with pending.database.begin() as connection:
        seen = status.snapshot(connection)
    assert (seen.studies, seen.reconstructions, seen.deliveries) == ({"queued": 1}, {"queued": 1}, {"pending": 1})
    assert seen.oldest_queued_at is not None
    assert [line.state for line in seen.last_studies] == ["queued"]
    assert seen.failed_reconstructions == seen.failed_deliveries == ()


def test_the_result_of_an_uploaded_study_stays_in_the_viewer(pending: Hospital) -> None:
    pending.send("AP", study="uploaded")
    study = pending.send("LATERAL", study="uploaded")
    with pending.database.begin() as connection:
        uploader = connection.execute(
            insert(tables.users)
            .values(
                institution_id=pending.institution_id, email="u@example.org", role="technologist", password_hash="x"
            )
            .returning(tables.users.c.id)
        ).scalar_one()
        connection.execute(
            update(tables.studies).where(tables.studies.c.id == study.study_id).values(uploaded_by=uploader)
        )
    result_set = add_result(pending, study.study_id, study.reconstruction_id)
    with pending.database.begin() as connection:
        assert deliveries.plan(connection, result_set_id=result_set) == 0

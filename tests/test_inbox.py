from __future__ import annotations

import errno
import os
import random
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, UltrasoundImageStorage
from sqlalchemy import func, insert, select, update

from pipeline.dicom_header import read_instance_header
from pipeline.dicom_write import derive_uid
from pipeline.errors import InputError
from pipeline.inbox import (
    Accepted,
    ForeignStudy,
    IdentityMismatch,
    Incoming,
    OutOfSpace,
    UnreadableDataset,
    accept,
)
from pipeline.records import deliveries, quarantine, reconstructions, tables
from pipeline.records.instances import Addition, InstanceRole
from pipeline.records.quarantine import QuarantineProblem
from pipeline.records.studies import StudyScope, get_study
from tests.factories import make_dx, save, stable_uid
from tests.node_helpers import NOON, Hospital, after, instances_of
from tests.test_records import add_result


def count(hospital: Hospital, table) -> int:
    with hospital.database.begin() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_an_accepted_radiograph_is_in_the_store_and_in_the_records(hospital: Hospital) -> None:
    accepted = hospital.send("AP")
    with hospital.database.begin() as connection:
        [instance] = instances_of(connection, accepted.study_id)
    assert accepted.outcome is Addition.NEW
    assert instance.role is InstanceRole.RADIOGRAPH
    assert instance.facts["view"] == "AP"
    assert instance.facts["side"] == "R"
    assert hospital.store.read(instance.blob_key) == (hospital.folder / "a study-AP-R.dcm").read_bytes()
    assert hospital.study(accepted).state == "receiving"


def test_the_same_bytes_again_are_a_success_and_change_nothing(hospital: Hospital) -> None:
    first, again = hospital.send("AP"), hospital.send("AP", now=after(30))
    assert again.outcome is Addition.DUPLICATE
    assert again.instance_id == first.instance_id
    assert count(hospital, tables.instances) == 1
    assert hospital.study(first).last_received_at == after(0)


def test_what_was_damaged_here_is_whole_again_before_the_sender_hears_success(hospital: Hospital) -> None:
    first = hospital.send("AP")
    whole = (hospital.folder / "a study-AP-R.dcm").read_bytes()
    with hospital.database.begin() as connection:
        [instance] = instances_of(connection, first.study_id)
    held = hospital.store.folder / instance.blob_key
    held.unlink()
    held.write_bytes(whole[:-100])
    assert hospital.send("AP").outcome is Addition.DUPLICATE
    assert hospital.store.read(instance.blob_key) == whole


def test_other_bytes_under_the_same_uid_are_kept_but_the_first_stays_in_use(hospital: Hospital, tmp_path: Path) -> None:
    hospital.send("AP")
    changed = make_dx(view="AP")
    changed.SeriesDescription = "sent again with a correction"
    accepted = hospital.send_file(save(changed, tmp_path / "changed.dcm"))
    with hospital.database.begin() as connection:
        kept = instances_of(connection, accepted.study_id)
    assert accepted.outcome is Addition.SUPERSEDED
    assert sorted(instance.superseded for instance in kept) == [False, True]
    assert hospital.study(accepted).radiographs == 1


def corrected(tmp_path: Path, *, name: str = "again", **elements: object) -> Path:
    """The AP radiograph again with other elements."""
    dataset = make_dx(view="AP")
    dataset.update(elements)
    return save(dataset, tmp_path / f"{name}.dcm")


def test_a_correction_of_the_patients_data_is_used_from_now_on_and_followed(hospital: Hospital, tmp_path: Path) -> None:
    first, lateral = hospital.send("AP"), hospital.send("LATERAL")
    before = lateral.reconstruction_id
    again = hospital.send_file(corrected(tmp_path, PatientName="Corrected^Name"), now=after(600))
    assert again.outcome is Addition.CORRECTED
    with hospital.database.begin() as connection:
        kept = {i.id: i.superseded for i in instances_of(connection, first.study_id)}
    assert kept == {first.instance_id: True, lateral.instance_id: False, again.instance_id: False}
    assert hospital.study(again).header.patient_name == "Corrected^Name"
    assert again.reconstruction_id not in (None, before)


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientName": "SAMPLE^BONECRAFT^^"},
        {"PatientID": ""},
        {"SeriesDescription": "another"},
        {"PatientName": "Corrected^Name", "PixelData": bytes(48 * 40 * 2)},
        {"PatientName": "Corrected^Name", "StudyInstanceUID": stable_uid("elsewhere")},
    ],
    ids=["capitals", "less", "no patient's data", "another picture", "another study"],
)
def test_what_is_no_correction_stays_out_of_use(hospital: Hospital, tmp_path: Path, elements: dict) -> None:
    hospital.send("AP")
    assert hospital.send_file(corrected(tmp_path, **elements)).outcome is Addition.SUPERSEDED


def test_the_uncorrected_image_that_comes_once_more_changes_nothing(hospital: Hospital, tmp_path: Path) -> None:
    hospital.send("AP")
    again = hospital.send_file(corrected(tmp_path, PatientID="4711"))
    assert hospital.send("AP").outcome is Addition.DUPLICATE
    assert hospital.study(again).header.patient_id == "4711"
    once_more = hospital.send_file(corrected(tmp_path, name="third", PatientID="4712"))
    assert once_more.outcome is Addition.CORRECTED, "the last word counts"


def test_what_is_no_radiograph_is_kept_and_out_of_scope(hospital: Hospital, tmp_path: Path) -> None:
    ultrasound = make_dx(study="another")
    ultrasound.SOPClassUID, ultrasound.Modality = UltrasoundImageStorage, "US"
    accepted = hospital.send_file(save(ultrasound, tmp_path / "us.dcm"))
    assert accepted.role is InstanceRole.OUT_OF_SCOPE
    assert hospital.study(accepted).state == "out-of-scope"


def test_our_own_result_that_comes_back_is_recorded_and_starts_nothing(hospital: Hospital, tmp_path: Path) -> None:
    own = make_dx(view="LATERAL")
    own.SOPInstanceUID = derive_uid("picture", ["whatever"])
    hospital.send("AP")
    accepted = hospital.send_file(save(own, tmp_path / "own.dcm"))
    assert accepted.role is InstanceRole.OWN_RESULT
    assert accepted.reconstruction_id is None
    assert hospital.study(accepted).radiographs == 1


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\0" * 128 + b"DICM" + b"\xff" * 64])
def test_a_dataset_that_cannot_be_parsed_is_kept_in_quarantine(
    hospital: Hospital, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.dcm"
    path.write_bytes(content)
    with pytest.raises(UnreadableDataset):
        hospital.send_file(path, sop_instance_uid="1.2.3")
    with hospital.database.begin() as connection:
        [kept] = quarantine.newest(connection, institution_id=hospital.institution_id)
    assert kept.problem == QuarantineProblem.UNREADABLE
    assert kept.sop_instance_uid == "1.2.3"
    assert hospital.store.read(kept.blob_key) == content
    assert count(hospital, tables.instances) == 0


def deflated(path: Path, *, padding: int = 0, damage: bytes = b"") -> Path:
    """A deflated radiograph; `padding` bytes of zeros cost next to nothing on the way."""
    dataset = make_dx(view="AP")
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if padding:
        dataset.add_new(0x00091001, "OB", bytes(padding))
    save(dataset, path)
    if damage:
        path.write_bytes(path.read_bytes()[:-64] + damage)
    return path


def test_a_deflated_radiograph_is_taken_in(hospital: Hospital, tmp_path: Path) -> None:
    accepted = hospital.send_file(deflated(tmp_path / "deflated.dcm"))
    assert accepted.role is InstanceRole.RADIOGRAPH


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [({"padding": 300 << 20}, "larger than 256 MiB when it is inflated"), ({"damage": b"\xff" * 64}, "inflated")],
)
def test_a_deflated_dataset_that_blows_up_or_is_damaged_is_kept_in_quarantine(
    hospital: Hospital, tmp_path: Path, spoilt: dict, reason: str
) -> None:
    path = deflated(tmp_path / "bomb.dcm", **spoilt)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UnreadableDataset, match=reason):
        hospital.send_file(path)
    with hospital.database.begin() as connection:
        [kept] = quarantine.newest(connection, institution_id=hospital.institution_id)
    assert kept.size == path.stat().st_size


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_dataset_that_does_not_say_what_it_belongs_to_is_kept_in_quarantine(
    hospital: Hospital, tmp_path: Path, keyword: str
) -> None:
    anonymous = make_dx()
    delattr(anonymous, keyword)
    with pytest.raises(UnreadableDataset, match=keyword):
        hospital.send_file(save(anonymous, tmp_path / "anonymous.dcm"))
    assert count(hospital, tables.quarantine) == 1


@pytest.mark.parametrize("named", ["sop_instance_uid", "sop_class_uid"])
def test_a_dataset_that_is_not_what_the_command_said_is_kept_in_quarantine(
    hospital: Hospital, tmp_path: Path, named: str
) -> None:
    with pytest.raises(IdentityMismatch):
        hospital.send_file(save(make_dx(), tmp_path / "x.dcm"), **{named: "1.2.3"})
    with hospital.database.begin() as connection:
        [kept] = quarantine.newest(connection, institution_id=hospital.institution_id)
    assert kept.problem == QuarantineProblem.IDENTITY_MISMATCH


def test_whatever_is_broken_in_a_header_is_read_or_called_unreadable_and_never_logged(
    tmp_path: Path, capfd, caplog
) -> None:
    path = save(make_dx(), tmp_path / "intact.dcm")
    intact, chance = path.read_bytes(), random.Random(5)
    header_length = intact.index(b"\xe0\x7f\x10\x00")
    readable = 0
    for _ in range(200):
        broken = bytearray(intact)
        for _ in range(chance.choice([1, 3, 10])):
            broken[chance.randrange(128, header_length)] = chance.randrange(256)
        path.write_bytes(broken)
        with suppress(InputError):
            readable += read_instance_header(path).role is not None
    assert 0 < readable < 200
    assert "Bonecraft" not in f"{capfd.readouterr()}{caplog.text}"


def test_values_that_postgresql_cannot_hold_do_not_stop_an_image(hospital: Hospital, tmp_path: Path) -> None:
    odd = make_dx(patient_name="Sample^Nul\0")
    accepted = hospital.send_file(save(odd, tmp_path / "odd.dcm"))
    assert hospital.study(accepted).header.patient_name == "Sample^Nul"


def test_a_full_disk_is_told_apart_and_nothing_is_recorded(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", no_space)
    with pytest.raises(OutOfSpace, match="add space"):
        hospital.send("AP")
    assert count(hospital, tables.instances) == 0


@pytest.fixture
def specialist(hospital: Hospital) -> UUID:
    with hospital.database.begin() as connection:
        return connection.execute(
            insert(tables.users)
            .values(institution_id=hospital.institution_id, email="s@example.org", role="specialist", password_hash="x")
            .returning(tables.users.c.id)
        ).scalar_one()


def test_a_command_that_names_no_possible_uid_is_kept_in_quarantine(hospital: Hospital, tmp_path: Path) -> None:
    with pytest.raises(IdentityMismatch):
        hospital.send_file(save(make_dx(), tmp_path / "a.dcm"), sop_instance_uid="1.2.\0.3")
    with hospital.database.begin() as connection:
        [kept] = quarantine.newest(connection, institution_id=hospital.institution_id)
    assert kept.sop_instance_uid == "1.2..3"


def blobs(hospital: Hospital) -> int:
    return sum(1 for path in hospital.store.folder.rglob("*") if path.is_file())


def test_what_belongs_to_somebody_else_leaves_nothing_behind(
    hospital: Hospital, specialist: UUID, tmp_path: Path
) -> None:
    hospital.send("AP")
    before = blobs(hospital)
    with pytest.raises(ForeignStudy):
        upload(hospital, specialist, save(make_dx(view="LATERAL"), tmp_path / "a.dcm"))
    assert blobs(hospital) == before


def upload(hospital: Hospital, user: UUID, path: Path) -> Accepted:
    incoming = Incoming(
        path=path,
        institution_id=hospital.institution_id,
        calling_ae_title="WEB",
        uploaded_by=user,
        own_studies_only=True,
    )
    return accept(hospital.database, hospital.store, incoming, now=NOON)


def test_the_devices_own_image_is_used_instead_of_one_that_was_uploaded(
    hospital: Hospital, specialist: UUID, tmp_path: Path
) -> None:
    typed = make_dx(view="AP", patient_name="Typed^By^Hand")
    uploaded = upload(hospital, specialist, save(typed, tmp_path / "uploaded.dcm"))
    sent = hospital.send("AP")
    with hospital.database.begin() as connection:
        kept = {i.id: i.superseded for i in instances_of(connection, sent.study_id)}
    assert sent.outcome is Addition.REPLACES_UPLOAD
    assert kept == {uploaded.instance_id: True, sent.instance_id: False}
    study = hospital.study(sent)
    assert study.uploaded_by is None
    assert study.header.patient_name != "Typed^By^Hand"


@pytest.fixture
def reconstructed_upload(hospital: Hospital, specialist: UUID, tmp_path: Path) -> Accepted:
    """A study that was uploaded and reconstructed, in a hospital whose PACS gets results."""
    paths = [save(make_dx(view=view), tmp_path / f"{view}.dcm") for view in ("AP", "LATERAL")]
    uploaded = [upload(hospital, specialist, path) for path in paths][-1]
    with hospital.database.begin() as connection:
        peer = {"ae_title": "PACS", "host": "127.0.0.1", "port": 104, "receives": True}
        connection.execute(insert(tables.peers).values(institution_id=hospital.institution_id, **peer))
    finish(hospital, uploaded)
    return uploaded


def finish(hospital: Hospital, accepted: Accepted) -> None:
    """Its reconstruction ends, with a result."""
    result_set = add_result(hospital, accepted.study_id, accepted.reconstruction_id)
    with hospital.database.begin() as connection:
        deliveries.plan(connection, result_set_id=result_set)
        done = reconstructions.lock(connection, accepted.reconstruction_id)
        reconstructions.finish(connection, done, "reconstructed", now=NOON, problem="")


def test_what_was_reconstructed_from_an_upload_is_delivered_once_a_device_has_sent_all_of_it(
    hospital: Hospital, reconstructed_upload: Accepted, tmp_path: Path
) -> None:
    assert count(hospital, tables.deliveries) == 0
    assert hospital.send_file(tmp_path / "AP.dcm").outcome is Addition.DUPLICATE
    assert hospital.study(reconstructed_upload).uploaded_by is None
    assert count(hospital, tables.deliveries) == 0, "the lateral view is only an upload"
    assert hospital.send_file(tmp_path / "LATERAL.dcm").outcome is Addition.DUPLICATE
    assert count(hospital, tables.deliveries) == 1


def test_it_is_delivered_too_where_retention_had_removed_the_uploads_meanwhile(
    hospital: Hospital, reconstructed_upload: Accepted, tmp_path: Path
) -> None:
    remove_by_retention(hospital)
    for view, planned in (("AP", 0), ("LATERAL", 1)):
        assert hospital.send_file(tmp_path / f"{view}.dcm").outcome is Addition.RESTORED
        assert count(hospital, tables.deliveries) == planned


def remove_by_retention(hospital: Hospital) -> None:
    with hospital.database.begin() as connection:
        connection.execute(update(tables.instances).values(removed_at=NOON))


def test_what_was_reconstructed_from_an_upload_that_a_device_replaced_is_never_delivered(
    hospital: Hospital, reconstructed_upload: Accepted, tmp_path: Path
) -> None:
    own = make_dx(view="AP")
    own.SeriesDescription = "the device's own"
    replaced = hospital.send_file(save(own, tmp_path / "own.dcm"))
    assert replaced.outcome is Addition.REPLACES_UPLOAD
    hospital.send_file(tmp_path / "LATERAL.dcm")
    assert count(hospital, tables.deliveries) == 0
    finish(hospital, replaced)
    assert count(hospital, tables.deliveries) == 1


def test_another_image_from_a_device_does_not_deliver_what_was_made_from_uploads(
    hospital: Hospital, reconstructed_upload: Accepted
) -> None:
    sent = hospital.send("AP", side="")
    assert sent.outcome is Addition.NEW
    assert count(hospital, tables.deliveries) == 0
    finish(hospital, sent)
    assert count(hospital, tables.deliveries) == 0, "two of its three images are only uploads"


def test_what_a_device_has_confirmed_is_not_replaced_by_another_device(
    hospital: Hospital, reconstructed_upload: Accepted, tmp_path: Path
) -> None:
    hospital.send_file(tmp_path / "AP.dcm")
    other = make_dx(view="AP")
    other.SeriesDescription = "sent again with a correction"
    assert hospital.send_file(save(other, tmp_path / "other.dcm")).outcome is Addition.SUPERSEDED


def test_a_person_can_add_to_their_own_studies_only(hospital: Hospital, specialist: UUID, tmp_path: Path) -> None:
    of_hospital = hospital.send("AP", study="the hospital's")
    theirs = {"uploaded_by": specialist, "own_studies_only": True}
    with pytest.raises(ForeignStudy):
        hospital.send_file(save(make_dx(study="the hospital's", view="LATERAL"), tmp_path / "a.dcm"), **theirs)
    own = hospital.send_file(save(make_dx(study="their own"), tmp_path / "b.dcm"), **theirs)
    scope = StudyScope(institution_id=hospital.institution_id, uploaded_by=specialist)
    with hospital.database.begin() as connection:
        assert get_study(connection, scope, own.study_id) is not None
        assert get_study(connection, scope, of_hospital.study_id) is None
    assert stable_uid("their own", "study") == hospital.study(own).header.study_instance_uid

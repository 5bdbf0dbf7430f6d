"""The fault matrix would see a loss: what it counts, and the order that it demands of a trace."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import SurfaceSegmentationStorage

from tests.factories import make_dx, save
from tests.faults.modalities import Sent, taken
from tests.faults.reckoning import not_held, twice
from tests.faults.sync_order import OutOfOrder, read_calls, steps_of

SAID = """
I: Sending file: /a/1.2.dcm
I: Received Store Response (Success)
I: Sending file: /a/1.3.dcm
I: Received Store Response (Refused: OutOfResources)
I: Sending file: /a/1.4.dcm
E: Store Failed, file: /a/1.4.dcm:
"""

TRACE = r"""
7 100.000 write(8</d/incoming/x.incoming>, "\0"..., 9) = 9 <0.001>
6 100.010 fsync(8</d/incoming/x.incoming>) = 0 <0.001>
6 100.020 link("/d/incoming/x.incoming", "/d/blobs/i/3a/3acc") = 0 <0.001>
6 100.030 fsync(8</d/blobs/i/3a> <unfinished ...>
7 100.031 recvfrom(6<TCP:[a->b]>, "", 9, 0, NULL, NULL) = 0 <0.001>
6 100.040 <... fsync resumed>) = 0 <0.010>
6 100.050 sendto(7<UNIX-STREAM:[1->2]>, "Q\0\0\0\vCOMMIT\0", 12, MSG_NOSIGNAL, NULL, 0) = 12 <0.001>
5 100.060 fdatasync(6</d/postgres/pg_wal/0001>) = 0 <0.001>
6 100.070 recvfrom(7<UNIX-STREAM:[1->2]>, "C\0\0\0\vCOMMIT\0Z", 16384, 0, NULL, NULL) = 18 <0.001>
7 100.080 sendto(6<TCP:[a->b]>, "\4\0\0\0\0\246\0\0\0\t\2\0\0\0\0\0", 172, 0, NULL, 0) = 172 <0.001>
""".strip().splitlines()


def result(uid: str, *sources: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = SurfaceSegmentationStorage, uid, "1"
    dataset.SeriesDescription, dataset.InstanceNumber = "Femur", 1
    items = [Dataset() for _ in sources]
    for item, source in zip(items, sources, strict=True):
        item.ReferencedSOPInstanceUID = source
    dataset.ReferencedInstanceSequence = Sequence(items)
    return dataset


def test_only_what_storescu_had_a_success_for_was_acknowledged() -> None:
    assert taken(SAID) == {"1.2"}


def test_what_is_not_there_or_not_as_it_was_sent_is_lost(tmp_path: Path) -> None:
    sent = Sent.of(dataset := make_dx(), is_film=False)
    content = save(dataset, tmp_path / "sent.dcm").read_bytes()
    blob = tmp_path / hashlib.sha256(content).hexdigest()
    assert list(not_held([sent], {}, tmp_path)) == [f"no instance {sent.uid}"]
    assert list(not_held([sent], {sent.uid: blob.name}, tmp_path)) == [f"not the bytes of {sent.uid}"]
    blob.write_bytes(content)
    assert list(not_held([sent], {sent.uid: blob.name}, tmp_path)) == []
    blob.write_bytes(content[:-1] + b"?")
    assert list(not_held([sent], {sent.uid: blob.name}, tmp_path)) == [f"not the bytes of {sent.uid}"]


def test_the_same_of_the_same_films_under_another_uid_is_a_duplicate() -> None:
    assert len(list(twice([result("5", "1", "2"), result("6", "2", "1")]))) == 1
    assert list(twice([result("5", "1", "2"), result("6", "1")])) == []


def test_a_second_result_of_the_same_images_counts_also_where_it_says_what_it_replaces() -> None:
    again = result("6", "1", "2")
    again.SeriesDescription += ", replaces 2026-01-02 12:03"
    assert len(list(twice([result("5", "1", "2"), again]))) == 1


def test_a_trace_in_the_demanded_order_is_read() -> None:
    steps = seen(TRACE)
    assert [step.call.name for step in steps] == [
        *("write", "fsync", "link", "fsync", "sendto", "fdatasync", "recvfrom", "sendto")
    ]
    assert steps[3].call.ended == pytest.approx(100.04)


@pytest.mark.parametrize("missing", [0, 1, 5, 6, 7, 8, 9])
def test_a_step_that_is_missing_is_noticed(missing: int) -> None:
    with pytest.raises(OutOfOrder, match="no "):
        seen([line for number, line in enumerate(TRACE) if number != missing])


def test_a_name_that_is_given_before_the_bytes_are_synced_is_noticed() -> None:
    late = [line.replace("100.010 fsync", "100.025 fsync") for line in TRACE]
    with pytest.raises(OutOfOrder, match="link: its name came before fsync of the file had ended"):
        seen(late)


def test_a_success_before_the_commit_is_confirmed_is_noticed() -> None:
    early = [line.replace("100.080 sendto", "100.065 sendto") for line in TRACE]
    with pytest.raises(OutOfOrder, match="no answer"):
        seen(early)


def seen(lines: list[str]):
    calls = list(read_calls(lines))
    return steps_of(next(call for call in calls if call.name == "link"), calls)

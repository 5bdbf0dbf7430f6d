"""What is too large, and a disk that fills up: the sender hears why, nothing is lost, room helps by itself."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import select

from pipeline.database import Database
from pipeline.records import quarantine, tables
from scp_node.incoming import HEAD_BYTES
from scp_node.status import StoreStatus
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.scp_node.senders import associate

TMPFS_MEGABYTES = 48
WATERMARK_MEGABYTES = 16


def film(side: int, *, study: int = 0) -> Dataset:
    """Of 2 * side * side bytes, in a study of its own."""
    return make_dx(study=f"study {study}", rows=side, columns=side)


def test_a_dataset_that_is_too_large_is_refused_with_the_reason_and_listed_with_its_beginning(
    start_listener: Callable[..., RunningListener], database: Database, tmp_path: Path
) -> None:
    small = start_listener(minimum_free_megabytes=0, maximum_dataset_megabytes=2)
    sender = associate(small.port, large := film(1200))
    answer = sender.send_c_store(large)
    assert answer.Status == StoreStatus.TOO_LARGE
    assert answer.ErrorComment == "larger than maximum_dataset_megabytes, 2 MB"
    assert sender.send_c_store(film(100)).Status == StoreStatus.SUCCESS
    sender.release()
    with database.begin() as connection:
        (kept,) = quarantine.newest(connection)
    assert (kept.problem, kept.sop_instance_uid) == ("too-large", large.SOPInstanceUID)
    assert kept.size == HEAD_BYTES
    (tmp_path / "head.dcm").write_bytes(small.store.read(kept.blob_key))
    assert dcmread(tmp_path / "head.dcm", stop_before_pixels=True).SOPInstanceUID == large.SOPInstanceUID
    assert list(small.incoming.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which needs root."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MEGABYTES}m", "tmpfs", folder]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def free_megabytes(folder: Path) -> float:
    return int(subprocess.check_output(["stat", "-f", "-c", "%a*%S", folder], text=True).split("*")[0]) * 4096 / 1e6


def test_a_disk_that_fills_up_pushes_back_before_it_is_full_and_takes_again_when_there_is_room(
    start_listener: Callable[..., RunningListener], database: Database, small_disk: Path
) -> None:
    running = start_listener(data_folder=small_disk, minimum_free_megabytes=WATERMARK_MEGABYTES)
    sender = associate(running.port, film(10))
    statuses = [sender.send_c_store(film(1600, study=study)).Status for study in range(10)]
    first_refusal = statuses.index(StoreStatus.OUT_OF_RESOURCES)
    assert first_refusal > 0
    assert set(statuses[:first_refusal]) == {StoreStatus.SUCCESS}
    assert set(statuses[first_refusal:]) == {StoreStatus.OUT_OF_RESOURCES}
    assert free_megabytes(small_disk) > WATERMARK_MEGABYTES - 2 * 1600 * 1600 / 1e6
    with database.begin() as connection:
        acknowledged = connection.execute(select(tables.instances)).all()
    assert len(acknowledged) == first_refusal
    assert all(len(running.store.read(each.blob_key)) == each.size for each in acknowledged)
    subprocess.run(["mount", "-o", f"remount,size={2 * TMPFS_MEGABYTES}m", small_disk], check=True)
    assert sender.send_c_store(film(1600, study=9)).Status == StoreStatus.SUCCESS
    sender.release()

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import obstore
import pytest
from structlog.testing import capture_logs

from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings
from pipeline.store import Store, StoreUnavailable, open_store

DEMO, OTHER = UUID(int=1), UUID(int=2)

S3_SERVER = """
import threading
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
port = server.get_host_and_port()[1]
boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1").create_bucket(Bucket="blobs")
print(port, flush=True)
threading.Event().wait()
"""
ACCESS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    """A real S3 protocol over HTTP, by moto in a process of its own."""
    pytest.importorskip("moto", reason="moto[server] is not installed: no S3 to talk to")
    command = [sys.executable, "-c", S3_SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | ACCESS) as server:
        yield int(server.stdout.readline())
        server.send_signal(signal.SIGKILL)


@pytest.fixture(params=["folder", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return open_store(NodeSettings(data_folder=tmp_path / "data"))
    port = request.getfixturevalue("s3_port")
    for name, value in {**ACCESS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(name, value)
    return open_store(NodeSettings(blob_url=f"s3://blobs/{tmp_path.name}"))


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_was_put_can_be_read_streamed_and_fetched(any_store: Store, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    blob = any_store.put_file(DEMO, write(tmp_path / "film.dcm", content))
    any_store.fetch(blob.key, tmp_path / "fetched.dcm")
    assert blob.size == len(content)
    assert any_store.read(blob.key) == content
    assert b"".join(any_store.chunks(blob.key)) == content
    assert (tmp_path / "fetched.dcm").read_bytes() == content


def test_the_same_bytes_are_kept_once_for_each_institution(any_store: Store, tmp_path: Path) -> None:
    first = any_store.put_file(DEMO, write(tmp_path / "a", b"same"))
    again = any_store.put_file(DEMO, write(tmp_path / "b", b"same"))
    others = any_store.put_file(OTHER, write(tmp_path / "c", b"same"))
    assert again == first
    assert others.key != first.key
    assert others.digest == first.digest


def test_what_was_damaged_is_replaced_when_its_bytes_come_again(any_store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", b"the whole film")
    blob = any_store.put_file(DEMO, path)
    path.unlink()
    obstore.put(any_store.backend, blob.key, b"the wh", mode="overwrite")
    with capture_logs() as logs:
        assert any_store.put_file(DEMO, write(tmp_path / "again.dcm", b"the whole film")) == blob
        any_store.put_file(DEMO, tmp_path / "again.dcm")
    assert any_store.read(blob.key) == b"the whole film"
    assert [(entry["event"], entry["bytes"]) for entry in logs] == [("damaged_blob_replaced", 6)]
    if any_store.folder is not None:
        assert len(list((any_store.folder / blob.key).parent.iterdir())) == 1


def test_a_file_stays_where_it_is_and_may_be_removed(any_store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "incoming", b"bytes")
    blob = any_store.put_file(DEMO, path)
    path.unlink()
    assert any_store.read(blob.key) == b"bytes"


def test_what_is_not_there_is_said_so(any_store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        any_store.read("nowhere")
    with pytest.raises(StoreUnavailable):
        any_store.put_file(DEMO, tmp_path / "nothing")


def test_a_file_on_another_file_system_is_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is not a file system of its own here")
    store = open_store(NodeSettings(data_folder=tmp_path))
    path = write(elsewhere / f"bonecraft-{os.getpid()}", b"from afar")
    blob = store.put_file(DEMO, path)
    path.unlink()
    assert store.read(blob.key) == b"from afar"
    assert [file.name for file in (store.folder / blob.key).parent.iterdir()] == [blob.digest]


def test_the_names_of_folders_that_another_one_has_just_made_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(NodeSettings(data_folder=tmp_path / "data"))
    made = store.folder / str(DEMO) / sha256(b"bytes").hexdigest()[:2]
    made.mkdir(parents=True)
    synced: set[int] = set()
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.add(os.fstat(file).st_ino), sync(file)))
    store.put_file(DEMO, write(tmp_path / "a", b"bytes"))
    assert {folder.stat().st_ino for folder in (store.folder, made.parent, made)} <= synced


def test_only_the_owner_may_look_into_the_store(tmp_path: Path) -> None:
    store = open_store(NodeSettings(data_folder=tmp_path))
    store.put_file(DEMO, write(tmp_path / "film.dcm", b"patient"))
    assert {folder.stat().st_mode & 0o077 for folder in store.folder.glob("**/") if folder.is_dir()} == {0}


def test_an_address_that_is_no_store_is_refused_with_an_example() -> None:
    with pytest.raises(ConfigurationError, match="s3://bucket/prefix"):
        open_store(NodeSettings(blob_url="nonsense://blobs"))


def test_a_digest_that_is_known_is_not_found_out_again(any_store: Store, tmp_path: Path) -> None:
    known = sha256(b"film").hexdigest()
    blob = any_store.put_file(DEMO, write(tmp_path / "film.dcm", b"film"), digest=known)
    assert (blob.digest, blob.size) == (known, 4)
    assert any_store.holds(DEMO, known)

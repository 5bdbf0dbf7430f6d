"""Bytes that go past the page cache are the bytes that were given, however they come and wherever they lie."""

import hashlib
import os
from pathlib import Path

import pytest

from scp_node.direct_file import BUFFER_BYTES, DirectFile

SIZES = (0, 1, 4095, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 2 * BUFFER_BYTES + 4097)


def append(file: DirectFile, data: bytes, *, at_most: int = 100_000) -> None:
    rest = memoryview(data)
    while rest:
        room = file.room()[: min(at_most, len(rest))]
        room[:] = rest[: len(room)]
        rest = rest[len(room) :]
        file.took(len(room))


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_what_was_appended(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    file = DirectFile(tmp_path, suffix=".part")
    append(file, content)
    assert file.tell() == size
    file.close()
    assert file.path.read_bytes() == content
    assert file.digest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("size", SIZES)
def test_of_a_file_that_is_cut_the_beginning_is_left(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    file = DirectFile(tmp_path, suffix=".part")
    append(file, content)
    file.truncate(5000)
    file.close()
    assert file.path.read_bytes() == content[:5000]


def test_a_file_system_that_writes_less_than_it_was_given_gets_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: max(len(data) // 2, 1)]))
    content = os.urandom(BUFFER_BYTES + 10)
    file = DirectFile(tmp_path, suffix=".part")
    append(file, content)
    file.close()
    assert file.path.read_bytes() == content


def test_a_full_disk_is_said_and_the_file_can_be_closed(tmp_path: Path) -> None:
    file = DirectFile(tmp_path, suffix=".part")
    os.close(file._descriptor)
    file._descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left"):
        append(file, bytes(BUFFER_BYTES))
    file.close()


def test_a_file_that_is_closed_while_somebody_still_writes_to_it_harms_no_other(tmp_path: Path) -> None:
    first = DirectFile(tmp_path, suffix=".part")
    room = first.room()
    first.close()
    second = DirectFile(tmp_path, suffix=".part")
    append(second, b"b" * 10)
    room[:10] = b"a" * 10
    second.close()
    assert second.path.read_bytes() == b"b" * 10

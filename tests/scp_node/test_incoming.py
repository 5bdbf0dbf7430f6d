"""A dataset on its way in never takes the last of the disk."""

import errno
from hashlib import sha256
from pathlib import Path

import pytest

from scp_node.incoming import HEAD_BYTES, LOOK_EVERY_BYTES, IncomingFile

MORE_THAN_THERE_IS = 10**12
PIECE = bytes(LOOK_EVERY_BYTES // 4)


@pytest.mark.parametrize(("minimum", "is_taken"), [(0, True), (MORE_THAN_THERE_IS, False)])
def test_a_huge_dataset_is_dropped_before_the_disk_is_full(tmp_path: Path, minimum: int, is_taken: bool) -> None:
    file = IncomingFile(tmp_path, minimum_free_megabytes=minimum)
    for _ in range(6):
        assert file.write(PIECE) == len(PIECE), "the sender goes on, and hears 0xA700 at the end"
    file.close()
    assert (file.problem is None) == is_taken
    assert Path(file.name).stat().st_size == (6 * len(PIECE) if is_taken else 0)
    if file.problem is not None:
        assert file.problem.errno == errno.ENOSPC


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    file = IncomingFile(tmp_path)
    for piece in (b"DICM", memoryview(b"film" * 5000), b"end"):
        file.write(piece)
    file.close()
    assert file.digest == sha256(Path(file.name).read_bytes()).hexdigest()


def test_of_a_dataset_that_is_too_large_the_beginning_is_kept(tmp_path: Path) -> None:
    file = IncomingFile(tmp_path, maximum_bytes=3 * HEAD_BYTES)
    pieces = [bytes([number]) * HEAD_BYTES for number in range(5)]
    for piece in pieces:
        file.write(piece)
    file.close()
    assert file.cut_at == 3 * HEAD_BYTES
    assert Path(file.name).read_bytes() == pieces[0]
    assert (file.problem, file.digest) == (None, None)

"""What is read of a file's beginning in memory is what the file holds, and little more of it is read."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.dicom_head import PIECE_BYTES, Head


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written = tmp_path / "file"
    written.write_bytes(np.random.default_rng(0).bytes(5 * PIECE_BYTES + 7))
    return written


@pytest.mark.parametrize("seed", range(5))
def test_it_reads_like_the_file(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    with path.open("rb") as file, path.open("rb") as other:
        head = Head(other)
        for place, size in random.integers(0, 6 * PIECE_BYTES, (20, 2)).tolist():
            for each in (file, head):
                each.seek(place)
            assert head.read(size // 10) == file.read(size // 10)
            assert head.tell() == file.tell()
        for each in (file, head):
            each.seek(1000)
        assert head.read() == file.read()


def test_a_header_costs_one_read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        head = Head(file)
        for _ in range(100):
            head.read(PIECE_BYTES // 100)
        assert file.tell() == PIECE_BYTES

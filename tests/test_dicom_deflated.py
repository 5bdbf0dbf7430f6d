"""Deflated datasets are counted from where pydicom begins to inflate them, whatever the file says of itself."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.dicom_deflated import LARGEST_BYTES, check_inflated_size
from pipeline.errors import InputError
from tests.factories import make_dx, save

PREAMBLE_AND_PREFIX = 128 + 4
GROUP_LENGTH = slice(PREAMBLE_AND_PREFIX + 8, PREAMBLE_AND_PREFIX + 12)


def deflated(path: Path, *, padding: int) -> Path:
    dataset = make_dx()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x00091001, "OB", bytes(padding))
    return save(dataset, path)


def without_preamble(content: bytes) -> bytes:
    return content[PREAMBLE_AND_PREFIX:]


def with_group_length(content: bytes, length: int) -> bytes:
    changed = bytearray(content)
    changed[GROUP_LENGTH] = length.to_bytes(4, "little")
    return bytes(changed)


DISGUISES = {
    "without a preamble": without_preamble,
    "with a group length of nothing": lambda content: with_group_length(content, 0),
    "with a group length beyond the file": lambda content: with_group_length(content, 1 << 31),
}


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_what_blows_up_is_refused_however_its_head_is_written(disguise, tmp_path: Path) -> None:
    path = deflated(tmp_path / "bomb.dcm", padding=LARGEST_BYTES)
    path.write_bytes(disguise(path.read_bytes()))
    with pytest.raises(InputError, match="larger than 256 MiB when it is inflated"):
        check_inflated_size(path, BytesIO(path.read_bytes()))


@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
def test_what_can_be_read_is_let_through_however_its_head_is_written(disguise, tmp_path: Path) -> None:
    path = deflated(tmp_path / "small.dcm", padding=1000)
    path.write_bytes(disguise(path.read_bytes()))
    check_inflated_size(path, BytesIO(path.read_bytes()))
    assert dcmread(path, force=True).Modality == "DX"


@pytest.mark.parametrize("content", [b"", b"DICM", b"\x02\x00\x10\x00UI\xff", bytes(200)])
def test_what_is_not_deflated_at_all_is_left_to_who_reads_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.dcm"
    path.write_bytes(content)
    check_inflated_size(path, BytesIO(path.read_bytes()))

"""The same picture of another patient, told without reading its pixels at once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from pipeline.corrections import is_correction
from tests.factories import make_dx, save

PIXELS = bytes(range(240)) * 16
SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "encapsulated": JPEG2000Lossless,
}


def file_of(folder: Path, name: str, *, patient: str, syntax: str = "explicit", pixels: bytes | None = PIXELS) -> Path:
    dataset = make_dx(view="AP", patient_name=patient)
    dataset.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    if pixels is None:
        del dataset.PixelData
    elif syntax == "encapsulated":
        dataset.PixelData = encapsulate([pixels])
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = pixels
    return save(dataset, folder / name)


def corrects(earlier: Path, later: Path) -> bool:
    with earlier.open("rb") as before, later.open("rb") as after:
        return is_correction(before, after)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_same_pixels_under_another_name_are_a_correction(tmp_path: Path, syntax: str) -> None:
    earlier = file_of(tmp_path, "earlier.dcm", patient="Wrong^Name", syntax=syntax)
    same = file_of(tmp_path, "same.dcm", patient="Right^Name^Of^Another^Length", syntax=syntax)
    other = file_of(tmp_path, "other.dcm", patient="Right^Name", syntax=syntax, pixels=PIXELS[:-1] + b"\0")
    longer = file_of(tmp_path, "longer.dcm", patient="Right^Name", syntax=syntax, pixels=PIXELS + bytes(2))
    none = file_of(tmp_path, "none.dcm", patient="Right^Name", syntax=syntax, pixels=None)
    found = [corrects(earlier, each) for each in (same, other, longer, none, earlier)]
    assert found == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("syntax", "is_one"), [("implicit", True), ("explicit", True), ("deflated", True), ("encapsulated", False)]
)
def test_uncompressed_pixels_are_the_same_in_any_syntax(tmp_path: Path, syntax: str, is_one: bool) -> None:
    earlier = file_of(tmp_path, "earlier.dcm", patient="Wrong^Name")
    later = file_of(tmp_path, "later.dcm", patient="Right^Name", syntax=syntax)
    assert corrects(earlier, later) is is_one


def test_a_file_that_lost_its_end_shows_nothing_that_could_be_compared(tmp_path: Path) -> None:
    earlier = file_of(tmp_path, "earlier.dcm", patient="Wrong^Name")
    later = file_of(tmp_path, "later.dcm", patient="Right^Name")
    for path in (earlier, later):
        path.write_bytes(path.read_bytes()[:-10])
    assert not corrects(earlier, later)


def test_large_pixels_are_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    large = bytes(40 << 20)
    earlier = file_of(tmp_path, "earlier.dcm", patient="Wrong^Name", pixels=large)
    later = file_of(tmp_path, "later.dcm", patient="Right^Name", pixels=large)
    tracemalloc.start()
    try:
        assert corrects(earlier, later)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()

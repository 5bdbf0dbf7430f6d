import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from pipeline.dicom_write import derive_uid, is_own_uid, recognise_own

WORDS = st.lists(st.text(max_size=20), max_size=4)


@given(kind=st.text(max_size=20), parts=WORDS)
def test_a_derived_uid_is_valid_and_recognised(kind, parts):
    uid = derive_uid(kind, parts)
    assert UID(uid).is_valid
    assert uid.startswith("2.25.")
    assert is_own_uid(uid)


@given(first=st.tuples(st.text(), WORDS), second=st.tuples(st.text(), WORDS))
def test_uids_are_the_same_exactly_when_everything_they_are_made_from_is(first, second):
    assert (derive_uid(*first) == derive_uid(*second)) == (first == second)


def test_joining_parts_differently_gives_another_uid():
    assert derive_uid("series", ["ab", "c"]) != derive_uid("series", ["a", "bc"])


def test_foreign_uids_are_not_ours():
    foreign = [generate_uid(prefix=prefix) for prefix in (None, "1.2.826.0.1.") for _ in range(200)]
    assert not any(map(is_own_uid, foreign))


def test_a_uid_with_one_digit_changed_is_not_ours():
    uid = derive_uid("series", [])
    changed = [uid[:at] + str((int(uid[at]) + 1) % 10) + uid[at + 1 :] for at in range(5, len(uid))]
    assert not any(map(is_own_uid, changed))


@pytest.mark.parametrize("uid", ["", "2.25.", "2.25.x", "2.25.²", "2.25.-1", "2.25." + "9" * 59, "1.2.3"])
def test_what_is_no_uid_is_not_ours(uid):
    assert not is_own_uid(uid)


@pytest.mark.parametrize(
    "attributes",
    [
        {"SOPInstanceUID": derive_uid("a", [])},
        {"SOPInstanceUID": "1.2.3", "SeriesInstanceUID": derive_uid("a", [])},
        {"Manufacturer": "Bonecraft", "ManufacturerModelName": "Bonecraft bone reconstruction"},
    ],
    ids=["instance", "series", "equipment"],
)
def test_our_results_are_recognised_even_when_a_pacs_changed_the_rest(attributes):
    dataset = Dataset()
    dataset.update(attributes)
    assert recognise_own(dataset)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"SOPInstanceUID": "1.2.3", "SeriesInstanceUID": "", "Manufacturer": "Test X-ray"},
        {"SOPInstanceUID": generate_uid(prefix=None), "Manufacturer": "Bonecraft", "ManufacturerModelName": "X-ray"},
    ],
    ids=["nothing", "a modality", "a modality of the same maker"],
)
def test_radiographs_are_not_taken_for_our_results(attributes):
    dataset = Dataset()
    dataset.update(attributes)
    assert not recognise_own(dataset)


def test_asking_whose_an_instance_is_loads_no_heavy_library():
    script = "import sys, pipeline.dicom_write; sys.exit('highdicom' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

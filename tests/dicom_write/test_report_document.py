"""The report to print: an Encapsulated PDF of the measurements and the proof views."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from pydicom import dcmread

from pipeline.dicom_check import Check, check_instance
from pipeline.results import FileKind
from tests.dicom_write.example import file_of, two_views, write

ONLY = {"also": frozenset({FileKind.REPORT_DOCUMENT})}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    out = tmp_path_factory.mktemp("document")
    return file_of(write(out, **ONLY), out, FileKind.REPORT_DOCUMENT)


def document(dataset):
    return dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]


def checks(dataset):
    return {finding.check for finding in check_instance(dataset, sources=list(two_views().values()))}


def test_dciodvfy_and_the_check_find_no_error(path, dciodvfy_errors):
    assert dciodvfy_errors(path) == []
    assert checks(dcmread(path)) == set()


def test_it_has_a_page_for_the_measurements_and_one_for_each_radiograph(path):
    held = document(dcmread(path))
    assert len(re.findall(rb"/Type /Page\b", held)) == 3
    pictures = [
        Image.open(io.BytesIO(held[begin:]))
        for begin in (match.start() for match in re.finditer(b"\xff\xd8\xff", held))
    ]
    assert [picture.size for picture in pictures] == [(7, 13), (27, 31), (27, 31)]


def test_the_same_study_gives_the_same_bytes(path, tmp_path):
    again = file_of(write(tmp_path, **ONLY), tmp_path, FileKind.REPORT_DOCUMENT)
    assert again.read_bytes() == path.read_bytes()


def test_burned_in_names_stay_declared(tmp_path):
    sources = two_views()
    next(iter(sources.values())).BurnedInAnnotation = "YES"
    found = file_of(write(tmp_path, sources=sources, **ONLY), tmp_path, FileKind.REPORT_DOCUMENT)
    assert dcmread(found).BurnedInAnnotation == "YES"


def test_what_is_no_whole_document_is_found(path):
    cut = dcmread(path)
    cut.EncapsulatedDocument = cut.EncapsulatedDocument[:-40]
    assert checks(cut) == {Check.COUNT}
    cut.EncapsulatedDocumentLength = len(cut.EncapsulatedDocument)
    assert checks(cut) == {Check.VALUE}

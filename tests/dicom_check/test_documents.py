"""The check sees what is wrong with reports, key objects, models and films."""

import io

import numpy as np
import pytest
from pydicom import dcmread

from pipeline.dicom_check import Check, check_instance
from pipeline.results import OPTIONAL_KINDS, FileKind
from tests.dicom_write.example import file_of, two_views, write

MODELS = (FileKind.ENCAPSULATED_STL, FileKind.ENCAPSULATED_OBJ)
KINDS = (FileKind.MEASUREMENT_REPORT, FileKind.KEY_OBJECTS, *MODELS, FileKind.TURNTABLE, FileKind.TURNTABLE_FRAMES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    out = tmp_path_factory.mktemp("documents")
    results = write(out, also=frozenset(KINDS) & OPTIONAL_KINDS)
    return {kind: file_of(results, out, kind).read_bytes() for kind in KINDS}


@pytest.fixture
def instance(files):
    return lambda kind: dcmread(io.BytesIO(files[kind]))


def checks(dataset):
    return {finding.check for finding in check_instance(dataset, sources=list(two_views().values()))}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_sound(instance, kind):
    assert checks(instance(kind)) == set()


def first_number(item):
    return next(
        each
        for group in item.ContentSequence
        if group.ValueType == "CONTAINER"
        for inner in group.ContentSequence
        for each in inner.get("ContentSequence", ())
        if each.ValueType == "NUM"
    )


def test_a_number_without_a_unit_is_found(instance):
    report = instance(FileKind.MEASUREMENT_REPORT)
    del first_number(report).MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    assert Check.REQUIRED in checks(report)


@pytest.mark.parametrize("kind", [FileKind.MEASUREMENT_REPORT, FileKind.KEY_OBJECTS])
def test_evidence_that_lacks_a_radiograph_is_found(instance, kind):
    document = instance(kind)
    radiograph = next(iter(two_views()))
    for series in document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence:
        series.ReferencedSOPSequence = [
            item for item in series.ReferencedSOPSequence if item.ReferencedSOPInstanceUID != radiograph
        ]
    assert Check.REFERENCE in checks(document)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_that_is_cut_short_is_found(instance, kind):
    model = instance(kind)
    model.EncapsulatedDocument = model.EncapsulatedDocument[:-50]
    assert Check.COUNT in checks(model)


def test_an_obj_that_lacks_triangles_or_calls_itself_an_stl_is_found(instance):
    model = instance(FileKind.ENCAPSULATED_OBJ)
    lines = model.EncapsulatedDocument[: model.EncapsulatedDocumentLength].splitlines(keepends=True)
    document = b"".join(lines[:-3])
    model.EncapsulatedDocument, model.EncapsulatedDocumentLength = document + bytes(len(document) % 2), len(document)
    assert checks(model) == {Check.MANIFOLD}
    model.MIMETypeOfEncapsulatedDocument = "model/stl"
    assert checks(model) == {Check.MANIFOLD, Check.VALUE}


def test_a_model_in_metres_is_found(instance):
    model = instance(FileKind.ENCAPSULATED_STL)

    triangles = np.frombuffer(
        model.EncapsulatedDocument[84 : model.EncapsulatedDocumentLength],
        dtype=[("numbers", "<f4", 12), ("attribute", "<u2")],
    ).copy()
    triangles["numbers"][:, 3:] /= 1000
    model.EncapsulatedDocument = model.EncapsulatedDocument[:84] + triangles.tobytes()
    model.EncapsulatedDocumentLength = len(model.EncapsulatedDocument)
    assert Check.SIZE in checks(model)


def test_a_film_that_lacks_a_frame_is_found(instance):
    film = instance(FileKind.TURNTABLE)
    film.NumberOfFrames = 5
    assert Check.PIXELS in checks(film)

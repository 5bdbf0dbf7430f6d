"""What a study gets that is not reconstructed: a report and a picture that say why."""

from __future__ import annotations

import dataclasses
import subprocess

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import dcmread

from pipeline.dicom_check import check_instance
from pipeline.dicom_write import WriteSettings, recognise_own, write_refusal
from pipeline.dicom_write.codes import FINDING_CODES, NOT_RECONSTRUCTED_CODES
from pipeline.errors import RefusalCode
from pipeline.radiograph import Radiograph, Side
from pipeline.refusal_picture import refusal_picture
from pipeline.refusals import ADVICE, LeftOut
from pipeline.results import FileKind
from pipeline.surface import Bone
from tests.dicom_write.example import CREATED, MODELS, file_of, two_views
from tests.dicom_write.test_measurement_report import every_item, report_file

SENTENCE = "Metal on the film: the bone beneath is not reconstructed."
SOURCES = two_views()


def picture():
    films = [
        Radiograph(identifier=uid, pixels=np.tile(np.arange(90.0, dtype=np.float32), (120, 1)), side=Side.RIGHT)
        for uid in SOURCES
    ]
    return refusal_picture(films, SENTENCE, ADVICE[RefusalCode.METAL])


def refuse(out, *, code=RefusalCode.METAL, sources=SOURCES, **settings):
    return write_refusal(
        refused=LeftOut(code=code, sentence=SENTENCE, radiographs=tuple(sources)),
        picture=picture(),
        models=MODELS,
        sources=sources,
        digests=(),
        out=out,
        software_version="0.1.0",
        created=CREATED,
        settings=WriteSettings(**settings),
    )


def reasons(group):
    """What a group says of the reconstruction."""
    return [each.value.value for each in group.get_qualitative_evaluations() if each.name.value == "RECON3D"]


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """The report and the picture."""
    out = tmp_path_factory.mktemp("refused")
    results = refuse(out)
    return tuple(file_of(results, out, kind) for kind in (FileKind.REFUSAL_REPORT, FileKind.REFUSAL_PICTURE))


def test_both_are_sound_of_the_study_and_known_as_our_own(refused, dciodvfy_errors):
    for path in refused:
        dataset = dcmread(path)
        assert dciodvfy_errors(path) == []
        assert check_instance(dataset, sources=list(SOURCES.values())) == ()
        assert recognise_own(dataset)
        assert dataset.PatientID == "ID a study"


def test_the_report_says_why_as_a_code_a_finding_and_a_sentence_and_names_the_radiographs(refused):
    (group,) = srread(refused[0]).content.get_image_measurement_groups()
    assert (reasons(group), group.finding_type.value) == (["NRIMPLANT"], "40388003")
    assert {image.referenced_sop_instance_uid for image in group.source_images} == set(SOURCES)
    assert SENTENCE in [item.TextValue for item in every_item(dcmread(refused[0])) if item.ValueType == "TEXT"]


def test_dsrdump_prints_the_reason(refused, dcmtk):
    done = subprocess.run([dcmtk("dsrdump"), refused[0]], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "Not reconstructed: implant" in done.stdout


def test_the_picture_names_every_radiograph_and_inherits_what_is_burned_into_them(refused, tmp_path):
    shown = dcmread(refused[1])
    assert {item.ReferencedSOPInstanceUID for item in shown.SourceImageSequence} == set(SOURCES)
    assert (shown.BurnedInAnnotation, shown.Laterality) == ("NO", "R")
    burned = two_views()
    next(iter(burned.values())).BurnedInAnnotation = "YES"
    results = refuse(tmp_path, sources=burned)
    assert dcmread(file_of(results, tmp_path, FileKind.REFUSAL_PICTURE)).BurnedInAnnotation == "YES"


def test_words_stand_below_the_films_and_cover_none(refused):
    whole = picture().pixels
    bare = refusal_picture(
        [Radiograph(identifier="1", pixels=np.tile(np.arange(90.0, dtype=np.float32), (120, 1)))], "", ""
    )
    assert whole.shape[0] > bare.pixels.shape[0]
    assert whole.shape[1] == bare.pixels.shape[1]


def test_another_reason_and_another_replacement_are_other_instances(tmp_path):
    other = {"code": RefusalCode.POOR_FIT}, {"replaces": ("2.25.1",), "replaces_made": "2026-01-02 12:03"}
    found = [
        {each.sop_instance_uid for each in refuse(tmp_path / str(n), **how)} for n, how in enumerate([{}, {}, *other])
    ]
    assert found[0] == found[1]
    assert not found[0] & (found[2] | found[3])


def test_pictures_without_a_study_get_nothing(tmp_path):
    assert refuse(tmp_path, sources={}) == ()
    assert list(tmp_path.iterdir()) == []


def test_every_reason_has_a_code_and_an_advice():
    assert set(NOT_RECONSTRUCTED_CODES) == set(ADVICE) == set(RefusalCode)
    assert len({code.value for code in NOT_RECONSTRUCTED_CODES.values()}) == len(RefusalCode)
    assert set(FINDING_CODES) <= set(RefusalCode)


def test_a_measurement_report_says_what_was_left_out_beside_the_bones(tmp_path, dciodvfy_errors):
    lateral = list(SOURCES)[1]
    tibia = LeftOut(
        code=RefusalCode.POOR_FIT,
        sentence="No adult right tibia explains this picture.",
        radiographs=(lateral,),
        bone=(Bone.TIBIA, Side.RIGHT),
    )
    film = dataclasses.replace(tibia, code=RefusalCode.CAST, sentence="A cast.", bone=None)
    path = report_file(tmp_path, left_out=(tibia, film))
    assert dciodvfy_errors(path) == []
    femur, bone, picture_only = srread(path).content.get_image_measurement_groups()
    assert (femur.tracking_identifier, bone.tracking_identifier) == ("femur_R", "tibia_R")
    for group, code in ((bone, "NRFIT"), (picture_only, "NRCAST")):
        assert reasons(group) == [code]
        assert [image.referenced_sop_instance_uid for image in group.source_images] == [lateral]
    (site,) = bone.finding_sites
    assert (site.value.value, site.laterality.value) == ("12611008", "24028007")
    assert picture_only.finding_sites == []

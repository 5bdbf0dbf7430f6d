"""Femora of adults pass; everything else is turned away with the right reason."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from models.training.photometry import typical_photometry
from models.training.positioning import Field, place, sample_setup
from models.training.scene import build_scene
from models.training.simulator import simulate_view
from pipeline.dicom_read import read_radiograph
from pipeline.errors import Refusal, RefusalCode
from pipeline.manifest import bundled_models_folder, read_manifest
from pipeline.radiograph import Radiograph, View
from pipeline.stages.gate import CONTENTS, Content, Gate, gate
from pipeline.weights import GATE, OnnxNetwork, verified_file
from tests.training.people import someone

REPOSITORY = Path(__file__).parents[2]
SAMPLE = REPOSITORY / "models" / "sample"
FILMS = Path(os.environ.get("BONECRAFT_SHARED_DATA", REPOSITORY.parent / "shared" / "data")) / "xrays"

BODY_PART, CHILD, COLOUR = RefusalCode.WRONG_BODY_PART, RefusalCode.CHILD, RefusalCode.NOT_A_RADIOGRAPH
REAL_FILMS = {
    "dicom/RG3_J2KR.dcm": {BODY_PART},
    "dicom/RG3_JPLY.dcm": {BODY_PART},
    "dicom/RG1_J2KI.dcm": {BODY_PART},
    "dicom/highdicom_dog_thorax.dcm": {BODY_PART, CHILD},  # it is five years old
    "dicom/fodicom_chest_mono1.dcm": {BODY_PART},
    "dicom/fodicom_teeth_modality_lut.dcm": {BODY_PART},
    **{f"dicom/ddh_infant_pelvis_{number}.dcm": {CHILD, COLOUR} for number in (1, 10, 107, 115, 116)},
    **{f"png/fracatlas_tile_{number}.png": {BODY_PART, CHILD} for number in (1, 2)},  # a child's
    **{f"png/fracatlas_tile_{number}.png": {BODY_PART} for number in (4, 6)},
}
"""Real films, with the reasons for which each may be refused."""


@pytest.fixture(scope="module")
def network() -> Gate:
    folder = bundled_models_folder()
    return OnnxNetwork(verified_file(folder, {entry.name: entry for entry in read_manifest(folder)}, GATE), threads=1)


def answering(content: Content, *, lateral: float = -9.0, inverted: float = -9.0) -> Gate:
    """A network that is sure of its answer."""
    classes = [9.0 if content is each else -9.0 for each in CONTENTS]
    return lambda image: np.array([[*classes, lateral, inverted]], dtype=np.float32)


def picture(**said: object) -> Radiograph:
    pixels = np.random.default_rng(0).normal(0, 1, (200, 100)).astype(np.float32)
    return replace(Radiograph(identifier="1", pixels=pixels), **said)


def test_an_adults_femur_is_admitted():
    decision = gate(picture(view=View.AP), answering(Content.FEMUR))
    assert decision.view is View.AP
    assert not decision.inverted
    assert decision.notes == ()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (Content.LOWER_LEG, RefusalCode.WRONG_BODY_PART),
        (Content.TRUNK, RefusalCode.WRONG_BODY_PART),
        (Content.CHILD, RefusalCode.CHILD),
        (Content.NO_RADIOGRAPH, RefusalCode.NOT_A_RADIOGRAPH),
    ],
)
def test_other_contents_are_refused_whatever_the_sender_says(content, code):
    with pytest.raises(Refusal) as refusal:
        gate(picture(body_part="FEMUR", view=View.AP), answering(content))
    assert refusal.value.code is code


def test_a_child_is_refused_by_its_age():
    with pytest.raises(Refusal) as refusal:
        gate(picture(patient_age_years=12.0), answering(Content.FEMUR))
    assert refusal.value.code is RefusalCode.CHILD


def test_a_blank_is_refused():
    blank = Radiograph(identifier="1", pixels=np.full((64, 64), 7.0, dtype=np.float32))
    with pytest.raises(Refusal) as refusal:
        gate(blank, answering(Content.FEMUR))
    assert refusal.value.code is RefusalCode.NOT_A_RADIOGRAPH


def test_a_colour_picture_is_refused():
    with pytest.raises(Refusal) as refusal:
        gate(picture(was_colour=True), answering(Content.FEMUR))
    assert refusal.value.code is RefusalCode.NOT_A_RADIOGRAPH


def test_a_missing_view_is_read_from_the_picture():
    decision = gate(picture(), answering(Content.FEMUR, lateral=9.0))
    assert decision.view is View.LATERAL
    assert "looks like" in decision.notes[0]


def test_a_clearly_wrong_view_is_corrected_and_said():
    decision = gate(picture(view=View.AP), answering(Content.FEMUR, lateral=9.0))
    assert decision.view is View.LATERAL
    assert "calls this view AP" in decision.notes[0]


def test_dark_bone_is_noticed():
    assert gate(picture(view=View.AP), answering(Content.FEMUR, inverted=9.0)).inverted


@pytest.mark.parametrize("name", ["1-ap.dcm", "2-lateral.dcm"])
def test_the_sample_study_is_admitted(network, name):
    pixels = pydicom.dcmread(SAMPLE / name).pixel_array.astype(np.float32)
    decision = gate(Radiograph(identifier=name, pixels=pixels), network)
    assert decision.view is (View.AP if "ap" in name else View.LATERAL), decision.scores
    assert gate(Radiograph(identifier=name, pixels=-pixels), network).inverted


def read_film(name: str) -> Radiograph:
    path = FILMS / name
    if not path.is_file():
        pytest.skip(f"the shared radiograph {name} is absent: set BONECRAFT_SHARED_DATA")
    if path.suffix == ".png":
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        return Radiograph(identifier=name, pixels=pixels)
    return read_radiograph(path)


@pytest.mark.parametrize("body_part", [None, "FEMUR"])
@pytest.mark.parametrize(("name", "codes"), REAL_FILMS.items())
def test_real_films_of_something_else_are_refused(network, name, codes, body_part):
    film = replace(read_film(name), body_part=body_part)
    with pytest.raises(Refusal) as refusal:
        gate(film, network)
    assert refusal.value.code in codes


@pytest.mark.parametrize("name", [name for name in REAL_FILMS if "dog" in name or "infant" in name])
def test_the_picture_alone_is_enough_to_refuse(network, name):
    film = replace(read_film(name), body_part="FEMUR", patient_age_years=None, was_colour=False)
    with pytest.raises(Refusal):
        gate(film, network)


def test_most_simulated_femora_pass(network):
    """Every field and view, as departments take them; dense laterals are what the gate turns away wrongly."""
    refused = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        view, field = (View.AP, View.LATERAL)[seed % 2], list(Field)[seed % 3]
        anatomy = someone(seed)
        scene = build_scene(anatomy, rng)
        geometry = place(anatomy, sample_setup(view, field, rng), longest_side=320)
        film = simulate_view(scene, geometry, typical_photometry(rng), rng)
        try:
            gate(Radiograph(identifier=str(seed), pixels=film.image, view=view), network)
        except Refusal as refusal:
            refused.append((view, field, refusal.code))
    assert len(refused) <= 3, refused

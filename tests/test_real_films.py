"""Real radiographs of everything but an adult's femur: read, and refused with the right reason.

The films are not part of the project. They are looked for in the folder that BONECRAFT_SHARED_DATA names, or in
`shared/data` beside the clone.
"""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.training.anatomy import from_surface
from models.training.positioning import Field
from models.training.simulate_study import simulate_study
from models.training.write_dx import Study
from pipeline.dicom_read import read_radiograph
from pipeline.errors import RefusalCode
from pipeline.picture_read import read_picture
from pipeline.radiograph import Side, View
from pipeline.results import Status
from pipeline.study import reconstruct_study
from tests.factories import save
from tests.shared_data import DATA

FILMS = DATA / "xrays" / "dicom"
PICTURES = DATA / "xrays" / "png"

pytestmark = pytest.mark.skipif(not FILMS.is_dir(), reason=f"the shared radiographs are absent: no folder {FILMS}")

WRONG_PART, CHILD, CONVERTED = RefusalCode.WRONG_BODY_PART, RefusalCode.CHILD, RefusalCode.NOT_A_RADIOGRAPH
LOWER_LEGS = [f"RG3_{codec}.dcm" for codec in ("J2KR", "JLSL", "JPLL", "JPLY", "RLE")]
REASONS = {
    "RG3_JPLL.dcm": {WRONG_PART},
    "RG3_JPLY.dcm": {WRONG_PART},
    "RG1_J2KI.dcm": {WRONG_PART},
    "fodicom_chest_mono1.dcm": {WRONG_PART},
    "fodicom_teeth_modality_lut.dcm": {WRONG_PART},
    "highdicom_dog_thorax.dcm": {WRONG_PART},
    # Children, and in colour: converted copies that no detector delivered. Either is a reason.
    **{f"ddh_infant_pelvis_{number}.dcm": {CHILD, CONVERTED} for number in (1, 10, 107, 115, 116)},
}


def refusal_of(path: Path, tmp_path: Path) -> RefusalCode:
    report = reconstruct_study([path], tmp_path / "out")
    assert report.status is Status.REFUSED
    assert report.refusal.sentence.endswith(".")
    return RefusalCode(report.refusal.code)


def relabelled(name: str, tmp_path: Path, body_part: str | None) -> Path:
    """The film with BodyPartExamined removed or replaced, and no coded region."""
    dataset = dcmread(FILMS / name, force=True)
    for keyword in ("BodyPartExamined", "AnatomicRegionSequence"):
        if keyword in dataset:
            del dataset[keyword]
    if body_part is not None:
        dataset.BodyPartExamined = body_part
    path = tmp_path / name
    dataset.save_as(path, enforce_file_format=False)
    return path


@pytest.mark.parametrize("name", LOWER_LEGS)
def test_every_codec_shows_the_same_lower_leg(name):
    reference = read_radiograph(FILMS / "RG3_RLE.dcm").pixels
    decoded = read_radiograph(FILMS / name).pixels
    difference = np.abs(decoded - reference).mean()
    assert difference < 3 if name == "RG3_JPLY.dcm" else difference == 0


@pytest.mark.parametrize("name", REASONS)
def test_a_film_that_shows_no_adults_femur_is_refused_with_the_reason(name, tmp_path):
    assert refusal_of(FILMS / name, tmp_path) in REASONS[name]


@pytest.mark.parametrize("body_part", [None, "FEMUR"])
@pytest.mark.parametrize("name", REASONS)
def test_the_reason_does_not_rest_on_the_body_part_that_is_told(name, body_part, tmp_path):
    assert refusal_of(relabelled(name, tmp_path, body_part), tmp_path) in REASONS[name]


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.png")), ids=lambda path: path.name)
def test_pictures_of_lower_legs_are_refused(path, tmp_path):
    assert read_picture(path).pixels.max() > 0
    assert refusal_of(path, tmp_path) in {WRONG_PART, CHILD}


def test_nonsense_spacing_is_not_believed():
    assert read_radiograph(FILMS / "RG1_J2KI.dcm").acquisition.pixel_spacing is None
    assert read_radiograph(FILMS / "ddh_infant_pelvis_1.dcm").acquisition.pixel_spacing is None


OPTIONAL = (
    "AnatomicRegionSequence",
    "BodyPartExamined",
    "Manufacturer",
    "PatientAge",
    "PatientBirthDate",
    "PatientSex",
    "PixelIntensityRelationship",
    "PixelIntensityRelationshipSign",
    "PresentationLUTShape",
    "ViewCodeSequence",
    "WindowCenter",
    "WindowWidth",
)


def stripped(dataset: Dataset) -> Dataset:
    """Without private tags, and without what a radiograph can do without."""
    dataset.remove_private_tags()
    for keyword in OPTIONAL:
        if keyword in dataset:
            del dataset[keyword]
    return dataset


@pytest.mark.parametrize("person", ["m8", "z001"])
def test_a_simulated_femur_without_private_and_optional_tags_passes(person, tmp_path):
    source = next(p for p in sorted((DATA / "bones").rglob(f"{person}_*femur_R.ply")))
    radiographs = simulate_study(
        from_surface(source, Side.RIGHT),
        field=Field.HIP,
        views=[View.AP, View.LATERAL],
        seed=5,
        study=Study(seed_text=person),
        procedural_pelvis=True,
        longest_side=600,
    )
    for number, radiograph in enumerate(radiographs):
        save(stripped(radiograph.dataset), tmp_path / f"{number}.dcm")
    report = reconstruct_study(sorted(tmp_path.glob("*.dcm")), tmp_path / "out")
    assert report.refusal is None
    assert report.surfaces[0].watertight

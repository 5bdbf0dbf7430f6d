"""What is shown of several bones: together on one proof per film, in one scene, each with its own colour and error."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from models.training.bones import Kind
from pipeline.illustrations import illustrate
from pipeline.made_with import MadeWith
from pipeline.presentation import Presentation, present
from pipeline.radiograph import Side, View
from pipeline.report_page import report_page
from pipeline.results import FileKind, Measurement, ModelVersion, Report, ScaleReport, Status
from pipeline.shown_radiographs import frames, shown_radiographs
from pipeline.stages.bands import GROUND
from pipeline.stages.overlay import ReprojectedContour, with_contours
from pipeline.stages.palette import BONE_COLOURS, MISS
from pipeline.surface import Bone
from tests.reconstructions import UNSCALED, apparatus, knee_from_two_sides, pelvis_from_the_front, reconstruction

MADE_WITH = MadeWith(
    software_version="1.0",
    models=tuple(
        ModelVersion(name=name, version="2", licence="", sha256="ab" * 32)
        for name in ("gate", "femur_shape", "hip_bone_shape", "patella_shape")
    ),
)
TITLES = ["Right femur", "Left femur", "Right hip bone", "Left hip bone", "Sacrum"]


@pytest.fixture(scope="module")
def pelvis(tmp_path_factory):
    out = tmp_path_factory.mktemp("pelvis")
    shown = present(pelvis_from_the_front(), out, made_with=MADE_WITH)
    return shown, illustrate(shown, out), out


@pytest.fixture(scope="module")
def knee():
    return knee_from_two_sides()


def of_kind(shown: Presentation, kind: FileKind) -> list[str]:
    return [file.path for file in shown.files if file.kind is kind]


def test_one_proof_shows_all_bones_of_a_film(pelvis):
    shown, _, _ = pelvis
    assert of_kind(shown, FileKind.CONTOUR_PICTURE) == ["contours/1_AP.png"]
    (film,), (proof,) = shown.radiographs, shown.proofs
    assert [contour.bone for contour in film.contours] == [surface.name for surface in shown.surfaces]
    assert [contour.error_mm for contour in film.contours] == [0.8] * 5
    assert (film.side, proof.side, proof.title) == ("B", None, "5 bones on AP")
    assert proof.spacing_mm is not None
    assert film.mm_per_pixel == pytest.approx(1.0 / 1.12, rel=0.03)


def test_outlines_lie_where_the_bones_are(pelvis):
    (film,) = pelvis[0].radiographs
    middle = {c.bone: np.concatenate([np.array(polygon) for polygon in c.polygons]).mean(axis=0) for c in film.contours}
    assert middle["hip_bone_R"][0] < middle["sacrum"][0] < middle["hip_bone_L"][0], "the patient's right is at the left"
    assert middle["sacrum"][1] < middle["femur_R"][1]


def test_a_proof_names_the_software_and_the_models_of_its_bones():
    assert MADE_WITH.words([Bone.HIP_BONE, Bone.FEMUR]) == "Bonecraft 1.0; models: gate 2; shapes: femur 2, hip bone 2"


def test_a_film_of_both_sides_has_their_letters_where_they_lie(pelvis, knee):
    assert [film.markers for film in pelvis[0].films] == [("R", "L")], "as one looks at a patient"
    assert [film.markers for film in shown_radiographs(knee.bones)] == [("R",), ("R",)]


def test_no_word_covers_a_bone(pelvis):
    shown, _, _ = pelvis
    pictures = [shown.turntables[0].frames[0], *(rendering.pixels for rendering in shown.key_renderings)]
    for picture in pictures:
        assert (picture[[0, -1]] == GROUND).all(), "words have bands of their own, where no shaft runs on"


def test_every_file_that_is_told_of_is_there(pelvis):
    shown, stages, out = pelvis
    assert all((out / file.path).is_file() for file in shown.files)
    assert len({file.path for file in shown.files}) == len(shown.files)
    assert all((out / path).is_file() for path in stages.values())
    assert not any(" " in file.path for file in shown.files)


def test_the_scene_comes_first_and_every_bone_has_a_picture_of_its_own(pelvis):
    views = of_kind(pelvis[0], FileKind.NOVEL_VIEW)
    assert views[:5] == [
        f"views/scene_{name}.png" for name in ("anterior", "from-the-right", "posterior", "superior", "three-quarter")
    ]
    assert all(f"views/{surface.name}_anterior.png" in views for surface in pelvis[0].surfaces)


def test_bones_keep_their_colours_in_the_scene_and_what_is_inferred_is_cool(pelvis):
    _, _, out = pelvis
    picture = np.asarray(Image.open(out / "views/scene_anterior.png").convert("RGB")).astype(float)
    top, *_, bottom = np.flatnonzero((picture != GROUND).any(axis=2).all(axis=1))
    rows, columns = bottom - top, picture.shape[1]
    ilium, shaft_end = picture[top + rows // 8, columns // 6], picture[bottom - rows // 40, columns * 41 // 50]
    assert ilium[0] > ilium[2] + 40, "the hip bone is warm"
    assert shaft_end[2] > shaft_end[0], "below the film the femur is inferred"


def test_a_film_has_one_set_of_depths_for_all_bones(pelvis):
    shown, _, out = pelvis
    assert of_kind(shown, FileKind.DEPTH_ARRAY) == ["depth/1_AP_mm.npz"]
    maps = np.load(out / "depth/1_AP_mm.npz")
    met = np.isfinite(maps["front_mm"])
    assert met.mean() > 0.2
    gap = (maps["back_mm"] - maps["front_mm"] - maps["thickness_mm"])[met]
    assert gap.min() > -0.5
    assert gap.max() > 20, "between sacrum and pubis a ray leaves bone and enters it again"


def test_the_report_names_every_bone_with_its_colour(pelvis):
    surfaces = pelvis[0].surfaces
    assert [(surface.bone, surface.side) for surface in surfaces][2:] == [
        *(("hip_bone", "R"), ("hip_bone", "L"), ("sacrum", None)),
    ]
    assert len({surface.colour for surface in surfaces}) == 3
    assert surfaces[0].inferred_fraction > 0.4
    assert surfaces[-1].inferred_fraction == 0


def test_the_page_lists_bones_with_their_errors_and_measurements_under_each(pelvis):
    shown, _, out = pelvis
    measurements = (
        Measurement(name="Neck-shaft angle", bone="femur_L", unit="deg", value=127.0, lower=124.0, upper=130.0),
        Measurement(name="Acetabular inclination", bone="hip_bone_R", unit="deg", value=40.0, lower=36.0, upper=44.0),
    )
    report = Report(
        status=Status.RECONSTRUCTED,
        software_version="0",
        scale=ScaleReport(known=True, relative_uncertainty=0.01, provenance="calibrated PixelSpacing"),
        radiographs=shown.radiographs,
        surfaces=shown.surfaces,
        measurements=measurements,
        files=shown.files,
    )
    assert Report.from_json(report.to_json()) == report
    page = report_page(report, out)
    table = page[page.index("The bones") : page.index("In three dimensions")]
    assert [title for title in TITLES if title in table] == TITLES
    assert table.count("1.0 mm") == table.count("AP 0.8 mm") == 5
    places = [page.index(words, page.index("<h2>Measurements")) for words in ("Left femur", "Neck-shaft", "Right hip")]
    assert places == sorted(places)


def test_a_knee_of_two_films_is_one_frame_and_of_one_side(knee):
    films = shown_radiographs(knee.bones)
    assert [film.name for film in films] == ["1_AP_R", "2_LATERAL_R"]
    assert [film.bones_title for film in films] == ["4 bones (right)"] * 2
    assert [len(frame) for frame in frames(knee.bones)] == [4]


def test_bones_whose_films_show_nothing_in_common_have_frames_of_their_own(knee):
    film = apparatus(View.AP, centre=np.array([85.0, 0.0, 0.0]), size_mm=(200.0, 150.0))
    other = reconstruction([(Kind.FEMUR, Side.LEFT)], {View.PA: film}, scale=knee.bones[0].scale, side=Side.LEFT)
    apart = frames((*knee.bones[:2], *other.bones, *knee.bones[2:]))
    names = [[bone.assessment.surface.name for bone in frame] for frame in apart]
    assert names == [["femur_R", "tibia_R", "fibula_R", "patella_R"], ["femur_L"]]


def test_a_film_of_a_sacrum_alone_has_no_side():
    film = apparatus(View.AP, centre=np.array([0.0, 0.0, 20.0]), size_mm=(200.0, 200.0))
    alone = reconstruction([(Kind.SACRUM, None)], {View.AP: film}, scale=UNSCALED)
    (shown,) = shown_radiographs(alone.bones)
    assert (shown.laterality, shown.name, shown.title) == ("U", "1_AP", "Sacrum, AP")
    assert shown.mm_per_pixel is None


def an_outline(bone: Bone, left: float, error: float) -> ReprojectedContour:
    """A square whose upper half misses by `error` and whose lower half is beyond what the image shows."""
    along = np.linspace(0, 60, 60)
    square = np.concatenate(
        [
            np.stack([left + along, np.full(60, 20.0)], axis=1),
            np.stack([np.full(60, left + 60), 20 + along], axis=1),
            np.stack([left + 60 - along, np.full(60, 80.0)], axis=1),
            np.stack([np.full(60, left), 80 - along], axis=1),
        ]
    )
    return ReprojectedContour(bone=bone, polygons=(square,), error=(np.where(square[:, 1] < 50, error, np.nan),))


def test_among_others_an_outline_has_its_bones_colour_and_is_red_where_it_misses():
    black = np.zeros((100, 200, 3), dtype=np.uint8)
    good, bad = an_outline(Bone.SACRUM, 20, 0.5), an_outline(Bone.HIP_BONE, 110, 3.0)
    drawn = with_contours(black, [good, bad], factor=1.0).astype(int)

    def nearest(column: int, row: int, colour: tuple[int, int, int]) -> int:
        patch = drawn[row - 2 : row + 3, column - 2 : column + 3].reshape(-1, 3) / 0.9
        return int(np.abs(patch - colour).max(axis=1).min())

    assert nearest(50, 20, BONE_COLOURS[Bone.SACRUM]) < 12
    assert nearest(140, 20, MISS) < 12
    assert nearest(50, 80, BONE_COLOURS[Bone.SACRUM]) > 20, "pale where there is nothing to compare with"


def test_a_lone_outline_is_coloured_by_its_error():
    black = np.zeros((100, 200, 3), dtype=np.uint8)
    near, far = (with_contours(black, [an_outline(Bone.SACRUM, 20, error)], factor=1.0) for error in (0.1, 4.0))
    assert near[20, 40:60].mean(axis=0)[1] > near[20, 40:60].mean(axis=0)[0], "turquoise"
    assert far[20, 40:60].mean(axis=0)[0] > far[20, 40:60].mean(axis=0)[1] + 50, "red"


def test_without_a_scale_films_and_scenes_claim_no_mm(knee, tmp_path):
    unscaled = dataclasses.replace(knee, bones=knee_from_two_sides(scale=UNSCALED).bones[-2:])
    shown = present(unscaled, tmp_path, made_with=MADE_WITH)
    assert [contour.error_mm for film in shown.radiographs for contour in film.contours] == [None] * 4
    assert of_kind(shown, FileKind.SCENE) == ["meshes/scene_shape-only.glb"]
    assert all(proof.spacing_mm is None for proof in shown.proofs)

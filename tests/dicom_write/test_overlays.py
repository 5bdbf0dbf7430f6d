"""What is laid over radiographs: outlines as a presentation state, shadows as a binary segmentation."""

from __future__ import annotations

import dataclasses
import io

import highdicom
import numpy as np
import pytest
from pydicom import dcmread

from pipeline.dicom_check import Check, check_instance
from pipeline.dicom_write import BoneOnFilm, FilmBones
from pipeline.radiograph import Side
from pipeline.results import OPTIONAL_KINDS, FileKind
from tests.dicom_write.example import file_of, two_views, write
from tests.factories import make_bone

ROWS, COLUMNS = 48, 40
BOTH = frozenset({FileKind.PRESENTATION_STATE, FileKind.FILM_SEGMENTATION})
"""What the tests here are about."""


def ring(radius, *, middle=(20.0, 24.0)):
    """(60, 2) a circle of column and row."""
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.array(middle) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def disc(radius):
    row, column = np.mgrid[:ROWS, :COLUMNS]
    return (column - 20) ** 2 + (row - 24) ** 2 <= radius**2


def films(sources, *, radii=(8.0, 22.0)):
    """Two bones that cover each other; the larger leaves the picture."""
    surfaces = (make_bone(side=Side.RIGHT), make_bone(side=Side.LEFT))
    bones = tuple(
        BoneOnFilm(surface=surface, outlines=(ring(radius),), shadow=disc(radius))
        for surface, radius in zip(surfaces, radii, strict=True)
    )
    return tuple(FilmBones(radiograph=uid, title="2 bones on AP", bones=bones) for uid in sources)


def overlays(out, **changes):
    sources = changes.pop("sources", None) or two_views()
    return write(out, sources=sources, films=films(sources), also=OPTIONAL_KINDS, **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of the first radiograph, by kind, and of how many there are."""
    out = tmp_path_factory.mktemp("overlays")
    results = overlays(out)
    assert [sum(each.kind is kind for each in results) for kind in sorted(BOTH)] == [2, 2]
    return {kind: file_of(results, out, kind) for kind in BOTH}


@pytest.fixture
def presentation(written):
    return dcmread(written[FileKind.PRESENTATION_STATE])


@pytest.fixture
def segmentation(written):
    return dcmread(written[FileKind.FILM_SEGMENTATION])


def checks(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    again = dcmread(io.BytesIO(buffer.getvalue()))
    return {finding.check for finding in check_instance(again, sources=list(two_views().values()))}


def test_they_are_made_only_where_they_are_asked_for(tmp_path):
    assert not {each.kind for each in write(tmp_path)} & OPTIONAL_KINDS


@pytest.mark.parametrize("kind", sorted(BOTH))
def test_dciodvfy_and_the_check_find_no_error(written, kind, dciodvfy_errors):
    assert dciodvfy_errors(written[kind]) == []
    assert checks(dcmread(written[kind])) == set()


def test_a_lone_bone_is_sound_too(tmp_path, dciodvfy_errors):
    sources = two_views()
    lone = tuple(dataclasses.replace(film, bones=film.bones[:1]) for film in films(sources))
    results = write(tmp_path, sources=sources, films=lone, also=BOTH)
    for kind in BOTH:
        assert dciodvfy_errors(file_of(results, tmp_path, kind)) == []


def test_each_bone_has_a_layer_of_lines_in_its_colour_on_the_radiograph(presentation):
    assert [layer.GraphicLayer for layer in presentation.GraphicLayerSequence] == ["FEMUR_R", "FEMUR_L"]
    assert all(layer.GraphicLayerRecommendedDisplayCIELabValue for layer in presentation.GraphicLayerSequence)
    whole, cut = presentation.GraphicAnnotationSequence
    (closed,) = whole.GraphicObjectSequence
    assert closed.GraphicData[:2] == closed.GraphicData[-2:]
    assert np.reshape(closed.GraphicData, (-1, 2)).max(axis=0) == pytest.approx([28.5, 32.5], abs=0.4)
    assert len(cut.GraphicObjectSequence) == 2, "it leaves the picture and comes back"


def test_the_radiograph_is_shown_as_it_was_sent(presentation):
    window = presentation.SoftcopyVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (2048, 4096)
    assert (presentation.RescaleIntercept, presentation.RescaleSlope) == (0, 1)
    assert presentation.PresentationLUTShape == "IDENTITY"


def test_a_negative_stays_one(tmp_path):
    sources = two_views()
    for source in sources.values():
        source.PhotometricInterpretation = "MONOCHROME1"
    path = file_of(overlays(tmp_path, sources=sources), tmp_path, FileKind.PRESENTATION_STATE)
    assert dcmread(path).PresentationLUTShape == "INVERSE"


def test_a_segment_has_the_code_and_the_tracking_of_its_surface_and_the_pixels_of_its_shadow(
    written, segmentation, tmp_path
):
    surfaces = dcmread(file_of(write(tmp_path), tmp_path, FileKind.SURFACE_SEGMENTATION))
    right = segmentation.SegmentSequence[0]
    assert right.TrackingUID == surfaces.SegmentSequence[0].TrackingUID
    side = right.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeValue == "24028007"
    read = highdicom.seg.segread(written[FileKind.FILM_SEGMENTATION])
    pixels = read.pixel_array
    assert np.array_equal(pixels[0], disc(8.0))
    assert np.array_equal(pixels[1], disc(22.0)), "segments may cover each other"


def test_a_layer_that_nothing_lies_on_is_found(presentation):
    presentation.GraphicLayerSequence[0].GraphicLayer = "TIBIA_R"
    assert Check.REFERENCE in checks(presentation)


def test_a_point_outside_the_picture_is_found(presentation):
    line = presentation.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    line.GraphicData = [COLUMNS + 5.0, *line.GraphicData[1:]]
    assert Check.SIZE in checks(presentation)


def test_points_that_are_not_counted_are_found(presentation):
    presentation.GraphicAnnotationSequence[0].GraphicObjectSequence[0].NumberOfGraphicPoints = 3
    assert Check.COUNT in checks(presentation)


def test_a_segment_without_a_frame_is_found(segmentation):
    segmentation.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 2
    assert Check.COUNT in checks(segmentation)


def test_a_frame_that_is_cut_short_is_found(segmentation):
    segmentation.PixelData = segmentation.PixelData[:-20]
    assert Check.PIXELS in checks(segmentation)


@pytest.mark.parametrize("kind", sorted(BOTH))
def test_another_radiograph_is_found(written, kind):
    dataset = dcmread(written[kind])
    dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    assert Check.REFERENCE in checks(dataset)

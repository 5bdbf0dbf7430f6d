import json
import subprocess

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from pipeline.dicom_write.compact import NORMAL_GRID, compact, on_grid
from pipeline.dicom_write.origin import SCALE_WORDS
from pipeline.dicom_write.surface_segmentation import axis_deviations
from pipeline.radiograph import Scale, ScaleProvenance, Side
from pipeline.results import FileKind
from tests.dicom_write.example import changed_bone, file_of, surface_segmentation, two_views, write
from tests.factories import make_bone
from tests.reconstructions import PELVIS, true_surface


@pytest.fixture
def both_sides():
    return make_bone(side=Side.RIGHT), make_bone(side=Side.LEFT, length_mm=400)


def test_dciodvfy_finds_no_error(tmp_path, both_sides, dciodvfy_errors):
    assert dciodvfy_errors(surface_segmentation(tmp_path, frames=(both_sides,))) == []


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_gdcm_reads_back_the_same_points_normals_and_triangles(tmp_path, both_sides, gdcm_surface_reader, syntax):
    path = surface_segmentation(tmp_path, frames=(both_sides,))
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    done = subprocess.run([gdcm_surface_reader, path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [surface["segment"].strip() for surface in found] == ["Right femur", "Left femur"]
    for surface, bone in zip(found, map(compact, both_sides), strict=True):
        assert (surface["primitive"], surface["manifold"]) == ("TRIANGLE", "YES")
        assert surface["point_count"] == len(bone.vertices)
        np.testing.assert_array_equal(np.float32(surface["points"]).reshape(-1, 3), bone.vertices.astype(np.float32))
        normals = on_grid(bone.normals(), NORMAL_GRID)
        np.testing.assert_array_equal(np.float32(surface["normals"]).reshape(-1, 3), normals.astype(np.float32))
        np.testing.assert_array_equal(np.array(surface["triangles"]).reshape(-1, 3) - 1, bone.triangles)


def test_the_segment_says_which_bone_of_which_side_and_how_it_was_made(tmp_path):
    dataset = dcmread(surface_segmentation(tmp_path, frames=((make_bone(side=Side.LEFT),),)))
    (segment,) = dataset.SegmentSequence
    (kind,) = segment.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("71341001", "SCT", "Femur")
    (side,) = kind.SegmentedPropertyTypeModifierCodeSequence
    assert (side.CodeValue, side.CodeMeaning) == ("7771000", "Left")
    (region_side,) = segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence
    assert region_side.CodeValue == "7771000"
    assert segment.TrackingID == "femur_L"
    (algorithm,) = segment.ReferencedSurfaceSequence[0].SegmentSurfaceGenerationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123111"
    assert "femur_shape 1 abababababab" in algorithm.AlgorithmParameters
    assert "ImagerPixelSpacing and source distances" in algorithm.AlgorithmParameters


@pytest.fixture(scope="module")
def pelvis():
    return tuple(true_surface(name) for name in PELVIS)


def test_dciodvfy_finds_no_error_in_a_pelvis(tmp_path, pelvis, dciodvfy_errors):
    assert dciodvfy_errors(surface_segmentation(tmp_path, frames=(pelvis,))) == []


def test_every_bone_is_a_segment_in_one_frame_with_its_code_its_side_and_its_colour(tmp_path, pelvis):
    dataset = dcmread(surface_segmentation(tmp_path, frames=(pelvis,)))
    kinds = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in dataset.SegmentSequence]
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == [bone.title for bone in pelvis]
    assert [kind.CodeMeaning for kind in kinds] == ["Femur", "Femur", "Pelvis", "Pelvis", "Sacrum"]
    sides = [
        modifiers[0].CodeMeaning if (modifiers := kind.get("SegmentedPropertyTypeModifierCodeSequence")) else None
        for kind in kinds
    ]
    assert sides == ["Right", "Left", "Right", "Left", None]
    colours = [tuple(surface.RecommendedDisplayCIELabValue) for surface in dataset.SurfaceSequence]
    assert colours[0] == colours[1] != colours[2] == colours[3] != colours[4]
    assert dataset.SeriesDescription == "Bonecraft 3D: 5 bones"


def test_bones_in_frames_of_their_own_are_instances_of_their_own(tmp_path, both_sides):
    right, left = both_sides
    results = [
        dcmread(tmp_path / result.path)
        for result in write(tmp_path, frames=((right,), (left,)))
        if result.kind is FileKind.SURFACE_SEGMENTATION
    ]
    assert [result.SegmentSequence[0].TrackingID for result in results] == ["femur_R", "femur_L"]
    assert len({result.FrameOfReferenceUID for result in results}) == 2
    assert len({(result.SeriesInstanceUID, result.SeriesNumber) for result in results}) == 2


def test_it_refers_to_every_radiograph_in_its_series(tmp_path):
    sources = two_views()
    dataset = dcmread(surface_segmentation(tmp_path, sources=sources))
    referenced = {
        (series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID)
        for series in dataset.ReferencedSeriesSequence
        for instance in series.ReferencedInstanceSequence
    }
    assert referenced == {(source.SeriesInstanceUID, source.SOPInstanceUID) for source in sources.values()}


@pytest.mark.parametrize("provenance", [p for p in ScaleProvenance if p is not ScaleProvenance.NONE])
def test_every_origin_of_the_scale_is_told_and_fits_its_attribute(tmp_path, provenance):
    scale = Scale(mm_per_pixel=0.2, relative_uncertainty=0.253, provenance=provenance)
    description = dcmread(surface_segmentation(tmp_path, scale=scale)).ContentDescription
    assert len(description) <= 64
    assert description.endswith(f"{SCALE_WORDS[provenance]} +-25%")


def test_the_points_carry_one_standard_deviation_along_each_axis(tmp_path):
    bone = compact(make_bone())
    points = dcmread(surface_segmentation(tmp_path)).SurfaceSequence[0].SurfacePointsSequence[0]
    assert list(points.PointPositionAccuracy) == pytest.approx(axis_deviations(bone))


def test_a_sideways_uncertainty_stays_sideways():
    bone = changed_bone(lambda b: {"standard_deviation": np.full(len(b.vertices), 2.0)}, around=200, along=100)
    left, posterior, head = axis_deviations(bone)
    assert left == pytest.approx(2 / np.sqrt(2), rel=0.05)
    assert posterior == pytest.approx(2 / np.sqrt(2), rel=0.05)
    assert head < 0.5


def test_the_dataset_has_only_sequences_of_defined_length(tmp_path):
    dataset = dcmread(surface_segmentation(tmp_path))
    assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    sequences = [element for element in dataset.iterall() if element.VR == "SQ"]
    assert sequences
    assert not any(element.is_undefined_length for element in sequences)
    assert not any(item.is_undefined_length_sequence_item for element in sequences for item in element.value)


def test_a_destination_that_refuses_a_declared_manifold_gets_another_instance(tmp_path):
    written = write(tmp_path, also=frozenset({FileKind.SURFACES_MANIFOLD_UNKNOWN}))
    declared = dcmread(file_of(written, tmp_path, FileKind.SURFACE_SEGMENTATION))
    undeclared = dcmread(file_of(written, tmp_path, FileKind.SURFACES_MANIFOLD_UNKNOWN))
    assert (declared.SurfaceSequence[0].Manifold, undeclared.SurfaceSequence[0].Manifold) == ("YES", "UNKNOWN")
    assert declared.SOPInstanceUID != undeclared.SOPInstanceUID
    assert (declared.SeriesInstanceUID, declared.SeriesNumber) != (
        undeclared.SeriesInstanceUID,
        undeclared.SeriesNumber,
    )
    assert declared.FrameOfReferenceUID == undeclared.FrameOfReferenceUID
    assert declared.SegmentSequence == undeclared.SegmentSequence


def test_each_reconstruction_has_its_own_frame_of_reference(tmp_path):
    frames = {
        dcmread(surface_segmentation(tmp_path / study, sources=two_views(study=study))).FrameOfReferenceUID
        for study in ("one", "two")
    }
    assert len(frames) == 2

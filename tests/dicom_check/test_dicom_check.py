"""Every fault that the public validators let through is put into a sound instance, and must be found."""

import copy
import io

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from pipeline.dicom_check import Check, UnsoundResult, check_instance, require_sound
from tests.dicom_write.example import secondary_capture, surface_segmentation, two_views
from tests.factories import make_bone, make_dx

SOURCES = tuple(two_views().values())


@pytest.fixture(scope="module")
def sound_surfaces(tmp_path_factory):
    bones = (make_bone(around=8, along=6), make_bone(around=6, along=5))
    return surface_segmentation(tmp_path_factory.mktemp("surfaces"), frames=(bones,)).read_bytes()


@pytest.fixture(scope="module")
def sound_picture(tmp_path_factory):
    return secondary_capture(tmp_path_factory.mktemp("pictures")).read_bytes()


@pytest.fixture
def surfaces(sound_surfaces):
    return dcmread(io.BytesIO(sound_surfaces))


@pytest.fixture
def picture(sound_picture):
    return dcmread(io.BytesIO(sound_picture))


def found(dataset):
    """What the check finds in the dataset as a receiver would get it."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    received = dcmread(io.BytesIO(buffer.getvalue()))
    return {finding.check for finding in check_instance(received, sources=SOURCES)}


def points_of(dataset):
    return dataset.SurfaceSequence[0].SurfacePointsSequence[0]


def normals_of(dataset):
    return dataset.SurfaceSequence[0].SurfacePointsNormalsSequence[0]


def primitives_of(dataset):
    return dataset.SurfaceSequence[0].SurfaceMeshPrimitivesSequence[0]


def change_triangles(dataset, change):
    primitives = primitives_of(dataset)
    triangles = np.frombuffer(primitives.LongTrianglePointIndexList, "<u4").reshape(-1, 3).copy()
    primitives.LongTrianglePointIndexList = np.asarray(change(triangles), "<u4").tobytes()


def change_points(dataset, change):
    points = points_of(dataset)
    coordinates = np.frombuffer(points.PointCoordinatesData, "<f4").reshape(-1, 3).copy()
    points.PointCoordinatesData = np.asarray(change(coordinates), "<f4").tobytes()


def change_normals(dataset, change):
    normals = normals_of(dataset)
    vectors = np.frombuffer(normals.VectorCoordinateData, "<f4").reshape(-1, 3).copy()
    normals.VectorCoordinateData = np.asarray(change(vectors), "<f4").tobytes()


def with_first(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


def test_sound_instances_pass(surfaces, picture):
    require_sound(surfaces, sources=SOURCES)
    require_sound(picture, sources=SOURCES)


# The mesh ------------------------------------------------------------------------------------------------------------


def test_indices_that_count_from_zero_are_found(surfaces):
    change_triangles(surfaces, lambda triangles: triangles - 1)
    assert found(surfaces) == {Check.INDEX}


def test_an_index_behind_the_last_point_is_found(surfaces):
    change_triangles(surfaces, with_first(points_of(surfaces).NumberOfSurfacePoints + 1))
    assert found(surfaces) == {Check.INDEX}


@pytest.mark.parametrize("left_over", [4, 8])
def test_a_triangle_list_not_divisible_by_three_is_found(surfaces, left_over):
    primitives_of(surfaces).LongTrianglePointIndexList += bytes([1, 0, 0, 0] * (left_over // 4))
    assert found(surfaces) == {Check.INDEX}


def test_an_empty_triangle_list_is_found(surfaces):
    primitives_of(surfaces).LongTrianglePointIndexList = b""
    assert found(surfaces) == {Check.REQUIRED}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_coordinate_that_is_no_number_is_found(surfaces, value):
    change_points(surfaces, with_first(value))
    assert found(surfaces) == {Check.FINITE}


@pytest.mark.parametrize("value", [np.nan, np.inf, 5.0])
def test_a_normal_that_is_no_unit_vector_is_found(surfaces, value):
    change_normals(surfaces, with_first(value))
    assert found(surfaces) == {Check.NORMALS}


def test_normals_that_look_inwards_are_found(surfaces):
    change_normals(surfaces, lambda normals: -normals)
    assert found(surfaces) == {Check.NORMALS}


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_number_of_points_is_found(surfaces, difference):
    points_of(surfaces).NumberOfSurfacePoints += difference
    assert Check.COUNT in found(surfaces)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_number_of_normals_is_found(surfaces, difference):
    normals_of(surfaces).NumberOfVectors += difference
    assert found(surfaces) == {Check.COUNT}


def test_missing_normals_are_found(surfaces):
    surfaces.SurfaceSequence[0].SurfacePointsNormalsSequence = []
    assert found(surfaces) == {Check.REQUIRED}


def test_normals_of_two_dimensions_are_found(surfaces):
    normals_of(surfaces).VectorDimensionality = 2
    assert found(surfaces) == {Check.VALUE}


def test_a_hole_is_found(surfaces):
    change_triangles(surfaces, lambda triangles: triangles[1:])
    assert found(surfaces) == {Check.MANIFOLD}


def test_a_third_triangle_at_an_edge_is_found(surfaces):
    change_triangles(surfaces, lambda triangles: np.vstack([triangles, triangles[:1]]))
    assert found(surfaces) == {Check.MANIFOLD}


def test_a_triangle_without_area_is_found(surfaces):
    change_triangles(surfaces, lambda triangles: np.vstack([triangles, [[1, 1, 2]]]))
    assert found(surfaces) == {Check.MANIFOLD}


def test_a_point_of_no_triangle_is_found(surfaces):
    change_points(surfaces, lambda points: np.vstack([points, points[:1]]))
    points_of(surfaces).NumberOfSurfacePoints += 1
    change_normals(surfaces, lambda normals: np.vstack([normals, normals[:1]]))
    normals_of(surfaces).NumberOfVectors += 1
    assert found(surfaces) == {Check.MANIFOLD}


def test_two_solids_that_touch_in_a_point_are_found(surfaces):
    count = points_of(surfaces).NumberOfSurfacePoints
    change_points(surfaces, lambda points: np.vstack([points, points[1:] + np.float32([300, 0, 0])]))
    change_normals(surfaces, lambda normals: np.vstack([normals, normals[1:]]))
    points_of(surfaces).NumberOfSurfacePoints = normals_of(surfaces).NumberOfVectors = 2 * count - 1
    change_triangles(
        surfaces, lambda triangles: np.vstack([triangles, np.where(triangles == 1, 1, triangles + count - 1)])
    )
    assert found(surfaces) == {Check.MANIFOLD}


def test_one_triangle_turned_round_is_found(surfaces):
    change_triangles(surfaces, lambda triangles: np.vstack([triangles[:1, ::-1], triangles[1:]]))
    assert found(surfaces) == {Check.ORIENTATION}


def test_a_surface_turned_inside_out_is_found(surfaces):
    change_triangles(surfaces, lambda triangles: triangles[:, ::-1])
    assert Check.ORIENTATION in found(surfaces)


@pytest.mark.parametrize("factor", [0.001, 0.1, 1 / 25.4, 10], ids=["metres", "centimetres", "inches", "too large"])
def test_a_bone_in_another_unit_is_found(surfaces, factor):
    change_points(surfaces, lambda points: points * factor)
    assert found(surfaces) == {Check.SIZE}


@pytest.mark.parametrize("accuracy", [[1, 1, -1], [1, 1, 100], [float("nan"), 1, 1]])
def test_an_implausible_accuracy_is_found(surfaces, accuracy):
    points_of(surfaces).PointPositionAccuracy = accuracy
    assert found(surfaces) == {Check.SIZE}


def test_a_patella_as_long_as_a_femur_is_found(surfaces):
    kind = surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    kind.CodeValue, kind.CodeMeaning = "64234005", "Patella"
    assert found(surfaces) == {Check.SIZE}


def test_a_bone_that_is_never_written_is_found(surfaces):
    kind = surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    kind.CodeValue, kind.CodeMeaning = "85050009", "Humerus"
    assert found(surfaces) == {Check.CODE}


def test_a_sacrum_needs_no_side_and_a_femur_does(surfaces):
    kind = surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    del kind.SegmentedPropertyTypeModifierCodeSequence
    assert found(surfaces) == {Check.REQUIRED}
    kind.CodeValue, kind.CodeMeaning = "54735007", "Sacrum"
    assert found(surfaces) == {Check.SIZE}


def test_an_accuracy_of_two_values_is_found(surfaces):
    points_of(surfaces).PointPositionAccuracy = [1.0, 1.0]
    assert found(surfaces) == {Check.COUNT}


@pytest.mark.parametrize("keyword", ["LongVertexPointIndexList", "LongEdgePointIndexList"])
def test_other_primitives_than_triangles_are_found(surfaces, keyword):
    setattr(primitives_of(surfaces), keyword, np.array([1, 2], "<u4").tobytes())
    assert found(surfaces) == {Check.VALUE}


@pytest.mark.parametrize("keyword", ["LongVertexPointIndexList", "TriangleStripSequence", "FacetSequence"])
def test_a_missing_empty_list_is_found(surfaces, keyword):
    del primitives_of(surfaces)[keyword]
    assert found(surfaces) == {Check.REQUIRED}


def test_a_retired_list_is_found(surfaces):
    primitives_of(surfaces).TrianglePointIndexList = b"\1\0\2\0\3\0"
    assert found(surfaces) == {Check.RETIRED}


# Numbers, values and codes -------------------------------------------------------------------------------------------


def test_a_segment_that_names_a_surface_that_is_not_there_is_found(surfaces):
    surfaces.SegmentSequence[1].ReferencedSurfaceSequence[0].ReferencedSurfaceNumber = 3
    assert found(surfaces) == {Check.SURFACE_NUMBER}


def test_a_surface_that_belongs_to_two_segments_is_found(surfaces):
    surfaces.SegmentSequence[1].ReferencedSurfaceSequence[0].ReferencedSurfaceNumber = 1
    assert found(surfaces) == {Check.SURFACE_NUMBER}


def test_numbers_that_do_not_count_from_one_are_found(surfaces):
    surfaces.SegmentSequence[0].SegmentNumber = 0
    assert found(surfaces) == {Check.SURFACE_NUMBER}


def test_a_wrong_number_of_surfaces_is_found(surfaces):
    surfaces.NumberOfSurfaces = 1
    assert found(surfaces) == {Check.COUNT}


def test_a_wrong_number_of_surfaces_of_a_segment_is_found(surfaces):
    surfaces.SegmentSequence[0].SurfaceCount = 2
    assert found(surfaces) == {Check.COUNT}


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_an_opacity_outside_of_nothing_and_all_is_found(surfaces, opacity):
    surfaces.SurfaceSequence[0].RecommendedPresentationOpacity = opacity
    assert found(surfaces) == {Check.OPACITY}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Manifold", "NO"),
        ("FiniteVolume", "NO"),
        ("RecommendedPresentationType", "SOLID"),
        ("SurfaceProcessing", "YES"),
    ],
)
def test_a_value_that_we_never_write_is_found(surfaces, keyword, value):
    setattr(surfaces.SurfaceSequence[0], keyword, value)
    assert found(surfaces) == {Check.VALUE}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("CodeMeaning", "Tibia"), ("CodeValue", "12611008"), ("CodingSchemeDesignator", "99LOCAL"), ("CodeValue", "1")],
)
def test_a_code_that_means_something_else_is_found(surfaces, keyword, value):
    setattr(surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0], keyword, value)
    assert found(surfaces) == {Check.CODE}


def test_a_wrong_meaning_deep_inside_is_found(surfaces):
    kind = surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning = "Left"
    assert found(surfaces) == {Check.CODE}


def test_the_senders_own_procedure_codes_are_not_judged(surfaces):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "H2", "99HOSPITAL", "Hip in two views"
    surfaces.ProcedureCodeSequence = [code]
    assert found(surfaces) == set()


def test_a_bone_without_its_side_is_found(surfaces):
    del surfaces.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert found(surfaces) == {Check.REQUIRED}


@pytest.mark.parametrize("keyword", ["ContentLabel", "FrameOfReferenceUID", "DeviceSerialNumber", "SoftwareVersions"])
@pytest.mark.parametrize("emptied", [True, False])
def test_a_missing_or_empty_attribute_is_found(surfaces, keyword, emptied):
    if emptied:
        setattr(surfaces, keyword, "")
    else:
        del surfaces[keyword]
    assert Check.REQUIRED in found(surfaces)


# Identity and references ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "FrameOfReferenceUID"])
def test_a_uid_of_somebody_else_is_found(surfaces, keyword):
    setattr(surfaces, keyword, generate_uid())
    assert found(surfaces) == {Check.UID}


def test_a_tracking_uid_of_somebody_else_is_found(surfaces):
    surfaces.SegmentSequence[0].TrackingUID = "1.2.3"
    assert found(surfaces) == {Check.UID}


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID", "PatientBirthDate"])
def test_another_patient_or_study_is_found(surfaces, keyword):
    setattr(surfaces, keyword, "19700101")
    assert found(surfaces) == {Check.PATIENT}


def test_a_patient_without_identifier_where_the_source_has_one_is_found(surfaces):
    del surfaces.PatientID
    assert Check.PATIENT in found(surfaces)


def test_a_changed_character_set_is_found(surfaces):
    surfaces.SpecificCharacterSet = "ISO_IR 100"
    assert found(surfaces) == {Check.PATIENT}


def test_a_sound_result_stays_sound_when_its_sources_are_kept_no_longer(picture):
    del picture.AccessionNumber  # as in every result of a source that has none
    assert check_instance(picture, sources=()) == ()


def references_of(dataset):
    return dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence


def test_a_reference_to_an_unknown_instance_is_found(surfaces):
    references_of(surfaces)[0].ReferencedSOPInstanceUID = "1.2.3"
    assert found(surfaces) == {Check.REFERENCE}


def test_a_reference_with_the_wrong_class_is_found(surfaces):
    references_of(surfaces)[0].ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    assert found(surfaces) == {Check.REFERENCE}


def test_a_reference_into_the_wrong_series_is_found(surfaces):
    surfaces.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    assert found(surfaces) == {Check.REFERENCE}


def test_a_radiograph_that_is_not_referred_to_is_found(surfaces):
    del surfaces.ReferencedSeriesSequence[1]
    assert found(surfaces) == {Check.REFERENCE}


# Pictures ------------------------------------------------------------------------------------------------------------


def test_a_picture_of_an_unknown_radiograph_is_found(picture):
    picture.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    assert found(picture) == {Check.REFERENCE}


def test_pixel_data_of_the_wrong_length_is_found(picture):
    picture.Rows += 1
    assert found(picture) == {Check.PIXELS}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Laterality", "B"), ("PhotometricInterpretation", "MONOCHROME2"), ("BitsStored", 7), ("ConversionType", "DI")],
)
def test_a_picture_that_is_not_what_it_should_be_is_found(picture, keyword, value):
    setattr(picture, keyword, value)
    assert Check.VALUE in found(picture)


def test_a_spacing_that_says_not_where_it_comes_from_is_found(picture):
    del picture.PixelSpacingCalibrationType
    assert found(picture) == {Check.REQUIRED}


def test_a_picture_without_sources_is_found(picture):
    picture.SourceImageSequence = []
    assert found(picture) == {Check.REQUIRED, Check.REFERENCE}


# Use -----------------------------------------------------------------------------------------------------------------


def test_an_instance_that_is_no_result_is_found():
    assert [finding.check for finding in check_instance(make_dx(), sources=SOURCES)] == [Check.REQUIRED]


def test_an_unsound_instance_is_stopped_with_every_finding_and_without_patient_data(surfaces):
    broken = copy.deepcopy(surfaces)
    broken.NumberOfSurfaces, broken.PatientName = 7, "Secret^Name"
    with pytest.raises(UnsoundResult) as raised:
        require_sound(broken, sources=SOURCES)
    assert {finding.check for finding in raised.value.findings} == {Check.COUNT, Check.PATIENT}
    assert "Secret" not in str(raised.value)

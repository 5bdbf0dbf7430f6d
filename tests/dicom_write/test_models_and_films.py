"""Encapsulated STL, turntable and key objects, as other programs read them."""

import dataclasses
import io
import subprocess

import numpy as np
import open3d
import pytest
import trimesh
from pydicom import dcmread
from pydicom.uid import EncapsulatedSTLStorage

from pipeline.dicom_write.compact import compact
from pipeline.radiograph import Side
from pipeline.results import FileKind
from tests.dicom_write.example import file_of, picture_of, plain_picture, turntable, two_views, without_scale, write
from tests.factories import make_bone, save

KINDS = [
    *(FileKind.ENCAPSULATED_STL, FileKind.TURNTABLE, FileKind.KEY_OBJECTS),
    *(FileKind.KEY_RENDERING, FileKind.MEASUREMENT_PAGE, FileKind.TURNTABLE_FRAMES),
]
ALSO = frozenset({FileKind.TURNTABLE_FRAMES, FileKind.ENCAPSULATED_OBJ})


@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(tmp_path, dciodvfy_errors, kind):
    assert dciodvfy_errors(file_of(write(tmp_path, also=ALSO), tmp_path, kind)) == []


def test_the_enclosed_model_has_the_surfaces_volume_in_two_programs(tmp_path):
    bone = compact(make_bone())
    dataset = dcmread(file_of(write(tmp_path, frames=((bone,),)), tmp_path, FileKind.ENCAPSULATED_STL))
    document = dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength]
    expected = trimesh.Trimesh(bone.vertices, bone.triangles, process=False).volume
    assert trimesh.load_mesh(io.BytesIO(document), file_type="stl").volume == pytest.approx(expected, rel=1e-5)
    path = tmp_path / "model.stl"
    path.write_bytes(document)
    mesh = open3d.io.read_triangle_mesh(str(path))
    mesh.merge_close_vertices(1e-6)
    assert mesh.get_volume() == pytest.approx(expected, rel=1e-5)


def test_the_enclosed_obj_is_the_model_of_the_stl_and_so_is_all_that_its_instance_says(tmp_path):
    """But for what the file is, and the UIDs."""
    results = write(tmp_path, also=ALSO)
    kinds = (FileKind.ENCAPSULATED_STL, FileKind.ENCAPSULATED_OBJ)
    stl, obj = (dcmread(file_of(results, tmp_path, kind)) for kind in kinds)
    volumes = [
        trimesh.load_mesh(
            io.BytesIO(each.EncapsulatedDocument[: each.EncapsulatedDocumentLength]),
            file_type=each.MIMETypeOfEncapsulatedDocument.removeprefix("model/"),
        ).volume
        for each in (stl, obj)
    ]
    assert volumes[1] == pytest.approx(volumes[0], rel=1e-4)
    different = {element.keyword for element in obj if stl.get(element.tag) != element}
    assert different == {
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "DocumentTitle"),
        *("MIMETypeOfEncapsulatedDocument", "EncapsulatedDocument", "EncapsulatedDocumentLength"),
    }
    assert {element.tag for element in stl} == {element.tag for element in obj}


def test_dciodvfy_finds_no_error_in_an_obj_judged_as_an_stl(tmp_path, dciodvfy_errors):
    """It does not know the class; PS3.3 tables A.85.1-1 and A.85.2-1 name the same modules."""
    dataset = dcmread(file_of(write(tmp_path, also=ALSO), tmp_path, FileKind.ENCAPSULATED_OBJ))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EncapsulatedSTLStorage
    dataset.MIMETypeOfEncapsulatedDocument = "model/stl"
    assert dciodvfy_errors(save(dataset, tmp_path / "judged.dcm")) == []


def test_models_share_the_frame_of_reference_of_the_surfaces(tmp_path):
    results = write(tmp_path, frames=((make_bone(side=Side.RIGHT), make_bone(side=Side.LEFT)),))
    surfaces = dcmread(file_of(results, tmp_path, FileKind.SURFACE_SEGMENTATION))
    models = [dcmread(tmp_path / r.path) for r in results if r.kind is FileKind.ENCAPSULATED_STL]
    assert {model.FrameOfReferenceUID for model in models} == {surfaces.FrameOfReferenceUID}
    assert [(model.ImageLaterality, model.InstanceNumber) for model in models] == [("R", 1), ("L", 2)]
    assert len({model.SeriesInstanceUID for model in models}) == 1


def test_the_film_comes_back_frame_by_frame_with_its_pace(tmp_path):
    dataset = dcmread(file_of(write(tmp_path), tmp_path, FileKind.TURNTABLE))
    np.testing.assert_array_equal(dataset.pixel_array, turntable().frames)
    assert (dataset.NumberOfFrames, float(dataset.FrameTime), dataset.CineRate) == (4, 80.0, 12)


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (FileKind.TURNTABLE, turntable().frames[2]),
        (FileKind.TURNTABLE_FRAMES, turntable().frames[0]),
        (FileKind.SECONDARY_CAPTURE, picture_of(next(iter(two_views().values()))).pixels),
        (FileKind.KEY_RENDERING, plain_picture("Right femur, anterior").pixels),
        (FileKind.MEASUREMENT_PAGE, plain_picture("Measurements").pixels),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_dcmtk_draws_a_picture_as_it_was_made(tmp_path, dcmtk, kind, shown):
    path = file_of(write(tmp_path, also=ALSO), tmp_path, kind)
    which = ["+F", "3"] if kind is FileKind.TURNTABLE else []
    command = [dcmtk("dcmj2pnm"), *which, path, tmp_path / "frame.ppm"]
    subprocess.run(command, capture_output=True, check=True, timeout=30)
    data = (tmp_path / "frame.ppm").read_bytes()
    np.testing.assert_array_equal(np.frombuffer(data[-shown.size :], dtype=np.uint8).reshape(shown.shape), shown)


def test_single_frames_are_those_of_the_film_in_its_order(tmp_path):
    """Evenly spaced where there are more than twelve, in series and instances of their own."""
    film = turntable()
    long = dataclasses.replace(film, frames=np.tile(film.frames, (9, 1, 1, 1)))
    results = write(tmp_path, also=ALSO, turntables=(film, long))
    singles = [dcmread(tmp_path / r.path) for r in results if r.kind is FileKind.TURNTABLE_FRAMES]
    assert [single.InstanceNumber for single in singles] == list(range(1, 17))
    np.testing.assert_array_equal([s.pixel_array for s in singles], [*film.frames, *long.frames[::3]])
    assert "seen from 30 degrees to the left of the front" in singles[5].DerivationDescription
    turning = {r.series_instance_uid for r in results if r.kind is FileKind.TURNTABLE}
    assert len({single.SeriesInstanceUID for single in singles} | turning) == 2


def test_the_key_objects_are_the_proof_views_then_their_radiographs(tmp_path):
    results, sources = write(tmp_path), two_views()
    dataset = dcmread(file_of(results, tmp_path, FileKind.KEY_OBJECTS))
    named = [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in dataset.ContentSequence
        if item.ValueType == "IMAGE"
    ]
    proofs = [result.sop_instance_uid for result in results if result.kind is FileKind.SECONDARY_CAPTURE]
    assert named == [*proofs, *sorted(sources)]


@pytest.mark.parametrize("kind", [FileKind.KEY_RENDERING, FileKind.MEASUREMENT_PAGE])
def test_a_picture_names_every_radiograph_and_claims_no_size_of_a_pixel(tmp_path, kind):
    dataset = dcmread(file_of(write(tmp_path), tmp_path, kind))
    assert {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence} == set(two_views())
    assert dataset.Laterality == "R"
    assert "PixelSpacing" not in dataset


def test_without_a_scale_the_film_says_so(tmp_path):
    dataset = dcmread(file_of(write(tmp_path, **without_scale()), tmp_path, FileKind.TURNTABLE))
    assert dataset.ImageComments.startswith("Shape only")

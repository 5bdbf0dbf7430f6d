"""What leaves as files: meshes that any program opens, in the right units, and the same bytes every time."""

import hashlib
import json
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import open3d as o3d
import pytest
import trimesh

from pipeline import mesh_files
from pipeline.export import CLOUD_POINTS, low_poly, npz, png, sample_points, write_meshes
from pipeline.geometry import ProjectionGeometry, RigidPose
from pipeline.novel_views import size_words
from pipeline.projector import moved
from pipeline.radiograph import Side, View
from pipeline.results import FileKind
from pipeline.stages.camera import camera, frame_around, reach, standard_cameras
from pipeline.stages.depth_pictures import view_depth
from pipeline.stages.drawn_radiograph import draw_radiographs
from pipeline.stages.palette import BONE_COLOURS, INFERRED, MISS, cielab, plain_colours, uncertainty_colours
from pipeline.stages.render import prepare, ray_scene, render_shaded
from pipeline.stages.subdivision import loop_refinement
from pipeline.surface import Bone, BoneSurface
from tests.factories import make_bone
from tests.reconstructions import apparatus, pelvis_from_the_front

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bone() -> BoneSurface:
    return make_bone(around=64, along=120)


@pytest.fixture(scope="module")
def folder(bone, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return out, write_meshes([bone], out, scale_known=True)


@pytest.fixture(scope="module")
def pelvis() -> list[BoneSurface]:
    return [bone.assessment.surface for bone in pelvis_from_the_front().bones]


@pytest.fixture(scope="module")
def pelvis_folder(pelvis, tmp_path_factory):
    out = tmp_path_factory.mktemp("pelvis")
    return out, write_meshes(pelvis, out, scale_known=True)


def an_egg() -> BoneSurface:
    """Smooth everywhere, and of another width from every side."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    return BoneSurface(
        bone=Bone.FEMUR,
        side=Side.RIGHT,
        vertices=ball.vertices * [30, 45, 120],
        triangles=ball.faces,
        standard_deviation=np.ones(len(ball.vertices)),
        inferred=np.zeros(len(ball.vertices), dtype=bool),
    )


def opened(path) -> trimesh.Trimesh:
    loaded = trimesh.load(path)
    return loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply"])
def test_meshes_hold_the_bone_in_mm(bone, folder, suffix):
    mesh = opened(folder[0] / f"meshes/{bone.name}.{suffix}")
    assert mesh.is_watertight
    assert mesh.volume > 0, "triangles are counter-clockwise seen from outside"
    assert mesh.bounds == pytest.approx(np.stack([bone.vertices.min(axis=0), bone.vertices.max(axis=0)]), abs=1e-3)


def test_glb_stands_upright_in_metres(bone, folder):
    mesh = opened(folder[0] / f"meshes/{bone.name}.glb")
    left, posterior, head = bone.extent / 1000
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert mesh.extents == pytest.approx([left, head, posterior], rel=1e-3)


def document_of(glb: bytes) -> dict:
    """The JSON of a GLB."""
    text_length = struct.unpack("<I", glb[12:16])[0]
    return json.loads(glb[20 : 20 + text_length])


def test_a_scene_has_a_node_for_each_bone_in_its_place(pelvis, pelvis_folder):
    scene = pelvis_folder[1][0]
    assert (scene.kind, scene.title) == (FileKind.SCENE, "All bones, metres, GLB")
    document = document_of((pelvis_folder[0] / scene.path).read_bytes())
    assert [node["name"] for node in document["nodes"]] == [
        *("femur_R", "femur_L", "hip_bone_R", "hip_bone_L", "sacrum"),
    ]
    assert [node["extras"]["title"] for node in document["nodes"]][2:] == ["Right hip bone", "Left hip bone", "Sacrum"]
    assert [node["extras"]["side"] for node in document["nodes"]][3:] == ["L", None]
    (material,) = document["materials"]
    assert list(material["extensions"]) == document["extensionsUsed"] == ["KHR_materials_specular"]
    loaded = trimesh.load(pelvis_folder[0] / scene.path)
    for surface in pelvis:
        expected = np.stack([surface.vertices.min(axis=0), surface.vertices.max(axis=0)])[:, [0, 2, 1]] / 1000
        expected[:, 2] = -expected[::-1, 2]
        assert loaded.geometry[surface.name].bounds == pytest.approx(expected, abs=1e-5)
        assert loaded.geometry[surface.name].is_watertight


def test_glb_carries_the_deviation_in_mm_and_what_is_inferred(bone):
    data = mesh_files.glb([bone], [uncertainty_colours(bone)], header="note", scale_known=True)
    document = document_of(data)
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    start = 20 + struct.unpack("<I", data[12:16])[0] + 8
    for name, values in (("_SD_MM", bone.standard_deviation), ("_INFERRED", bone.inferred)):
        view = document["bufferViews"][document["accessors"][attributes[name]]["bufferView"]]
        stored = np.frombuffer(data[start + view["byteOffset"] :][: view["byteLength"]], "<f4")
        assert stored == pytest.approx(values.astype(float), rel=1e-6)


def test_a_shape_without_scale_claims_no_mm_of_its_deviation(bone):
    data = mesh_files.glb([bone], [plain_colours(bone)], header="note", scale_known=False)
    assert "_SD" in document_of(data)["meshes"][0]["primitives"][0]["attributes"]
    header = mesh_files.ply(bone, plain_colours(bone), header="note", scale_known=False).partition(b"end_header")[0]
    assert b"property float sd\n" in header


def test_glb_says_its_own_length(bone):
    data = mesh_files.glb([bone], [plain_colours(bone)], header="note", scale_known=True)
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    assert document_of(data)["accessors"][-1]["count"] == bone.triangles.size


@pytest.mark.parametrize("file", ["femur_R.stl", "femur_R.obj", "femur_R.ply", "femur_R_low-poly.stl"])
def test_the_axes_are_said_where_3d_slicer_looks_for_them(folder, file):
    assert b"SPACE=LPS" in (folder[0] / "meshes" / file).read_bytes()[:100]


@pytest.mark.parametrize("detail", ["", "_low-poly"])
def test_an_obj_finds_its_material_beside_it(bone, folder, detail):
    mesh = trimesh.load(folder[0] / f"meshes/{bone.name}{detail}.obj")
    assert mesh.visual.material.name == "femur"
    assert mesh.visual.material.diffuse[:3].tolist() == list(BONE_COLOURS[Bone.FEMUR])


def validated_by_khronos(paths: list[Path]) -> dict[str, list[dict]]:
    """What the glTF Validator of those who made the format has to say, by the files' names."""
    command = [REPOSITORY / "deploy/setup/with_node.sh", "tests/glb_validator", "validate", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return {Path(path).name: messages for path, messages in json.loads(done.stdout).items()}


def test_khronos_validator_finds_nothing_wrong(bone, pelvis_folder, tmp_path):
    shape_only = write_meshes([bone], tmp_path, scale_known=False)
    files = [(pelvis_folder[0], file) for file in pelvis_folder[1]] + [(tmp_path, file) for file in shape_only]
    said = validated_by_khronos([out / file.path for out, file in files if file.path.endswith(".glb")])
    assert len(said) == 2 + 2 * 5 + 2, "scenes, the bones of the pelvis and the bone without scale, each low-poly too"
    assert {name: messages for name, messages in said.items() if messages} == {}


def test_khronos_validator_sees_what_is_wrong(bone, tmp_path):
    data = mesh_files.glb([bone], [plain_colours(bone)], header="note", scale_known=True)
    (tmp_path / "bad.glb").write_bytes(data[:-4] + b"\xfe\xff\xff\xff")  # the last corner of the last triangle
    (said,) = validated_by_khronos([tmp_path / "bad.glb"]).values()
    assert [message["code"] for message in said] == ["ACCESSOR_INDEX_OOB"]


def test_the_low_poly_mesh_is_small_closed_and_near(bone):
    small = low_poly(bone, triangles=1000)
    distances = trimesh.proximity.closest_point_naive(
        trimesh.Trimesh(bone.vertices, bone.triangles, process=False), small.vertices[::10]
    )[1]
    assert small.watertight
    assert len(small.triangles) <= 1250
    assert distances.max() < 1.0


def test_ply_carries_the_deviation_and_what_is_inferred(bone, folder):
    data = (folder[0] / f"meshes/{bone.name}.ply").read_bytes()
    head, _, body = data.partition(b"end_header\n")
    assert b"property float sd_mm" in head
    assert b"property uchar inferred" in head
    record = np.dtype([("xyz", "<f4", 3), ("n", "<f4", 3), ("rgb", "u1", 3), ("sd", "<f4"), ("inferred", "u1")])
    vertices = np.frombuffer(body[: record.itemsize * len(bone.vertices)], record)
    assert vertices["sd"] == pytest.approx(bone.standard_deviation, rel=1e-5)
    assert np.array_equal(vertices["inferred"].astype(bool), bone.inferred)


def test_points_lie_on_the_surface_and_cover_it(bone):
    points, normals, _ = sample_points(bone, count=2000, seed=1)
    mesh = trimesh.Trimesh(bone.vertices, bone.triangles, process=False)
    assert trimesh.proximity.closest_point_naive(mesh, points[::40])[1].max() < 1e-6
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1)
    upper = points[:, 2] > np.median(bone.vertices[:, 2])
    area_above = mesh.area_faces[mesh.triangles_center[:, 2] > np.median(bone.vertices[:, 2])].sum() / mesh.area
    assert upper.mean() == pytest.approx(area_above, abs=0.03)


def test_the_same_bone_gives_the_same_bytes(bone, folder, tmp_path):
    again = write_meshes([bone], tmp_path, scale_known=True)
    first = {file.path: hashlib.sha256((folder[0] / file.path).read_bytes()).hexdigest() for file in folder[1]}
    assert first == {file.path: hashlib.sha256((tmp_path / file.path).read_bytes()).hexdigest() for file in again}


def test_arrays_and_pictures_give_the_same_bytes_too():
    values = np.random.default_rng(3).random((20, 30)).astype(np.float32)
    picture = (values * 255).astype(np.uint8)
    assert npz({"thickness_mm": values}) == npz({"thickness_mm": values})
    assert png(picture) == png(picture)


def test_without_a_scale_every_name_title_and_header_says_so(bone, tmp_path):
    written = write_meshes([bone], tmp_path, scale_known=False)
    assert all("shape-only" in file.path and "not mm" in file.title for file in written)
    assert b"SHAPE ONLY" in (tmp_path / f"meshes/{bone.name}_shape-only.stl").read_bytes()[:80]
    assert b"SHAPE ONLY" in (tmp_path / f"meshes/{bone.name}_shape-only.obj").read_bytes()[:80]


def test_every_kind_of_mesh_is_written(bone, folder):
    kinds = [file.kind for file in folder[1]]
    assert kinds.count(FileKind.MESH) == kinds.count(FileKind.MESH_LOW_POLY) == 5
    assert kinds.count(FileKind.PRINT_PACK) == 1
    cloud = trimesh.load(folder[0] / f"meshes/{bone.name}_points.ply")
    assert len(cloud.vertices) == CLOUD_POINTS


def test_inferred_vertices_are_cool_and_uncertain_ones_warm(bone):
    surface = BoneSurface(
        bone=bone.bone,
        side=bone.side,
        vertices=bone.vertices,
        triangles=bone.triangles,
        standard_deviation=np.linspace(0, 5, len(bone.vertices)),
        inferred=np.zeros(len(bone.vertices), dtype=bool),
    )
    colours = uncertainty_colours(surface).astype(int)
    assert colours[-1, 0] - colours[-1, 1] > colours[0, 0] - colours[0, 1] + 50
    assert INFERRED[2] > INFERRED[0]


@pytest.mark.parametrize("side", list(Side))
def test_the_lateral_camera_stands_at_the_bones_own_side(side):
    lateral = next(view for view in standard_cameras(side) if view.name == "lateral")
    outwards = 1 if side is Side.LEFT else -1
    assert lateral.towards[0] == pytest.approx(-outwards)
    assert lateral.up[2] == pytest.approx(1)


def test_a_sacrum_is_looked_at_from_above_too():
    superior = next(view for view in standard_cameras(None) if view.name == "superior")
    assert superior.towards == pytest.approx([0, 0, -1])
    assert superior.up == pytest.approx([0, 1, 0], abs=1e-9), "the symphysis is below, as in an inlet view"


def test_from_the_front_the_patients_left_is_on_the_right():
    assert camera("anterior", azimuth_deg=0).right == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("azimuth", [0, 90, 37])
def test_a_rendering_is_to_scale(azimuth):
    egg, view = an_egg(), camera("any", azimuth_deg=azimuth)
    rendering = render_shaded(prepare(egg), view, longest_side=400)
    lit = rendering.pixels.max(axis=2) > 60
    height = np.ptp(np.flatnonzero(lit.any(axis=1))) * rendering.mm_per_pixel
    width = np.ptp(np.flatnonzero(lit.any(axis=0))) * rendering.mm_per_pixel
    assert height == pytest.approx(np.ptp(egg.vertices @ view.up), abs=3 * rendering.mm_per_pixel)
    assert width == pytest.approx(np.ptp(egg.vertices @ view.right), abs=3 * rendering.mm_per_pixel)


def test_a_picture_says_how_large_the_bone_is_in_it_unless_it_is_seen_at_a_slant():
    egg = an_egg().vertices
    said = {view.name: size_words(egg, view) for view in standard_cameras(Side.RIGHT)}
    assert said["anterior"] == "seen part 60 mm across, 240 mm high"
    assert said["lateral"] == "seen part 90 mm across, 240 mm high"
    assert said["superior"] == "seen part 60 mm across, 90 mm high"
    assert said["three-quarter"] == ""


def test_no_ray_that_would_meet_the_bone_is_left_out():
    egg, view = an_egg(), camera("oblique", azimuth_deg=37, elevation_deg=20)
    frame = frame_around(egg.vertices, view, longest_side=300)
    row, column = (each.ravel() for each in np.indices((frame.rows, frame.columns)))
    scene = ray_scene(egg.vertices, egg.triangles)
    meets = np.isfinite(scene.cast_rays(o3d.core.Tensor.from_numpy(frame.rays(row, column)))["t_hit"].numpy())
    near = frame.near(egg.vertices, within_mm=reach(egg.vertices, egg.triangles))
    assert meets.any()
    assert near[row[meets], column[meets]].all()
    assert near.sum() < 1.5 * meets.sum(), "and few others are cast"


def test_a_drawn_radiograph_shows_walls_brighter_than_the_marrow(bone):
    drawn = draw_radiographs([bone], [camera("front", azimuth_deg=0)], longest_side=400)[0].pixels[..., 0]
    middle = drawn[drawn.shape[0] // 2].astype(int)
    bright = np.flatnonzero(middle > 30)
    wall, core = middle[bright[: len(bright) // 4]].max(), middle[bright[len(bright) // 2]]
    assert wall > core


def test_subdivision_keeps_a_ball_round_and_closed_and_carries_what_belongs_to_its_vertices():
    ball = trimesh.creation.icosphere(subdivisions=3)
    triangles = ball.faces.astype(np.int32)
    refinement = loop_refinement(triangles, len(ball.vertices))
    fine = trimesh.Trimesh(refinement.refined(ball.vertices), refinement.triangles, process=False)
    assert len(fine.faces) == 4 * len(ball.faces)
    assert fine.is_watertight
    assert fine.volume == pytest.approx(ball.volume, rel=0.02)
    assert np.ptp(np.linalg.norm(fine.vertices, axis=1)) < 0.01
    heights = refinement.refined(ball.vertices[:, 2])
    assert heights == pytest.approx(fine.vertices[:, 2])


def test_bones_shade_each_other():
    egg = an_egg()
    beside = replace(egg, vertices=egg.vertices + np.array([62.0, 0, 0]))
    alone, together = prepare(egg).openness, prepare(egg, beside).openness[: len(egg.vertices)]
    facing = egg.vertices[:, 0] > 29
    assert together[facing].mean() < alone[: len(egg.vertices)][facing].mean() - 0.3


def test_dicoms_colour_of_white_is_white():
    assert cielab((255, 255, 255)) == pytest.approx((100, 0, 0), abs=0.1)
    lightness, red, _ = cielab((255, 0, 0))
    assert (lightness, red) == pytest.approx((54.3, 80.8), abs=0.5)


def test_the_colours_of_bones_are_told_apart():
    colours = np.array([cielab(colour) for colour in (*BONE_COLOURS.values(), INFERRED, MISS)])
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(len(colours))
    assert set(BONE_COLOURS) == set(Bone)
    assert apart.min() > 20


def test_bent_between_two_films_bones_still_cast_one_shadow(bone):
    film = apparatus(View.AP, centre=bone.vertices.mean(axis=0), size_mm=(500.0, 260.0))
    turn = RigidPose(rotation=np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), translation=np.array([5.0, 6, 7]))
    elsewhere = replace(bone, vertices=turn.apply(bone.vertices))
    straight = view_depth([(bone, film)]).maps
    moved_too = view_depth([(bone, film), (elsewhere, moved(film, turn))]).maps
    met = np.isfinite(straight.front)
    assert moved_too.front[met] == pytest.approx(straight.front[met], abs=0.01)
    assert np.isfinite(moved_too.front).sum() == pytest.approx(met.sum(), rel=0.002)


def test_thickness_is_the_way_between_front_and_back(bone):
    geometry = ProjectionGeometry(
        source=[0, -1000, 0],
        detector_origin=[-10, 150, 170],
        column_direction=[1, 0, 0],
        row_direction=[0, 0, -1],
        pixel_spacing=(1.0, 1.0),
        rows=500,
        columns=260,
    )
    maps = view_depth([(bone, geometry)]).maps
    met = np.isfinite(maps.front)
    assert met.any()
    assert maps.thickness[met] == pytest.approx((maps.back - maps.front)[met], abs=0.5)

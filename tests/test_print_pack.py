"""What goes to a printer: read by the 3MF Consortium's own library, in its strict mode."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from pipeline.export import write_meshes
from pipeline.print_pack import CUBE_MM, print_pack
from pipeline.results import FileKind
from pipeline.surface import BoneSurface
from tests.reconstructions import PELVIS, true_surface

lib3mf = pytest.importorskip("lib3mf", reason="lib3mf is built for x86-64 only")


@pytest.fixture(scope="module")
def pelvis() -> list[BoneSurface]:
    return [true_surface(name) for name in PELVIS]


def read(path: Path) -> Any:
    """The model that lib3mf reads; it has no complaint."""
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(path))
    assert [reader.GetWarning(number) for number in range(reader.GetWarningCount())] == []
    return model


def items_of(model: Any) -> dict[str, trimesh.Trimesh]:
    """What lies on the plate, where it lies."""
    found, items = {}, model.GetBuildItems()
    while items.MoveNext():
        item = items.GetCurrent()
        mesh = model.GetMeshObjectByID(item.GetObjectResourceID())
        assert mesh.IsManifoldAndOriented()
        transform = np.array([list(row) for row in item.GetObjectTransform().Fields])
        vertices = np.array([list(vertex.Coordinates) for vertex in mesh.GetVertices()])
        triangles = [list(triangle.Indices) for triangle in mesh.GetTriangleIndices()]
        found[mesh.GetName()] = trimesh.Trimesh(vertices @ transform[:3] + transform[3], triangles, process=False)
    return found


@pytest.fixture(scope="module")
def plate(pelvis, tmp_path_factory) -> dict[str, trimesh.Trimesh]:
    path = tmp_path_factory.mktemp("print") / "pelvis.3mf"
    path.write_bytes(print_pack(pelvis, title="All bones"))
    model = read(path)
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    return items_of(model)


def test_every_bone_is_an_object_named_with_its_side_and_unit_and_has_its_volume(plate, pelvis):
    assert list(plate) == [*(f"{bone.title}, mm" for bone in pelvis), "Scale cube, 20 mm"]
    for bone, printed in zip(pelvis, plate.values(), strict=False):
        assert printed.volume == pytest.approx(trimesh.Trimesh(bone.vertices, bone.triangles).volume, rel=1e-4)


def test_the_bones_lie_to_each_other_as_in_the_patient(plate, pelvis):
    shifts = [
        printed.vertices.mean(axis=0) - bone.vertices.mean(axis=0)
        for bone, printed in zip(pelvis, plate.values(), strict=False)
    ]
    assert shifts == pytest.approx(np.tile(shifts[0], (len(shifts), 1)), abs=1e-3)


def test_the_cube_measures_20_mm_and_touches_nothing(plate):
    *bones, cube = plate.values()
    assert cube.extents == pytest.approx([CUBE_MM] * 3)
    assert cube.volume == pytest.approx(CUBE_MM**3)
    assert all(cube.bounds[0, 0] > bone.bounds[1, 0] for bone in bones)


def test_nothing_lies_below_or_beside_the_plate(plate):
    assert min(mesh.bounds[0].min() for mesh in plate.values()) == pytest.approx(0, abs=1e-3)


def test_a_shape_without_scale_is_not_for_the_printer(pelvis, tmp_path):
    kinds = {file.kind for file in write_meshes(pelvis[:1], tmp_path, scale_known=False)}
    assert FileKind.MESH in kinds
    assert FileKind.PRINT_PACK not in kinds

"""Simulated studies of people whom the models never saw, with what is true of them: pelvis, hip, knee, lower leg.

The radiographs go through real DICOM files and the product's own reader. They are kept in a folder for next time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.training.bodies import Body
from models.training.bone_dataset import channel
from models.training.bones import FloatArray
from models.training.field_study import FieldView, save_fields, simulate_fields
from models.training.fields import BoneField
from models.training.primitives import Mesh
from models.training.write_dx import Study
from pipeline.dicom_read import read_radiograph
from pipeline.radiograph import Radiograph, Side, View
from pipeline.stages.enhance import EnhancedImage, to_working_grid
from pipeline.stages.perceive import BONES, Looks, Perception
from pipeline.surface import Bone, Name, bone_name

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class BoneCase:
    """What is shown, and what is judged.

    Attributes:
        title: As in the table.
        fields: The radiographs, frontal first.
        judged: Bones of the side in question; of a pelvis, of both sides.
        both_sides: Whether the other side's are judged as well.
    """

    title: str
    fields: tuple[BoneField, ...]
    judged: tuple[Bone, ...]
    both_sides: bool = False

    def names(self, side: Side) -> list[Name]:
        """The judged bones."""
        sides = tuple(Side) if self.both_sides else (side,)
        paired = [(bone, each) for bone in self.judged if bone.is_paired for each in sides]
        return [*paired, *((bone, None) for bone in self.judged if not bone.is_paired)]


_KNEE = (BoneField.KNEE_AP, BoneField.KNEE_LATERAL)
_LOWER_LEG = (BoneField.LOWER_LEG_AP, BoneField.LOWER_LEG_LATERAL)

CASES = (
    BoneCase(
        title="pelvis AP",
        fields=(BoneField.PELVIS_AP,),
        judged=(Bone.FEMUR, Bone.HIP_BONE, Bone.SACRUM),
        both_sides=True,
    ),
    BoneCase(title="hip AP", fields=(BoneField.HIP_AP,), judged=(Bone.FEMUR, Bone.HIP_BONE)),
    BoneCase(
        title="hip AP + lateral",
        fields=(BoneField.HIP_AP, BoneField.HIP_CROSS_TABLE),
        judged=(Bone.FEMUR, Bone.HIP_BONE),
    ),
    BoneCase(title="knee AP + lateral", fields=_KNEE, judged=(Bone.FEMUR, Bone.TIBIA, Bone.FIBULA, Bone.PATELLA)),
    BoneCase(title="knee AP", fields=_KNEE[:1], judged=(Bone.FEMUR, Bone.TIBIA)),
    BoneCase(title="lower leg AP + lateral", fields=_LOWER_LEG, judged=(Bone.TIBIA, Bone.FIBULA)),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class BonePicture:
    """One radiograph as read back from DICOM, with what is true of it.

    Attributes:
        radiograph: As the product reads it.
        view: Frontal or lateral.
        masks: (h, w) uint8, bit k set where bone k of `BONES` casts its shadow.
        looks: How each of the patient's bones looks in it.
        surfaces: The patient's bones as they lay, LPS mm.
        shown: (V,) of each: vertices that the field holds.
    """

    radiograph: Radiograph
    view: View
    masks: npt.NDArray[np.uint8]
    looks: Mapping[Name, Looks]
    surfaces: Mapping[Name, Mesh]
    shown: Mapping[Name, BoolArray]

    def shown_range(self, name: Name) -> tuple[float, float]:
        """Lowest and highest z, mm, of what the field shows of a bone."""
        heights = self.surfaces[name].vertices[self.shown[name], 2]
        return float(heights.min()), float(heights.max())

    def shows(self, name: Name) -> bool:
        """Whether any of a bone is in the field."""
        return name in self.shown and bool(self.shown[name].any())

    def true_perception(self, name: Name, enhanced: EnhancedImage) -> Perception:
        """The bone's shadow as the simulator knows it, and no landmarks."""
        bit = BONES.index(self.looks[name])
        shadow = ((self.masks >> bit) & 1).astype(np.float32)
        mask, working_to_pixel = to_working_grid(shadow, max(enhanced.image.shape))
        return Perception(mask=mask, working_to_pixel=working_to_pixel, field=enhanced.field, landmarks={})


def photograph(body: Body, side: Side, fields: Sequence[BoneField], *, seed: int, folder: Path) -> list[BonePicture]:
    """Simulate radiographs of one person, write them as DICOM and read them back; kept for next time."""
    names = [f"{number}-{field.replace(' ', '-').lower()}" for number, field in enumerate(fields, start=1)]
    if not all((folder / f"{name}.npz").exists() for name in names):
        views = simulate_fields(body, side, fields, seed=seed)
        study = Study(seed_text=f"evaluation {body.people[0]} {side} {fields} {seed}", description="Simulated")
        for path, view in zip(save_fields(views, study, folder), views, strict=True):
            _save_truth(view, path.with_suffix(".npz"))
    return [_picture(folder / name) for name in names]


def _save_truth(view: FieldView, path: Path) -> None:
    bones = dict(view.body.bones)
    header = [
        {"bone": bone, "side": side, "looks": BONES.index(channel((bone, side), view.setup))} for bone, side in bones
    ]
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for number, bone in enumerate(bones.values()):
        arrays[f"vertices{number}"] = bone.mesh.vertices.astype(np.float32)
        arrays[f"triangles{number}"] = bone.mesh.triangles.astype(np.int32)
        arrays[f"shown{number}"] = _shown(view, bone.mesh.vertices)
    lateral = np.array(view.setup.view is View.LATERAL)
    np.savez_compressed(
        path,
        allow_pickle=False,
        header=np.array(json.dumps(header)),
        masks=view.shadow.masks,
        lateral=lateral,
        **arrays,
    )


def _shown(view: FieldView, vertices: FloatArray) -> BoolArray:
    geometry = view.geometry
    column, row = np.round(geometry.project(vertices)).astype(np.int64).T
    inside = (column >= 0) & (column < geometry.columns) & (row >= 0) & (row < geometry.rows)
    return np.asarray(inside & view.field[np.where(inside, row, 0), np.where(inside, column, 0)])


def _picture(path: Path) -> BonePicture:
    with np.load(path.with_suffix(".npz")) as truth:
        header = json.loads(str(truth["header"]))
        names = [(Bone(each["bone"]), Side(each["side"]) if each["side"] else None) for each in header]
        numbered = list(enumerate(names))
        return BonePicture(
            radiograph=read_radiograph(path.with_suffix(".dcm")),
            view=View.LATERAL if truth["lateral"] else View.AP,
            masks=truth["masks"],
            looks={name: BONES[each["looks"]] for name, each in zip(names, header, strict=True)},
            surfaces={
                name: Mesh(vertices=truth[f"vertices{n}"].astype(np.float64), triangles=truth[f"triangles{n}"])
                for n, name in numbered
            },
            shown={name: truth[f"shown{n}"] for n, name in numbered},
        )


def label(name: Name) -> str:
    """`hip_bone_R`."""
    return bone_name(*name)

"""Simulated studies of people whom the models never saw, with what is true of them.

The radiographs are written as real DICOM files, for the product's own reader; they are kept for next time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from models.training.bodies import Body, lend_lower_leg
from models.training.bone_dataset import channel
from models.training.bones import FloatArray, Kind
from models.training.evaluation.plan import Study
from models.training.field_study import FieldView, save_fields, simulate_fields
from models.training.primitives import Mesh
from models.training.write_dx import Study as DicomStudy
from pipeline.radiograph import Side
from pipeline.stages.perceive import BONES, Looks
from pipeline.surface import Name

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueBone:
    """A bone as it lay for a film.

    Attributes:
        surface: LPS mm.
        registered: (V, 3) mm, its shape model's vertices on it.
        shown: Vertices of the surface that the field holds.
        looks: As which bone it appears in the film.
    """

    surface: Mesh
    registered: FloatArray
    shown: BoolArray
    looks: Looks

    @property
    def shown_range(self) -> tuple[float, float]:
        """Lowest and highest z, mm, of what the field shows."""
        heights = self.surface.vertices[self.shown, 2]
        return float(heights.min()), float(heights.max())


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """One radiograph with what is true of it.

    Attributes:
        path: Of the DICOM file.
        identifier: Its SOPInstanceUID.
        masks: (h, w) uint8, bit k set where bone k of `BONES` casts its shadow.
        bones: The person's own, of which the field shows any.
    """

    path: Path
    identifier: str
    masks: npt.NDArray[np.uint8]
    bones: Mapping[Name, TrueBone]

    def shadow(self, looks: Looks) -> npt.NDArray[np.float32]:
        """(h, w) 1 where a bone's shadow falls."""
        return np.asarray((self.masks >> np.uint8(BONES.index(looks))) & np.uint8(1), dtype=np.float32)


def photograph(study: Study, body: Body, donors: Sequence[Body], folder: Path) -> list[Film]:
    """Simulate a study, write it as DICOM and read back what is true of it.

    Args:
        study: What is wanted.
        body: The person, as scanned.
        donors: Who lends a lower leg, where the person's is not known and a film shows the knee.
        folder: Keeps the files.
    """
    fields = study.examination.fields
    names = [f"{number}-{field.replace(' ', '-').lower()}" for number, field in enumerate(fields, start=1)]
    if not all((folder / f"{name}.npz").exists() for name in names):
        whole = _with_lower_leg(study, body, donors)
        views = simulate_fields(whole, study.side, fields, seed=study.seed, disturbance=study.disturbance)
        paths = save_fields(views, DicomStudy(seed_text=f"evaluation {study.key}", description="Simulated"), folder)
        for path, view in zip(paths, views, strict=True):
            _save_truth(view, body, path.with_suffix(".npz"))
    return [_film(folder / f"{name}.dcm") for name in names]


def _with_lower_leg(study: Study, body: Body, donors: Sequence[Body]) -> Body:
    needed = any(field.needs_lower_leg for field in study.examination.fields)
    if not needed or (Kind.TIBIA, study.side) in body.bones:
        return body
    legs = [(donor, side) for donor in donors if donor.people != body.people for side in donor.whole_legs()]
    donor, side = legs[study.seed % len(legs)]
    return lend_lower_leg(body, study.side, donor, side)


def _save_truth(view: FieldView, owner: Body, path: Path) -> None:
    """The posed bones that are the person's own, and the shadows of all."""
    own = [name for name in view.body.bones if name in owner.bones and view.body.bones[name].registered is not None]
    header = [
        {"bone": bone, "side": side, "looks": BONES.index(channel((bone, side), view.setup))} for bone, side in own
    ]
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for number, name in enumerate(own):
        bone = view.body.bones[name]
        arrays[f"vertices{number}"] = bone.mesh.vertices.astype(np.float32)
        arrays[f"triangles{number}"] = bone.mesh.triangles.astype(np.int32)
        arrays[f"registered{number}"] = np.asarray(bone.registered, dtype=np.float32)
        arrays[f"shown{number}"] = _shown(view, bone.mesh.vertices)
    header_text = np.array(json.dumps(header))
    np.savez_compressed(path, allow_pickle=False, header=header_text, masks=view.shadow.masks, **arrays)


def _shown(view: FieldView, vertices: FloatArray) -> BoolArray:
    geometry = view.geometry
    column, row = np.round(geometry.project(vertices)).astype(np.int64).T
    inside = (column >= 0) & (column < geometry.columns) & (row >= 0) & (row < geometry.rows)
    return np.asarray(inside & view.field[np.where(inside, row, 0), np.where(inside, column, 0)])


def _film(path: Path) -> Film:
    with np.load(path.with_suffix(".npz")) as truth:
        header = json.loads(str(truth["header"]))
        bones = {
            (Kind(each["bone"]), Side(each["side"]) if each["side"] else None): TrueBone(
                surface=Mesh(
                    vertices=truth[f"vertices{number}"].astype(np.float64),
                    triangles=truth[f"triangles{number}"].astype(np.int64),
                ),
                registered=truth[f"registered{number}"].astype(np.float64),
                shown=truth[f"shown{number}"],
                looks=BONES[each["looks"]],
            )
            for number, each in enumerate(header)
        }
        return Film(
            path=path,
            identifier=str(dcmread(path, stop_before_pixels=True).SOPInstanceUID),
            masks=truth["masks"],
            bones={name: bone for name, bone in bones.items() if bone.shown.any()},
        )

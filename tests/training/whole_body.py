"""A whole person who never was, put together from the mean bones of the models that ship: no shared data is needed."""

from __future__ import annotations

from functools import cache

import numpy as np

from models.training.bodies import Body, PlacedBone
from models.training.bone_dataset import read_models
from models.training.bones import Kind
from models.training.primitives import Mesh
from pipeline.geometry import FloatArray
from pipeline.radiograph import Side
from pipeline.shape_model import ShapeModel

SYMPHYSIS_MM = 5.0


@cache
def someone() -> Body:
    """Pelvis and both legs, standing upright, the midline at x = 0."""
    models = read_models()
    hip = _mean(models[Kind.HIP_BONE])
    hip = _shifted(hip, [-SYMPHYSIS_MM / 2 - hip.landmarks["pubic_symphysis"][0], 0, 0])
    femur = _onto(_mean(models[Kind.FEMUR]), "head_centre", hip.landmarks["acetabular_centre"])
    notch = femur.landmarks["intercondylar_notch"]
    tibia = _onto(_mean(models[Kind.TIBIA]), "knee_centre", notch - [0, 0, 8.0])
    malleolus = tibia.landmarks["medial_malleolus"]
    fibula = _onto(_mean(models[Kind.FIBULA]), "lateral_malleolus", np.add(malleolus, [-58.0, 12.0, -12.0]))
    patella = _onto(_mean(models[Kind.PATELLA]), "centre", np.add(notch, [0, -48.0, 20.0]))
    sacrum = _onto(
        _mean(models[Kind.SACRUM]), "sacroiliac_centre_right", hip.landmarks["sacroiliac_centre"] + [3, 0, 0]
    )
    right = {
        Kind.HIP_BONE: hip,
        Kind.FEMUR: femur,
        Kind.TIBIA: tibia,
        Kind.FIBULA: fibula,
        Kind.PATELLA: patella,
    }
    bones = {(kind, Side.RIGHT): bone for kind, bone in right.items()}
    bones |= {(kind, Side.LEFT): bone.mirrored() for kind, bone in right.items()}
    return Body(people=("nobody",), bones={**bones, (Kind.SACRUM, None): sacrum})


def without_lower_legs(body: Body) -> Body:
    kept = (Kind.HIP_BONE, Kind.FEMUR, Kind.SACRUM)
    return Body(people=("somebody else",), bones={name: bone for name, bone in body.bones.items() if name[0] in kept})


def _mean(model: ShapeModel) -> PlacedBone:
    mesh = Mesh(vertices=np.array(model.mean), triangles=model.triangles.astype(np.int64))
    landmarks = {name: landmark.position(model.mean) for name, landmark in model.landmarks.items()}
    return PlacedBone(mesh=mesh, landmarks=landmarks, registered=mesh.vertices)


def _shifted(bone: PlacedBone, shift) -> PlacedBone:
    return bone.moved(np.eye(3), np.zeros(3), np.asarray(shift, dtype=np.float64))


def _onto(bone: PlacedBone, landmark: str, place: FloatArray) -> PlacedBone:
    return _shifted(bone, place - bone.landmarks[landmark])

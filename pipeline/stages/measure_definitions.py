"""Every measurement that the product gives: its name, what it takes, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.stages import measure_femur as femur
from pipeline.stages import measure_leg as leg
from pipeline.stages import measure_pelvis as pelvis
from pipeline.stages.measure_anatomy import Anatomy
from pipeline.surface import Bone


@dataclass(frozen=True, kw_only=True)
class Part:
    """A bone that a definition is about.

    Attributes:
        bone: Which bone.
        needs: Its landmarks that a view must show.
        opposite: Whether it is the other side's.
    """

    bone: Bone
    needs: tuple[str, ...]
    opposite: bool = False


@dataclass(frozen=True, kw_only=True)
class Definition:
    """How something is measured, and what must be in the field for it.

    Attributes:
        name: The surgeon's own name.
        code: In the coding scheme of docs/measurements.md; one code means one definition, for ever.
        unit: UCUM.
        measured: The measurement on one shape of every part, in their order, as right bones.
        parts: The bones; the measurement is listed with the first.
        residual: Standard deviation, in its unit, that the shape model itself leaves: of the differences between the
            nearest shape of a model without the person and the person's own, not below 0.4 (docs/measurements.md); that
            of the pelvic tilt has 2° more, for how the pelvis was turned towards the film.
        frontal: Whether a frontal view must be there.
        lateral: Whether a lateral view must be there.
        symmetric: Whether both sides give the same.
    """

    name: str
    code: str
    unit: str
    measured: Callable[..., float]
    parts: tuple[Part, ...]
    residual: float
    frontal: bool = True
    lateral: bool = False
    symmetric: bool = False


ANATOMIES: Final[Mapping[Bone, type[Anatomy]]] = {
    Bone.FEMUR: femur.Femur,
    Bone.HIP_BONE: pelvis.HipBone,
    Bone.TIBIA: leg.Tibia,
    Bone.PATELLA: leg.Patella,
}
"""Bones on which anything is measured."""

_HIP: Final = ("head_centre", "greater_trochanter", "lesser_trochanter", "shaft_upper")
_KNEE: Final = ("medial_epicondyle", "lateral_epicondyle", "distal_medial_condyle")
_PLATEAU: Final = ("medial_plateau", "lateral_plateau")

_HEAD: Final = (Part(bone=Bone.FEMUR, needs=("head_centre",)),)
_UPPER_FEMUR: Final = (Part(bone=Bone.FEMUR, needs=_HIP),)
_LOWER_FEMUR: Final = (Part(bone=Bone.FEMUR, needs=_KNEE),)
_FEMUR: Final = (Part(bone=Bone.FEMUR, needs=(*_HIP, *_KNEE)),)
_TIBIA: Final = (Part(bone=Bone.TIBIA, needs=(*_PLATEAU, "ankle_centre")),)
_UPPER_TIBIA: Final = (Part(bone=Bone.TIBIA, needs=(*_PLATEAU, "medial_edge", "lateral_edge", "tibial_tuberosity")),)
_PATELLA: Final = (Part(bone=Bone.PATELLA, needs=("apex", "base", "medial_edge", "lateral_edge")),)
_ACETABULUM: Final = ("acetabular_rim_superior", "acetabular_rim_anterior", "acetabular_rim_posterior")
_ACETABULUM_ALONE: Final = (Part(bone=Bone.HIP_BONE, needs=_ACETABULUM),)
_PLANE: Final = ("asis", "pubic_tubercle")
_PELVIS: Final = (
    Part(bone=Bone.HIP_BONE, needs=_PLANE),
    Part(bone=Bone.HIP_BONE, needs=_PLANE, opposite=True),
)
_WIDE_PELVIS: Final = (
    Part(bone=Bone.HIP_BONE, needs=(*_PLANE, "iliac_crest")),
    Part(bone=Bone.HIP_BONE, needs=(*_PLANE, "iliac_crest"), opposite=True),
)
_ACETABULUM_IN_PELVIS: Final = (
    Part(bone=Bone.HIP_BONE, needs=(*_PLANE, *_ACETABULUM)),
    Part(bone=Bone.HIP_BONE, needs=_PLANE, opposite=True),
)
_LEG: Final = (
    Part(bone=Bone.TIBIA, needs=(*_PLATEAU, "ankle_centre")),
    Part(bone=Bone.FEMUR, needs=("head_centre", *_KNEE)),
)

DEFINITIONS: Final = (
    Definition(name="Femoral length", code="FL", unit="mm", measured=femur.femoral_length, parts=_FEMUR, residual=0.5),
    Definition(
        name="Femoral head diameter", code="FHD", unit="mm", measured=femur.head_diameter, parts=_HEAD, residual=0.4
    ),
    Definition(
        name="Neck-shaft angle",
        code="NSA",
        unit="deg",
        measured=femur.neck_shaft_angle,
        parts=_UPPER_FEMUR,
        residual=1.2,
    ),
    Definition(name="Neck length", code="FNL", unit="mm", measured=femur.neck_length, parts=_UPPER_FEMUR, residual=0.9),
    Definition(name="Femoral offset", code="FO", unit="mm", measured=femur.offset, parts=_UPPER_FEMUR, residual=0.5),
    Definition(
        name="Anteversion", code="FAV", unit="deg", measured=femur.anteversion, parts=_FEMUR, residual=2.0, lateral=True
    ),
    Definition(
        name="Mechanical lateral distal femoral angle",
        code="mLDFA",
        unit="deg",
        measured=femur.distal_femoral_angle,
        parts=_FEMUR,
        residual=0.5,
    ),
    Definition(
        name="Epicondylar width",
        code="ECW",
        unit="mm",
        measured=femur.epicondylar_width,
        parts=_LOWER_FEMUR,
        residual=1.0,
    ),
    Definition(
        name="Bicondylar width",
        code="BCW",
        unit="mm",
        measured=femur.bicondylar_width,
        parts=_LOWER_FEMUR,
        residual=0.8,
    ),
    Definition(name="Tibial length", code="TL", unit="mm", measured=leg.tibial_length, parts=_TIBIA, residual=0.5),
    Definition(
        name="Medial proximal tibial angle",
        code="MPTA",
        unit="deg",
        measured=leg.proximal_tibial_angle,
        parts=_TIBIA,
        residual=0.5,
    ),
    Definition(
        name="Medial tibial slope (axis of the upper shaft)",
        code="MTS",
        unit="deg",
        measured=leg.medial_slope,
        parts=_UPPER_TIBIA,
        residual=1.2,
        frontal=False,
        lateral=True,
    ),
    Definition(
        name="Tibial plateau width", code="TPW", unit="mm", measured=leg.plateau_width, parts=_UPPER_TIBIA, residual=0.8
    ),
    Definition(
        name="Patellar height",
        code="PH",
        unit="mm",
        measured=leg.patellar_height,
        parts=_PATELLA,
        residual=0.7,
        lateral=True,
    ),
    Definition(
        name="Patellar width",
        code="PW",
        unit="mm",
        measured=leg.patellar_width,
        parts=_PATELLA,
        residual=0.7,
        lateral=True,
    ),
    Definition(
        name="Acetabular diameter",
        code="AD",
        unit="mm",
        measured=pelvis.acetabular_diameter,
        parts=_ACETABULUM_ALONE,
        residual=1.6,
    ),
    Definition(
        name="Acetabular inclination (radiographic)",
        code="AI",
        unit="deg",
        measured=pelvis.acetabular_inclination,
        parts=_ACETABULUM_IN_PELVIS,
        residual=1.8,
    ),
    Definition(
        name="Acetabular anteversion (radiographic)",
        code="AAV",
        unit="deg",
        measured=pelvis.acetabular_anteversion,
        parts=_ACETABULUM_IN_PELVIS,
        residual=1.9,
    ),
    Definition(
        name="Lateral centre-edge angle",
        code="LCEA",
        unit="deg",
        measured=pelvis.centre_edge_angle,
        parts=_ACETABULUM_IN_PELVIS,
        residual=3.6,
    ),
    Definition(
        name="Distance of the anterior superior iliac spines",
        code="ASISD",
        unit="mm",
        measured=pelvis.spine_distance,
        parts=_PELVIS,
        residual=3.6,
        symmetric=True,
    ),
    Definition(
        name="Pelvic width",
        code="PEW",
        unit="mm",
        measured=pelvis.pelvic_width,
        parts=_WIDE_PELVIS,
        residual=1.7,
        symmetric=True,
    ),
    Definition(
        name="Pelvic tilt (anterior pelvic plane against the detector)",
        code="APPT",
        unit="deg",
        measured=pelvis.pelvic_tilt,
        parts=_PELVIS,
        residual=2.8,
        lateral=True,
        symmetric=True,
    ),
    Definition(
        name="Hip-knee-ankle angle", code="HKA", unit="deg", measured=leg.hip_knee_ankle_angle, parts=_LEG, residual=0.5
    ),
)

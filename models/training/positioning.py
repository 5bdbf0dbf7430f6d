"""Where tube and detector stand: the geometries in which technologists take a femur, with their usual slips."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from models.training.anatomy import Anatomy
from models.training.scene import Pose
from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.radiograph import View

Beam = Literal["ML", "LM"]


class Field(StrEnum):
    """What a radiograph is to show."""

    WHOLE = "whole"
    HIP = "hip"
    DISTAL = "distal"


@dataclass(frozen=True, kw_only=True)
class Distances:
    """The lengths that a technologist chooses.

    Attributes:
        source_to_detector_mm: SID.
        bone_to_detector_mm: From the middle of the field to the detector.
        off_centre_mm: (across, along) shift of the central ray against the middle of the field.
        margins_mm: (left, top, right, bottom) between the bone's shadow and the edge of the field, at the detector.
    """

    source_to_detector_mm: float = 1150.0
    bone_to_detector_mm: float = 80.0
    off_centre_mm: tuple[float, float] = (0.0, 0.0)
    margins_mm: tuple[float, float, float, float] = (40.0, 40.0, 40.0, 40.0)


@dataclass(frozen=True, kw_only=True)
class Setup(Distances):
    """A radiograph as it is set up.

    Attributes:
        view: AP or lateral.
        field: Part of the femur.
        tilt_degrees: Rotation vector by which tube and detector turn against the nominal view, LPS axes.
        columns_reversed: The picture is seen from the detector's back (laterals are hung either way).
        beam: Lateral only: through which side the beam enters.
    """

    view: View
    field: Field
    tilt_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    columns_reversed: bool = False
    beam: Beam = "ML"


def sample_setup(view: View, field: Field, rng: np.random.Generator, *, slips: float = 1.0) -> Setup:
    """A setup as one meets them; `slips` scales how far tube and detector turn against the nominal view."""
    low, high = {Field.WHOLE: (5, 90), Field.HIP: (10, 110), Field.DISTAL: (10, 90)}[field]
    left, top, right, bottom = (float(value) for value in rng.uniform(low, high, 4))
    tilt = np.clip(rng.normal(0, [5.0, 5.0, 6.0]), -15, 15) * slips
    return Setup(
        view=view,
        field=field,
        tilt_degrees=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        source_to_detector_mm=float(rng.choice([rng.uniform(900, 1250), rng.uniform(1250, 1800)], p=[0.75, 0.25])),
        bone_to_detector_mm=float(rng.uniform(20, 200)),
        off_centre_mm=(float(rng.normal(0, 25)), float(rng.normal(0, 40))),
        margins_mm=(left, top, right, bottom),
        columns_reversed=view is View.LATERAL and bool(rng.random() < 0.5),
        beam="ML" if rng.random() < 0.6 else "LM",
    )


def sample_pose(view: View, rng: np.random.Generator) -> Pose:
    """How a patient lies for a view: straight for AP; flexed, or turned as a frog lies, for many laterals."""
    if view is not View.LATERAL:
        return Pose(
            flexion=float(rng.normal(0, 5)),
            abduction=float(rng.normal(2, 7)),
            external_rotation=float(rng.normal(0, 9)),
            knee_flexion=float(rng.uniform(0, 8)),
            other_leg=bool(rng.random() < 0.9),
        )
    frog = rng.random() < 0.35
    return Pose(
        flexion=float(rng.uniform(0, 60) if rng.random() < 0.6 else rng.normal(0, 4)),
        abduction=float(rng.uniform(5, 40) if frog else rng.normal(3, 6)),
        external_rotation=float(rng.uniform(30, 80) if frog else rng.normal(0, 12)),
        knee_flexion=float(rng.uniform(0, 60)),
        other_leg=bool(rng.random() < 0.15),
    )


def place(anatomy: Anatomy, setup: Setup, *, longest_side: int = 320) -> ProjectionGeometry:
    """Source and detector of a setup.

    Args:
        anatomy: The femur, whose frame the geometry is given in.
        setup: The radiograph as it is set up.
        longest_side: Pixels along the detector's longer side.
    """
    turn = Rotation.from_rotvec(np.radians(setup.tilt_degrees)).as_matrix()
    beam, across, down = (turn @ axis for axis in _nominal_axes(anatomy, setup))
    return geometry_around(
        _part_to_show(anatomy, setup.field),
        Axes(beam=beam, across=across, down=down),
        setup,
        longest_side=longest_side,
        end=None if anatomy.whole else _cut_end(anatomy),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Axes:
    """Unit vectors (3,), LPS: along the central ray, and in which columns and rows are counted."""

    beam: FloatArray
    across: FloatArray
    down: FloatArray


def geometry_around(
    seen: FloatArray, axes: Axes, distances: Distances, *, longest_side: int, end: FloatArray | None = None
) -> ProjectionGeometry:
    """Source and detector whose field holds the shadow of some points, with margins.

    Args:
        seen: (N, 3) mm, what is to be shown.
        axes: Of the beam and the detector.
        distances: Of source, detector and field.
        longest_side: Pixels along the detector's longer side.
        end: (M, 3) points above which the field must end, where a surface was cut off.
    """
    centre = (seen.min(axis=0) + seen.max(axis=0)) / 2
    aim = centre + distances.off_centre_mm[0] * axes.across + distances.off_centre_mm[1] * axes.down
    source = aim - (distances.source_to_detector_mm - distances.bone_to_detector_mm) * axes.beam
    unit = ProjectionGeometry(
        source=source,
        detector_origin=aim + distances.bone_to_detector_mm * axes.beam,
        column_direction=axes.across,
        row_direction=axes.down,
        pixel_spacing=(1.0, 1.0),
        rows=1,
        columns=1,
    )
    shadow = unit.project(seen)
    left, top, right, bottom = distances.margins_mm
    low, high = shadow.min(axis=0) - np.array([left, top]), shadow.max(axis=0) + np.array([right, bottom])
    if end is not None:
        high[1] = min(high[1], float(unit.project(end)[:, 1].min()))
    spacing = float((high - low).max()) / longest_side
    columns, rows = (int(n) for n in np.maximum(np.round((high - low) / spacing), 32))
    return ProjectionGeometry(
        source=source,
        detector_origin=unit.pixel_position(low),
        column_direction=axes.across,
        row_direction=axes.down,
        pixel_spacing=(spacing, spacing),
        rows=rows,
        columns=columns,
    )


def _nominal_axes(anatomy: Anatomy, setup: Setup) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Beam, column and row directions of the untilted view."""
    down = np.array([0.0, 0.0, -1.0])
    if setup.view is View.LATERAL:
        beam = anatomy.lateral if setup.beam == "ML" else -anatomy.lateral
        across = np.array([0.0, 1.0, 0.0])
    else:
        beam = np.array([0.0, 1.0, 0.0]) * (1 if setup.view is View.AP else -1)
        across = np.array([1.0, 0.0, 0.0])
    return beam, -across if setup.columns_reversed else across, down


def _part_to_show(anatomy: Anatomy, field: Field) -> FloatArray:
    """(N, 3) the vertices that the field is set up around."""
    vertices = anatomy.femur.vertices
    top, length = vertices[:, 2].max(), abs(anatomy.head_centre[2] - anatomy.knee[2])
    if field is Field.WHOLE:
        return vertices
    if field is Field.HIP:
        return np.asarray(vertices[vertices[:, 2] > top - 0.27 * length])
    return np.asarray(vertices[vertices[:, 2] < vertices[:, 2].min() + 0.27 * length])


def _cut_end(anatomy: Anatomy) -> FloatArray:
    """(N, 3) where a surface was cut in the shaft: it must run out of the picture."""
    heights = anatomy.femur.vertices[:, 2]
    return np.asarray(anatomy.femur.vertices[heights < heights.min() + 6.0])

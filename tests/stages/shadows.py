"""Femora of people who do not exist, and what an ideal perception would see of them."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from pipeline.geometry import ProjectionGeometry, RigidPose
from pipeline.projector import moved, shadow
from pipeline.radiograph import Acquisition, Radiograph, Side, View
from pipeline.shape_model import ShapeModel, load, mirrored
from pipeline.stages.calibrate import calibrate
from pipeline.stages.fit import ViewObservation
from pipeline.stages.perceive import Perception

MODEL = Path(__file__).parents[2] / "models" / "femur_shape.npz"
FINER = 4


def femur_model() -> ShapeModel:
    return load(MODEL)


def somebody(model: ShapeModel, seed: int, *, size: float = 0.0) -> np.ndarray:
    """Coefficients of a femur that the model deems likely."""
    coefficients = 0.8 * np.random.default_rng(seed).standard_normal(model.size)
    coefficients[0] = size
    return coefficients


def standing(model: ShapeModel, coefficients: np.ndarray, side: Side, *, yaw: float = 0.0) -> np.ndarray:
    """Vertices of that femur, turned out by `yaw` degrees."""
    turn = Rotation.from_euler("z", -yaw if side is Side.RIGHT else yaw, degrees=True).as_matrix()
    return mirrored(model.instance(coefficients), side) @ turn.T


def apparatus(vertices: np.ndarray, view: View, side: Side, *, heights: tuple[float, float], tilt=(0, 0, 0)):
    """Tube and detector around the part of a bone between two heights, mm; pixels of half a millimetre."""
    shown = vertices[(vertices[:, 2] > heights[0]) & (vertices[:, 2] < heights[1])]
    centre = (shown.min(axis=0) + shown.max(axis=0)) / 2
    centre[2] = sum(heights) / 2
    beam = np.array([0.0, 1.0, 0.0]) if view is View.AP else np.array([-1.0 if side is Side.RIGHT else 1.0, 0.0, 0.0])
    across = np.array([1.0, 0.0, 0.0]) if view is View.AP else np.array([0.0, 1.0, 0.0])
    magnification, to_detector, spacing = 1.12, 1120.0, 0.5
    rows = int((heights[1] - heights[0]) * magnification / spacing)
    columns = int(170 * magnification / spacing)
    down = np.array([0.0, 0.0, -1.0])
    still = ProjectionGeometry(
        source=-beam * to_detector / magnification,
        detector_origin=beam * to_detector * (1 - 1 / magnification)
        - across * spacing * (columns - 1) / 2
        - down * spacing * (rows - 1) / 2,
        column_direction=across,
        row_direction=down,
        pixel_spacing=(spacing, spacing),
        rows=rows,
        columns=columns,
    )
    turn = Rotation.from_rotvec(np.deg2rad(tilt)).as_matrix()
    return moved(still, RigidPose(rotation=turn, translation=centre))


def acquisition_of(geometry: ProjectionGeometry, view: View, **changes) -> Acquisition:
    """What a modality would say of that apparatus."""
    said = {
        "imager_pixel_spacing": geometry.pixel_spacing,
        "source_to_detector_mm": geometry.source_to_detector,
        "magnification": 1.12,
        "column_axis": "L" if view is View.AP else "P",
        "row_axis": "F",
    }
    return Acquisition(**(said | changes))


def ideal_perception(vertices, triangles, geometry: ProjectionGeometry, *, longest: int = 320) -> Perception:
    """The bone's shadow with soft edges on a working grid, and no landmarks."""
    step = max(geometry.rows, geometry.columns) / longest
    rows, columns = round(geometry.rows / step), round(geometry.columns / step)
    fine = (geometry.project(vertices) + 0.5) / step * FINER - 0.5
    mask = shadow(fine, triangles, (rows * FINER, columns * FINER)).astype(np.float32)
    return Perception(
        mask=cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA),
        working_to_pixel=np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2]]),
        field=np.ones((rows, columns), dtype=bool),
        landmarks={},
    )


def observation(
    model: ShapeModel, vertices, view: View, side: Side, *, heights=None, tilt=(0, 0, 0), said: Mapping | None = None
) -> ViewObservation:
    """One view of a bone, as the fit gets it."""
    ends = heights or (vertices[:, 2].min() - 15, vertices[:, 2].max() + 15)
    geometry = apparatus(vertices, view, side, heights=ends, tilt=tilt)
    radiograph = Radiograph(
        identifier=str(view),
        pixels=np.zeros((geometry.rows, geometry.columns), np.float32),
        acquisition=acquisition_of(geometry, view, **(said or {})),
    )
    return ViewObservation(
        calibration=calibrate(radiograph, view=view, side=side),
        perception=ideal_perception(vertices, model.triangles_of(side), geometry),
    )


def surface_error(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of corresponding vertices (V, 3), mm, after rigid alignment."""
    a, b = one - one.mean(axis=0), other - other.mean(axis=0)
    u, _, vt = np.linalg.svd(b.T @ a)
    rotation = (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    return float(np.linalg.norm(a @ rotation.T - b, axis=1).mean())

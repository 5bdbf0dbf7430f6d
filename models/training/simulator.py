"""Simulated radiographs of a femur: a scene, a geometry and a photometry make one view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.training.photometry import Photometry, expose
from models.training.raycast import Layer, path_lengths
from models.training.scene import Scene
from pipeline.geometry import FloatArray, ProjectionGeometry
from pipeline.stages.perceive import Landmark

FloatImage = npt.NDArray[np.float32]
BoolImage = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedView:
    """One radiograph and what is true of it.

    Attributes:
        image: (rows, columns) float32 display values in 0..1, bone bright.
        femur: (rows, columns) True where the femur's shadow falls, also under other bones, within the field.
        field: (rows, columns) True where the collimator's blades leave the beam free.
        landmarks: (2,) column and row of every landmark the femur has; they may lie outside the picture.
        geometry: Where source and detector stood, in the femur's frame.
    """

    image: FloatImage
    femur: BoolImage
    field: BoolImage
    landmarks: Mapping[Landmark, FloatArray]
    geometry: ProjectionGeometry


def simulate_view(
    scene: Scene, geometry: ProjectionGeometry, photometry: Photometry, rng: np.random.Generator, *, threads: int = 0
) -> SimulatedView:
    """Take a radiograph of a scene.

    Args:
        scene: The patient.
        geometry: Source and detector; its rows, columns and spacing decide the picture's size and the time it takes.
        photometry: Beam, tissue, detector and display.
        rng: Source of textures and noise.
        threads: Threads that cast rays; 0 for all cores.
    """
    lengths = path_lengths(scene.meshes, geometry, threads=threads)
    return develop(scene, geometry, lengths, photometry, rng)


def develop(
    scene: Scene,
    geometry: ProjectionGeometry,
    lengths: Mapping[Layer, FloatImage],
    photometry: Photometry,
    rng: np.random.Generator,
) -> SimulatedView:
    """A view from path lengths that are already known (see `simulate_view`)."""
    image, field = expose(lengths, geometry.pixel_spacing[0], photometry, rng)
    return SimulatedView(
        image=image,
        femur=(lengths[Layer.FEMUR] > 0) & field,
        field=field,
        landmarks={name: geometry.project(point) for name, point in scene.anatomy.landmarks.items()},
        geometry=geometry,
    )

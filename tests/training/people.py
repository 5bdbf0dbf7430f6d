"""People who never were: drawn from the shape model that ships, so that no shared data is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.training.anatomy import Anatomy
from models.training.primitives import Mesh
from pipeline import shape_model
from pipeline.radiograph import Side
from pipeline.stages.perceive import LANDMARKS

MODEL = Path(__file__).parents[2] / "models" / "femur_shape.npz"


def someone(seed: int) -> Anatomy:
    """A right femur that is as likely as the model says, with its landmarks."""
    model = shape_model.load(MODEL)
    vertices = model.instance(np.random.default_rng(seed).normal(0, 0.8, model.size))
    landmarks = {name: model.landmarks[name].position(vertices) for name in LANDMARKS}
    femur = Mesh(vertices=vertices, triangles=model.triangles.astype(np.int64))
    return Anatomy(
        person=f"nobody-{seed}", side=Side.RIGHT, femur=femur, whole=True, landmarks=landmarks, head_radius=24.0
    )

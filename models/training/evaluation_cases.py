"""One person's simulated studies, reconstructed by models that never saw that person.

The radiographs go through real DICOM files and the product's own reader and stages. The outline comes either from the
fold's perception network (end to end) or from the simulator (true masks), which shows what the fit alone can do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.training.anatomy import Anatomy
from models.training.positioning import Field
from models.training.primitives import Mesh
from models.training.simulate_study import SimulatedRadiograph, save_study, simulate_study
from models.training.write_dx import Study
from pipeline.dicom_read import read_radiograph
from pipeline.radiograph import Radiograph, View
from pipeline.shape_model import ShapeModel
from pipeline.stages.calibrate import calibrate
from pipeline.stages.enhance import EnhancedImage, enhance, to_working_grid
from pipeline.stages.fit import Fit, ViewObservation, fit
from pipeline.stages.perceive import Network, Perception, perceive

BoolArray = npt.NDArray[np.bool_]

LONGEST_SIDE = 900
"""Pixels of the simulated pictures: 0.5 mm for a whole femur."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is shown and from where.

    Attributes:
        title: As in the table.
        field: Part of the femur.
        views: Used of the study's two.
    """

    title: str
    field: Field
    views: tuple[View, ...]


BOTH = (View.AP, View.LATERAL)
CASES = (
    Case(title="femur AP + lateral", field=Field.WHOLE, views=BOTH),
    Case(title="femur AP", field=Field.WHOLE, views=(View.AP,)),
    Case(title="hip AP + lateral", field=Field.HIP, views=BOTH),
    Case(title="hip AP", field=Field.HIP, views=(View.AP,)),
    Case(title="distal femur AP + lateral", field=Field.DISTAL, views=BOTH),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One radiograph as read back from DICOM, with what is true of it.

    Attributes:
        radiograph: As the product reads it.
        view: Its view.
        shadow: (rows, columns) float32, 1 where the femur's shadow falls.
        shown: (V,) vertices of the true surface that the field holds.
    """

    radiograph: Radiograph
    view: View
    shadow: npt.NDArray[np.float32]
    shown: BoolArray


def photograph(anatomy: Anatomy, field: Field, donors: Sequence[Anatomy], *, seed: int, folder: Path) -> list[Picture]:
    """Simulate AP and lateral of one person, write them as DICOM and read them back; kept for next time."""
    names = [f"{number}-{view.lower()}" for number, view in enumerate(BOTH, start=1)]
    if not all((folder / f"{name}.npz").exists() for name in names):
        _simulate(anatomy, field, donors, seed=seed, folder=folder)
    return [_picture(folder / name, view) for name, view in zip(names, BOTH, strict=True)]


def _simulate(anatomy: Anatomy, field: Field, donors: Sequence[Anatomy], *, seed: int, folder: Path) -> None:
    simulated = simulate_study(
        anatomy,
        field=field,
        views=BOTH,
        seed=seed,
        study=Study(seed_text=f"evaluation {anatomy.person} {anatomy.side} {field} {seed}"),
        knee_donors=[] if any(name.startswith("tibia") for name in anatomy.neighbours) else donors,
        longest_side=LONGEST_SIDE,
    )
    paths = save_study(simulated, anatomy, folder)
    for path, radiograph in zip(paths, simulated, strict=True):
        truth = path.with_suffix(".npz")
        np.savez_compressed(truth, shadow=radiograph.view.femur, shown=_shown(radiograph, anatomy.femur))


def _shown(simulated: SimulatedRadiograph, femur: Mesh) -> BoolArray:
    geometry = simulated.view.geometry
    column, row = np.round(geometry.project(femur.vertices)).astype(np.int64).T
    inside = (column >= 0) & (column < geometry.columns) & (row >= 0) & (row < geometry.rows)
    return np.asarray(inside & simulated.view.field[np.where(inside, row, 0), np.where(inside, column, 0)])


def _picture(path: Path, view: View) -> Picture:
    with np.load(path.with_suffix(".npz")) as truth:
        return Picture(
            radiograph=read_radiograph(path.with_suffix(".dcm")),
            view=view,
            shadow=truth["shadow"].astype(np.float32),
            shown=truth["shown"],
        )


def true_perception(picture: Picture, enhanced: EnhancedImage) -> Perception:
    """The femur's shadow as the simulator knows it, and no landmarks."""
    mask, working_to_pixel = to_working_grid(picture.shadow, max(enhanced.image.shape))
    return Perception(mask=mask, working_to_pixel=working_to_pixel, field=enhanced.field, landmarks={})


def seen_by(network: Network | None) -> Callable[[Picture], Perception]:
    """Perception by a network, or the true one."""

    def see(picture: Picture) -> Perception:
        enhanced = enhance(picture.radiograph)
        return perceive(enhanced, network) if network else true_perception(picture, enhanced)

    return see


def reconstruct(
    model: ShapeModel, pictures: Sequence[Picture], see: Callable[[Picture], Perception], anatomy: Anatomy
) -> Fit:
    """Fit the model to pictures of one bone."""
    observations = tuple(
        ViewObservation(
            calibration=calibrate(picture.radiograph, view=picture.view, side=anatomy.side), perception=see(picture)
        )
        for picture in pictures
    )
    return fit(model, observations, side=anatomy.side)


def shown_range(femur: Mesh, pictures: Sequence[Picture]) -> tuple[float, float]:
    """Lowest and highest z, mm, of the true surface in the frontal view's field."""
    heights = femur.vertices[pictures[0].shown, 2]
    return float(heights.min()), float(heights.max())

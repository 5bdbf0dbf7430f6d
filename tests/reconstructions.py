"""Reconstructions of people who do not exist: whole pelves and knees, seen by an ideal perception."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.training.bone_dataset import read_models
from models.training.bones import Kind
from pipeline.geometry import ProjectionGeometry, RigidPose
from pipeline.projector import depth_maps, simulated_film
from pipeline.radiograph import Acquisition, Radiograph, Scale, ScaleProvenance, Side, View
from pipeline.reconstruct import AdmittedView, ReconstructedBone, Reconstruction
from pipeline.stages.assess import Assessment
from pipeline.stages.calibrate import Calibration
from pipeline.stages.enhance import enhance
from pipeline.stages.fit import Fit, FittedView, ViewObservation
from pipeline.stages.gate import Content, GateDecision, GateScores
from pipeline.surface import Bone, BoneSurface, Name
from tests.stages.shadows import ideal_perception
from tests.training.whole_body import someone

PELVIS: Sequence[Name] = (
    (Kind.FEMUR, Side.RIGHT),
    (Kind.FEMUR, Side.LEFT),
    (Kind.HIP_BONE, Side.RIGHT),
    (Kind.HIP_BONE, Side.LEFT),
    (Kind.SACRUM, None),
)
KNEE: Sequence[Name] = tuple((kind, Side.RIGHT) for kind in (Kind.FEMUR, Kind.TIBIA, Kind.FIBULA, Kind.PATELLA))
KNEE_HEIGHT_MM = -480.0

CALIBRATED = Scale(mm_per_pixel=0.8, relative_uncertainty=0.01, provenance=ScaleProvenance.CALIBRATED)
UNSCALED = Scale(mm_per_pixel=None, relative_uncertainty=0.25, provenance=ScaleProvenance.NONE)
MISFIT_MM = 0.8
"""By how much reconstructed bones are larger than the true ones, along their normals."""


def apparatus(view: View, *, centre, size_mm: tuple[float, float], spacing: float = 1.0) -> ProjectionGeometry:
    """Tube and detector around a point; `size_mm` is the detector's (height, width)."""
    beam = np.array([0.0, 1.0, 0.0]) if view is View.AP else np.array([-1.0, 0.0, 0.0])
    across = np.array([1.0, 0.0, 0.0]) if view is View.AP else np.array([0.0, 1.0, 0.0])
    down = np.array([0.0, 0.0, -1.0])
    rows, columns = (round(length / spacing) for length in size_mm)
    return ProjectionGeometry(
        source=centre - 1000 * beam,
        detector_origin=centre + 120 * beam - across * spacing * (columns - 1) / 2 - down * spacing * (rows - 1) / 2,
        column_direction=across,
        row_direction=down,
        pixel_spacing=(spacing, spacing),
        rows=rows,
        columns=columns,
    )


def pelvis_from_the_front(*, scale: Scale = CALIBRATED, names: Sequence[Name] = PELVIS) -> Reconstruction:
    """One AP film of the pelvis; the femora end unseen."""
    film = apparatus(View.AP, centre=np.array([0.0, 0.0, -20.0]), size_mm=(360.0, 430.0))
    return reconstruction(names, {View.AP: film}, scale=scale)


def knee_from_two_sides(*, scale: Scale = CALIBRATED) -> Reconstruction:
    """AP and lateral film of a right knee."""
    centre = np.array([-85.0, 0.0, KNEE_HEIGHT_MM])
    films = {view: apparatus(view, centre=centre, size_mm=(300.0, 240.0)) for view in (View.AP, View.LATERAL)}
    return reconstruction(KNEE, films, scale=scale)


def reconstruction(
    names: Sequence[Name], films: Mapping[View, ProjectionGeometry], *, scale: Scale, side: Side = Side.RIGHT
) -> Reconstruction:
    """Every named bone from every film, each a little too large."""
    views = {view: _admitted(view, geometry, names, side) for view, geometry in films.items()}
    return Reconstruction(bones=tuple(_bone(name, views, films, scale) for name in names), together=(), warnings=())


def _admitted(view: View, geometry: ProjectionGeometry, names: Sequence[Name], side: Side) -> AdmittedView:
    meshes = [someone().bones[name].mesh for name in names]
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    triangles = np.concatenate([m.triangles + start for m, start in zip(meshes, starts, strict=False)])
    maps = depth_maps(np.concatenate([m.vertices for m in meshes]), triangles.astype(np.int32), geometry)
    noise = np.random.default_rng(len(view)).normal(0, 0.01, maps.thickness.shape)
    pixels = np.float32(1000 * (0.3 + 0.7 * simulated_film(maps.thickness) + noise))
    radiograph = Radiograph(identifier=f"a {view} film", pixels=pixels, acquisition=Acquisition())
    scores = GateScores(contents={Content.FEMUR: 0.99}, lateral=0.0, inverted=0.0, hindrances={})
    decision = GateDecision(content=Content.FEMUR, view=view, side=side, inverted=False, scores=scores, notes=())
    enhanced = enhance(radiograph)
    return AdmittedView(radiograph=radiograph, decision=decision, enhanced=enhanced, seen={})


def true_surface(name: Name) -> BoneSurface:
    """A bone as the person has it, known everywhere to a millimetre."""
    (kind, side), mesh = name, someone().bones[name].mesh
    return BoneSurface(
        bone=Bone(kind.value),
        side=side,
        vertices=mesh.vertices,
        triangles=mesh.triangles.astype(np.int32),
        standard_deviation=np.ones(len(mesh.vertices)),
        inferred=np.zeros(len(mesh.vertices), dtype=bool),
    )


def _bone(
    name: Name, views: Mapping[View, AdmittedView], films: Mapping[View, ProjectionGeometry], scale: Scale
) -> ReconstructedBone:
    true = true_surface(name)
    bone, side, triangles = true.bone, true.side, true.triangles
    vertices = true.vertices + MISFIT_MM * true.normals()
    in_field = np.zeros(len(vertices), dtype=bool)
    fitted = []
    for view, geometry in films.items():
        column, row = geometry.project(vertices).T
        in_field |= (column >= 0) & (row >= 0) & (column < geometry.columns) & (row < geometry.rows)
        seen = ideal_perception(true.vertices, triangles, geometry)
        calibration = Calibration(
            identifier=views[view].radiograph.identifier,
            view=view,
            geometry=geometry,
            scale=scale,
            depth_sd_mm=10.0,
            mirroring_known=True,
        )
        observation = ViewObservation(calibration=calibration, perception=seen)
        fitted.append(
            FittedView(
                observation=observation,
                geometry=geometry,
                residual_mm=np.full(200, MISFIT_MM),
                unmatched=0.0,
                depth_deviation=0.0,
            )
        )
    model = read_models()[name[0]]
    fit = Fit(
        bone=bone,
        model=model,
        side=side,
        coefficients=np.zeros(model.size),
        covariance=np.eye(model.size),
        pose=_pose_of_mean(name),
        vertices=vertices,
        triangles=triangles,
        views=tuple(fitted),
        in_field=in_field,
        start_spread_mm=0.0,
        objective=0.0,
    )
    height = vertices[:, 2]
    surface = BoneSurface(
        bone=bone,
        side=side,
        vertices=vertices,
        triangles=triangles,
        standard_deviation=0.6 + 0.01 * np.abs(height - height[in_field].mean()),
        inferred=~in_field,
    )
    assessment = Assessment(
        surface=surface,
        contour_error_mm=tuple(MISFIT_MM for _ in films),
        shape_distance=0.0,
        expected_error_mm=1.0,
        interval_mm=2.0,
        warnings=(),
    )
    return ReconstructedBone(views=tuple(views.values()), fit=fit, assessment=assessment, measurements=())


def _pose_of_mean(name: Name) -> RigidPose:
    """From the mean bone of the model to where the body has it: a shift."""
    kind, side = name
    mean = read_models()[kind].mean * ([-1.0, 1.0, 1.0] if side is Side.LEFT else [1.0, 1.0, 1.0])
    return RigidPose(translation=someone().bones[name].mesh.vertices.mean(axis=0) - mean.mean(axis=0))

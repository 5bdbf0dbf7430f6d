"""A finished study as a worker leaves it: the sample radiographs, a report and files made from the sample's bone."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import trimesh

from pipeline import export, projector
from pipeline.database import Database
from pipeline.dicom_read import read_radiograph
from pipeline.geometry import ProjectionGeometry
from pipeline.inbox import Incoming, accept
from pipeline.made_with import MadeWith
from pipeline.presentation import present
from pipeline.radiograph import Side
from pipeline.records import deliveries, reconstructions, results
from pipeline.records.results import StoredFile
from pipeline.results import (
    BoneContour,
    FileKind,
    Measurement,
    ModelVersion,
    RadiographReport,
    Report,
    ResultFile,
    ScaleReport,
    StageReport,
    Status,
    SurfaceReport,
)
from pipeline.store import Store
from pipeline.surface import Bone, BoneSurface
from tests.reconstructions import PELVIS, pelvis_from_the_front
from viewer_api.pictures import picture_of

SAMPLE = Path(__file__).parents[2] / "models" / "sample"
FILMS = ("1-ap.dcm", "2-lateral.dcm")
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
ANONYMOUS_BYTES = b"DICM stands at byte 128 of a real one"


@dataclass(frozen=True, kw_only=True)
class ExampleStudy:
    """What was put into the database."""

    study_id: UUID
    reconstruction_id: UUID
    result_id: UUID


def receive_sample(database: Database, store: Store, institution_id: UUID) -> UUID:
    """The sample study as a modality's C-STORE leaves it."""
    for name in FILMS:
        titles = {"calling_ae_title": "MODALITY", "called_ae_title": "BONECRAFT"}
        incoming = Incoming(path=SAMPLE / name, institution_id=institution_id, **titles)
        accepted = accept(database, store, incoming, now=NOON)
    return accepted.study_id


def add_finished_study(
    database: Database,
    store: Store,
    institution_id: UUID,
    folder: Path,
    *,
    scale_known: bool = True,
    report: Report | None = None,
) -> ExampleStudy:
    """The sample study, reconstructed; with another report whose files are in the folder, if one is given."""
    study_id = receive_sample(database, store, institution_id)
    report = report or make_report(folder, scale_known=scale_known)
    stored = []
    for described in report.files:
        blob = store.put_file(institution_id, folder / described.path)
        stored.append(StoredFile(described=described, blob_key=blob.key, size=blob.size, digest=blob.digest))
    with database.begin() as connection:
        reconstruction = reconstructions.of_study(connection, study_id)[0]
        result_id = results.add(
            connection,
            institution_id=institution_id,
            study_id=study_id,
            reconstruction_id=reconstruction.id,
            report=report,
            files=stored,
        )
        reconstructions.finish(connection, reconstruction, "reconstructed", now=NOON, problem="")
        assert result_id is not None
        deliveries.plan(connection, result_set_id=result_id)
    return ExampleStudy(study_id=study_id, reconstruction_id=reconstruction.id, result_id=result_id)


def make_report(folder: Path, *, scale_known: bool = True) -> Report:
    """Write the files of a result folder and tell of them."""
    surface = sample_surface()
    films = tuple(
        _film(folder, surface, name, truth, scale_known=scale_known)
        for name, truth in zip(FILMS, _truths(), strict=True)
    )
    meshes = export.write_meshes([surface], folder, scale_known=scale_known)
    return Report(
        status=Status.RECONSTRUCTED,
        software_version="0.1.0",
        scale=ScaleReport(
            known=scale_known,
            relative_uncertainty=0.02 if scale_known else 1.0,
            provenance="ImagerPixelSpacing and source distances" if scale_known else "none",
        ),
        stages=_stages(),
        radiographs=films,
        surfaces=(_surface_report(surface),),
        measurements=_measurements(scale_known=scale_known),
        warnings=("The shaft ends below the field: everything beyond it is inferred.",),
        models=(ModelVersion(name="femur shape", version="1", licence="CC BY-NC-SA 4.0", sha256="3f" * 32),),
        files=(
            *(
                ResultFile(path=f.picture, kind=FileKind.RADIOGRAPH, media_type="image/png", title=f.view)
                for f in films
            ),
            *meshes,
            *_pictures(folder, surface),
            *_documents(folder),
        ),
    )


def make_report_of_a_pelvis(folder: Path) -> Report:
    """Write the files of three bones on one film, and tell of them."""
    shown = present(
        pelvis_from_the_front(names=PELVIS[2:]), folder, made_with=MadeWith(software_version="0.1.0", models=())
    )
    measurement = Measurement(
        bone="hip_bone_L", name="Acetabular inclination", unit="deg", value=40.2, lower=36.0, upper=44.4
    )
    return Report(
        status=Status.RECONSTRUCTED,
        software_version="0.1.0",
        scale=ScaleReport(known=True, relative_uncertainty=0.01, provenance="calibrated PixelSpacing"),
        stages=_stages(),
        radiographs=shown.radiographs,
        surfaces=shown.surfaces,
        measurements=(measurement,),
        files=shown.files,
    )


def sample_surface() -> BoneSurface:
    """The sample's true bone, with doubt that grows towards the shaft's end, which is inferred."""
    mesh = trimesh.load(SAMPLE / "truth.ply")
    height = mesh.vertices[:, 2]
    from_top = (height.max() - height) / np.ptp(height)
    return BoneSurface(
        bone=Bone.FEMUR,
        side=Side.RIGHT,
        vertices=mesh.vertices,
        triangles=mesh.faces,
        standard_deviation=0.5 + 3.5 * from_top**2,
        inferred=from_top > 0.8,
    )


def _truths() -> list[dict]:
    return json.loads((SAMPLE / "truth.json").read_text())["radiographs"]


def _film(folder: Path, surface: BoneSurface, name: str, truth: dict, *, scale_known: bool) -> RadiographReport:
    geometry = ProjectionGeometry(**{**truth["geometry"], "pixel_spacing": tuple(truth["geometry"]["pixel_spacing"])})
    shape = (geometry.rows, geometry.columns)
    shadow = projector.shadow(geometry.project(surface.vertices), surface.triangles, shape)
    contour = tuple((float(column), float(row)) for column, row in projector.outlines(shadow)[0][::3])
    radiograph = read_radiograph(SAMPLE / name)
    path = f"radiographs/{name.removesuffix('.dcm')}.png"
    (folder / "radiographs").mkdir(exist_ok=True)
    (folder / path).write_bytes(picture_of(radiograph))
    return RadiographReport(
        identifier=radiograph.identifier,
        view=truth["view"],
        side="R",
        picture=path,
        contours=(BoneContour(bone="femur_R", polygons=(contour,), error_mm=0.7 if scale_known else None),),
        rows=geometry.rows,
        columns=geometry.columns,
        mm_per_pixel=0.2 if scale_known else None,
    )


def _surface_report(surface: BoneSurface) -> SurfaceReport:
    left, posterior, head = (float(length) for length in np.ptp(surface.vertices, axis=0))
    return SurfaceReport(
        name="femur_R",
        bone="femur",
        side="R",
        vertices=len(surface.vertices),
        triangles=len(surface.triangles),
        watertight=True,
        extent=(left, posterior, head),
        expected_error=1.2,
        inferred_fraction=float(surface.inferred.mean()),
        colour="#f0d492",
    )


def _measurements(*, scale_known: bool) -> tuple[Measurement, ...]:
    common = {"bone": "femur_R"}
    head = (
        {"value": 48.3, "lower": 46.9, "upper": 49.7} if scale_known else {"value": None, "lower": None, "upper": None}
    )
    return (
        Measurement(**common, name="Neck-shaft angle", unit="deg", value=127.4, lower=124.0, upper=130.8),
        Measurement(**common, name="Head diameter", unit="mm", **head, reason="" if scale_known else "No scale."),
        Measurement(
            **common,
            name="Femoral length",
            unit="mm",
            value=None,
            lower=None,
            upper=None,
            reason="The knee is outside the field.",
        ),
    )


def _stages() -> tuple[StageReport, ...]:
    seconds = {"read": 0.2, "gate": 0.1, "enhance": 0.6, "perceive": 0.9, "calibrate": 0.1, "fit": 2.4, "render": 1.7}
    return tuple(StageReport(name=name, seconds=time, summary=f"{name} done") for name, time in seconds.items())


def _pictures(folder: Path, surface: BoneSurface) -> tuple[ResultFile, ...]:
    """Depth as seen from the front, the only picture that needs no renderer."""
    geometry = projector.resampled(
        ProjectionGeometry(
            **{**_truths()[0]["geometry"], "pixel_spacing": tuple(_truths()[0]["geometry"]["pixel_spacing"])}
        ),
        longest=400,
    )
    depth = projector.depth_maps(surface.vertices, surface.triangles, geometry).thickness
    grey = np.nan_to_num(depth / max(float(np.nanmax(depth)), 1.0) * 255).astype(np.uint8)
    described = export.write_file(
        folder, "depth/ap-thickness.png", export.png(grey), kind=FileKind.DEPTH_PICTURE, title="AP, thickness"
    )
    novel = export.write_file(
        folder, "views/anterior.png", export.png(255 - grey), kind=FileKind.NOVEL_VIEW, title="Anterior"
    )
    return described, novel


def _documents(folder: Path) -> tuple[ResultFile, ...]:
    (folder / "femur_R.dcm").write_bytes(bytes(128) + ANONYMOUS_BYTES)
    (folder / "report.html").write_text("<!doctype html><title>Report</title>")
    segmentation = ResultFile(
        path="femur_R.dcm",
        kind=FileKind.SURFACE_SEGMENTATION,
        media_type="application/dicom",
        title="Right femur, Surface Segmentation",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.5",
        sop_instance_uid="2.25.1",
    )
    page = ResultFile(path="report.html", kind=FileKind.REPORT_PAGE, media_type="text/html", title="Report")
    return segmentation, page

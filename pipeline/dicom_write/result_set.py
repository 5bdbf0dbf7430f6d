"""Building, checking and writing the instances of one reconstruction."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from pipeline.dicom_check import require_sound
from pipeline.dicom_write.compact import compact
from pipeline.dicom_write.encapsulated_model import EncapsulatedModel, EncapsulatedObj, EncapsulatedStl
from pipeline.dicom_write.encoding import encode
from pipeline.dicom_write.film_segmentation import FilmSegmentation
from pipeline.dicom_write.inputs import FilmBones, MeasuredBone, PlainPicture, ProofPicture, Turntable, WriteSettings
from pipeline.dicom_write.key_objects import KeyProofs
from pipeline.dicom_write.measurement_report import BoneMeasurementReport
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.outline_presentation import OutlinePresentation
from pipeline.dicom_write.refusal import RefusalCapture, RefusalReport
from pipeline.dicom_write.report_document import ReportDocument
from pipeline.dicom_write.secondary_capture import MeasurementCapture, ProofCapture, RenderingCapture
from pipeline.dicom_write.surface_segmentation import (
    SurfaceSegmentation,
    UndeclaredSurfaceSegmentation,
    bones_title,
    frame_of_reference_uid,
)
from pipeline.dicom_write.turntable import TurntableCapture, TurntableStill, stills
from pipeline.radiograph import UNKNOWN_SCALE, Scale, Side, View
from pipeline.refusals import LeftOut
from pipeline.results import FileKind, ModelVersion, ResultFile
from pipeline.surface import BoneSurface

Frames = tuple[tuple[MeasuredBone, ...], ...]
Meshes = tuple[tuple[BoneSurface, ...], ...]
"""The surfaces of each frame, as they are written."""

VIEW_ORDER: Final = (View.AP, View.PA, View.LATERAL, None)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Draft:
    """An instance on its way into a file."""

    name: str
    kind: FileKind
    title: str
    dataset: Dataset
    radiograph: str | None = None


def write_result_set(
    *,
    frames: Frames,
    pictures: tuple[ProofPicture, ...],
    turntables: tuple[Turntable, ...],
    renderings: tuple[PlainPicture, ...],
    measurement_page: PlainPicture | None,
    left_out: tuple[LeftOut, ...],
    films: tuple[FilmBones, ...],
    also: frozenset[FileKind],
    scale: Scale,
    models: tuple[ModelVersion, ...],
    sources: Mapping[str, Dataset],
    digests: tuple[str, ...],
    folder: Path,
    software_version: str,
    created: datetime,
    settings: WriteSettings,
) -> tuple[ResultFile, ...]:
    """See `pipeline.dicom_write.write_results`; `folder` is made when there is something to write."""
    origin = Origin(
        sources=tuple(sources.values()),
        digests=digests,
        models=models,
        scale=scale,
        software_version=software_version,
        created=created,
        settings=settings,
    )
    proofs = list(_picture_drafts(pictures, sources, origin))
    meshes = _meshes(frames, origin)
    drafts = [
        *_surface_drafts(meshes, origin),
        *proofs,
        *_turntable_drafts(turntables, origin),
        *_rendering_drafts(renderings, origin),
        *_page_drafts(measurement_page, origin),
        *_report_drafts(frames, meshes, origin, left_out),
        *_key_object_drafts([proof.dataset for proof in proofs], origin),
        *_model_drafts(meshes, origin, FileKind.ENCAPSULATED_STL, EncapsulatedStl),
        *(_undeclared_drafts(meshes, origin) if FileKind.SURFACES_MANIFOLD_UNKNOWN in also else ()),
        *(_presentation_drafts(films, sources, origin) if FileKind.PRESENTATION_STATE in also else ()),
        *(_segmentation_drafts(films, sources, origin) if FileKind.FILM_SEGMENTATION in also else ()),
        *(_document_drafts(measurement_page, pictures, origin) if FileKind.REPORT_DOCUMENT in also else ()),
        *(_still_drafts(turntables, origin) if FileKind.TURNTABLE_FRAMES in also else ()),
        *(_obj_drafts(meshes, origin) if FileKind.ENCAPSULATED_OBJ in also else ()),
    ]
    return _write(drafts, origin, folder)


def write_refusal_set(
    *,
    refused: LeftOut,
    picture: PlainPicture,
    models: tuple[ModelVersion, ...],
    sources: Mapping[str, Dataset],
    digests: tuple[str, ...],
    folder: Path,
    software_version: str,
    created: datetime,
    settings: WriteSettings,
) -> tuple[ResultFile, ...]:
    """See `pipeline.dicom_write.write_refusal`."""
    origin = Origin(
        sources=tuple(sources.values()),
        digests=digests,
        models=models,
        scale=UNKNOWN_SCALE,
        software_version=software_version,
        created=created,
        settings=settings,
    )
    shown = _Draft(
        name="refusal-picture.dcm",
        kind=FileKind.REFUSAL_PICTURE,
        title=f"{picture.title}, DICOM Secondary Capture",
        dataset=RefusalCapture(picture, refused, origin),
    )
    said = _Draft(
        name="refusal-report.dcm",
        kind=FileKind.REFUSAL_REPORT,
        title="Why it was not reconstructed, DICOM Structured Report",
        dataset=RefusalReport(refused, origin),
    )
    return _write([shown, said], origin, folder)


def _write(drafts: Sequence[_Draft], origin: Origin, folder: Path) -> tuple[ResultFile, ...]:
    """Everything is checked before anything is written."""
    encoded = [encode(draft.dataset) for draft in drafts]
    for content in encoded:
        require_sound(dcmread(io.BytesIO(content)), sources=origin.sources)
    folder.mkdir(parents=True, exist_ok=True)
    for draft, content in zip(drafts, encoded, strict=True):
        (folder / draft.name).write_bytes(content)
    return tuple(_result_file(draft, folder.name) for draft in drafts)


def _surface_drafts(meshes: Meshes, origin: Origin) -> Iterator[_Draft]:
    for number, surfaces in enumerate(meshes, start=1):
        yield _Draft(
            name=f"surface-segmentation_{number}.dcm",
            kind=FileKind.SURFACE_SEGMENTATION,
            title=f"{bones_title(surfaces)}, DICOM Surface Segmentation",
            dataset=SurfaceSegmentation(surfaces, origin, series=number),
        )


def _undeclared_drafts(meshes: Meshes, origin: Origin) -> Iterator[_Draft]:
    for number, surfaces in enumerate(meshes, start=1):
        yield _Draft(
            name=f"surface-segmentation-manifold-unknown_{number}.dcm",
            kind=FileKind.SURFACES_MANIFOLD_UNKNOWN,
            title=f"{bones_title(surfaces)}, DICOM Surface Segmentation, manifold unknown",
            dataset=UndeclaredSurfaceSegmentation(surfaces, origin, series=number),
        )


def _obj_drafts(meshes: Meshes, origin: Origin) -> Iterator[_Draft]:
    return _model_drafts(meshes, origin, FileKind.ENCAPSULATED_OBJ, EncapsulatedObj)


def _model_drafts(meshes: Meshes, origin: Origin, kind: FileKind, model: type[EncapsulatedModel]) -> Iterator[_Draft]:
    for series, surfaces in enumerate(meshes, start=1):
        frame = frame_of_reference_uid(surfaces, origin)
        for number, surface in enumerate(surfaces, start=1):
            yield _Draft(
                name=f"{kind}_{surface.name}.dcm",
                kind=kind,
                title=f"{surface.title}, DICOM Encapsulated {model.FORMAT}",
                dataset=model(surface, origin, frame_of_reference_uid=frame, series=series, instance_number=number),
            )


def _turntable_drafts(turntables: tuple[Turntable, ...], origin: Origin) -> Iterator[_Draft]:
    for number, turntable in enumerate(turntables, start=1):
        yield _Draft(
            name=f"turntable_{number}.dcm",
            kind=FileKind.TURNTABLE,
            title=f"{turntable.title} turning, DICOM Multi-frame Secondary Capture",
            dataset=TurntableCapture(turntable, origin, instance_number=number),
        )


def _still_drafts(turntables: tuple[Turntable, ...], origin: Origin) -> Iterator[_Draft]:
    frames = [(turntable, frame) for turntable in turntables for frame in stills(turntable)]
    for number, (turntable, frame) in enumerate(frames, start=1):
        yield _Draft(
            name=f"turntable-frame_{number:02d}.dcm",
            kind=FileKind.TURNTABLE_FRAMES,
            title=f"{turntable.title} turning, frame {frame + 1}, DICOM Secondary Capture",
            dataset=TurntableStill(turntable, frame, origin, instance_number=number),
        )


def _rendering_drafts(renderings: tuple[PlainPicture, ...], origin: Origin) -> Iterator[_Draft]:
    for side in (Side.LEFT, Side.RIGHT, None):
        of_side = [picture for picture in renderings if picture.side is side]
        for number, picture in enumerate(of_side, start=1):
            yield _Draft(
                name=f"key-rendering{f'_{side}' if side else ''}_{number}.dcm",
                kind=FileKind.KEY_RENDERING,
                title=f"{picture.title}, DICOM Secondary Capture",
                dataset=RenderingCapture(picture, origin, instance_number=number),
            )


def _page_drafts(page: PlainPicture | None, origin: Origin) -> Iterator[_Draft]:
    if page is not None:
        yield _Draft(
            name="measurement-page.dcm",
            kind=FileKind.MEASUREMENT_PAGE,
            title=f"{page.title}, DICOM Secondary Capture",
            dataset=MeasurementCapture(page, origin),
        )


def _report_drafts(frames: Frames, meshes: Meshes, origin: Origin, left_out: tuple[LeftOut, ...]) -> Iterator[_Draft]:
    if not frames:
        return
    uids = {surface.name: frame_of_reference_uid(surfaces, origin) for surfaces in meshes for surface in surfaces}
    yield _Draft(
        name="measurement-report.dcm",
        kind=FileKind.MEASUREMENT_REPORT,
        title="Measurements, DICOM Structured Report",
        dataset=BoneMeasurementReport(
            tuple(bone for bones in frames for bone in bones), origin, frames=uids, left_out=left_out
        ),
    )


def _key_object_drafts(proofs: Sequence[Dataset], origin: Origin) -> Iterator[_Draft]:
    if proofs:
        yield _Draft(
            name="key-objects.dcm",
            kind=FileKind.KEY_OBJECTS,
            title="What to look at first, DICOM Key Object Selection",
            dataset=KeyProofs(proofs, origin),
        )


def _presentation_drafts(
    films: tuple[FilmBones, ...], sources: Mapping[str, Dataset], origin: Origin
) -> Iterator[_Draft]:
    for number, film in enumerate(_films_of(films, sources), start=1):
        yield _Draft(
            name=f"presentation-state_{number}.dcm",
            kind=FileKind.PRESENTATION_STATE,
            title=f"{film.title}, DICOM Presentation State",
            dataset=OutlinePresentation(film, sources[film.radiograph], origin, instance_number=number),
            radiograph=film.radiograph,
        )


def _segmentation_drafts(
    films: tuple[FilmBones, ...], sources: Mapping[str, Dataset], origin: Origin
) -> Iterator[_Draft]:
    for number, film in enumerate(_films_of(films, sources), start=1):
        yield _Draft(
            name=f"film-segmentation_{number}.dcm",
            kind=FileKind.FILM_SEGMENTATION,
            title=f"{film.title}, DICOM Segmentation",
            dataset=FilmSegmentation(film, sources[film.radiograph], origin, number=number),
            radiograph=film.radiograph,
        )


def _document_drafts(page: PlainPicture | None, pictures: tuple[ProofPicture, ...], origin: Origin) -> Iterator[_Draft]:
    pages: list[PlainPicture | ProofPicture] = [*([page] if page else ()), *pictures]
    if pages:
        yield _Draft(
            name="report-document.dcm",
            kind=FileKind.REPORT_DOCUMENT,
            title="Report to print, DICOM Encapsulated PDF",
            dataset=ReportDocument(pages, origin),
        )


def _films_of(films: tuple[FilmBones, ...], sources: Mapping[str, Dataset]) -> list[FilmBones]:
    """Those that came as DICOM."""
    return [film for film in films if film.radiograph in sources]


def _meshes(frames: Frames, origin: Origin) -> Meshes:
    """Those of each frame, where they may be written: the unit of what holds them is mm."""
    return tuple(tuple(compact(bone.surface) for bone in bones) for bones in frames) if origin.scale.known else ()


def _picture_drafts(
    pictures: tuple[ProofPicture, ...], sources: Mapping[str, Dataset], origin: Origin
) -> Iterator[_Draft]:
    """The pictures side by side, within a side in the order in which radiographs are read: frontal first."""
    if len({(picture.side, picture.radiograph) for picture in pictures}) < len(pictures):
        raise ValueError("two pictures of the same radiograph and side would be the same instance")
    for side in (Side.LEFT, Side.RIGHT, None):
        of_side = [picture for picture in pictures if picture.side is side]
        of_side.sort(key=lambda picture: (VIEW_ORDER.index(picture.view), picture.radiograph))
        for number, picture in enumerate(of_side, start=1):
            yield _Draft(
                name=f"secondary-capture{f'_{side}' if side else ''}_{number}.dcm",
                kind=FileKind.SECONDARY_CAPTURE,
                title=f"{picture.title}, DICOM Secondary Capture",
                dataset=ProofCapture(picture, sources[picture.radiograph], origin, instance_number=number),
                radiograph=picture.radiograph,
            )


def _result_file(draft: _Draft, folder: str) -> ResultFile:
    return ResultFile(
        path=f"{folder}/{draft.name}",
        kind=draft.kind,
        media_type="application/dicom",
        title=draft.title,
        sop_class_uid=str(draft.dataset.SOPClassUID),
        sop_instance_uid=str(draft.dataset.SOPInstanceUID),
        series_instance_uid=str(draft.dataset.SeriesInstanceUID),
        radiograph=draft.radiograph,
    )

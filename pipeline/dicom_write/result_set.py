"""Building, checking and writing the instances of one reconstruction."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from pipeline.dicom_check import require_sound
from pipeline.dicom_write.inputs import ProofPicture, WriteSettings
from pipeline.dicom_write.origin import Origin
from pipeline.dicom_write.secondary_capture import ProofCapture
from pipeline.dicom_write.surface_segmentation import SurfaceSegmentation, bones_title
from pipeline.radiograph import Scale, Side, View
from pipeline.results import FileKind, ModelVersion, ResultFile
from pipeline.surface import BoneSurface

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
    frames: tuple[tuple[BoneSurface, ...], ...],
    pictures: tuple[ProofPicture, ...],
    scale: Scale,
    models: tuple[ModelVersion, ...],
    sources: Mapping[str, Dataset],
    folder: Path,
    software_version: str,
    created: datetime,
    settings: WriteSettings,
) -> tuple[ResultFile, ...]:
    """See `pipeline.dicom_write.write_results`; `folder` is made when there is something to write."""
    origin = Origin(
        sources=tuple(sources.values()),
        models=models,
        scale=scale,
        software_version=software_version,
        created=created,
        settings=settings,
    )
    drafts = [*_surface_drafts(frames, origin), *_picture_drafts(pictures, sources, origin)]
    encoded = [encode(draft.dataset) for draft in drafts]
    for content in encoded:
        require_sound(dcmread(io.BytesIO(content)), sources=origin.sources)
    folder.mkdir(parents=True, exist_ok=True)
    for draft, content in zip(drafts, encoded, strict=True):
        (folder / draft.name).write_bytes(content)
    return tuple(_result_file(draft, folder.name) for draft in drafts)


def encode(dataset: Dataset) -> bytes:
    """An instance as a DICOM file (PS3.10 7)."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _surface_drafts(frames: tuple[tuple[BoneSurface, ...], ...], origin: Origin) -> Iterator[_Draft]:
    for number, surfaces in enumerate(frames, start=1):
        yield _Draft(
            name=f"surface-segmentation_{number}.dcm",
            kind=FileKind.SURFACE_SEGMENTATION,
            title=f"{bones_title(surfaces)}, DICOM Surface Segmentation",
            dataset=SurfaceSegmentation(surfaces, origin, series=number),
        )


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

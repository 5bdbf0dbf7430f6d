"""Results as DICOM objects of the source study.

The bones as a Surface Segmentation and as STL, a picture per radiograph with their outlines, the bones turning, a
report with the measurements, and key objects that say what to look at first; or why there are none.

Importing this package is cheap (no highdicom): the listener asks `recognise_own` about every instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.dicom_write.inputs import (
    BoneOnFilm,
    FilmBones,
    MeasuredBone,
    PlainPicture,
    ProofPicture,
    Turntable,
    WriteSettings,
)
from pipeline.dicom_write.uids import derive_uid, is_own_uid, recognise_own
from pipeline.radiograph import Scale
from pipeline.refusals import LeftOut
from pipeline.results import FileKind, ModelVersion, ResultFile

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "BoneOnFilm",
    "FilmBones",
    "MeasuredBone",
    "PlainPicture",
    "ProofPicture",
    "Turntable",
    "WriteSettings",
    "derive_uid",
    "is_own_uid",
    "recognise_own",
    "write_refusal",
    "write_results",
]


def write_results(
    *,
    frames: tuple[tuple[MeasuredBone, ...], ...],
    pictures: tuple[ProofPicture, ...],
    turntables: tuple[Turntable, ...] = (),
    renderings: tuple[PlainPicture, ...] = (),
    measurement_page: PlainPicture | None = None,
    left_out: tuple[LeftOut, ...] = (),
    films: tuple[FilmBones, ...] = (),
    also: frozenset[FileKind] = frozenset(),
    scale: Scale,
    models: tuple[ModelVersion, ...],
    sources: Mapping[str, Dataset],
    digests: tuple[str, ...],
    out: Path,
    software_version: str,
    created: datetime,
    settings: WriteSettings | None = None,
) -> tuple[ResultFile, ...]:
    """Write a reconstruction as DICOM instances into `out/dicom`, checked before they can go anywhere.

    The unit of surfaces is mm (PS3.3 C.27.1, C.35.1): without a known scale only pictures and report are written.
    Bones in one frame are the segments of one instance, which sets its frame of reference; bones whose films share no
    bone with the others (the other hip, radiographed by itself) have a frame and an instance of their own.
    Radiographs that came without a DICOM header (plain pictures) belong to no study: they get nothing.

    Args:
        frames: The bones with their measurements by the frame that they share, in mm LPS where the scale is known.
        pictures: One per radiograph.
        turntables: One per frame.
        renderings: The bones from the standard sides.
        measurement_page: The measurements to look at.
        left_out: What was not reconstructed beside the bones; their report says so.
        films: The bones as each radiograph shows them, where an optional kind needs that.
        also: The optional kinds that are to be written.
        scale: Where the size in mm came from; said in the objects.
        models: What took part; their digests enter the UIDs.
        sources: The radiographs that were used: identifier to header as read (text that nobody has decoded yet is
            copied byte for byte).
        digests: `Radiograph.digest` of every picture, those without a header too: they enter the UIDs.
        out: The result folder.
        software_version: Of Bonecraft.
        created: When the study was reconstructed, with its time zone. The UIDs do not depend on it.
        settings: What else decides the content.

    Returns:
        The files, paths relative to `out`; empty when there is no source with a header.

    Raises:
        UnsoundResult: An object fails the project's own check; nothing is left in `out/dicom`.
        InputError: A source lacks an identifier, or they belong to several studies.
        ValueError: Two pictures show the same side of the same radiograph.
        KeyError: A picture shows a radiograph that is not among the sources, while others are.
    """
    from pipeline.dicom_write.result_set import write_result_set  # highdicom takes a second to load

    if not sources:
        return ()
    return write_result_set(
        frames=frames,
        pictures=pictures,
        turntables=turntables,
        renderings=renderings,
        measurement_page=measurement_page,
        left_out=left_out,
        films=films,
        also=also,
        scale=scale,
        models=models,
        sources=sources,
        digests=digests,
        folder=out / "dicom",
        software_version=software_version,
        created=created,
        settings=settings or WriteSettings(),
    )


def write_refusal(
    *,
    refused: LeftOut,
    picture: PlainPicture,
    models: tuple[ModelVersion, ...],
    sources: Mapping[str, Dataset],
    digests: tuple[str, ...],
    out: Path,
    software_version: str,
    created: datetime,
    settings: WriteSettings | None = None,
) -> tuple[ResultFile, ...]:
    """Write why a study was not reconstructed into `out/dicom`: a report and a picture, checked like results.

    Args:
        refused: Why, and of which radiographs.
        picture: The radiographs with the words.
        models: What would have taken part; their digests enter the UIDs.
        sources: See `write_results`.
        digests: See `write_results`.
        out: The result folder.
        software_version: Of Bonecraft.
        created: When the study was refused, with its time zone.
        settings: What else decides the content.

    Returns:
        The files, paths relative to `out`; empty when there is no source with a header.

    Raises:
        UnsoundResult: An object fails the project's own check; nothing is left in `out/dicom`.
        InputError: A source lacks an identifier, or they belong to several studies.
    """
    from pipeline.dicom_write.result_set import write_refusal_set  # highdicom takes a second to load

    if not sources:
        return ()
    return write_refusal_set(
        refused=refused,
        picture=picture,
        models=models,
        sources=sources,
        digests=digests,
        folder=out / "dicom",
        software_version=software_version,
        created=created,
        settings=settings or WriteSettings(),
    )

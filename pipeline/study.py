"""From the files of a study to a folder of results, complete or not there at all."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from threadpoolctl import threadpool_limits

from pipeline.dicom_study import StudyInput, read_study
from pipeline.dicom_write import FilmBones, MeasuredBone, WriteSettings, write_refusal, write_results
from pipeline.dicom_write.rejection_note import Replaced, write_rejection_note
from pipeline.errors import InputError, Refusal
from pipeline.film_bones import film_bones
from pipeline.illustrations import illustrate, illustrate_input, stage_picture_files
from pipeline.made_with import MadeWith
from pipeline.measurement_page import measurement_page
from pipeline.presentation import Presentation, present
from pipeline.progress import Journal, Progress
from pipeline.radiograph import UNKNOWN_SCALE, Scale
from pipeline.reconstruct import Reconstruction, reconstruct
from pipeline.refusal_picture import refusal_picture
from pipeline.refusals import ADVICE, LeftOut
from pipeline.report_page import report_page
from pipeline.results import (
    FileKind,
    ModelVersion,
    RefusalReport,
    Report,
    ResultFile,
    ScaleReport,
    StageReport,
    Status,
)
from pipeline.surface import BoneSurface
from pipeline.typed_facts import TypedFacts
from pipeline.weights import LoadedModels, load_models

REPORT_FILE: Final = "report.json"
PAGE_FILE: Final = "report.html"

LAID_OVER_FILMS: Final = {FileKind.PRESENTATION_STATE, FileKind.FILM_SEGMENTATION}
"""Results that are made of the bones as each radiograph shows them."""

RECONSTRUCTED_AGAIN: Final = (
    "These results were replaced: the study was reconstructed again, of other or corrected images or by other models. "
    "The new series say in their descriptions what they replace."
)
"""What a rejection note says where new results take the place of the old ones."""

REFUSED: Final = (
    "These results do not hold: with all images of the study its bones are not reconstructed. "
    "Nothing takes their place; Bonecraft's viewer says why."
)
"""What it says where nothing does."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """What may be chosen for a study.

    Attributes:
        typed: What a person typed: nothing, one for all files, or one for each in their order.
        models: What reconstructs; None: the models that came with Bonecraft, on all cores.
        write: How the DICOM results are written.
        replaced: The DICOM files of earlier results of the study that went out and do not hold any more.
        answers_refusals: Whether a study that is refused gets a report and a picture that say why.
        also: The optional kinds of DICOM results that are to be made.
    """

    typed: tuple[TypedFacts, ...] = ()
    models: LoadedModels | None = None
    write: WriteSettings = field(default_factory=WriteSettings)
    replaced: tuple[Path, ...] = ()
    answers_refusals: bool = False
    also: frozenset[FileKind] = frozenset()


def reconstruct_study(
    paths: Sequence[Path],
    out: Path,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    options: StudyOptions | None = None,
) -> Report:
    """Reconstruct the radiographs of one study into a folder.

    The folder appears when it is complete, with `report.json` as its table of contents; a refusal is a complete
    result too. A folder of an earlier run is replaced.

    Args:
        paths: Files and folders.
        out: The result folder.
        on_progress: Is told where the work is.
        options: What may be chosen.

    Returns:
        What `report.json` says.

    Raises:
        InputError: The files are unreadable or contradict each other, or `out` is something else than a result folder.
    """
    _check_replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch) / "results"
        folder.mkdir()
        with threadpool_limits(limits=1, user_api="blas"):  # sums in one order: the same bits on any number of cores
            report = _fill(paths, folder, Journal(on_progress), options or StudyOptions())
        (folder / REPORT_FILE).write_text(report.to_json(), "utf-8")
        (folder / PAGE_FILE).write_text(report_page(report, folder), "utf-8")
        if out.exists():
            out.rename(Path(scratch) / "replaced")
        folder.rename(out)
    return report


def _fill(paths: Sequence[Path], folder: Path, journal: Journal, options: StudyOptions) -> Report:
    """Write everything but the report's own files into the folder."""
    models = options.models or load_models(threads=0)
    pictures: dict[str, str] = {}
    study: StudyInput | None = None
    try:
        with journal.stage("read", "Reading the pictures") as note:
            study = read_study(paths, options.typed)
            pictures["read"] = illustrate_input(study.radiographs, folder)
            note.summary = ", ".join(f"{r.pixels.shape[1]} × {r.pixels.shape[0]} pixels" for r in study.radiographs)
        reconstruction = reconstruct(study.radiographs, models, journal)
    except Refusal as refusal:
        return Report(
            status=Status.REFUSED,
            software_version=version("bonecraft"),
            scale=_scale_report(UNKNOWN_SCALE),
            stages=_with_pictures(journal.stages, pictures),
            warnings=study.warnings if study else (),
            models=models.versions,
            files=(
                *_write_refusal(study, refusal, models.versions, folder, options),
                *_write_rejection(options, folder, REFUSED),
                *stage_picture_files(pictures),
                _page_file(),
            ),
            refusal=RefusalReport(code=str(refusal.code), sentence=refusal.sentence, advice=ADVICE[refusal.code]),
        )
    with journal.stage("render", "Drawing the bones and writing meshes") as note:
        made_with = MadeWith(software_version=version("bonecraft"), models=models.versions)
        shown = present(reconstruction, folder, made_with=made_with)
        pictures |= illustrate(shown, folder)
        note.summary = f"{len(shown.files)} files"
    with journal.stage("write", "Writing DICOM results") as note:
        dicom = _write_dicom(study, reconstruction, shown, made_with, folder, options)
        note.summary = f"{len(dicom)} DICOM instances" if dicom else "no DICOM: the pictures came without a study"
    return Report(
        status=Status.RECONSTRUCTED,
        software_version=version("bonecraft"),
        scale=_scale_report(_overall_scale(reconstruction)),
        stages=_with_pictures(journal.stages, pictures),
        radiographs=shown.radiographs,
        surfaces=shown.surfaces,
        measurements=reconstruction.measurements,
        warnings=(*study.warnings, *reconstruction.warnings),
        models=models.versions,
        files=(
            *dicom,
            *_write_rejection(options, folder, RECONSTRUCTED_AGAIN),
            *shown.files,
            *stage_picture_files(pictures),
            _page_file(),
        ),
    )


def _write_dicom(
    study: StudyInput,
    reconstruction: Reconstruction,
    shown: Presentation,
    made_with: MadeWith,
    folder: Path,
    options: StudyOptions,
) -> tuple[ResultFile, ...]:
    """DICOM instances of the source study; none where no radiograph came as DICOM."""
    overall = _overall_scale(reconstruction)
    return write_results(
        frames=tuple(tuple(_measured(surface, reconstruction) for surface in scene.surfaces) for scene in shown.scenes),
        turntables=shown.turntables,
        renderings=shown.key_renderings,
        measurement_page=measurement_page(shown.surfaces, reconstruction.measurements, overall, made_with=made_with),
        pictures=tuple(proof for proof in shown.proofs if proof.radiograph in study.headers),
        left_out=reconstruction.left_out,
        films=_films(shown) if options.also & LAID_OVER_FILMS else (),
        also=options.also,
        scale=overall,
        models=made_with.models,
        sources=study.headers,
        digests=tuple(radiograph.digest for radiograph in study.radiographs),
        out=folder,
        software_version=made_with.software_version,
        created=datetime.now(UTC),
        settings=_write_settings(options),
    )


def _write_refusal(
    study: StudyInput | None, refusal: Refusal, models: tuple[ModelVersion, ...], folder: Path, options: StudyOptions
) -> tuple[ResultFile, ...]:
    """What the study gets in place of results, where that is wanted; what holds no radiograph gets nothing."""
    if study is None or not options.answers_refusals:
        return ()
    identifiers = tuple(radiograph.identifier for radiograph in study.radiographs)
    return write_refusal(
        refused=LeftOut(code=refusal.code, sentence=refusal.sentence, radiographs=identifiers),
        picture=refusal_picture(study.radiographs, refusal.sentence, ADVICE[refusal.code]),
        models=models,
        sources=study.headers,
        digests=tuple(radiograph.digest for radiograph in study.radiographs),
        out=folder,
        software_version=version("bonecraft"),
        created=datetime.now(UTC),
        settings=_write_settings(options),
    )


def _films(shown: Presentation) -> tuple[FilmBones, ...]:
    return tuple(film_bones(*each) for each in zip(shown.films, shown.contours, strict=True))


def _write_settings(options: StudyOptions) -> WriteSettings:
    """With what a person chose, and what the new instances take the place of."""
    choices = tuple(choice for typed in options.typed for choice in typed.choices())
    replaced = Replaced.read(options.replaced)
    return dataclasses.replace(
        options.write,
        choices=(*options.write.choices, *choices),
        replaces=replaced.uids if replaced else (),
        replaces_made=replaced.made if replaced else "",
    )


def _write_rejection(options: StudyOptions, folder: Path, because: str) -> tuple[ResultFile, ...]:
    """A rejection note for the earlier results, where some went out."""
    replaced = Replaced.read(options.replaced)
    if replaced is None:
        return ()
    note = write_rejection_note(
        replaced, because=because, out=folder, software_version=version("bonecraft"), created=datetime.now(UTC)
    )
    return (note,)


def _measured(surface: BoneSurface, reconstruction: Reconstruction) -> MeasuredBone:
    """A bone as the report has it: with what was measured on it, and on several bones of which it is the first."""
    bone = next(bone for bone in reconstruction.bones if bone.assessment.surface is surface)
    return MeasuredBone(
        surface=surface,
        expected_error_mm=bone.assessment.expected_error_mm,
        radiographs=tuple(view.radiograph.identifier for view in bone.views),
        measurements=tuple(m for m in reconstruction.measurements if m.bone == surface.name),
    )


def _overall_scale(reconstruction: Reconstruction) -> Scale:
    """The least certain of the bones' scales: a claim for the whole study is a claim for each."""
    return max((b.scale for b in reconstruction.bones), key=lambda scale: (not scale.known, scale.relative_uncertainty))


def _with_pictures(stages: Sequence[StageReport], pictures: Mapping[str, str]) -> tuple[StageReport, ...]:
    return tuple(dataclasses.replace(stage, picture=pictures.get(stage.name)) for stage in stages)


def _scale_report(scale: Scale) -> ScaleReport:
    return ScaleReport(
        known=scale.known, relative_uncertainty=scale.relative_uncertainty, provenance=str(scale.provenance)
    )


def _page_file() -> ResultFile:
    return ResultFile(path=PAGE_FILE, kind=FileKind.REPORT_PAGE, media_type="text/html", title="Report")


def _check_replaceable(out: Path) -> None:
    """Only an empty folder or an earlier result may be replaced."""
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / REPORT_FILE).is_file())):
        raise InputError(f"{out} exists and is no result folder; give another --out")

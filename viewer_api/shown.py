"""Records as the page is told them: flat values with addresses, nothing that the page does not show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final
from uuid import UUID

from pipeline.records.instances import Instance
from pipeline.records.replacement import Replacement
from pipeline.records.results import ResultFileRow, ResultSet
from pipeline.records.studies import Study
from pipeline.records.viewing import DeliveryLine, EarlierStudy, Removals
from pipeline.results import FileKind, Report

CALLED_BY_NAME: Final = (".obj", ".mtl")
"""The one names the other, which has to be found under that name."""


@dataclass(frozen=True, kw_only=True)
class ShownProgress:
    """Where a study stands. `fraction` is in per cent; what it waits for is said while it is `receiving`."""

    state: str
    stage: str = ""
    fraction: int = 0
    sentence: str = ""
    problem: str = ""
    waits_for: str = ""
    wait_until: datetime | None = None
    priority: str = "routine"

    @property
    def has_arrived(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state not in ("receiving", "queued", "running")


@dataclass(frozen=True, kw_only=True)
class ShownStudy(ShownProgress):
    """A line of the study list."""

    id: UUID
    patient_name: str
    patient_id: str
    accession_number: str
    study_date: str
    study_description: str
    last_received_at: datetime
    radiographs: int


@dataclass(frozen=True, kw_only=True)
class ShownRadiograph:
    """A radiograph as received, before and without any result."""

    id: UUID
    identifier: str
    modality: str
    body_part: str
    view: str
    side: str
    picture: str


@dataclass(frozen=True, kw_only=True)
class ShownFile:
    """A result file and its address."""

    path: str
    kind: FileKind
    media_type: str
    title: str
    size: int
    radiograph: str | None
    url: str


@dataclass(frozen=True, kw_only=True)
class ShownResult:
    """A result set."""

    id: UUID
    created_at: datetime
    report: Report
    files: tuple[ShownFile, ...]


@dataclass(frozen=True, kw_only=True)
class ShownHistoryEntry:
    """One of the results that a study has had.

    Attributes:
        id: Its own.
        created_at: When it was made.
        status: How the reconstruction ended.
        radiographs: How many radiographs it was made from.
        replaced_by: The result that took its place; None: it stands, or that one is kept no more.
        replaced_at: When that was; None: it stands.
        reason: Why it was replaced, in words.
    """

    id: UUID
    created_at: datetime
    status: str
    radiographs: int
    replaced_by: UUID | None
    replaced_at: datetime | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class ShownStudyPage:
    """Everything about one study."""

    study: ShownStudy
    radiographs: tuple[ShownRadiograph, ...]
    result: ShownResult | None
    history: tuple[ShownHistoryEntry, ...]
    deliveries: tuple[DeliveryLine, ...]
    removed: Removals
    earlier: tuple[EarlierStudy, ...]


def progress_of(study: Study) -> ShownProgress:
    """Where a study stands; what an older reconstruction said does not count while new views arrive."""
    if study.state == "left-out":
        return ShownProgress(state=study.state, problem=study.left_out)
    progress = study.progress
    if progress is None or study.state == "receiving":
        return ShownProgress(state=study.state, waits_for=study.waits_for, wait_until=study.wait_until)
    return ShownProgress(
        state=study.state,
        stage=progress.stage,
        fraction=progress.percent,
        sentence=progress.sentence,
        problem=progress.problem,
        priority=progress.priority,
    )


def shown_study(study: Study) -> ShownStudy:
    """A line of the study list."""
    header = study.header
    return ShownStudy(
        **dataclasses.asdict(progress_of(study)),
        id=study.id,
        patient_name=header.patient_name,
        patient_id=header.patient_id,
        accession_number=header.accession_number,
        study_date=header.study_date,
        study_description=header.study_description,
        last_received_at=study.last_received_at,
        radiographs=study.radiographs,
    )


def shown_radiograph(instance: Instance) -> ShownRadiograph:
    """A received radiograph with the address of its picture."""
    facts = instance.facts
    return ShownRadiograph(
        id=instance.id,
        identifier=instance.sop_instance_uid,
        modality=_fact(facts, "modality"),
        body_part=_fact(facts, "body_part"),
        view=_fact(facts, "view"),
        side=_fact(facts, "side"),
        picture=f"/api/studies/{instance.study_id}/radiographs/{instance.id}",
    )


def shown_result(result: ResultSet) -> ShownResult:
    """A result set with an address for each of its files."""
    pictured = {file.path: file.radiograph for file in result.report.files}
    return ShownResult(
        id=result.id,
        created_at=result.created_at,
        report=dataclasses.replace(result.report, files=()),
        files=tuple(_shown_file(file, result.study_id, pictured.get(file.path)) for file in result.files),
    )


def shown_history(history: Sequence[ResultSet]) -> tuple[ShownHistoryEntry, ...]:
    """A study's results, the newest first, each with what took its place."""
    return tuple(map(_history_entry, history))


def _history_entry(result: ResultSet) -> ShownHistoryEntry:
    return ShownHistoryEntry(
        id=result.id,
        created_at=result.created_at,
        status=result.report.status,
        radiographs=len(result.instance_ids),
        replaced_by=result.superseded_by,
        replaced_at=result.replaced_at,
        reason=WHY_REPLACED[result.replaced_because] if result.replaced_at else "",
    )


WHY_REPLACED: Final[Mapping[Replacement | None, str]] = {
    None: "a newer result took its place, which is kept no more",
    Replacement.RUN_AGAIN: "the study was reconstructed anew",
    Replacement.CORRECTED: "the patient's data were corrected",
    Replacement.LATER_VIEW: "a later view came",
    Replacement.OTHER_IMAGES: "other images came",
}
"""In the words of the page."""


def download_name(path: str) -> str:
    """What a result file is called on somebody's disk; result folders name bones, never people."""
    name = PurePosixPath(path)
    return name.name if name.suffix in CALLED_BY_NAME else f"bonecraft-{name.name}"


def _shown_file(file: ResultFileRow, study_id: UUID, radiograph: str | None) -> ShownFile:
    return ShownFile(
        path=file.path,
        kind=file.kind,
        media_type=file.media_type,
        title=file.title,
        size=file.size,
        radiograph=radiograph,
        url=f"/api/studies/{study_id}/files/{file.id}",
    )


def _fact(facts: Mapping[str, object], name: str) -> str:
    return str(facts.get(name) or "")

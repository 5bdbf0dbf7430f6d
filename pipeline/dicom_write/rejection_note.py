"""The rejection note: a Key Object Selection (PS3.3 A.35.4) that says which earlier results do not hold any more.

As Imaging Object Change Management of IHE Radiology (IOCM) wants it. The note is made of those results themselves, so
that it lands in their study, under their patient, as they were written.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, KeyObjectSelectionDocumentStorage

from pipeline.dicom_check import require_sound
from pipeline.dicom_write.encoding import encode
from pipeline.dicom_write.origin import in_time_zone_of, set_made
from pipeline.dicom_write.source_study import copy_patient_and_study
from pipeline.dicom_write.uids import MANUFACTURER, MODEL_NAME, derive_uid
from pipeline.results import FileKind, ResultFile

SERIES_NUMBER: Final = 9020
FILE: Final = "dicom/rejection-note.dcm"
TITLE: Final = codes.DCM.RejectedForQualityReasons
DESCRIPTION: Final = codes.DCM.KeyObjectDescription


@dataclass(frozen=True, kw_only=True, eq=False)
class Replaced:
    """The results that a newer one takes the place of: the headers of their instances, at least one."""

    headers: tuple[Dataset, ...]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Replaced | None:
        """From their files; None where there are none."""
        headers = tuple(dcmread(path, stop_before_pixels=True) for path in paths)
        ordered = sorted(headers, key=lambda header: str(header.SOPInstanceUID))
        return cls(headers=tuple(ordered)) if ordered else None

    @property
    def uids(self) -> tuple[str, ...]:
        """SOPInstanceUIDs, in order."""
        return tuple(str(header.SOPInstanceUID) for header in self.headers)

    @property
    def made(self) -> str:
        """When the newest of them was made, as they say it: `2026-01-02 12:03`."""
        day, time = max((str(header.SeriesDate), str(header.SeriesTime)) for header in self.headers)
        return f"{day[:4]}-{day[4:6]}-{day[6:8]} {time[:2]}:{time[2:4]}"


def write_rejection_note(
    replaced: Replaced, *, because: str, out: Path, software_version: str, created: datetime
) -> ResultFile:
    """Write the note into `out/dicom`, checked before it can go anywhere.

    Args:
        replaced: What it rejects.
        because: What took its place, in a sentence that names no patient; enters the UIDs.
        out: The result folder.
        software_version: Of Bonecraft.
        created: When, with its time zone.

    Raises:
        UnsoundResult: The note fails the project's own check; nothing is left in `out/dicom`.
    """
    note = _note(replaced, because, software_version, created)
    content = encode(note)
    require_sound(dcmread(io.BytesIO(content)), sources=replaced.headers)
    path = out / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return ResultFile(
        path=FILE,
        kind=FileKind.REJECTION_NOTE,
        media_type="application/dicom",
        title="Rejection of the earlier result, DICOM Key Object Selection",
        sop_class_uid=str(note.SOPClassUID),
        sop_instance_uid=str(note.SOPInstanceUID),
        series_instance_uid=str(note.SeriesInstanceUID),
    )


def _note(replaced: Replaced, because: str, software_version: str, created: datetime) -> Dataset:
    note = Dataset()
    note.file_meta = FileMetaDataset()
    note.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    copy_patient_and_study(replaced.headers[0], note)
    parts = [software_version, *replaced.uids, because]
    note.SOPClassUID = KeyObjectSelectionDocumentStorage
    note.SOPInstanceUID = derive_uid("instance/rejection-note", parts)
    note.SeriesInstanceUID = derive_uid("series/rejection-note", parts)
    note.Modality, note.SeriesNumber, note.InstanceNumber = "KO", SERIES_NUMBER, 1
    note.SeriesDescription = "Bonecraft: rejection of an earlier result"
    note.ReferencedPerformedProcedureStepSequence = []
    note.Manufacturer, note.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    note.SoftwareVersions = [f"bonecraft {software_version}"]
    set_made(note, in_time_zone_of(replaced.headers[0], created))
    _set_content(note, replaced, because)
    return note


def _set_content(note: Dataset, replaced: Replaced, because: str) -> None:
    """The document: TID 2010 (PS3.16), and the evidence that lists what it refers to (PS3.3 C.17.6.2.1)."""
    note.CurrentRequestedProcedureEvidenceSequence = [_evidence(replaced)]
    note.ValueType, note.ContinuityOfContent = "CONTAINER", "SEPARATE"
    note.ConceptNameCodeSequence = [_code(TITLE)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    note.ContentTemplateSequence = [template]
    description = Dataset()
    description.RelationshipType, description.ValueType = "CONTAINS", "TEXT"
    description.ConceptNameCodeSequence = [_code(DESCRIPTION)]
    description.TextValue = because
    note.ContentSequence = [description, *map(_mention, replaced.headers)]


def _evidence(replaced: Replaced) -> Dataset:
    study = Dataset()
    study.StudyInstanceUID = replaced.headers[0].StudyInstanceUID
    series: dict[str, Dataset] = {}
    for header in replaced.headers:
        item = series.setdefault(str(header.SeriesInstanceUID), Dataset())
        item.SeriesInstanceUID = header.SeriesInstanceUID
        item.ReferencedSOPSequence = [*item.get("ReferencedSOPSequence", ()), _reference(header)]
    study.ReferencedSeriesSequence = list(series.values())
    return study


def _mention(header: Dataset) -> Dataset:
    """A content item that names an instance: IMAGE for pictures, COMPOSITE for anything else."""
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = "IMAGE" if "Rows" in header else "COMPOSITE"
    item.ReferencedSOPSequence = [_reference(header)]
    return item


def _reference(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item

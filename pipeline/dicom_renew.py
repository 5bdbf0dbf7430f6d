"""The same radiographs as a new study: what a modality would send of the next patient.

Replaces every UID of a study, series, instance and frame of reference by a new one, the same for the same in all files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

RENEWED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def renew_study(files: Sequence[Path], out: Path) -> tuple[list[Path], str]:
    """Copies of `files` under `out` with new UIDs.

    Returns:
        The copies in the order of `files`, and the new StudyInstanceUID.
    """
    out.mkdir(parents=True, exist_ok=True)
    renewed: dict[str, str] = {}
    copies, study = [], ""
    for number, file in enumerate(files, 1):
        dataset = dcmread(file)
        _renew(dataset, renewed)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        copies.append(out / f"{number:02d}.dcm")
        dataset.save_as(copies[-1])
        study = str(dataset.StudyInstanceUID)
    return copies, study


def _renew(dataset: Dataset, renewed: dict[str, str]) -> None:
    for keyword in RENEWED:
        if keyword in dataset:
            old = str(dataset[keyword].value)
            setattr(dataset, keyword, renewed.setdefault(old, generate_uid(prefix=None)))

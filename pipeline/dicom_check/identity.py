"""Is it in the right patient's right study, under UIDs of our own, and does it say who made it?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydicom.dataset import Dataset

from pipeline.dicom_check.finding import Check, Finding, missing
from pipeline.dicom_write.uids import is_own_uid, recognise_own

REQUIRED: Final = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("Modality", "Manufacturer", "ManufacturerModelName", "SoftwareVersions"),
)
MADE: Final = ("ContentDate", "ContentTime")
"""But for presentation states, which say it in attributes of their own (PS3.3 C.11.10)."""
PRESENT: Final = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
SAME_AS_SOURCE: Final = ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "SpecificCharacterSet")
MINTED: Final = ("SOPInstanceUID", "SeriesInstanceUID")


def check_identity(dataset: Dataset, sources: Sequence[Dataset]) -> Iterator[Finding]:
    """Findings on patient, study, series, equipment and UIDs."""
    yield from missing(dataset, REQUIRED, where="Instance")
    if "PresentationCreationDate" not in dataset:
        yield from missing(dataset, MADE, where="Instance")
    if sources:  # of which retention may have left none
        yield from _not_of_sources(dataset, sources)
    yield from not_minted(dataset, MINTED, where="Instance")
    if not recognise_own(dataset):
        yield Finding(check=Check.UID, sentence="The instance would not be recognised when it comes back.")


def _not_of_sources(dataset: Dataset, sources: Sequence[Dataset]) -> Iterator[Finding]:
    """A finding for whatever every source says and the result does not, or says otherwise."""
    in_every_source = [keyword for keyword in PRESENT if all(keyword in source for source in sources)]
    yield from missing(dataset, in_every_source, where="Instance", may_be_empty=True)
    for keyword in SAME_AS_SOURCE:
        if not any(_same(dataset, source, keyword) for source in sources):
            yield Finding(check=Check.PATIENT, sentence=f"{keyword} is not the source's.")


def not_minted(dataset: Dataset, keywords: Sequence[str], *, where: str) -> Iterator[Finding]:
    """A finding for each UID that is not a valid one of our own (PS3.5 9.1 and B.2)."""
    for keyword in keywords:
        if not is_own_uid(str(dataset.get(keyword) or "")):
            yield Finding(check=Check.UID, sentence=f"{where}: {keyword} is not a UID that Bonecraft derived.")


def _same(dataset: Dataset, source: Dataset, keyword: str) -> bool:
    """Whether an attribute is the same in both, or absent from both; byte for byte where neither has been decoded."""
    if keyword not in dataset or keyword not in source:
        return (keyword in dataset) == (keyword in source)
    ours, theirs = dataset.get_item(keyword), source.get_item(keyword)
    if ours.is_raw and theirs.is_raw:
        return bool(ours.value == theirs.value)
    return bool(dataset[keyword].value == source[keyword].value)

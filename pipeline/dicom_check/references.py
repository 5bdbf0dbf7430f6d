"""Do codes mean what they say, and do references lead to the radiographs?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage, SegmentationStorage

from pipeline.dicom_check.finding import Check, Finding
from pipeline.dicom_write.uids import is_own_uid

OWN_SCHEME: Final = "99BONECRAFT"
"""Its meanings are in docs/measurements.md."""

LANGUAGES: Final = "RFC5646"
SCHEMES: Final = ("SCT", "DCM", "UCUM")

OWN_SEQUENCES: Final = (
    *("ReferencedSeriesSequence", "SegmentSequence", "SourceImageSequence", "SurfaceSequence"),
    *("SourceInstanceSequence", "ContentSequence", "CurrentRequestedProcedureEvidenceSequence"),
    *("GraphicAnnotationSequence", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"),
)
"""The top-level sequences we fill. Others come from the source: their local codes are not ours to judge."""

LAID_OVER_ONE: Final = (GrayscaleSoftcopyPresentationStateStorage, SegmentationStorage)
"""What is laid over a single radiograph."""

OF_SERIES: Final = ("ReferencedInstanceSequence", "ReferencedImageSequence", "ReferencedSOPSequence")
"""The sequences in which items of a series name its instances."""


def check_references(dataset: Dataset, sources: Sequence[Dataset]) -> Iterator[Finding]:
    """Findings on codes and on references to instances and series; without sources, nothing on what is referred to."""
    known = {str(source.SOPInstanceUID): source for source in sources}
    for item in _items(dataset):
        if "CodeValue" in item:
            yield from _check_code(item)
        if "ReferencedSOPInstanceUID" in item:
            yield from _check_instance_reference(item, known)
        if _is_series(item):
            yield from _check_series_reference(item, known)
    yield from _check_completeness(dataset, known)


def _is_series(item: Dataset) -> bool:
    """Whether an item lists instances of a series; content items and annotations name some of no matter which."""
    of_document = "ReferencedSOPSequence" in item and "ValueType" not in item
    of_presentation = "ReferencedImageSequence" in item and "GraphicLayer" not in item
    return "ReferencedInstanceSequence" in item or of_document or of_presentation


def _check_completeness(dataset: Dataset, known: dict[str, Dataset]) -> Iterator[Finding]:
    """A picture may show one radiograph, what is laid over one names it; everything else was made from every one."""
    if dataset.get("SOPClassUID") in LAID_OVER_ONE:
        listed = {
            uid
            for what in ("ReferencedInstance", "ReferencedImage")
            for uid in _listed(dataset.get("ReferencedSeriesSequence") or (), what)
        }
        if known and len(listed & known.keys()) != 1:
            yield Finding(check=Check.REFERENCE, sentence="What is laid over a radiograph names none, or several.")
        return
    if "CurrentRequestedProcedureEvidenceSequence" in dataset:
        studies = dataset.CurrentRequestedProcedureEvidenceSequence
        listed = _listed([series for study in studies for series in study.ReferencedSeriesSequence], "ReferencedSOP")
    elif "ReferencedSeriesSequence" in dataset:
        listed = _listed(dataset.ReferencedSeriesSequence, "ReferencedInstance")
    elif "EncapsulatedDocument" in dataset:
        listed = _listed([dataset], "SourceInstance")
    else:
        listed = _listed([dataset], "SourceImage")
        if len(listed) == 1:  # a radiograph with its bones
            return
    if not listed >= known.keys():
        yield Finding(check=Check.REFERENCE, sentence="A radiograph is missing among the referenced instances.")


def _listed(items: Iterable[Dataset], what: str) -> set[str]:
    """The instances that items name in their sequence of that name."""
    return {
        str(reference.get("ReferencedSOPInstanceUID"))
        for item in items
        for reference in item.get(f"{what}Sequence") or ()
    }


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """Every item, at any depth, of the sequences that we fill."""
    for keyword in OWN_SEQUENCES:
        for item in dataset.get(keyword) or ():
            yield from _with_nested(item)


def _with_nested(item: Dataset) -> Iterator[Dataset]:
    yield item
    for element in item:
        if element.VR == "SQ":
            for nested in element.value:
                yield from _with_nested(nested)


def _check_code(item: Dataset) -> Iterator[Finding]:
    scheme, value = str(item.get("CodingSchemeDesignator")), str(item.CodeValue)
    if scheme in (OWN_SCHEME, LANGUAGES):
        return
    meanings = _meanings(scheme).get(value, frozenset()) if scheme in SCHEMES else frozenset()
    if str(item.get("CodeMeaning")) not in meanings:
        yield Finding(
            check=Check.CODE, sentence=f"Code {value} of {scheme} does not mean {str(item.get('CodeMeaning'))!r}."
        )


@cache
def _meanings(scheme: str) -> dict[str, frozenset[str]]:
    """Code value to its meanings, from the tables of PS3.16 that pydicom carries."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for code in getattr(codes, scheme).concepts.values():
        meanings[code.value].update((code.meaning, code.meaning.removesuffix(" (attribute)")))
    return {value: frozenset(names) for value, names in meanings.items()}


def _check_instance_reference(item: Dataset, known: dict[str, Dataset]) -> Iterator[Finding]:
    source = known.get(str(item.ReferencedSOPInstanceUID))
    if source is None:
        if known and not is_own_uid(str(item.ReferencedSOPInstanceUID)):
            sentence = "A reference leads to an instance that is none of the sources."
            yield Finding(check=Check.REFERENCE, sentence=sentence)
    elif item.get("ReferencedSOPClassUID") != source.SOPClassUID:
        yield Finding(check=Check.REFERENCE, sentence="A reference names another SOP class than the source's.")


def _check_series_reference(item: Dataset, known: dict[str, Dataset]) -> Iterator[Finding]:
    for reference in (reference for keyword in OF_SERIES for reference in item.get(keyword, ())):
        source = known.get(str(reference.get("ReferencedSOPInstanceUID")))
        if source is not None and source.SeriesInstanceUID != item.get("SeriesInstanceUID"):
            yield Finding(check=Check.REFERENCE, sentence="A reference names another series than the source's.")

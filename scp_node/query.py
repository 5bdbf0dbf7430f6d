"""Asking an archive what it holds: C-FIND with the study root model (PS3.4 C.4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pipeline.errors import InputError, TransientError
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from scp_node.peer import ConnectionProblem, Target, open_association

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"

KEYS: Final = {
    "STUDY": {
        "StudyInstanceUID": True,
        "AccessionNumber": True,
        "PatientID": True,
        "StudyDate": True,
        "PatientName": False,
        "StudyDescription": False,
        "ModalitiesInStudy": False,
    },
    "SERIES": {"StudyInstanceUID": True, "SeriesInstanceUID": True, "Modality": False, "BodyPartExamined": False},
    "IMAGE": {"StudyInstanceUID": True, "SeriesInstanceUID": True, "SOPInstanceUID": False, "SOPClassUID": False},
}
"""What is asked at each level, and whether it may be matched; the others only come back."""

PENDING: Final = (0xFF00, 0xFF01)
SUCCESS: Final = 0x0000

WILDCARDS: Final = frozenset("*?\\")
"""They would match more than was meant: PS3.4 C.2.2.2."""


class ArchiveProblem(TransientError):  # noqa: N818 - says what is the matter
    """An archive answered, but not with what was asked for; the message says what to change where."""


@dataclass(frozen=True, kw_only=True)
class StudyQuestion:
    """Which studies are wanted; what is empty does not matter.

    Attributes:
        study_instance_uid: StudyInstanceUID.
        accession_number: AccessionNumber.
        patient_id: PatientID.
        study_date: StudyDate, or a range of them (PS3.4 C.2.2.2.5).
    """

    study_instance_uid: str = ""
    accession_number: str = ""
    patient_id: str = ""
    study_date: str = ""

    def __post_init__(self) -> None:
        """Look for wildcards.

        Raises:
            InputError: There is one; the value stays unsaid, as the sentence goes to logs and `bonecraft status`.
        """
        values = {
            "StudyInstanceUID": self.study_instance_uid,
            "AccessionNumber": self.accession_number,
            "PatientID": self.patient_id,
        }
        for keyword, value in values.items():
            if WILDCARDS & set(value):
                raise InputError(f"{keyword} holds a wildcard (*, ? or \\): give the whole value")


@dataclass(frozen=True, kw_only=True)
class FoundStudy:
    """A study that an archive holds; patient data, never for logs."""

    study_instance_uid: str
    patient_id: str = ""
    patient_name: str = ""
    study_date: str = ""
    accession_number: str = ""
    description: str = ""
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An instance that an archive holds, and what is known of its series."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""
    modality: str = ""
    body_part: str = ""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which images of a study are wanted.

    Attributes:
        modalities: Of these modalities.
        series_instance_uid: Of this series; empty: of any.
    """

    modalities: tuple[str, ...]
    series_instance_uid: str = ""

    def takes(self, *, modality: str, series_instance_uid: str) -> bool:
        """Whether images of such a series are wanted."""
        return modality in self.modalities and self.series_instance_uid in ("", series_instance_uid)


def find_studies(target: Target, question: StudyQuestion, *, calling: str) -> tuple[FoundStudy, ...]:
    """The studies that an archive has, of exactly what was asked for.

    Raises:
        ConnectionProblem: It could not be reached.
        ArchiveProblem: It did not answer.
    """
    keys = {
        "StudyInstanceUID": question.study_instance_uid,
        "AccessionNumber": question.accession_number,
        "PatientID": question.patient_id,
        "StudyDate": question.study_date,
    }
    with open_association(target, calling=calling, contexts=[find_context()]) as association:
        found = [study_of(answer) for answer in _find(association, target, "STUDY", keys)]
    return tuple(study for study in found if answers(study, question))


def answers(study: FoundStudy, question: StudyQuestion) -> bool:
    """Whether a study is one of those asked for: archives may match without regard to case, or ignore a key."""
    exact = ("study_instance_uid", "accession_number", "patient_id")
    return bool(study.study_instance_uid) and all(
        getattr(question, name) in ("", getattr(study, name)) for name in exact
    )


def find_images(target: Target, study_instance_uid: str, wanted: Wanted, *, calling: str) -> tuple[FoundImage, ...]:
    """The images of a study that an archive has and that are wanted.

    Raises:
        ConnectionProblem: It could not be reached.
        ArchiveProblem: It did not answer.
    """
    with open_association(target, calling=calling, contexts=[find_context()]) as association:
        return tuple(_images(association, target, study_instance_uid, wanted))


def find_context() -> PresentationContext:
    """C-FIND, as proposed."""
    return build_context(STUDY_ROOT_FIND, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])


def _images(association: Association, target: Target, study_instance_uid: str, wanted: Wanted) -> Iterator[FoundImage]:
    keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": wanted.series_instance_uid}
    for series in _find(association, target, "SERIES", keys):
        uid, modality = text(series, "SeriesInstanceUID"), text(series, "Modality")
        if not wanted.takes(modality=modality, series_instance_uid=uid):
            continue
        keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": uid}
        for image in _find(association, target, "IMAGE", keys):
            yield FoundImage(
                study_instance_uid=study_instance_uid,
                series_instance_uid=uid,
                sop_instance_uid=text(image, "SOPInstanceUID"),
                sop_class_uid=text(image, "SOPClassUID"),
                modality=modality,
                body_part=text(series, "BodyPartExamined").upper(),
            )


def study_of(answer: Dataset) -> FoundStudy:
    """What an answer at the level of studies tells."""
    modalities = answer.get("ModalitiesInStudy") or []
    return FoundStudy(
        study_instance_uid=text(answer, "StudyInstanceUID"),
        patient_id=text(answer, "PatientID"),
        patient_name=text(answer, "PatientName"),
        study_date=text(answer, "StudyDate"),
        accession_number=text(answer, "AccessionNumber"),
        description=text(answer, "StudyDescription"),
        modalities=(modalities,) if isinstance(modalities, str) else tuple(modalities),
    )


def _find(association: Association, target: Target, level: str, matched: Mapping[str, str]) -> list[Dataset]:
    """All answers to one question: `KEYS` of the level, with the values that are to be matched.

    Raises:
        ConnectionProblem: The association broke.
        ArchiveProblem: There is no whole answer.
    """
    question = Dataset()
    question.QueryRetrieveLevel = level
    if not "".join(matched.values()).isascii():
        question.SpecificCharacterSet = "ISO_IR 192"
    for keyword in KEYS[level]:
        setattr(question, keyword, matched.get(keyword, ""))
    found, status = [], None
    try:
        for answer, identifier in association.send_c_find(question, STUDY_ROOT_FIND):
            status = getattr(answer, "Status", None)
            if status in PENDING and identifier is not None:
                found.append(identifier)
    except RuntimeError as error:  # pynetdicom's word for: the association is not established any more
        raise ConnectionProblem(f"{target} hung up while it was searched: see its log") from error
    except ValueError as error:  # pynetdicom's word for: no accepted presentation context
        raise ArchiveProblem(f"{target} does not offer C-FIND (Study Root): enable that there") from error
    if status != SUCCESS:
        raise ArchiveProblem(_why_not_found(status, target))
    return found


def _why_not_found(status: int | None, target: Target) -> str:
    """A C-FIND status in words: PS3.4 Table C.4-1."""
    if status is None:
        return f"{target} gave no answer to C-FIND: the connection broke, or it took too long"
    families = (
        (range(0xA700, 0xA800), "is out of resources: ask for less, or see its log"),
        (range(0xA900, 0xAA00), "says that the question does not fit the study root model: see its log"),
        (range(0x0122, 0x0123), "does not offer C-FIND (Study Root): enable that there"),
        (range(0x0124, 0x0125), "does not allow us to search: grant that there"),
    )
    meaning = next((words for codes, words in families if status in codes), "could not search: see its log")
    return f"{target} {meaning} (C-FIND status 0x{status:04X})"


def text(answer: Dataset, keyword: str) -> str:
    """A value as text; archives leave out what they do not know."""
    value = answer.get(keyword)
    return "" if value is None else str(value).replace("\0", "").strip()

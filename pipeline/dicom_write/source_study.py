"""Copying the patient and the study from a source, so that a result lands in exactly the same study.

A PACS that finds another spelling of the patient's name in the same study raises an alarm or splits the study.
Text is therefore copied byte for byte where it has not been decoded yet: wrong or missing character set declarations
(common: Latin-1 bytes without SpecificCharacterSet) come out as they came in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Final, cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

PATIENT_GROUP: Final = 0x0010

STUDY_KEYWORDS: Final = frozenset(
    {
        # General Study and Patient Study, PS3.3 C.7.2.1 and C.7.2.2, outside of group 0010
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "StudyDescription"),
        *("IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence"),
        *("ConsultingPhysicianName", "ConsultingPhysicianIdentificationSequence", "PhysiciansOfRecord"),
        *("PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy", "RequestingService"),
        *("PhysiciansReadingStudyIdentificationSequence", "RequestingServiceCodeSequence", "ProcedureCodeSequence"),
        *("ReferencedStudySequence", "ReasonForPerformedProcedureCodeSequence", "AdmittingDiagnosesDescription"),
        *("AdmittingDiagnosesCodeSequence", "AdmissionID", "IssuerOfAdmissionIDSequence", "ServiceEpisodeID"),
        *("IssuerOfServiceEpisodeIDSequence", "ServiceEpisodeDescription", "ReasonForVisit"),
        "ReasonForVisitCodeSequence",
        # Patient and the Clinical Trial Subject and Study, PS3.3 C.7.1.1, C.7.1.3 and C.7.2.3, outside of group 0010
        *("ReferencedPatientSequence", "PatientIdentityRemoved", "DeidentificationMethod"),
        *("DeidentificationMethodCodeSequence", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID"),
        *("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID"),
        *("ClinicalTrialSubjectReadingID", "ClinicalTrialProtocolEthicsCommitteeName"),
        *("ClinicalTrialProtocolEthicsCommitteeApprovalNumber", "ClinicalTrialTimePointID"),
        *("ClinicalTrialTimePointDescription", "ConsentForClinicalTrialUseSequence"),
        # What the copied text and times are to be read with, PS3.3 C.12.1
        *("SpecificCharacterSet", "TimezoneOffsetFromUTC"),
    }
)

TEXT_VRS: Final = frozenset(
    {"AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
"""Value representations that look the same in every transfer syntax (PS3.5 6.2)."""


def copy_patient_and_study(source: Dataset, target: Dataset) -> None:
    """Give `target` the patient and study of `source`, and nothing else of it.

    Attributes of those modules that `target` has and `source` lacks are taken away.

    Args:
        source: A source's header.
        target: The result, which will be written in Explicit VR Little Endian.
    """
    for tag in [tag for tag in target.keys() if is_copied(tag)]:  # noqa: SIM118 - iterating decodes the elements
        del target[tag]
    for tag in source.keys():  # noqa: SIM118
        if is_copied(tag):
            target[tag] = _verbatim(source, tag)
    target.set_original_encoding(False, True, _python_encodings(target))


def copy_elements(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Give `target` those of these attributes that `source` has, as `copy_patient_and_study` does.

    Args:
        source: A source's header.
        target: Will be written in Explicit VR Little Endian.
        keywords: Attributes without text in the source's character set.
    """
    for tag in (Tag(keyword) for keyword in keywords):
        if tag in source:
            target[tag] = _verbatim(source, tag)


def _python_encodings(dataset: Dataset) -> list[str] | str:
    """What pydicom compares with a dataset's own character sets to see that undecoded text may be written as it is."""
    character_sets = dataset.get("SpecificCharacterSet")
    return convert_encodings(character_sets) if character_sets else default_encoding


def is_copied(tag: BaseTag) -> bool:
    """Whether a top-level attribute belongs to the source's patient or study."""
    return tag.group == PATIENT_GROUP or keyword_for_tag(tag) in STUDY_KEYWORDS


def _verbatim(source: Dataset, tag: BaseTag) -> DataElement | RawDataElement:
    """The element as it was read where that can be, decoded otherwise; sequences of defined length."""
    element = cast("DataElement | RawDataElement", source.get_item(tag))
    if isinstance(element, RawDataElement) and element.value is not None:
        value_representation = element.VR or dictionary_VR(tag)
        if value_representation in TEXT_VRS:
            return element._replace(VR=value_representation, is_implicit_VR=False, is_little_endian=True)
    decoded = copy.deepcopy(source[tag])
    _define_lengths(decoded)
    return decoded


def _define_lengths(element: DataElement) -> None:
    """Write sequences with their length, as a PACS does: what comes back is then the same, byte for byte."""
    if element.VR != "SQ":
        return
    element.is_undefined_length = False
    for item in element.value:
        item.is_undefined_length_sequence_item = False
        for nested in item:
            _define_lengths(nested)

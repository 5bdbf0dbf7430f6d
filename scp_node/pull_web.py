"""An archive that is searched by QIDO-RS and gives by WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import requests
import structlog
from pydicom.dataset import Dataset

from pipeline.errors import InputError
from scp_node.dicomweb import TIMEOUTS, WebRefusal, WebTarget, check, explained, open_session
from scp_node.pull import Intake
from scp_node.query import FoundImage, FoundStudy, StudyQuestion, Wanted, answers, study_of, text
from scp_node.retrieve import OnProgress, Order

SERVICE: Final = "WADO-RS"
AS_IT_IS: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""As the archive holds it: PS3.18 8.7.3.5.2."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WebArchive:
    """A peer that is asked by DICOMweb."""

    target: WebTarget

    def studies(self, question: StudyQuestion) -> tuple[FoundStudy, ...]:
        """By QIDO-RS."""
        asked = {
            "StudyInstanceUID": question.study_instance_uid,
            "AccessionNumber": question.accession_number,
            "PatientID": question.patient_id,
            "StudyDate": question.study_date,
        }
        filters = {keyword: value for keyword, value in asked.items() if value}
        fields = ("StudyDescription", "ModalitiesInStudy", "PatientName")
        with open_session(self.target) as session:
            found = [study_of(each) for each in self._search(session, "studies", filters, fields)]
        return tuple(study for study in found if answers(study, question))

    def images(self, study_instance_uid: str, wanted: Wanted) -> tuple[FoundImage, ...]:
        """By QIDO-RS."""
        with open_session(self.target) as session:
            return tuple(self._images(session, study_instance_uid, wanted))

    def _images(self, session: requests.Session, study_instance_uid: str, wanted: Wanted) -> Iterator[FoundImage]:
        study = f"studies/{study_instance_uid}"
        for series in self._search(session, f"{study}/series", {}, ("BodyPartExamined",)):
            uid, modality = text(series, "SeriesInstanceUID"), text(series, "Modality")
            if not wanted.takes(modality=modality, series_instance_uid=uid):
                continue
            for image in self._search(session, f"{study}/series/{uid}/instances", {}, ()):
                yield FoundImage(
                    study_instance_uid=study_instance_uid,
                    series_instance_uid=uid,
                    sop_instance_uid=text(image, "SOPInstanceUID"),
                    sop_class_uid=text(image, "SOPClassUID"),
                    modality=modality,
                    body_part=text(series, "BodyPartExamined").upper(),
                )

    def _search(
        self, session: requests.Session, path: str, filters: Mapping[str, str], fields: Sequence[str]
    ) -> list[Dataset]:
        """One search.

        Raises:
            ConnectionProblem: The archive cannot be reached.
            WebRefusal: It does not answer the search.
        """
        query = "&".join([*(f"{name}={_plain(value)}" for name, value in filters.items()), *map(_include, fields)])
        with explained(self.target):
            answer = session.get(
                f"{self.target.url}/{path}?{query}",
                headers={"accept": "application/dicom+json"},
                timeout=TIMEOUTS,
                allow_redirects=False,
            )
            check(answer, self.target)
            if answer.status_code == HTTPStatus.NO_CONTENT:
                return []
            return [Dataset.from_json(each) for each in answer.json()]

    def fetch(self, orders: Sequence[Order], intake: Intake, on_progress: OnProgress) -> None:
        """By WADO-RS, image by image; one that cannot be read lies in quarantine, and holds nothing up."""
        with open_session(self.target) as session:
            for number, image in enumerate((image for order in orders for image in order.images), 1):
                try:
                    intake.take_bytes(self._file(session, image), by=SERVICE)
                except InputError as error:
                    log.warning("pulled_not_taken", reason=str(error), sop_instance_uid=image.sop_instance_uid)
                on_progress(number)

    def _file(self, session: requests.Session, image: FoundImage) -> bytes:
        """The very bytes that the archive sends.

        Raises:
            ConnectionProblem: It cannot be reached.
            WebRefusal: It does not send the image.
        """
        address = f"{self.target.url}/studies/{image.study_instance_uid}/series/{image.series_instance_uid}"
        with explained(self.target):
            answer = session.get(
                f"{address}/instances/{image.sop_instance_uid}",
                headers={"accept": AS_IT_IS},
                timeout=TIMEOUTS,
                allow_redirects=False,
            )
            check(answer, self.target)
            content = only_part(answer.content)
        if content is None:
            raise WebRefusal(
                f"{self.target} sent an image in no form of WADO-RS: see its log", status=answer.status_code
            )
        return content


def only_part(body: bytes) -> bytes | None:
    """What a multipart message of a single part carries (RFC 2046 5.1.1); None where it is none.

    The first line is the boundary, so its parameter in the header is not needed.
    """
    boundary, _, rest = body.lstrip(b"\r\n").partition(b"\r\n")
    head, blank, content = rest.partition(b"\r\n\r\n")
    end = content.rfind(b"\r\n" + boundary)
    if not boundary.startswith(b"--") or not blank or end < 0 or b"application/dicom" not in head.lower():
        return None
    return content[:end]


def _plain(value: str) -> str:
    """A value to be matched, with `?`, which matches any character, for what RFC 3986 would have escaped.

    Orthanc's plugin compares escaped characters as they are (1.10), so a PatientID with a space is never found; whose
    the answers are is looked at anyway.
    """
    return "".join(each if quote(each, safe="") == each else "?" for each in value)


def _include(keyword: str) -> str:
    return f"includefield={keyword}"

"""An archive that is searched by QIDO-RS and gives by WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import requests
import structlog
from pydicom.dataset import Dataset

from pipeline.errors import InputError
from scp_node.dicomweb import TIMEOUTS, WebRefusal, WebTarget, check, explained, open_session
from scp_node.incoming import CHUNK_BYTES
from scp_node.pull import Intake
from scp_node.query import FoundImage, FoundStudy, StudyQuestion, Wanted, answers, study_of, text
from scp_node.retrieve import OnProgress, Order

SERVICE: Final = "WADO-RS"
AS_IT_IS: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""As the archive holds it: PS3.18 8.7.3.5.2."""

HEADERS_BYTES: Final = 1 << 16
"""Boundary and headers of a part are shorter."""
EPILOGUE_BYTES: Final = 1024
"""So much may follow the last boundary: its two hyphens, padding, a word of the server's."""

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
        """By WADO-RS, image by image; one that cannot be read, or that is not given, holds no other up.

        Raises:
            ConnectionProblem: The archive cannot be reached.
            WebRefusal: It did not give all of them.
        """
        refused: WebRefusal | None = None
        with open_session(self.target) as session:
            for number, image in enumerate((image for order in orders for image in order.images), 1):
                try:
                    intake.take_stream(self._file(session, image), by=SERVICE, uid=image.sop_instance_uid)
                except (InputError, WebRefusal) as error:
                    log.warning("pulled_not_taken", reason=str(error), sop_instance_uid=image.sop_instance_uid)
                    refused = error if isinstance(error, WebRefusal) else refused
                on_progress(number)
        if refused is not None:
            raise refused

    def _file(self, session: requests.Session, image: FoundImage) -> Iterator[bytes]:
        """The very bytes that the archive sends, piece by piece.

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
                stream=True,
            )
            with answer:
                check(answer, self.target)
                try:
                    yield from only_part(answer.iter_content(CHUNK_BYTES))
                except NotOnePart as error:
                    sentence = f"{self.target} sent an image in no form of WADO-RS: see its log"
                    raise WebRefusal(sentence, status=answer.status_code) from error


class NotOnePart(Exception):  # noqa: N818 - says what is the matter
    """What came is no multipart message with a DICOM file, or not all of it."""


def only_part(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What a multipart message of a single part carries (RFC 2046 5.1.1).

    The first line is the boundary, so its parameter in the header is not needed.

    Raises:
        NotOnePart: It is none; where it broke off, only after what had come.
    """
    coming = iter(pieces)
    begun = b""
    while b"\r\n\r\n" not in begun and len(begun) < HEADERS_BYTES and (piece := next(coming, b"")):
        begun = (begun + piece).lstrip(b"\r\n")
    boundary, _, rest = begun.partition(b"\r\n")
    head, blank, held = rest.partition(b"\r\n\r\n")
    if not boundary.startswith(b"--") or not blank or b"application/dicom" not in head.lower():
        raise NotOnePart
    end = b"\r\n" + boundary
    for piece in coming:
        held += piece
        sure = max(len(held) - len(end) - EPILOGUE_BYTES, 0)
        yield held[:sure]
        held = held[sure:]
    content, found, _ = held.rpartition(end)
    if not found:
        raise NotOnePart
    yield content


def _plain(value: str) -> str:
    """A value to be matched, with `?`, which matches any character, for what RFC 3986 would have escaped.

    Orthanc's plugin compares escaped characters as they are (1.10), so a PatientID with a space is never found; whose
    the answers are is looked at anyway.
    """
    return "".join(each if quote(each, safe="") == each else "?" for each in value)


def _include(keyword: str) -> str:
    return f"includefield={keyword}"

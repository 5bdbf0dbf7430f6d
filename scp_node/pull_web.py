"""An archive that is searched by QIDO-RS and gives by WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
import structlog
from pydicom.dataset import Dataset

from pipeline.errors import InputError
from scp_node.dicomweb import TIMEOUTS, WebRefusal, WebTarget, check, explained, open_client, open_session
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
        fields = ["StudyDescription", "ModalitiesInStudy", "PatientName"]
        with open_client(self.target) as client:
            found = [
                study_of(_dataset(each)) for each in client.search_for_studies(search_filters=filters, fields=fields)
            ]
        return tuple(study for study in found if answers(study, question))

    def images(self, study_instance_uid: str, wanted: Wanted) -> tuple[FoundImage, ...]:
        """By QIDO-RS."""
        found = []
        with open_client(self.target) as client:
            for plain in client.search_for_series(study_instance_uid, fields=["BodyPartExamined"]):
                series = _dataset(plain)
                uid, modality = text(series, "SeriesInstanceUID"), text(series, "Modality")
                if wanted.takes(modality=modality, series_instance_uid=uid):
                    found += [
                        FoundImage(
                            study_instance_uid=study_instance_uid,
                            series_instance_uid=uid,
                            sop_instance_uid=text(image, "SOPInstanceUID"),
                            sop_class_uid=text(image, "SOPClassUID"),
                            modality=modality,
                            body_part=text(series, "BodyPartExamined").upper(),
                        )
                        for image in map(_dataset, client.search_for_instances(study_instance_uid, uid))
                    ]
        return tuple(found)

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


def _dataset(plain: Mapping[str, Any]) -> Dataset:
    """DICOM JSON as a dataset (PS3.18 F.2)."""
    return Dataset.from_json(dict(plain))

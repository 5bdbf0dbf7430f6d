"""What the DICOMweb door offers (PS3.18): stated in the conformance statement, and compared with the routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROOT: Final = "/dicom-web"

STUDY: Final = "/studies/{study}"
SERIES: Final = STUDY + "/series/{series}"
INSTANCE: Final = SERIES + "/instances/{instance}"

DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
BYTES: Final = "application/octet-stream"
PICTURES: Final = ("image/jpeg", "image/png")


@dataclass(frozen=True, kw_only=True)
class Service:
    """One transaction on one kind of resource.

    Attributes:
        name: `QIDO-RS`, `WADO-RS` or `STOW-RS`.
        method: Of HTTP.
        resource: Below `ROOT`.
        media_types: Of the answer; the parts' where it has several.
    """

    name: str
    method: str
    resource: str
    media_types: tuple[str, ...]


def _all(name: str, method: str, media_types: tuple[str, ...], *resources: str) -> tuple[Service, ...]:
    return tuple(Service(name=name, method=method, resource=each, media_types=media_types) for each in resources)


SERVICES: Final = (
    *_all("QIDO-RS", "GET", (DICOM_JSON,), "/studies", "/series", "/instances", STUDY + "/series"),
    *_all("QIDO-RS", "GET", (DICOM_JSON,), STUDY + "/instances", SERIES + "/instances"),
    *_all("WADO-RS", "GET", (DICOM,), STUDY, SERIES, INSTANCE),
    *_all("WADO-RS", "GET", (DICOM_JSON,), *(level + "/metadata" for level in (STUDY, SERIES, INSTANCE))),
    *_all("WADO-RS", "GET", (BYTES,), INSTANCE + "/frames/{numbers}", INSTANCE + "/bulkdata/{path}"),
    *_all("WADO-RS", "GET", PICTURES, INSTANCE + "/rendered", INSTANCE + "/frames/{numbers}/rendered"),
    *_all("STOW-RS", "POST", (DICOM_JSON,), "/studies", STUDY),
)

"""STOW-RS (PS3.18 10.5): radiographs come in by HTTP, on the road of every other instance.

What a program stores is its institution's, as what a modality sends; what a person stores is an upload of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette import status
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from pipeline.dicom_header import read_instance_header
from pipeline.dicom_json import Json, tag_of
from pipeline.dicomweb_services import DICOM_JSON, ROOT
from pipeline.errors import InputError
from pipeline.inbox import ForeignStudy, Incoming, OutOfSpace, UnreadableDataset, accept
from pipeline.scratch import scratch_folder, working_folder
from viewer_api.deps import SourceDep, Web, WebDep
from viewer_api.dicomweb.access import Client, StorerDep
from viewer_api.dicomweb.addresses import base_of
from viewer_api.dicomweb.multipart import save_instances
from viewer_api.parts import check_room

router = APIRouter(prefix=ROOT)

CALLED: Final = "STOW-RS"
"""As what the records and the ledger have the AE title that a program called."""
PROCESSING_FAILURE: Final = 0x0110
NOT_AUTHORIZED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
"""FailureReason, as C-STORE has it: PS3.18 10.5.3.2 and PS3.4 Table B.2-1."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What became of a part of the request.

    Attributes:
        study: StudyInstanceUID; empty where the dataset could not be read, as are the others.
        series: SeriesInstanceUID.
        sop_class_uid: SOPClassUID.
        sop_instance_uid: SOPInstanceUID.
        failure: FailureReason; 0: it is on disk and in the database.
    """

    study: str = ""
    series: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    failure: int = 0


@router.post("/studies")
@router.post("/studies/{study}")
async def store(request: Request, web: WebDep, client: StorerDep, source: SourceDep, study: str = "") -> Response:
    """Store instances, of any studies or of the one named; the answer tells of each."""
    check_room(web)
    with working_folder(scratch_folder(web.settings), prefix="web-") as folder:
        paths = await save_instances(request, folder)
        fates = [await run_in_threadpool(_take, path, web, client, source, study) for path in paths]
    return _told(fates, base_of(request))


def _take(path: Path, web: Web, client: Client, address: str, study: str) -> Fate:
    """Hand a file to the inbox."""
    try:
        header = read_instance_header(path)
    except InputError:
        header = None
    identity: dict[str, str] = {}
    if header is not None:
        uids = (header.study.study_instance_uid, header.series_instance_uid)
        identity = dict(zip(("study", "series"), uids, strict=True))
        identity |= {"sop_class_uid": header.sop_class_uid, "sop_instance_uid": header.sop_instance_uid}
        if study and header.study.study_instance_uid != study:
            return Fate(**identity, failure=DOES_NOT_MATCH)
    return Fate(**identity, failure=_failure(path, web, client, address))


def _failure(path: Path, web: Web, client: Client, address: str) -> int:
    """Take it in; why not, as FailureReason."""
    incoming = Incoming(
        path=path,
        institution_id=client.scope.institution_id,
        calling_ae_title=client.name,
        called_ae_title=CALLED if client.user_id is None else "",
        received_from=address,
        uploaded_by=client.user_id,
        own_studies_only=client.scope.uploaded_by is not None,
    )
    try:
        accept(web.database, web.store, incoming, now=web.clock())
    except UnreadableDataset:
        return CANNOT_UNDERSTAND
    except ForeignStudy:
        return NOT_AUTHORIZED
    except OutOfSpace:
        return OUT_OF_RESOURCES
    except InputError:
        return PROCESSING_FAILURE
    return 0


def _told(fates: Sequence[Fate], base: str) -> Response:
    """200 where everything was stored, 202 where some, 409 where nothing: PS3.18 Table 10.5.3-1."""
    stored = [fate for fate in fates if not fate.failure]
    failed = [fate for fate in fates if fate.failure]
    plain: Json = {}
    if len({fate.study for fate in stored}) == 1:
        plain |= _element("RetrieveURL", "UR", f"{base}/studies/{stored[0].study}")
    if stored:
        plain |= _element("ReferencedSOPSequence", "SQ", *(_stored(fate, base) for fate in stored))
    if failed:
        plain |= _element("FailedSOPSequence", "SQ", *(_failed(fate) for fate in failed))
    some = status.HTTP_202_ACCEPTED if failed else status.HTTP_200_OK
    code = some if stored else status.HTTP_409_CONFLICT
    return JSONResponse(dict(sorted(plain.items())), status_code=code, media_type=DICOM_JSON)


def _stored(fate: Fate, base: str) -> Json:
    address = f"{base}/studies/{fate.study}/series/{fate.series}/instances/{fate.sop_instance_uid}"
    return _reference(fate) | _element("RetrieveURL", "UR", address)


def _failed(fate: Fate) -> Json:
    return _reference(fate) | _element("FailureReason", "US", fate.failure)


def _reference(fate: Fate) -> Json:
    return _element("ReferencedSOPClassUID", "UI", *filter(None, (fate.sop_class_uid,))) | _element(
        "ReferencedSOPInstanceUID", "UI", *filter(None, (fate.sop_instance_uid,))
    )


def _element(keyword: str, vr: str, *values: object) -> Json:
    return {tag_of(keyword): {"vr": vr, "Value": list(values)}}

"""Result files: shown in the page, or downloaded under a good name."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from pipeline.records import results
from viewer_api.deps import ViewerDep, WebDep, not_found, visible_study
from viewer_api.permissions import visible_studies
from viewer_api.shown import download_name

router = APIRouter(prefix="/api/studies/{study_id}/files")

SHOWN_IN_THE_PAGE: Final = ("image/png", "image/jpeg", "model/gltf-binary")
"""Everything else is only downloaded: nothing that could run is opened on our own origin."""


@router.get("/{file_id}")
def get_file(
    study_id: UUID, file_id: UUID, web: WebDep, user: ViewerDep, *, download: bool = False
) -> StreamingResponse:
    """One file of a result."""
    with web.database.begin() as connection:
        visible_study(connection, user, study_id)
        file = results.get_file(connection, visible_studies(user), file_id)
    if file is None:
        raise not_found()
    inline = file.media_type in SHOWN_IN_THE_PAGE and not download
    headers = {
        "content-length": str(file.size),
        "content-disposition": f'{"inline" if inline else "attachment"}; filename="{download_name(file.path)}"',
    }
    return StreamingResponse(web.store.chunks(file.blob_key), media_type=file.media_type, headers=headers)

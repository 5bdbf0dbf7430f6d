"""Radiographs as they were received, rendered for the browser."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from pipeline.records import instances
from pipeline.scratch import scratch_folder
from viewer_api.deps import ViewerDep, WebDep, not_found, visible_study
from viewer_api.permissions import visible_studies
from viewer_api.pictures import picture_of_stored

router = APIRouter(prefix="/api/studies/{study_id}/radiographs")


@router.get("/{instance_id}")
def get_picture(study_id: UUID, instance_id: UUID, web: WebDep, user: ViewerDep) -> Response:
    """The windowed picture of one radiograph, PNG."""
    with web.database.begin() as connection:
        visible_study(connection, user, study_id)
        instance = instances.get_instance(connection, visible_studies(user), instance_id)
    if instance is None or instance.study_id != study_id:
        raise not_found()
    picture = picture_of_stored(web.store, instance.blob_key, scratch=scratch_folder(web.settings))
    return Response(picture, media_type="image/png")

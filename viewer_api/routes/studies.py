"""Studies: the list, one study with its newest result, and its progress while it is on its way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, Field
from starlette import status
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from pipeline import jobs
from pipeline.records import instances, results, studies
from pipeline.records.users import User
from pipeline.records.viewing import deliveries_of, earlier_studies, removals_of
from viewer_api.deps import UploaderDep, ViewerDep, Web, WebDep, not_found, visible_study
from viewer_api.permissions import visible_studies
from viewer_api.shown import (
    ShownProgress,
    ShownResult,
    ShownStudy,
    ShownStudyPage,
    progress_of,
    shown_history,
    shown_radiograph,
    shown_result,
    shown_study,
)

router = APIRouter(prefix="/api/studies")

PROGRESS_INTERVAL_SECONDS: Final = 0.5
LONGEST_PROGRESS_SECONDS: Final = 600
"""Then the browser connects again, and has to show its session again."""


class Search(BaseModel):
    """A page of the list. In a body, because the text may be a patient's name and addresses end up in logs."""

    text: Annotated[str, Field(max_length=200)] = ""
    page: Annotated[int, Field(ge=1, le=100_000)] = 1


@dataclass(frozen=True, kw_only=True)
class ShownStudies:
    """A page of the study list."""

    studies: tuple[ShownStudy, ...]
    page: int
    pages: int
    total: int


@router.post("/search")
def search_studies(search: Search, web: WebDep, user: ViewerDep) -> ShownStudies:
    """The studies that the person may see, the one received last first."""
    scope = visible_studies(user)
    with web.database.begin() as connection:
        total = studies.count_studies(connection, scope, search=search.text)
        pages = max(1, -(-total // studies.PAGE))
        page = min(search.page, pages)
        found = studies.list_studies(connection, scope, search=search.text, offset=(page - 1) * studies.PAGE)
    return ShownStudies(studies=tuple(map(shown_study, found)), page=page, pages=pages, total=total)


@router.get("/{study_id}")
def get_study(study_id: UUID, web: WebDep, user: ViewerDep) -> ShownStudyPage:
    """One study with its radiographs, newest result and history."""
    scope = visible_studies(user)
    with web.database.begin() as connection:
        study = visible_study(connection, user, study_id)
        history = results.history(connection, scope, study_id)
        standing = results.standing(history)
        return ShownStudyPage(
            study=shown_study(study),
            radiographs=tuple(map(shown_radiograph, instances.radiographs_of(connection, study_id))),
            result=shown_result(standing) if standing else None,
            history=shown_history(history),
            deliveries=deliveries_of(connection, scope, study_id),
            removed=removals_of(connection, study_id),
            earlier=earlier_studies(connection, scope, study_id),
        )


@router.post("/{study_id}/process", status_code=status.HTTP_202_ACCEPTED)
def process_study(study_id: UUID, web: WebDep, user: UploaderDep) -> ShownProgress:
    """Have a study reconstructed that a rule left out."""
    with web.database.begin() as connection:
        visible_study(connection, user, study_id)
        if not jobs.process_anyway(connection, study_id, who=user.email):
            raise HTTPException(status.HTTP_409_CONFLICT, "No rule leaves this study out any more. Reload the page.")
        return progress_of(visible_study(connection, user, study_id))


@router.get("/{study_id}/results/{result_id}")
def get_earlier_result(study_id: UUID, result_id: UUID, web: WebDep, user: ViewerDep) -> ShownResult:
    """One of the results that a study has had, the newest or an earlier one."""
    with web.database.begin() as connection:
        visible_study(connection, user, study_id)
        history = results.history(connection, visible_studies(user), study_id)
    found = next((result for result in history if result.id == result_id), None)
    if found is None:
        raise not_found()
    return shown_result(found)


@router.get("/{study_id}/progress")
async def follow_progress(study_id: UUID, request: Request, web: WebDep, user: ViewerDep) -> StreamingResponse:
    """Server-sent events: `progress` with each step, `changed` with each new state, `arrived` at the end."""
    first = await run_in_threadpool(_read_progress, web, user, study_id)
    return StreamingResponse(
        _events(request, web, user, study_id, first),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


def _read_progress(web: Web, user: User, study_id: UUID) -> ShownProgress:
    with web.database.begin() as connection:
        return progress_of(visible_study(connection, user, study_id))


async def _events(
    request: Request, web: Web, user: User, study_id: UUID, progress: ShownProgress
) -> AsyncIterator[str]:
    yield _event("progress", progress)
    for _ in range(int(LONGEST_PROGRESS_SECONDS / PROGRESS_INTERVAL_SECONDS)):
        if progress.has_arrived:
            yield _event("arrived", progress)
            return
        await asyncio.sleep(PROGRESS_INTERVAL_SECONDS)
        if await request.is_disconnected():
            return
        before, progress = progress, await run_in_threadpool(_read_progress, web, user, study_id)
        if progress != before:
            yield _event("progress", progress)
        if progress.state != before.state and not progress.has_arrived:
            yield _event("changed", progress)


def _event(name: str, progress: ShownProgress) -> str:
    return f"event: {name}\ndata: {json.dumps(jsonable_encoder(progress))}\n\n"

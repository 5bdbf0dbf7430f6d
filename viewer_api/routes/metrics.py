"""For a monitoring system: how the node is, to whoever shows the token that its settings name."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse

from pipeline.metrics import CONTENT_TYPE, metrics_page
from viewer_api.deps import WebDep, not_found

router = APIRouter()


@router.get("/metrics")
def metrics(request: Request, web: WebDep) -> PlainTextResponse:
    """Prometheus' text format; without the token there is nothing here, and nothing says that there could be."""
    expected = f"Bearer {web.settings.metrics_token}"
    given = request.headers.get("authorization", "")
    if not web.settings.metrics_token or not secrets.compare_digest(given.encode(), expected.encode()):
        raise not_found()
    with web.database.begin() as connection:
        page = metrics_page(connection, web.settings, now=web.clock())
    return PlainTextResponse(page, media_type=CONTENT_TYPE)

"""The page: one shell for every address of the viewer, and its hashed assets."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

from fastapi import APIRouter, FastAPI
from starlette import status
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from pipeline.records import studies
from viewer_api.deps import SessionDep, WebDep
from viewer_api.permissions import visible_studies

DIST: Final = Path(__file__).parent / "web" / "dist"
VIEWS: Final = ("/", "/login", "/login/once", "/register", "/studies", "/upload", "/administration", "/about")
FOREVER: Final = "public, max-age=31536000, immutable"
NOT_BUILT: Final = (
    "<!doctype html><title>Bonecraft</title><p>The viewer's page was not built. Run <code>npm ci</code> and "
    "<code>npm run build</code> in <code>viewer_api/web</code>, then reload.</p>"
)

router = APIRouter()


class HashedAssets(StaticFiles):
    """Files whose names change with their content: a browser may keep them."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """Starlette's own, with a long life."""
        response: Response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers["cache-control"] = FOREVER
        return response


def shell(*, status_code: int = status.HTTP_200_OK) -> Response:
    """The one HTML document; its script draws the view that the address names."""
    index = DIST / "index.html"
    if not index.is_file():
        return HTMLResponse(NOT_BUILT, status_code=status.HTTP_503_SERVICE_UNAVAILABLE)
    return HTMLResponse(index.read_text(), status_code=status_code)


def add_page(app: FastAPI) -> None:
    """Serve the page, below everything else that `app` serves."""
    app.include_router(router)
    app.mount("/assets", HashedAssets(directory=DIST / "assets", check_dir=False), name="assets")


def _view() -> Response:
    return shell()


for _address in VIEWS:
    router.add_api_route(_address, _view, methods=["GET"], include_in_schema=False)


@router.get("/studies/{study_id}", include_in_schema=False)
def study_view(study_id: UUID, web: WebDep, session: SessionDep) -> Response:
    """404 already by the address where the study is somebody else's; who is not logged in sees the login."""
    if session is None:
        return shell()
    with web.database.begin() as connection:
        found = studies.get_study(connection, visible_studies(session.user), study_id)
    return shell(status_code=status.HTTP_200_OK if found else status.HTTP_404_NOT_FOUND)


@router.get("/favicon.svg", include_in_schema=False)
def favicon() -> Response:
    """The mark."""
    return FileResponse(DIST / "favicon.svg") if (DIST / "favicon.svg").is_file() else shell(status_code=404)

"""The web door as an application: routes, page, guards. It is handed everything it stands on."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import JSONResponse

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.settings import NodeSettings
from pipeline.store import Store
from viewer_api import dicomweb
from viewer_api.deps import Web
from viewer_api.guards import Guards
from viewer_api.page import add_page
from viewer_api.problems import add_problem_handlers
from viewer_api.routes import (
    about,
    administration,
    files,
    metrics,
    radiographs,
    registrations,
    rules,
    sessions,
    studies,
    upkeep,
    uploads,
    users,
)

ROUTERS = (
    sessions.router,
    registrations.router,
    studies.router,
    radiographs.router,
    files.router,
    uploads.router,
    administration.router,
    rules.router,
    users.router,
    about.router,
    metrics.router,
    upkeep.router,
)


def create_app(settings: NodeSettings, database: Database, store: Store, *, clock: Clock = utc_now) -> FastAPI:
    """The application.

    No interactive documentation: its scripts come from a CDN, which a hospital's network does not reach.
    """
    app = FastAPI(
        title="Bonecraft", openapi_url=None, docs_url=None, redoc_url=None, default_response_class=JSONResponse
    )
    app.state.web = Web(settings=settings, database=database, store=store, clock=clock)
    for router in (*ROUTERS, *dicomweb.ROUTERS):
        app.include_router(router)
    add_page(app)
    add_problem_handlers(app)
    app.add_middleware(Guards, origin=settings.origin, dicomweb_origins=settings.dicomweb_origins)
    return app

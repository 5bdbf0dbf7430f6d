"""What runs here: version, models with their licences, the disclaimer; and whether it runs."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from fastapi import APIRouter
from sqlalchemy import text

from pipeline.manifest import ModelEntry, read_manifest
from pipeline.results import DISCLAIMER
from viewer_api.deps import UserDep, WebDep

router = APIRouter()

LICENCE: Final = "Apache-2.0"


@dataclass(frozen=True, kw_only=True)
class About:
    """What runs here."""

    version: str
    licence: str
    disclaimer: str
    models: tuple[ModelEntry, ...]


@router.get("/api/about")
def about(web: WebDep, _user: UserDep) -> About:
    """For everybody who is logged in."""
    models = read_manifest(web.settings.models_folder)
    return About(version=version("bonecraft"), licence=LICENCE, disclaimer=DISCLAIMER, models=models)


@router.get("/healthz")
def health(web: WebDep) -> dict[str, str]:
    """For probes: 200 when the database answers, 503 otherwise."""
    with web.database.begin() as connection:
        connection.execute(text("SELECT 1"))
    return {"status": "ok"}

"""Errors as answers: a sentence with cause and fix as `detail`, never what the person sent, never a traceback."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette import status
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from pipeline.errors import BonecraftError, TransientError
from viewer_api.page import shell

log = structlog.get_logger(__name__)


def add_problem_handlers(app: FastAPI) -> None:
    """Let `app` answer every error."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BonecraftError, _ours)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else status.HTTP_500_INTERNAL_SERVER_ERROR
    if code == status.HTTP_404_NOT_FOUND and not request.url.path.startswith(("/api/", "/dicom-web/")):
        return shell(status_code=code)
    return _problem(code, str(getattr(error, "detail", "")), headers=getattr(error, "headers", None))


async def _invalid(_request: Request, error: Exception) -> Response:
    """FastAPI's own answer would repeat the input, which may be a password."""
    places = error.errors() if isinstance(error, RequestValidationError) else ()
    entries = ", ".join(".".join(str(part) for part in place["loc"][1:]) for place in places)
    return _problem(status.HTTP_422_UNPROCESSABLE_CONTENT, f"Missing or wrong: {entries or 'the request'}.")


async def _ours(_request: Request, error: Exception) -> Response:
    """The house's own errors carry a sentence without patient data."""
    retry = isinstance(error, TransientError)
    sentence = str(error)
    return _problem(
        status.HTTP_503_SERVICE_UNAVAILABLE if retry else status.HTTP_422_UNPROCESSABLE_CONTENT,
        f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}.",
    )


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", method=request.method, route=_route(request), error=type(error).__name__)
    return _problem(status.HTTP_500_INTERNAL_SERVER_ERROR, "Something is wrong with Bonecraft. The log says what.")


def _route(request: Request) -> str:
    """The route's pattern, not the address: addresses hold identifiers."""
    return str(getattr(request.scope.get("route"), "path", "unknown"))


def _problem(code: int, sentence: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=code, headers=headers)

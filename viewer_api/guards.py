"""What every request passes: a limit on its size, its origin, and headers that tell the browser to trust little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEGABYTE: Final = 1 << 20
LARGEST_REQUEST: Final = MEGABYTE
LARGEST_UPLOAD: Final = 512 * MEGABYTE
UPLOAD_PATHS: Final = ("/api/uploads", "/dicom-web/studies")
SAFE_METHODS: Final = ("GET", "HEAD", "OPTIONS")

PREFLIGHT_HEADERS: Final = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, accept, content-type",
    "access-control-max-age": "600",
}

SECURITY_HEADERS: Final = {
    "content-security-policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "connect-src 'self'",
            "font-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guards:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, origin: str, dicomweb_origins: Sequence[str] = ()) -> None:
        self._app = app
        self._origin = origin
        self._dicomweb_origins = dicomweb_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 or 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded = _with_security_headers(send, scope["path"])
        viewer = self._viewer_elsewhere(scope["path"], headers)
        if viewer:
            guarded = _readable_for(viewer, guarded)
            if scope["method"] == "OPTIONS":
                await Response(status_code=204, headers=PREFLIGHT_HEADERS)(scope, receive, guarded)
                return
        limit = LARGEST_UPLOAD if scope["path"].startswith(UPLOAD_PATHS) else LARGEST_REQUEST
        is_ours = bool(viewer) or scope["method"] in SAFE_METHODS or _comes_from_this_page(headers, self._origin)
        if not is_ours:
            await _refuse(403, "The request came from another site.")(scope, receive, guarded)
        elif _declared_length(headers) > limit:
            await _refuse(413, _too_large(limit))(scope, receive, guarded)
        else:
            await self._app(scope, _limited(receive, limit), guarded)

    def _viewer_elsewhere(self, path: str, headers: Headers) -> str:
        """The origin of another site that may use the DICOMweb door; empty: it comes from none."""
        origin = headers.get("origin", "")
        return origin if path.startswith("/dicom-web/") and origin in self._dicomweb_origins else ""


def _readable_for(origin: str, send: Send) -> Send:
    """CORS, without cookies: such a viewer shows a token."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "warning"
            headers["cross-origin-resource-policy"] = "cross-origin"
            headers.add_vary_header("origin")
        await send(message)

    return sending


def _comes_from_this_page(headers: Headers, origin: str) -> bool:
    """By Origin (RFC 6454) and Fetch Metadata. A program that sends neither brings no cookie of a browser either."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    given = headers.get("origin")
    return given is None or given == origin or urlsplit(given).netloc == headers.get("host")


def _declared_length(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else 0


def _too_large(limit: int) -> str:
    return f"This is more than the {limit // MEGABYTE} MB that one request may carry. Send less at a time."


def _refuse(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status)


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that counts: a body need not say how long it is. Its reader is inside, where errors are answered."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return counted


def _with_security_headers(send: Send, path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if not path.startswith("/assets/"):
                headers.setdefault("cache-control", "no-store")  # shared workstations keep no patient data
        await send(message)

    return sending

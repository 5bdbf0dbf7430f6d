"""Where the DICOMweb door is."""

from __future__ import annotations

from fastapi import Request

from pipeline.dicomweb_services import ROOT


def base_of(request: Request) -> str:
    """The address of the door: as people type it where that is set, else where the connection arrived.

    Never by the Host header: programs leave the port out of it, and it says what the sender likes.
    """
    origin: str = request.app.state.web.settings.web_origin
    if origin:
        return f"{origin.rstrip('/')}{ROOT}"
    host, port = request.scope["server"]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{ROOT}"

"""multipart/related (RFC 2387), both ways: many parts in one answer, and a request's parts as files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette import status
from starlette.responses import StreamingResponse

from pipeline.dicomweb_services import DICOM
from viewer_api.parts import save_parts

Part = tuple[str, Iterable[bytes]]
"""Content-Type and content."""

MOST_PARTS: Final = 1000


def answer(parts: Iterable[Part], *, media_type: str) -> StreamingResponse:
    """All parts in one answer; nothing is held in memory.

    Args:
        parts: Content-Type and content of each.
        media_type: What kind all of them are.
    """
    boundary = uuid4().hex
    content_type = f'multipart/related; type="{media_type}"; boundary={boundary}'
    return StreamingResponse(_written(parts, boundary), headers={"content-type": content_type})


def _written(parts: Iterable[Part], boundary: str) -> Iterator[bytes]:
    for content_type, content in parts:
        yield f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
        yield from content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


async def save_instances(request: Request, folder: Path) -> list[Path]:
    """Write each part of a request into a file of its own, as it comes in.

    Raises:
        HTTPException: 415: it is no multipart/related of DICOM files; 400: it is damaged; 413: it has too many parts.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    is_dicom = options.get(b"type", DICOM.encode()).decode("latin-1").strip('"') == DICOM
    if kind != b"multipart/related" or not is_dicom or not options.get(b"boundary"):
        wanted = f'multipart/related; type="{DICOM}"; boundary=…'
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, f"Send {wanted}.")
    parts = await save_parts(request, folder, boundary=options[b"boundary"], most=MOST_PARTS)
    return [part.path for part in parts]

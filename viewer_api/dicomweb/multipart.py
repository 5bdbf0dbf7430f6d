"""multipart/related (RFC 2387), both ways: many parts in one answer, and a request's parts as files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from fastapi import HTTPException, Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette import status
from starlette.responses import StreamingResponse

from pipeline.dicomweb_services import DICOM

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


async def save_parts(request: Request, folder: Path) -> list[Path]:
    """Write each part of a request into a file of its own, as it comes in.

    Raises:
        HTTPException: 415: it is no multipart/related of DICOM files; 400: it is damaged, or has too many parts.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    is_dicom = options.get(b"type", DICOM.encode()).decode("latin-1").strip('"') == DICOM
    if kind != b"multipart/related" or not is_dicom or not options.get(b"boundary"):
        wanted = f'multipart/related; type="{DICOM}"; boundary=…'
        raise HTTPException(status.HTTP_415_UNSUPPORTED_MEDIA_TYPE, f"Send {wanted}.")
    try:
        return await _save(request.stream(), _Parts(folder), options[b"boundary"])
    except MultipartParseError as error:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The parts of the request cannot be told apart.") from error


async def _save(chunks: AsyncIterator[bytes], parts: _Parts, boundary: bytes) -> list[Path]:
    callbacks = {"on_part_begin": parts.begin, "on_part_data": parts.add, "on_part_end": parts.end}
    parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
    try:
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    finally:
        parts.end()
    return parts.paths


class _Parts:
    """The files of the parts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: BinaryIO | None = None
        self.paths: list[Path] = []

    def begin(self) -> None:
        if len(self.paths) >= MOST_PARTS:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, f"Send {MOST_PARTS} instances at a time.")
        path = self._folder / f"{len(self.paths)}.dcm"
        self._open = path.open("xb")
        self.paths.append(path)

    def add(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._open.write(data[start:end])

    def end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

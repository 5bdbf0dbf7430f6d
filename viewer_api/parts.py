"""The parts of a multipart request (RFC 2046 5.1) as files of a folder, written as they come in.

A route reads its request with this, after it knows who asks: what FastAPI reads by itself, it reads before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import HTTPException, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette import status
from starlette.concurrency import run_in_threadpool

from pipeline.disk_space import has_room
from pipeline.store import storage_errors
from viewer_api.deps import Web

RETRY_SECONDS: Final = "300"


@dataclass(kw_only=True)
class SavedPart:
    """A part of a request.

    Attributes:
        path: Where its content lies.
        disposition: Its Content-Disposition; empty: it has none.
    """

    path: Path
    disposition: bytes = b""

    @property
    def field(self) -> str:
        """Name of a form's field (RFC 7578 4.2); empty in other requests."""
        return self._said(b"name")

    @property
    def filename(self) -> str:
        """As on the sender's disk, without folders; empty where nothing is said."""
        return Path(self._said(b"filename")).name

    def _said(self, what: bytes) -> str:
        return parse_options_header(self.disposition)[1].get(what, b"").decode("utf-8", "replace")


def check_room(web: Web) -> None:
    """Take nothing in that could fill the disk that the database may lie on.

    Raises:
        HTTPException: 503: less than `minimum_free_megabytes` are free.
    """
    minimum = web.settings.minimum_free_megabytes
    if not has_room(web.settings.data_folder, minimum_free_megabytes=minimum):
        sentence = f"Less than {minimum} MB are free here, so nothing is taken in: send it again later."
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, sentence, {"retry-after": RETRY_SECONDS})


async def save_parts(request: Request, folder: Path, *, boundary: bytes, most: int) -> list[SavedPart]:
    """Write each part of a request into a file of its own.

    Args:
        request: Its body is not read yet.
        folder: Where the files are made.
        boundary: What stands between the parts.
        most: How many parts there may be.

    Raises:
        HTTPException: 400: the parts cannot be told apart; 413: there are more.
        OutOfSpace: There is no room.
    """
    parts = _Parts(folder, most)
    try:
        parser = MultipartParser(boundary, parts.callbacks)  # type: ignore[arg-type]
        async for chunk in request.stream():
            await run_in_threadpool(parser.write, chunk)  # a slow disk keeps nobody else waiting
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(status.HTTP_400_BAD_REQUEST, "The parts of the request cannot be told apart.") from error
    finally:
        parts.end()
    return parts.saved


class _Parts:
    """What a parser calls."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._open: BinaryIO | None = None
        self._name, self._value = b"", b""
        self.saved: list[SavedPart] = []
        self.callbacks = {
            "on_part_begin": self.begin,
            "on_header_field": self.add_to_name,
            "on_header_value": self.add_to_value,
            "on_header_end": self.end_header,
            "on_part_data": self.add,
            "on_part_end": self.end,
        }

    def begin(self) -> None:
        if len(self.saved) >= self._most:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, f"Send at most {self._most} parts at a time.")
        path = self._folder / f"{len(self.saved)}.part"
        with storage_errors():
            self._open = path.open("xb")
        self.saved.append(SavedPart(path=path))

    def add_to_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_to_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self.saved[-1].disposition = self._value
        self._name, self._value = b"", b""

    def add(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            with storage_errors():
                self._open.write(data[start:end])

    def end(self) -> None:
        if self._open is not None:
            with storage_errors():
                self._open.close()
            self._open = None

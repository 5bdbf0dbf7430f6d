"""What a client wants an answer to be (PS3.18 8.7.5): the Accept header, or the query parameter of the same name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import HTTPException, Request
from python_multipart.multipart import parse_options_header
from starlette import status

ANYTHING: Final = "*/*"


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """One media type that the client takes.

    Attributes:
        media_type: `image/png`; of a multipart the type of its parts.
        is_multipart: Whether it is to come as multipart/related.
        transfer_syntax: `*`, a UID, or empty where nothing is said.
    """

    media_type: str
    is_multipart: bool
    transfer_syntax: str


def accepted(request: Request) -> tuple[Accepted, ...]:
    """In the order of the header; without one, anything."""
    said = request.query_params.get("accept") or request.headers.get("accept") or ANYTHING
    return tuple(_parsed(each) for each in _split(said) if each.strip())


def choose(request: Request, *offered: str) -> str:
    """The first of the offered media types that the client takes, in the client's order.

    Raises:
        HTTPException: 406: it takes none of them.
    """
    for each in accepted(request):
        for media_type in offered:
            if each.media_type in (media_type, ANYTHING, f"{media_type.partition('/')[0]}/*"):
                return media_type
    raise HTTPException(status.HTTP_406_NOT_ACCEPTABLE, f"There is {' or '.join(offered)}.")


def _parsed(text: str) -> Accepted:
    kind, options = parse_options_header(text.strip())
    plain = {name.decode("latin-1").lower(): value.decode("latin-1").strip('"') for name, value in options.items()}
    is_multipart = kind == b"multipart/related"
    media_type = plain.get("type", ANYTHING) if is_multipart else kind.decode("latin-1")
    return Accepted(
        media_type=media_type.lower(), is_multipart=is_multipart, transfer_syntax=plain.get("transfer-syntax", "")
    )


def _split(text: str) -> list[str]:
    """At commas outside of quotes."""
    parts, quoted = [""], False
    for sign in text:
        quoted ^= sign == '"'
        if sign == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return parts

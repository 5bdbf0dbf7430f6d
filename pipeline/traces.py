"""Tracebacks that may be kept: where it happened and what type of error it was, never what the error quotes.

A foreign exception's message may hold the very value it choked on, and a library's output anything at all.
"""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r' *File "(?P<file>[^"]+)", line \d+(,? in [\w.<>]+)?')
_TYPE: Final = re.compile(
    r"(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Warning|Interrupt|Exit|Unavailable|Failed|Refusal|OutOfSpace|Timeout))"
    r"(?::.*)?"
)
_FIXED: Final = (
    re.compile(r"Traceback \(most recent call last\):"),
    re.compile(r"Fatal Python error: [\w ]+"),
    re.compile(r"(Current t|T)hread 0x[0-9a-f]+ \(most recent call first\):"),
    re.compile(r"During handling of the above exception, another exception occurred:"),
    re.compile(r"The above exception was the direct cause of the following exception:"),
)


def without_values(text: str) -> str:
    """The lines of a traceback that say where and what type; everything else of `text` is left out."""
    return "\n".join(kept for line in text.splitlines() if (kept := _kept(line)))


def _kept(line: str) -> str:
    if found := _PLACE.match(line):
        return found[0]
    if any(fixed.fullmatch(line.strip()) for fixed in _FIXED):
        return line.strip()
    found = _TYPE.fullmatch(line)
    return found["type"] if found else ""

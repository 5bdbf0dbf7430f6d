"""Deflated datasets (PS3.5 A.5), which a few bytes can blow up to any size: looked at before they are read."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.errors import InputError

LARGEST_BYTES: Final = 256 << 20
"""Inflated; several times a large radiograph of 16 bits per pixel. pydicom inflates the whole dataset in memory."""

_CHUNK: Final = 1 << 20
_PREAMBLE_PREFIX_AND_GROUP_LENGTH: Final = 128 + 4 + 12
"""PS3.10 7.1: what comes before the elements that FileMetaInformationGroupLength counts."""


def check_inflated_size(path: Path) -> None:
    """Refuse a deflated dataset that is too large, or that cannot be inflated.

    Raises:
        InputError: It is such a dataset.
    """
    try:
        meta = read_file_meta_info(path)
    except (InvalidDicomError, OSError, ValueError, LookupError, AttributeError):
        return  # no file meta information that could say so: not deflated
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    begin = _PREAMBLE_PREFIX_AND_GROUP_LENGTH + int(meta.get("FileMetaInformationGroupLength", 0))
    try:
        size = _inflated_size(path, begin)
    except zlib.error as error:
        raise InputError(f"{path.name} cannot be inflated: send the file again, or uncompressed") from error
    if size > LARGEST_BYTES:
        raise InputError(f"{path.name} is larger than {LARGEST_BYTES >> 20} MiB when it is inflated: send it otherwise")


def _inflated_size(path: Path, begin: int) -> int:
    """Bytes after inflation; counting ends above `LARGEST_BYTES`.

    Raises:
        zlib.error: The bytes are damaged or cut short.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    with path.open("rb") as file:
        file.seek(begin)
        while not inflater.eof and size <= LARGEST_BYTES:
            piece = inflater.unconsumed_tail or file.read(_CHUNK)
            if not piece:
                break
            size += len(inflater.decompress(piece, _CHUNK))
    if size <= LARGEST_BYTES and not inflater.eof:
        raise zlib.error("incomplete")
    return size

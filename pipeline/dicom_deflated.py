"""Deflated datasets (PS3.5 A.5), which a few bytes can blow up to any size: looked at before they are read."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Final

from pydicom.filereader import _read_command_set_elements, _read_file_meta_info, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.errors import InputError

LARGEST_BYTES: Final = 256 << 20
"""Inflated; several times a large radiograph of 16 bits per pixel. pydicom inflates the whole dataset in memory."""

_CHUNK: Final = 1 << 20
_NO_META: Final = (OSError, ValueError, LookupError, AttributeError, NotImplementedError, EOFError, struct.error)
"""What pydicom raises over damaged file meta information, before it inflates anything."""


def check_inflated_size(path: Path, head: BinaryIO) -> None:
    """Refuse a deflated dataset that is too large, or that cannot be inflated.

    Args:
        path: The file.
        head: Its beginning; read from where it is, at the start, and brought back there.

    Raises:
        InputError: It is such a dataset.
    """
    is_deflated, start = _go_to_deflated(head), head.tell()
    head.seek(0)
    if not is_deflated:
        return
    with path.open("rb") as file:
        file.seek(start)
        try:
            size = _inflated_size(file)
        except zlib.error as error:
            raise InputError(f"{path.name} cannot be inflated: send the file again, or uncompressed") from error
    if size > LARGEST_BYTES:
        raise InputError(f"{path.name} is larger than {LARGEST_BYTES >> 20} MiB when it is inflated: send it otherwise")


def _go_to_deflated(file: BinaryIO) -> bool:
    """Go to where pydicom begins to inflate, with its own steps; whether it will.

    Its way through the file is not the standard's: it needs no preamble, and ends the file meta information at the
    first element of another group, whatever FileMetaInformationGroupLength says.
    """
    try:
        read_preamble(file, force=True)
        meta = _read_file_meta_info(file)
        _read_command_set_elements(file)
        return bool(meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)
    except _NO_META:
        return False


def _inflated_size(file: BinaryIO) -> int:
    """Bytes after inflation, from here to the end; counting ends above `LARGEST_BYTES`.

    Raises:
        zlib.error: The bytes are damaged or cut short.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    while not inflater.eof and size <= LARGEST_BYTES:
        piece = inflater.unconsumed_tail or file.read(_CHUNK)
        if not piece:
            break
        size += len(inflater.decompress(piece, _CHUNK))
    if size <= LARGEST_BYTES and not inflater.eof:
        raise zlib.error("incomplete")
    return size

"""ZIP archives without the time of day in them: equal members give equal bytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Final

EARLIEST_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""A ZIP file names a time for each member."""


def zipped(members: Mapping[str, bytes]) -> bytes:
    """Named contents, deflated, in their order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            information = zipfile.ZipInfo(name, EARLIEST_TIME)
            information.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(information, content)
    return buffer.getvalue()

"""An instance as the bytes of a DICOM file."""

from __future__ import annotations

import io

from pydicom.dataset import Dataset


def encode(dataset: Dataset) -> bytes:
    """An instance as a DICOM file (PS3.10 7)."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()

"""What encloses a document, whatever it is (PS3.3 C.24.2)."""

from __future__ import annotations

from pydicom.dataset import Dataset


def enclose(target: Dataset, document: bytes, *, media_type: str) -> None:
    """Put a document into an instance; its length tells the padding apart."""
    target.MIMETypeOfEncapsulatedDocument = media_type
    target.EncapsulatedDocumentLength = len(document)
    target.EncapsulatedDocument = document + bytes(len(document) % 2)

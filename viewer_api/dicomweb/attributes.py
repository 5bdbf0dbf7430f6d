"""What searches answer of each instance, read from its file the first time that somebody asks."""

from __future__ import annotations

from typing import Any

import structlog

from pipeline.dicom_json import attributes_of
from pipeline.dicom_pixels import CODEC_ERRORS
from pipeline.records import served
from pipeline.records.served import Unread
from pipeline.records.studies import StudyScope
from pipeline.store import Store, StoreUnavailable
from viewer_api.deps import Web

log = structlog.get_logger(__name__)


def read_new(web: Web, scope: StudyScope, study: str = "") -> bool:
    """Look into the scope's files that nobody has looked into yet; whether that were all of them.

    Args:
        web: The application's own.
        scope: Whose files may be seen.
        study: StudyInstanceUID of the only study to look into; empty: all.
    """
    with web.database.begin() as connection:
        waiting = served.unread(connection, scope, study)
    if waiting:
        found = [(each, _attributes(web.store, each)) for each in waiting]
        with web.database.begin() as connection:
            served.remember_attributes(connection, [(each, said) for each, said in found if said is not None])
    return len(waiting) < served.READ_AT_ONCE


def _attributes(store: Store, each: Unread) -> dict[str, Any] | None:
    """Of a damaged file nothing; None where it cannot be read now and may be later. The log says so of both.

    Raises:
        StoreUnavailable: The store is away.
    """
    try:
        with store.opened(each.blob_key) as file:
            return attributes_of(file)
    except (*CODEC_ERRORS, StoreUnavailable) as error:
        fault = error.__cause__ if isinstance(error, StoreUnavailable) else error
        if isinstance(error, StoreUnavailable) and not isinstance(fault, FileNotFoundError):
            raise
        log.warning("attributes_not_read", row=str(each.id), error=type(fault).__name__)
        return None if isinstance(fault, OSError) else {}

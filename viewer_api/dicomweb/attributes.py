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


def read_new(web: Web, scope: StudyScope) -> bool:
    """Look into the scope's files that nobody has looked into yet; whether that were all of them."""
    with web.database.begin() as connection:
        waiting = served.unread(connection, scope)
    if waiting:
        found = [(each, _attributes(web.store, each)) for each in waiting]
        with web.database.begin() as connection:
            served.remember_attributes(connection, found)
    return len(waiting) < served.READ_AT_ONCE


def _attributes(store: Store, each: Unread) -> dict[str, Any]:
    """Of a file that is damaged or gone nothing, and the log says so."""
    try:
        with store.opened(each.blob_key) as file:
            return attributes_of(file)
    except (*CODEC_ERRORS, StoreUnavailable) as error:
        if isinstance(error, StoreUnavailable) and not isinstance(error.__cause__, FileNotFoundError):
            raise  # the store is away, and the file may be sound
        log.warning("attributes_not_read", row=str(each.id), error=type(error).__name__)
        return {}

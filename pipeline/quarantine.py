"""Another try for what is in quarantine: once it can be read, or once somebody has removed what stood in the way."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from uuid import UUID

from pipeline.database import Database
from pipeline.errors import InputError
from pipeline.inbox import Accepted, Incoming, accept, identified
from pipeline.records import quarantine
from pipeline.records.quarantine import QuarantineProblem
from pipeline.scratch import working_folder
from pipeline.store import Store


def take_in_again(
    database: Database,
    store: Store,
    quarantined_id: UUID,
    *,
    scratch: Path,
    now: datetime,
    institution_id: UUID | None = None,
) -> Accepted:
    """Take a file in as if its sender had sent it again; where that fails it stays in quarantine as it is.

    Args:
        database: The node's records.
        store: The node's blobs.
        quarantined_id: Which.
        scratch: Where to work, best on the store's file system.
        now: The time.
        institution_id: Only if it is this one's.

    Raises:
        InputError: There is none, it still cannot be taken in, or only its sender can help.
        TransientError: Store or database do not answer.
    """
    with database.begin() as connection:
        _, kept = quarantine.find(connection, quarantined_id, institution_id=institution_id)
    if kept.problem is QuarantineProblem.TOO_LARGE:
        raise InputError("only its first bytes were kept: let its sender send it again")
    if kept.institution_id is None or not kept.called_ae_title:
        raise InputError("it was not sent by a device: whoever uploaded it can upload it again")
    with working_folder(scratch, prefix="quarantine-") as folder:
        incoming = Incoming(
            path=folder / "again.dcm",
            institution_id=kept.institution_id,
            calling_ae_title=kept.calling_ae_title,
            called_ae_title=kept.called_ae_title,
            received_from=kept.received_from,
            sop_class_uid=kept.sop_class_uid or None,
            sop_instance_uid=kept.sop_instance_uid or None,
        )
        store.fetch(kept.blob_key, incoming.path)
        identified(incoming)  # else `accept` would put it into quarantine a second time
        accepted = accept(database, store, incoming, now=now)
    with database.begin() as connection:
        quarantine.take_out(connection, quarantined_id)
    return accepted

"""What an administrator looks after: who is silent, how long what is kept, and what is in quarantine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from starlette import status
from starlette.responses import StreamingResponse

from pipeline.quarantine import take_in_again
from pipeline.records import quarantine
from pipeline.records.arrivals import silent_senders
from pipeline.records.removal import remove_quarantined
from pipeline.records.tables import quarantine as quarantine_rows
from pipeline.retention import Outlook, outlooks, remove_blobs
from pipeline.scratch import scratch_folder
from viewer_api.deps import AdministratorDep, WebDep

router = APIRouter(prefix="/api/administration/upkeep")


@dataclass(frozen=True, kw_only=True)
class ShownOutlook:
    """How long one kind of thing is kept, and what would go now.

    Attributes:
        entry: The setting.
        days: Its value; 0: for ever.
        going: How many would go.
        going_bytes: Their size.
        held_back: Why others stay, though they were kept long enough; once each.
    """

    entry: str
    days: int
    going: int
    going_bytes: int
    held_back: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ShownQuarantined:
    """A file in quarantine; what was sent several times is here once."""

    id: UUID
    received_at: datetime
    last_received_at: datetime
    times: int
    sender: str
    problem: str
    reason: str
    size: int


@dataclass(frozen=True, kw_only=True)
class ShownUpkeep:
    """All of it."""

    silent: tuple[str, ...]
    retention: tuple[ShownOutlook, ...]
    quarantine: tuple[ShownQuarantined, ...]


@router.get("")
def get_upkeep(web: WebDep, administrator: AdministratorDep) -> ShownUpkeep:
    """Of the administrator's institution."""
    institution, now = administrator.institution_id, web.clock()
    with web.database.begin() as connection:
        silent = silent_senders(connection, now=now, institution_id=institution)
        kept = outlooks(connection, now=now, institution=administrator.institution_slug)
        lines = quarantine.newest(connection, institution_id=institution)
    return ShownUpkeep(
        silent=tuple(sender.sentence for sender in silent),
        retention=tuple(map(_shown_outlook, kept)),
        quarantine=tuple(map(_shown_quarantined, lines)),
    )


@router.get("/quarantine/{quarantined_id}")
def get_quarantined(quarantined_id: UUID, web: WebDep, administrator: AdministratorDep) -> StreamingResponse:
    """The file as it was received, to be downloaded."""
    with web.database.begin() as connection:
        line, _ = quarantine.find(connection, quarantined_id, institution_id=administrator.institution_id)
    headers = {
        "content-length": str(line.size),
        "content-disposition": f'attachment; filename="quarantined-{quarantined_id}.dcm"',
    }
    return StreamingResponse(web.store.chunks(line.blob_key), media_type="application/octet-stream", headers=headers)


@router.post("/quarantine/{quarantined_id}/retry", status_code=status.HTTP_204_NO_CONTENT)
def retry_quarantined(quarantined_id: UUID, web: WebDep, administrator: AdministratorDep) -> None:
    """Take the file in as if it had been sent again."""
    take_in_again(
        web.database,
        web.store,
        quarantined_id,
        scratch=scratch_folder(web.settings),
        now=web.clock(),
        institution_id=administrator.institution_id,
    )


@router.delete("/quarantine/{quarantined_id}", status_code=status.HTTP_204_NO_CONTENT)
def remove_from_quarantine(quarantined_id: UUID, web: WebDep, administrator: AdministratorDep) -> None:
    """Remove the file for good."""
    with web.database.begin() as connection:
        quarantine.find(connection, quarantined_id, institution_id=administrator.institution_id)
        reason = f"by hand: {administrator.email} (web)"
        remove_quarantined(connection, quarantine_rows.c.id == quarantined_id, reason=reason, now=web.clock())
    remove_blobs(web.database, web.store)


def _shown_outlook(outlook: Outlook) -> ShownOutlook:
    return ShownOutlook(
        entry=outlook.rule.what.entry,
        days=outlook.rule.days,
        going=len(outlook.going),
        going_bytes=sum(due.size for due in outlook.going),
        held_back=tuple(sorted({due.held_back for due in outlook.held_back})),
    )


def _shown_quarantined(line: quarantine.QuarantineLine) -> ShownQuarantined:
    return ShownQuarantined(
        id=line.id,
        received_at=line.received_at,
        last_received_at=line.last_received_at,
        times=line.times,
        sender=f"{line.calling_ae_title} {line.received_from}".strip(),
        problem=line.problem,
        reason=line.reason,
        size=line.size,
    )

"""Why a newer result took the place of an older one, as ledger and page say it."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from sqlalchemy import Connection, select

from pipeline.records.instances import Addition
from pipeline.records.ledger import LedgerEvent
from pipeline.records.tables import instances, ledger, reconstructions, result_sets


class Replacement(StrEnum):
    """Why there is a newer result."""

    RUN_AGAIN = "run again"
    """Of the very same images."""
    CORRECTED = "corrected patient data"
    """An image came again, with the patient's or the order's data corrected."""
    LATER_VIEW = "later view"
    """Further images came."""
    OTHER_IMAGES = "other images"
    """Images came again otherwise, or are used no more."""


def replacement(connection: Connection, older: UUID, newer: UUID) -> Replacement:
    """Why a result set took the place of another one of its study."""
    before, after = _images(connection, older), _images(connection, newer)
    if before == after:
        return Replacement.RUN_AGAIN
    if _has_correction(connection, after - before):
        return Replacement.CORRECTED
    return Replacement.LATER_VIEW if before < after else Replacement.OTHER_IMAGES


def _images(connection: Connection, result_set: UUID) -> frozenset[UUID]:
    used = (
        select(reconstructions.c.instance_ids)
        .join_from(result_sets, reconstructions)
        .where(result_sets.c.id == result_set)
    )
    return frozenset(connection.execute(used).scalar_one())


def _has_correction(connection: Connection, images: frozenset[UUID]) -> bool:
    """Whether one of these was taken in as the correction of an earlier one, by what the ledger says of its bytes."""
    corrections = (
        select(ledger.c.id)
        .join(instances, instances.c.sop_instance_uid == ledger.c.sop_instance_uid)
        .where(
            instances.c.id.in_(images),
            instances.c.institution_id == ledger.c.institution_id,
            ledger.c.event == LedgerEvent.RECEIVED,
            ledger.c.facts["digest"].astext == instances.c.digest,
            ledger.c.facts["outcome"].astext == Addition.CORRECTED,
        )
    )
    return connection.execute(select(corrections.exists())).scalar_one()

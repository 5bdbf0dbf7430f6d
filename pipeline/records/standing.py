"""Which results stand: those that no other took the place of, or may be about to; and which of them go first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, or_, select

from pipeline.records.tables import deliveries, reconstructions, result_files, result_sets
from pipeline.results import FileKind

RESULTS: Final = tuple(kind.value for kind in FileKind if kind.is_dicom)


def is_replaced() -> ColumnElement[bool]:
    """SQL on `result_files`: it is of a result whose place another one took.

    A rejection note never is: what it rejects stays rejected, whatever comes after.
    """
    return _is_of_set(result_sets.c.replaced_at.is_not(None))


def is_overtaken(by: Sequence[str] = ("queued", "running")) -> ColumnElement[bool]:
    """SQL on `result_files`: it is replaced, or a reconstruction in one of these states may replace it."""
    on_its_way = and_(reconstructions.c.study_id == result_sets.c.study_id, reconstructions.c.state.in_(by))
    return or_(is_replaced(), _is_of_set(select(reconstructions.c.id).where(on_its_way).exists()))


def _is_of_set(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """SQL on `result_files`: it is no rejection note, and of a result set that fulfils this."""
    its_set = (result_sets.c.id == result_files.c.result_set_id, result_files.c.kind.in_(RESULTS))
    return select(result_sets.c.id).where(*its_set, condition).correlate(result_files).exists()


def is_its_turn() -> ColumnElement[bool]:
    """SQL on `deliveries`: it may go before what else is planned for its peer.

    A rejection note goes last: until the peer has the results that stand, the earlier ones are all that it has. So it
    waits as well while these are held back, because a reconstruction on its way may replace them.
    """
    own, own_set = result_files.alias(), result_sets.alias()
    other, others_file, standing = deliveries.alias(), result_files.alias(), result_sets.alias()
    before_it = (
        select(other.c.id)
        .join_from(other, others_file, others_file.c.id == other.c.result_file_id)
        .join(standing, and_(standing.c.id == others_file.c.result_set_id, standing.c.replaced_at.is_(None)))
        .join(own_set, own_set.c.study_id == standing.c.study_id)
        .join(own, own.c.result_set_id == own_set.c.id)
        .where(
            own.c.id == deliveries.c.result_file_id,
            own.c.kind == FileKind.REJECTION_NOTE,
            other.c.peer_id == deliveries.c.peer_id,
            other.c.id != deliveries.c.id,
            other.c.state.in_(("pending", "withdrawn", "dead")),
        )
        .correlate(deliveries)
        .exists()
    )
    return ~before_it

"""Blobs that no row refers to any more: listed with the removal of their rows, removed afterwards.

Blobs are named by their content, so that the same bytes may come in again, or be made again, while they are on their
way out, or listed still after a crash that left no bytes. Who has put some therefore holds them (`hold`) until the
commit of the row that refers to them, and puts them once more where they are gone: either they were removed before, and
are back, or the row is there when `take` looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, any_, delete, func, literal, select, text, union_all
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Text

from pipeline.records.tables import instances, quarantine, result_files, unreferenced_blobs

AT_ONCE: Final = 200
_HOLD: Final = text(
    "SELECT pg_advisory_xact_lock(number) FROM (SELECT DISTINCT hashtextextended(key, 0) AS number"
    " FROM unnest(CAST(:keys AS text[])) AS key ORDER BY number) AS numbers"
)
"""In one order for all, so that two who hold several of the same never wait for each other."""


def release(connection: Connection, keys: Iterable[str]) -> None:
    """A row that referred to them was removed; when that is committed they may go."""
    listed = [{"blob_key": key} for key in sorted(set(keys))]
    if listed:
        connection.execute(insert(unreferenced_blobs).on_conflict_do_nothing(), listed)


def hold(connection: Connection, keys: Sequence[str]) -> None:
    """Nobody removes these blobs before the end of the transaction."""
    connection.execute(_HOLD, {"keys": list(keys)})


def take(connection: Connection) -> tuple[int, tuple[str, ...]]:
    """Some blobs off the list, held: how many, and those of them to which indeed no row refers.

    Commit when these are removed from the store.
    """
    columns = unreferenced_blobs.c
    some = select(columns.blob_key).order_by(columns.blob_key).limit(AT_ONCE).with_for_update(skip_locked=True)
    keys = connection.execute(some).scalars().all()
    if not keys:
        return 0, ()
    hold(connection, keys)
    wanted = any_(literal(list(keys), ARRAY(Text)))
    referring = union_all(
        select(instances.c.blob_key).where(instances.c.blob_key == wanted, instances.c.removed_at.is_(None)),
        select(result_files.c.blob_key).where(result_files.c.blob_key == wanted),
        select(quarantine.c.blob_key).where(quarantine.c.blob_key == wanted),
    )
    needed = frozenset(connection.execute(referring).scalars())
    connection.execute(delete(unreferenced_blobs).where(columns.blob_key == wanted))
    return len(keys), tuple(key for key in keys if key not in needed)


def waiting(connection: Connection) -> int:
    """How many are listed."""
    return int(connection.execute(select(func.count()).select_from(unreferenced_blobs)).scalar_one())

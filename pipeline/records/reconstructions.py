"""Reconstructions: one per study and set of radiographs, from queued to its final state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from pipeline.records import studies
from pipeline.records.tables import reconstructions

FINAL_STATES: Final = ("reconstructed", "refused", "failed", "superseded")


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """A reconstruction's row.

    Attributes:
        id: Its ID.
        institution_id: Whose.
        study_id: Of which study.
        instance_ids: The radiographs it uses.
        state: One of `RECONSTRUCTION_STATES`.
        priority: One of `PRIORITIES`.
        attempts: How often it was begun.
        problem: Why it was refused or failed, for people.
        traceback: What a developer needs to know of a failure.
        queued_at: When it became a job.
        started_at: When a worker last began.
        finished_at: When it came to its final state.
    """

    id: UUID
    institution_id: UUID
    study_id: UUID
    instance_ids: tuple[UUID, ...]
    state: str
    priority: str
    attempts: int
    problem: str
    traceback: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in FINAL_STATES


def queue(
    connection: Connection,
    *,
    institution_id: UUID,
    study_id: UUID,
    input_digest: str,
    instance_ids: Sequence[UUID],
    priority: str = "routine",
) -> UUID | None:
    """A new reconstruction, or None where the study has one of the same input already.

    It is queued by the clock, not when the transaction began: that may have waited for the study's lock since.
    """
    created: UUID | None = connection.execute(
        insert(reconstructions)
        .values(
            institution_id=institution_id,
            study_id=study_id,
            input_digest=input_digest,
            instance_ids=list(instance_ids),
            priority=priority,
            queued_at=func.clock_timestamp(),
        )
        .on_conflict_do_nothing()
        .returning(reconstructions.c.id)
    ).scalar()
    return created


def state_for(connection: Connection, study_id: UUID, input_digest: str) -> str | None:
    """The state of a study's reconstruction of that input."""
    state: str | None = connection.execute(
        select(reconstructions.c.state).where(
            reconstructions.c.study_id == study_id, reconstructions.c.input_digest == input_digest
        )
    ).scalar()
    return state


def lock(connection: Connection, reconstruction_id: UUID) -> Reconstruction | None:
    """The row, locked until the end of the transaction; None if there is none."""
    found = _read(
        connection, select(reconstructions).where(reconstructions.c.id == reconstruction_id).with_for_update()
    )
    return found[0] if found else None


def lock_newest(connection: Connection, study_id: UUID) -> Reconstruction | None:
    """The study's newest reconstruction, locked; None where it has none."""
    rows = of_study(connection, study_id)
    return lock(connection, rows[0].id) if rows else None


def of_study(connection: Connection, study_id: UUID) -> tuple[Reconstruction, ...]:
    """A study's reconstructions, the newest first."""
    newest_first = reconstructions.c.queued_at.desc()
    return _read(
        connection, select(reconstructions).where(reconstructions.c.study_id == study_id).order_by(newest_first)
    )


def newest_id(connection: Connection, study_id: UUID) -> UUID:
    """The study's newest reconstruction."""
    newest: UUID = connection.execute(
        select(reconstructions.c.id)
        .where(reconstructions.c.study_id == study_id)
        .order_by(reconstructions.c.queued_at.desc())
        .limit(1)
    ).scalar_one()
    return newest


def is_overtaken(connection: Connection, reconstruction: Reconstruction) -> bool:
    """Whether its study has a newer reconstruction that counts: one that failed does not."""
    newer = select(reconstructions.c.id).where(
        reconstructions.c.study_id == reconstruction.study_id,
        reconstructions.c.queued_at > reconstruction.queued_at,
        reconstructions.c.state != "failed",
    )
    return connection.execute(newer.limit(1)).first() is not None


def newest_state(connection: Connection, study_id: UUID) -> str | None:
    """The state of the study's newest reconstruction; None where it has none."""
    newest_first = select(reconstructions.c.state).where(reconstructions.c.study_id == study_id)
    state: str | None = connection.execute(newest_first.order_by(reconstructions.c.queued_at.desc()).limit(1)).scalar()
    return state


def begin(connection: Connection, reconstruction: Reconstruction, *, now: datetime) -> Reconstruction:
    """A worker begins: one more attempt, counted before anything can go wrong."""
    begun = replace(reconstruction, state="running", attempts=reconstruction.attempts + 1, started_at=now)
    fresh: dict[str, object] = {"fraction": 0, "stage": "", "progress_sentence": ""}
    _update(connection, reconstruction, "running", attempts=begun.attempts, started_at=now, **fresh)
    return begun


def note_progress(connection: Connection, reconstruction_id: UUID, *, stage: str, percent: int, sentence: str) -> None:
    """What the running attempt is doing."""
    connection.execute(
        update(reconstructions)
        .where(reconstructions.c.id == reconstruction_id, reconstructions.c.state == "running")
        .values(stage=stage, fraction=percent, progress_sentence=sentence)
    )


def finish(connection: Connection, reconstruction: Reconstruction, state: str, *, now: datetime, problem: str) -> None:
    """It ended as `reconstructed`, `refused` (the problem is its sentence) or `superseded`."""
    _update(connection, reconstruction, state, finished_at=now, problem=problem, traceback="", fraction=100)


def fail(
    connection: Connection, reconstruction: Reconstruction, *, now: datetime, problem: str, traceback: str
) -> None:
    """The last attempt failed: a dead letter, until somebody runs it again."""
    _update(connection, reconstruction, "failed", finished_at=now, problem=problem, traceback=traceback)


def wait_again(connection: Connection, reconstruction: Reconstruction, *, problem: str, traceback: str) -> None:
    """An attempt failed and there will be another."""
    _update(connection, reconstruction, "queued", problem=problem, traceback=traceback)


def reset(connection: Connection, reconstruction: Reconstruction) -> None:
    """As if it had never been tried."""
    _update(connection, reconstruction, "queued", attempts=0, problem="", traceback="", finished_at=None, fraction=0)


def _update(connection: Connection, reconstruction: Reconstruction, state: str, **values: object) -> None:
    """Change the row; where it is the study's newest, the study's state goes with it.

    A study that is `receiving` again stays so: a newer view is waiting to be settled.
    """
    connection.execute(
        update(reconstructions).where(reconstructions.c.id == reconstruction.id).values(state=state, **values)
    )
    if state != "superseded" and newest_id(connection, reconstruction.study_id) == reconstruction.id:
        studies.follow(connection, reconstruction.study_id, state)


def _read(connection: Connection, statement: Any) -> tuple[Reconstruction, ...]:  # noqa: ANN401 - SQL statement
    names = [name for name in Reconstruction.__dataclass_fields__ if name != "instance_ids"]
    return tuple(
        Reconstruction(instance_ids=tuple(row["instance_ids"]), **{name: row[name] for name in names})
        for row in connection.execute(statement).mappings()
    )

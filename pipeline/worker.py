"""The worker: settles studies, takes reconstructions from the queue and does them, one at a time.

`python -m pipeline.worker [--config node.toml]`. Any number of workers may run, on any number of machines. The job of a
worker that was killed is taken over by another when its heartbeat has gone stale.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import PsycopgDriver
from pgqueuer.errors import RetryRequested
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from pipeline.child_process import ChildProcess
from pipeline.database import Database, DatabaseUnavailable, open_database
from pipeline.errors import TransientError
from pipeline.jobs import RECONSTRUCT, settle_due
from pipeline.reconstruction_job import LONGEST_DELAY, ReconstructionJob
from pipeline.records.clock_steps import bring_back
from pipeline.role import run_role
from pipeline.scratch import scratch_folder, sweep
from pipeline.settings import NodeSettings
from pipeline.store import open_store

STUDY_CHILD: Final = (sys.executable, "-P", "-m", "pipeline.study_child")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class WorkerPace:
    """How quickly a worker notices things.

    Attributes:
        heartbeat: A job whose worker has been silent for so long is taken over.
        poll: How often the queue is looked at when nothing wakes us.
        settle: How often studies are looked at that wait for a quiet time.
    """

    heartbeat: timedelta = timedelta(seconds=30)
    poll: timedelta = timedelta(seconds=5)
    settle: timedelta = timedelta(seconds=1)


class OneAtATime(Queries):
    """PgQueuer's queries for a worker that holds one job; PgQueuer's own least is two, one of which would only wait."""

    async def dequeue(self, *args: Any, **options: Any) -> list[Job]:  # noqa: ANN401 - PgQueuer's own arguments
        """Take the next job, unless we hold one."""
        return await super().dequeue(*args, **{**options, "global_concurrency_limit": 1})


class TwoConnections(PsycopgDriver):
    """PgQueuer's driver with a second connection for listening.

    On a single one every query waits up to a second, until psycopg stops listening for a moment and frees its lock.
    """

    def __init__(self, asking: psycopg.AsyncConnection, listening: psycopg.AsyncConnection) -> None:
        super().__init__(listening)
        self._asking = PsycopgDriver(asking)

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """Run a statement that answers with rows."""
        return await self._asking.fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement."""
        return await self._asking.execute(query, *args)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Settles studies and does jobs.

    Attributes:
        database: The node's records.
        job: How a job is done.
        pace: How quickly things are noticed.
    """

    database: Database
    job: ReconstructionJob
    pace: WorkerPace = WorkerPace()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; the job in hand is finished first.

        Raises:
            DatabaseUnavailable: PostgreSQL went away: start the process again.
        """
        lost = asyncio.Event()
        try:
            async with await self._connect() as asking, await self._connect() as listening:
                manager = QueueManager(OneAtATime(TwoConnections(asking, listening)))
                manager.entrypoint(RECONSTRUCT)(partial(self._do, lost))
                manager.shutdown = stop
                await self.job.child.prepare()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._settle_until(stop, lost))
                    tasks.create_task(self._work(manager))
        except (psycopg.OperationalError, BaseExceptionGroup) as error:
            if not _is_loss_of_database(error):
                raise
            lost.set()
        finally:
            await self.job.child.dismiss()
        if lost.is_set():
            raise DatabaseUnavailable("PostgreSQL went away: start the worker again")

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.database.libpq_url, autocommit=True)

    async def _work(self, manager: QueueManager) -> None:
        await manager.run(
            batch_size=1,
            max_concurrent_tasks=2,
            dequeue_timeout=self.pace.poll,
            heartbeat_timeout=self.pace.heartbeat,
        )

    async def _do(self, lost: asyncio.Event, job: Job) -> None:
        """One job of the queue, unless the database is lost meanwhile; PgQueuer keeps its heartbeat going."""
        doing = asyncio.create_task(self.job.do(UUID((job.payload or b"").decode())))
        losing = asyncio.create_task(lost.wait())
        await asyncio.wait({doing, losing}, return_when=asyncio.FIRST_COMPLETED)
        losing.cancel()
        doing.cancel()
        try:
            delay = await doing
        except (TransientError, asyncio.CancelledError) as error:
            raise RetryRequested(self.job.first_delay, "the outcome could not be recorded") from error
        except Exception as error:
            log.error("job_broke", error=type(error).__name__)  # noqa: TRY400 - its text may hold a row of the database
            raise RetryRequested(LONGEST_DELAY, type(error).__name__) from error  # never lost, whatever it was
        await self.job.child.prepare()
        if delay is not None:
            raise RetryRequested(delay)

    async def _settle_until(self, stop: asyncio.Event, lost: asyncio.Event) -> None:
        """Settle again and again; whether that works also tells whether the database is still there."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(self._settle)
            except DatabaseUnavailable:
                lost.set()
                stop.set()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.pace.settle.total_seconds())

    def _settle(self) -> None:
        now = self.job.now()
        with self.database.begin() as connection:
            if brought_back := bring_back(connection, now=now):
                log.warning("clock_was_put_back", waited=brought_back)
            settle_due(connection, now=now)


def _is_loss_of_database(error: BaseException) -> bool:
    """Whether nothing else is the matter; tasks that fail together come as a group."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_loss_of_database, error.exceptions))
    return isinstance(error, psycopg.OperationalError | DatabaseUnavailable)


def work(settings: NodeSettings, stop: threading.Event, *, child_command: tuple[str, ...] = STUDY_CHILD) -> None:
    """Run a worker until `stop`.

    Args:
        settings: The node's.
        stop: Set from outside; also set when the worker ends by itself.
        child_command: How a study is reconstructed.

    Raises:
        DatabaseUnavailable: PostgreSQL went away: start the process again.
    """
    database = open_database(settings)
    job = ReconstructionJob(
        database=database,
        store=open_store(settings),
        child=ChildProcess(
            command=child_command,
            timeout_seconds=settings.job_timeout_seconds,
            threads=settings.threads,
            models_folder=settings.models_folder,
        ),
        scratch=scratch_folder(settings),
        attempts=settings.job_attempts,
    )
    sweep(job.scratch)
    pace = WorkerPace(heartbeat=timedelta(seconds=settings.job_heartbeat_seconds))
    log.info("ready")
    try:
        asyncio.run(_until(Worker(database=database, job=job, pace=pace), stop))
    finally:
        database.close()


async def _until(worker: Worker, stop: threading.Event) -> None:
    """Run the worker; `stop` is a thread's event because signals and tests set it."""
    stopping = asyncio.Event()

    async def relay() -> None:
        await asyncio.to_thread(stop.wait)
        stopping.set()

    relaying = asyncio.create_task(relay())
    try:
        await worker.run(stopping)
    finally:
        stop.set()
        await relaying


if __name__ == "__main__":
    run_role("worker", work)

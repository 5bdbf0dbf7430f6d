"""The process that delivers results, and does what else is due: reports, watching, checks, seals, tidying.

`python -m scp_node.delivery [--config node.toml]`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog

from pipeline.clock import utc_now
from pipeline.database import Database, open_database
from pipeline.errors import BonecraftError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import ledger
from pipeline.retention import run_by_itself
from pipeline.role import run_role
from pipeline.scratch import scratch_folder, sweep
from pipeline.settings import NodeSettings
from pipeline.store import Store, open_store
from scp_node.checks import check_connections
from scp_node.dispatch import Dispatcher
from scp_node.postman import Postman
from scp_node.pull_lines import Lines
from scp_node.pull_missing import Fetcher
from scp_node.reporter import Reporter
from scp_node.tls import TlsFiles
from scp_node.wakeup import Wakeup
from scp_node.watch import Watcher

POLL_SECONDS: Final = 0.5
PLAN_SECONDS: Final = 3.0
TIDY_SECONDS: Final = 3600.0
DRAIN_SECONDS: Final = 30.0
"""For everything together: less than the supervisor waits before it kills."""

log = structlog.get_logger(__name__)


def run(settings: NodeSettings, stop: threading.Event) -> None:
    """Do what is due until `stop`: a thread for each peer and source, so that a slow one keeps no other waiting."""
    database, store = open_database(settings), open_store(settings)
    lines = Lines(database=database, store=store, settings=settings)
    lines.open()
    sweep(scratch_folder(settings))
    fetcher = Fetcher(lines=lines)
    dispatchers = _dispatchers(settings, lines, fetcher, stop)
    log.info("ready")
    others = (
        _start("checks", lambda: check_connections(database, TlsFiles.of(settings), PeerSecrets.of(settings)), stop),
        _start("ledger", lambda: _seal(database), stop),
        _start("fetches", fetcher.plan, stop, pause_seconds=PLAN_SECONDS),
        _start("retention", lambda: _tidy(database, store, scratch_folder(settings)), stop, pause_seconds=TIDY_SECONDS),
    )
    wakeup = Wakeup(database)
    listening = threading.Thread(target=wakeup.listen_until, args=(stop,), name="wakeup", daemon=True)
    listening.start()
    _repeat(lambda: sum(each.dispatch() for each in dispatchers), stop, pause=wakeup.wait)
    drain([*(thread for each in dispatchers for thread in each.busy()), *others, listening])
    database.close()


def _dispatchers(
    settings: NodeSettings, lines: Lines, fetcher: Fetcher, stop: threading.Event
) -> tuple[Dispatcher, ...]:
    """What is sent to peers, reported to them, asked of them, and read from sources."""
    database, store = lines.database, lines.store
    files, attempts = TlsFiles.of(settings), settings.delivery_attempts
    postman = Postman(
        database=database,
        store=store,
        scratch=scratch_folder(settings),
        attempts=attempts,
        secrets=PeerSecrets.of(settings),
        tls=files,
    )
    reporter = Reporter(database=database, store=store, tls=files)
    watcher = Watcher(database=database, store=store, settings=settings, folder=lines.folder)
    return (
        Dispatcher(destinations_due=postman.destinations_due, deliver_to=postman.deliver_to, stop=stop),
        Dispatcher(destinations_due=reporter.peers_due, deliver_to=reporter.report_to, stop=stop),
        Dispatcher(destinations_due=fetcher.peers_due, deliver_to=fetcher.fetch_from, stop=stop),
        Dispatcher(destinations_due=watcher.sources_due, deliver_to=watcher.watch, stop=stop),
    )


def _start(
    name: str, work: Callable[[], int], stop: threading.Event, *, pause_seconds: float = POLL_SECONDS
) -> threading.Thread:
    """`work` again and again in a thread of its own."""
    thread = threading.Thread(
        target=_repeat, args=(work, stop), kwargs={"pause_seconds": pause_seconds}, name=name, daemon=True
    )
    thread.start()
    return thread


def drain(threads: Iterable[threading.Thread], *, seconds: float = DRAIN_SECONDS) -> None:
    """Wait for all of them together; what a peer keeps longer is sent again when its lease has ended."""
    give_up = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))


def _seal(database: Database) -> int:
    """Put what the ledger was told lately into its chain."""
    with database.begin() as connection:
        return ledger.seal(connection)


def _tidy(database: Database, store: Store, scratch: Path) -> int:
    """Remove what was kept long enough, and left behind; all at once, so nothing is left to do afterwards."""
    run_by_itself(database, store, now=utc_now())
    sweep(scratch)
    return 0


def _repeat(
    work: Callable[[], int],
    stop: threading.Event,
    *,
    pause_seconds: float = POLL_SECONDS,
    pause: Callable[[float], object] | None = None,
) -> None:
    """`work` again and again: at once while there is some, else after a pause, which `pause` may cut short."""
    wait = pause or stop.wait
    while not stop.is_set():
        try:
            idle = work() == 0
        except BonecraftError as error:
            log.warning("interrupted", reason=str(error))
            idle = True
        except Exception as error:  # noqa: BLE001 - a thread's boundary: the work goes on; values stay out of the log
            log.warning("interrupted_unexpectedly", error=type(error).__name__)
            idle = True
        if idle:
            wait(pause_seconds)


if __name__ == "__main__":
    run_role("delivery", run)

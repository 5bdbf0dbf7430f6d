"""A thread for each destination that something waits for: a slow or dead one keeps no other waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import structlog

from pipeline.errors import BonecraftError

log = structlog.get_logger(__name__)


class Dispatcher:
    """Starts the threads, and never two for one destination.

    Args:
        destinations_due: Says which destinations something can be sent to.
        deliver_to: Sends one batch to a destination; gives how much that was.
        stop: Set when no further batch shall be begun.
    """

    def __init__(
        self,
        *,
        destinations_due: Callable[[], tuple[UUID, ...]],
        deliver_to: Callable[[UUID], int],
        stop: threading.Event,
    ) -> None:
        self._destinations_due = destinations_due
        self._deliver_to = deliver_to
        self._stop = stop
        self._busy: dict[UUID, threading.Thread] = {}

    def dispatch(self) -> int:
        """Begin with every destination that is due and not being served; gives how many those are."""
        self._busy = {peer: thread for peer, thread in self._busy.items() if thread.is_alive()}
        idle = [peer for peer in self._destinations_due() if peer not in self._busy]
        for peer in idle:
            self._busy[peer] = threading.Thread(target=self._serve, args=(peer,), name=f"to-{peer}", daemon=True)
            self._busy[peer].start()
        return len(idle)

    def busy(self) -> tuple[threading.Thread, ...]:
        """The threads with a batch in hand."""
        return tuple(thread for thread in self._busy.values() if thread.is_alive())

    def _serve(self, peer: UUID) -> None:
        """Send batch after batch while there are some."""
        try:
            while not self._stop.is_set() and self._deliver_to(peer):
                pass
        except BonecraftError as error:
            log.warning("delivery_interrupted", reason=str(error))
        except Exception:  # the thread's end: what it held comes due again when the lease has ended
            log.exception("delivery_interrupted")

"""Who is connected and sends: written down for settling, which waits for senders that have not finished."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

import structlog
from pynetdicom.association import Association
from sqlalchemy import Connection

from pipeline import jobs
from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import BonecraftError
from pipeline.records import associations
from pipeline.records.associations import OpenAssociation
from scp_node.access import Admitted

WRITE_SECONDS: Final = 2.0
"""So often the list is written: what a study waits for is decided within seconds, not milliseconds."""

log = structlog.get_logger(__name__)


class ConnectedSenders:
    """The associations of one listener on which images may come."""

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database = database
        self._clock = clock
        self._listener = uuid4()
        self._lock = threading.Lock()
        self._open: dict[Association, OpenAssociation] = {}
        self._was_empty = True

    def opened(self, association: Association, admitted: Admitted) -> None:
        """A peer that may send is connected."""
        with self._lock:
            self._open[association] = OpenAssociation(
                id=uuid4(),
                institution_id=admitted.institution_id,
                calling_ae_title=admitted.peer.ae_title,
                study_id=None,
            )

    def sent_to(self, association: Association, study_id: UUID) -> None:
        """An image of that study came."""
        with self._lock:
            if association in self._open:
                self._open[association] = replace(self._open[association], study_id=study_id)

    def closed(self, association: Association) -> None:
        """It has ended, which may make the study that was sent ready; may be told twice."""
        with self._lock:
            ended = self._open.pop(association, None)
        if ended is None or ended.study_id is None:
            return
        study_id = ended.study_id

        def settle(connection: Connection) -> None:
            associations.forget(connection, ended.id)
            jobs.settle_study(connection, study_id, now=self._clock())

        self._in_transaction(settle)

    def write_until(self, stop: threading.Event) -> None:
        """Write the list down again and again; nobody is connected any more at the end."""
        while not stop.wait(WRITE_SECONDS):
            self.write_down()
        with self._lock:
            self._open.clear()
        self.write_down()

    def write_down(self) -> None:
        """Write the list once; an empty one only where the last was not."""
        with self._lock:
            now_open = tuple(self._open.values())
        if now_open or not self._was_empty:
            self._was_empty = not now_open
            self._in_transaction(
                lambda connection: associations.write_down(connection, self._listener, now_open, now=self._clock())
            )

    def _in_transaction(self, act: Callable[[Connection], None]) -> None:
        """Whoever is connected goes on, whatever fails here: the study is looked at later anyway."""
        try:
            with self._database.begin() as connection:
                act(connection)
        except BonecraftError as error:
            log.warning("senders_not_written_down", reason=str(error))
        except Exception as error:  # noqa: BLE001 - or the list's only thread ends; the text may hold a row
            log.error("senders_not_written_down", error=type(error).__name__)  # noqa: TRY400 - for that reason

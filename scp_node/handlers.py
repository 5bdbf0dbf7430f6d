"""What happens on an association that was let in: echo, store, storage commitment. Translates; the house decides.

Success is answered only when `inbox.accept` has returned: file and folder synced, row committed.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, cast
from weakref import WeakKeyDictionary

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.disk_space import has_room
from pipeline.errors import BonecraftError
from pipeline.inbox import Accepted, Incoming, OutOfSpace, UnreadableDataset, accept
from pipeline.records.directory import Peer
from pipeline.settings import NodeSettings
from pipeline.store import Store
from scp_node.access import Admitted
from scp_node.associations import ae_titles, connection_of
from scp_node.commitment_handlers import CommitmentHandlers
from scp_node.connected import ConnectedSenders
from scp_node.gate import Gate
from scp_node.incoming import IncomingFile, discard
from scp_node.status import StoreStatus, refusal, status_of
from scp_node.waiting import Line

log = structlog.get_logger(__name__)

ECHO_SUCCESS: Final = 0x0000


class Handlers:
    """Event handlers of one listener; pynetdicom calls them from each association's own thread."""

    def __init__(
        self,
        *,
        database: Database,
        store: Store,
        folder: Path,
        settings: NodeSettings,
        clock: Clock = utc_now,
    ) -> None:
        """Remember where things go.

        Args:
            database: The node's records.
            store: The node's blobs.
            folder: Where datasets come in.
            settings: What limits hold.
            clock: What time it is.

        Attributes:
            gate: Who gets in.
        """
        self._database = database
        self._store = store
        self._folder = folder
        self._minimum_free_megabytes = settings.minimum_free_megabytes
        self._clock = clock
        self._commitment = CommitmentHandlers(database=database, clock=clock)
        self._connections: WeakKeyDictionary[Association, socket.socket] = WeakKeyDictionary()
        self.gate = Gate(database=database, settings=settings, clock=clock)
        self.senders = ConnectedSenders(database, clock=clock)

    def bindings(self) -> list[evt.EventHandlerType]:
        """As pynetdicom wants them."""
        return [
            (evt.EVT_CONN_OPEN, self.on_opened),
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_ESTABLISHED, self.gate.on_established),
            (evt.EVT_C_ECHO, self.on_echo),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_ACTION, self.on_action),
            (evt.EVT_N_EVENT_REPORT, self.on_report),
            (evt.EVT_RELEASED, self.on_released),
            (evt.EVT_ABORTED, self.on_aborted),
            (evt.EVT_CONN_CLOSE, self.on_closed),
        ]

    def on_opened(self, event: evt.Event) -> None:
        """Remember the connection: pynetdicom does not close its socket where the other side hung up first."""
        connection = connection_of(event)
        if connection is not None:
            self._connections[event.assoc] = connection

    def on_requested(self, event: evt.Event) -> None:
        """Let the caller in, or reject the association; remember who may send."""
        self.gate.on_requested(event)
        admitted = self.gate.holder(event)
        if admitted is not None and admitted.peer.sends:
            self.senders.opened(event.assoc, admitted)

    def on_echo(self, _event: evt.Event) -> int:
        """Answer C-ECHO."""
        return ECHO_SUCCESS

    def on_store(self, event: evt.Event) -> int | Dataset:
        """Answer C-STORE with the status that fits what became of the dataset."""
        request = cast("C_STORE", event.request)
        facts = {"calling": ae_titles(event)[1], "sop_instance_uid": str(request.AffectedSOPInstanceUID)}
        admitted = self.gate.holder(event)
        if admitted is None or not admitted.peer.sends:
            self.gate.refuse_sender(event)
            return StoreStatus.NOT_AUTHORIZED
        try:
            accepted = self._accept(event, request, admitted)
        except BonecraftError as error:
            status = status_of(error)
            log.warning("store_failed", status=f"0x{status:04X}", reason=str(error), **facts)
            return refusal(status, str(error))
        except Exception:
            log.exception("store_crashed", **facts)
            return StoreStatus.PROCESSING_FAILURE
        self.senders.sent_to(event.assoc, accepted.study_id)
        log.info("stored", outcome=accepted.outcome.value, what=accepted.role.value, **facts)
        return StoreStatus.SUCCESS

    def on_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Answer a request for storage commitment."""
        return self._commitment.on_action(event, self._peer(event))

    def on_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Take the report on a storage commitment that we asked for."""
        return self._commitment.on_report(event, self._peer(event))

    def on_released(self, event: evt.Event) -> None:
        """The sender has finished."""
        self.senders.closed(event.assoc)

    def on_aborted(self, event: evt.Event) -> None:
        """Log who hung up."""
        log.warning("association_aborted", address=event.assoc.requestor.address)

    def on_closed(self, event: evt.Event) -> None:
        """Throw away what a sender that died had sent so far, and end at once if it never asked for anything.

        A health check may hang up after the TLS handshake. pynetdicom would wait for its association request; the None
        that it gets here is what it gets when that wait times out.
        """
        if event.assoc.requestor.primitive is None:
            event.assoc.dul.to_user_queue.put(cast("A_ASSOCIATE", None))
        connection = self._connections.pop(event.assoc, None)
        if connection is not None:
            connection.close()
        line = event.assoc.dul.socket
        if isinstance(line, Line):
            line.wakeup.close()
        message = event.assoc.dimse.message
        file: IncomingFile | None = getattr(message, "_data_set_file", None)
        if file is not None:
            file.close()
            discard(Path(file.name))
        self.senders.closed(event.assoc)

    def _peer(self, event: evt.Event) -> Peer | None:
        admitted = self.gate.holder(event)
        return admitted.peer if admitted is not None else None

    def _accept(self, event: evt.Event, request: C_STORE, admitted: Admitted) -> Accepted:
        if not has_room(self._folder, minimum_free_megabytes=self._minimum_free_megabytes):
            raise OutOfSpace(f"less than {self._minimum_free_megabytes} MB free: add space to the data folder")
        called, calling = ae_titles(event)
        file = received_file(request)
        incoming = Incoming(
            path=Path(file.name),
            digest=file.digest,
            cut_at=file.cut_at,
            institution_id=admitted.institution_id,
            calling_ae_title=calling,
            called_ae_title=called,
            received_from=event.assoc.requestor.address,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            fetched_by="C-MOVE" if request.MoveOriginatorApplicationEntityTitle else "",
            sender_is_connected=True,
        )
        return accept(self._database, self._store, incoming, now=self._clock())


def received_file(request: C_STORE) -> IncomingFile:
    """The whole dataset, as a closed file; pynetdicom removes it after the handler has answered."""
    file: IncomingFile | None = getattr(request, "_dataset_file", None)
    if file is None:
        raise UnreadableDataset("the C-STORE request came without a dataset")
    file.close()
    if file.problem is not None:
        raise OutOfSpace("no space left for incoming datasets: add space to the data folder") from file.problem
    return file

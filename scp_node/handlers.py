"""What happens on an association: let in or turned away, echo, store. Translates; the house decides.

Success is answered only when `inbox.accept` has returned: file and folder synced, row committed.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, cast
from weakref import WeakKeyDictionary, WeakSet

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import BonecraftError, TransientError
from pipeline.inbox import Accepted, Incoming, OutOfSpace, UnreadableDataset, accept
from pipeline.records.rejected import Attempt, RejectReason, forget_resolved
from pipeline.store import Store
from scp_node.access import Admitted, Reject, Turned, admit
from scp_node.commitment_handlers import CommitmentHandlers
from scp_node.connected import ConnectedSenders
from scp_node.contexts import IMPLEMENTATION_CLASS_UID
from scp_node.incoming import IncomingFile, discard, has_room
from scp_node.rejections import Rejections, printable, wanted_by
from scp_node.status import StoreStatus, status_of
from scp_node.tls import is_certified, is_over_tls

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
        minimum_free_megabytes: int,
        clock: Clock = utc_now,
    ) -> None:
        """Remember where things go.

        Args:
            database: The node's records.
            store: The node's blobs.
            folder: Where datasets come in.
            minimum_free_megabytes: Below this, nothing more is taken.
            clock: What time it is.
        """
        self._database = database
        self._store = store
        self._folder = folder
        self._minimum_free_megabytes = minimum_free_megabytes
        self._clock = clock
        self._commitment = CommitmentHandlers(database=database, clock=clock)
        self._is_open = True
        self._admitted: WeakKeyDictionary[Association, Admitted] = WeakKeyDictionary()
        self._connections: WeakKeyDictionary[Association, socket.socket] = WeakKeyDictionary()
        self._refused_senders: WeakSet[Association] = WeakSet()
        self.rejections = Rejections(database=database, clock=clock)
        self.senders = ConnectedSenders(database, clock=clock)

    def bindings(self) -> list[evt.EventHandlerType]:
        """As pynetdicom wants them."""
        return [
            (evt.EVT_CONN_OPEN, self.on_opened),
            (evt.EVT_REQUESTED, self.on_requested),
            (evt.EVT_REJECTED, self.on_rejected),
            (evt.EVT_C_ECHO, self.on_echo),
            (evt.EVT_C_STORE, self.on_store),
            (evt.EVT_N_ACTION, self.on_action),
            (evt.EVT_N_EVENT_REPORT, self.on_report),
            (evt.EVT_RELEASED, self.on_released),
            (evt.EVT_ABORTED, self.on_aborted),
            (evt.EVT_CONN_CLOSE, self.on_closed),
        ]

    def refuse_new(self) -> None:
        """From now on, tell whoever asks for an association to come back later."""
        self._is_open = False

    def on_opened(self, event: evt.Event) -> None:
        """Remember the connection: pynetdicom does not close its socket where the other side hung up first."""
        connection = _connection(event)
        if connection is not None:
            self._connections[event.assoc] = connection

    def on_requested(self, event: evt.Event) -> None:
        """Let the caller in, or reject the association and write down why."""
        called, calling = _ae_titles(event)
        decision = self._decide(event, called=called, calling=calling)
        if isinstance(decision, Admitted):
            self._admitted[event.assoc] = decision
            if decision.peer.sends:
                self.senders.opened(event.assoc, decision)
            return
        try:
            self._note(event, decision)
        finally:  # pynetdicom would let in whoever this handler does not reject
            event.assoc.acse.send_reject(*decision.reject.value)
            event.assoc.kill()  # waits until the rejection has left

    def on_rejected(self, event: evt.Event) -> None:
        """Write down what pynetdicom itself rejected: too many associations at once."""
        admitted = self._admitted.get(event.assoc)
        decision = Turned(
            reject=Reject.TOO_MANY,
            why=RejectReason.TOO_MANY_ASSOCIATIONS,
            institution_id=admitted.institution_id if admitted else None,
            reason="too many associations at once: raise maximum_associations in node.toml, or let the peer open fewer",
        )
        self._note(event, decision)

    def on_failed_handshake(self, address: str, reason: str) -> None:
        """Write down that somebody did not get through TLS."""
        attempt = Attempt(
            institution_id=None,
            reason=RejectReason.TLS_HANDSHAKE,
            sentence=printable(reason),
            called_ae_title="",
            calling_ae_title="",
            address=address,
            wanted="TLS",
        )
        self.rejections.note(attempt)

    def on_echo(self, _event: evt.Event) -> int:
        """Answer C-ECHO."""
        return ECHO_SUCCESS

    def on_store(self, event: evt.Event) -> int:
        """Answer C-STORE with the status that fits what became of the dataset."""
        request = cast("C_STORE", event.request)
        facts = {"calling": _ae_titles(event)[1], "sop_instance_uid": str(request.AffectedSOPInstanceUID)}
        admitted = self._admitted.get(event.assoc)
        if admitted is None or not admitted.peer.sends:
            self._refuse_sender(event, admitted)
            return StoreStatus.NOT_AUTHORIZED
        try:
            accepted = self._accept(event, request, admitted)
        except BonecraftError as error:
            status = status_of(error)
            log.warning("store_failed", status=f"0x{status:04X}", reason=str(error), **facts)
            return status
        except Exception:
            log.exception("store_crashed", **facts)
            return StoreStatus.PROCESSING_FAILURE
        self.senders.sent_to(event.assoc, accepted.study_id)
        log.info("stored", outcome=accepted.outcome.value, what=accepted.role.value, **facts)
        return StoreStatus.SUCCESS

    def on_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Answer a request for storage commitment."""
        return self._commitment.on_action(event, self._admitted.get(event.assoc))

    def on_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Take the report on a storage commitment that we asked for."""
        return self._commitment.on_report(event, self._admitted.get(event.assoc))

    def on_released(self, event: evt.Event) -> None:
        """The sender has finished."""
        self.senders.closed(event.assoc)

    def on_aborted(self, event: evt.Event) -> None:
        """Log who hung up."""
        log.warning("association_aborted", address=event.assoc.requestor.address)

    def on_closed(self, event: evt.Event) -> None:
        """Throw away what a sender that died had sent so far, and end at once if it never asked for anything.

        A load balancer's health check connects and hangs up. pynetdicom would wait for its association request and
        count it as an association meanwhile; the None that it gets here is what it gets when that wait times out.
        """
        self.senders.closed(event.assoc)
        if event.assoc.requestor.primitive is None:
            event.assoc.dul.to_user_queue.put(cast("A_ASSOCIATE", None))
        connection = self._connections.pop(event.assoc, None)
        if connection is not None:
            connection.close()
        message = event.assoc.dimse.message
        file: IncomingFile | None = getattr(message, "_data_set_file", None)
        if file is not None:
            file.close()
            discard(Path(file.name))

    def _note(self, event: evt.Event, turned: Turned) -> None:
        """Keep a rejected attempt; not where it will succeed later, and not the node's own look whether it listens."""
        called, calling = _ae_titles(event)
        address = event.assoc.requestor.address
        if turned.why is None or _is_own_check(event):
            log.info("turned_away", called=called, calling=calling, address=address, reason=turned.reason)
            return
        attempt = Attempt(
            institution_id=turned.institution_id,
            reason=turned.why,
            sentence=turned.reason,
            called_ae_title=printable(called),
            calling_ae_title=printable(calling),
            address=address,
            wanted=wanted_by(event.assoc),
        )
        self.rejections.note(attempt)

    def _refuse_sender(self, event: evt.Event, admitted: Admitted | None) -> None:
        """Write down, once for each association, that a peer sends that may not."""
        if event.assoc in self._refused_senders:
            return
        self._refused_senders.add(event.assoc)
        turned = Turned(
            reject=Reject.CALLING_AE_TITLE,
            why=RejectReason.MAY_NOT_SEND,
            institution_id=admitted.institution_id if admitted else None,
            reason=f"{_ae_titles(event)[1]!r} may not send: set sends = true for this peer",
        )
        self._note(event, turned)

    def _decide(self, event: evt.Event, *, called: str, calling: str) -> Admitted | Turned:
        if not self._is_open:
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason="the listener is stopping")
        try:
            return self._judge(event, called=called, calling=calling)
        except TransientError as error:
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason=str(error))
        except Exception:  # pynetdicom swallows what its handlers raise, and lets the caller in
            log.exception("decision_crashed", called=called, calling=calling)
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason="a fault of the node: see its log")

    def _judge(self, event: evt.Event, *, called: str, calling: str) -> Admitted | Turned:
        caller = {"called": called, "calling": calling, "address": event.assoc.requestor.address}
        transport = _connection(event)
        decision = admit(self._database, **caller, is_certified=is_certified(transport))
        if isinstance(decision, Admitted):
            with self._database.begin() as connection:
                forget_resolved(
                    connection, **caller, sends=decision.peer.sends, over_tls=is_over_tls(transport), all_accepted=True
                )
        return decision

    def _accept(self, event: evt.Event, request: C_STORE, admitted: Admitted) -> Accepted:
        if not has_room(self._folder, minimum_free_megabytes=self._minimum_free_megabytes):
            raise OutOfSpace(f"less than {self._minimum_free_megabytes} MB free: add space to the data folder")
        called, calling = _ae_titles(event)
        file = received_file(request)
        incoming = Incoming(
            path=Path(file.name),
            digest=file.digest,
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


def _ae_titles(event: evt.Event) -> tuple[str, str]:
    """Called and calling AE title of an association request; leading and trailing spaces do not count (PS3.8 9.3.2)."""
    request = event.assoc.requestor.primitive
    if request is None:
        return "", ""
    return request.called_ae_title.strip(), request.calling_ae_title.strip()


def _is_own_check(event: evt.Event) -> bool:
    """Whether this node asks itself: on the machine's own address, under the title that it calls."""
    called, calling = _ae_titles(event)
    requestor = event.assoc.requestor
    is_ours = str(requestor.implementation_class_uid) == IMPLEMENTATION_CLASS_UID
    connection = _connection(event)
    if connection is None or not is_ours or called != calling:
        return False
    return bool(connection.getsockname()[0] == requestor.address)


def _connection(event: evt.Event) -> socket.socket | None:
    """The association's own, until it is closed."""
    transport = event.assoc.dul.socket
    return transport.socket if transport is not None else None


def received_file(request: C_STORE) -> IncomingFile:
    """The whole dataset, as a closed file; pynetdicom removes it after the handler has answered."""
    file: IncomingFile | None = getattr(request, "_dataset_file", None)
    if file is None:
        raise UnreadableDataset("the C-STORE request came without a dataset")
    file.close()
    if file.problem is not None:
        raise OutOfSpace("no space left for incoming datasets: add space to the data folder") from file.problem
    return file

"""Who gets in at the DICOM door: judged when an association is asked for, counted while it is open, noted when not."""

from __future__ import annotations

from weakref import WeakSet

import structlog
from pynetdicom import evt
from pynetdicom.association import Association

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import TransientError
from pipeline.records.rejected import Attempt, RejectReason, forget_resolved
from pipeline.settings import NodeSettings
from scp_node.access import Admitted, Reject, Turned, admit
from scp_node.associations import ae_titles, connection_of, is_own_check
from scp_node.places import Places
from scp_node.rejections import Rejections, not_taken, printable, wanted_by
from scp_node.tls import is_over_tls, shown_by

log = structlog.get_logger(__name__)


class Gate:
    """Lets associations in, or turns them away and writes down why."""

    def __init__(self, *, database: Database, settings: NodeSettings, clock: Clock = utc_now) -> None:
        """Open.

        Args:
            database: The node's records.
            settings: How many may be in, and which CAs are trusted.
            clock: What time it is.
        """
        self._database = database
        self._trusted_cas = settings.tls_trusted_cas
        self._is_open = True
        self._places = Places(settings.maximum_associations)
        self._refused_senders: WeakSet[Association] = WeakSet()
        self._rejections = Rejections(database=database, clock=clock)

    def refuse_new(self) -> None:
        """From now on, tell whoever asks for an association to come back later."""
        self._is_open = False

    def holder(self, event: evt.Event) -> Admitted | None:
        """Whose association it is; None where it was not let in."""
        return self._places.holder(event.assoc)

    def on_requested(self, event: evt.Event) -> None:
        """Let the caller in, or reject the association and write down why."""
        decision = self._decide(event)
        problem = decision if isinstance(decision, Turned) else self._places.take(event.assoc, decision)
        if problem is None:
            return
        try:
            self._note(event, problem)
        finally:  # pynetdicom would let in whoever this handler does not reject
            event.assoc.acse.send_reject(*problem.reject.value)
            event.assoc.kill()  # waits until the rejection has left

    def on_established(self, event: evt.Event) -> None:
        """Write down what of it is not taken; what the caller was turned away for before is settled."""
        admitted = self.holder(event)
        if admitted is None:
            return
        missing = not_taken(event.assoc)
        try:
            self._forget(event, admitted, all_accepted=not missing)
        except TransientError as error:
            log.warning("rejections_not_forgotten", reason=str(error))
        if missing:
            sentence = (
                f"this node takes nothing of what {admitted.peer.ae_title!r} offered there; change it at the sender to "
                "something that `bonecraft conformance` lists"
            )
            turned = Turned(
                reject=Reject.NO_REASON_GIVEN,
                why=RejectReason.NOT_ACCEPTED,
                institution_id=admitted.institution_id,
                reason=sentence,
            )
            self._note(event, turned, wanted=missing)

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
        self._rejections.note(attempt)

    def refuse_sender(self, event: evt.Event) -> None:
        """Write down, once for each association, that a peer sends that may not."""
        if event.assoc in self._refused_senders:
            return
        self._refused_senders.add(event.assoc)
        admitted = self.holder(event)
        turned = Turned(
            reject=Reject.CALLING_AE_TITLE,
            why=RejectReason.MAY_NOT_SEND,
            institution_id=admitted.institution_id if admitted else None,
            reason=f"{ae_titles(event)[1]!r} may not send: set sends = true for this peer",
        )
        self._note(event, turned)

    def _decide(self, event: evt.Event) -> Admitted | Turned:
        called, calling = ae_titles(event)
        if not self._is_open:
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason="the listener is stopping")
        try:
            shown = shown_by(connection_of(event), self._trusted_cas)
            address = event.assoc.requestor.address
            return admit(self._database, called=called, calling=calling, address=address, certificates=shown)
        except TransientError as error:
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason=str(error))
        except Exception:  # pynetdicom swallows what its handlers raise, and lets the caller in
            log.exception("decision_crashed", called=called, calling=calling)
            return Turned(reject=Reject.TRY_AGAIN_LATER, why=None, reason="a fault of the node: see its log")

    def _forget(self, event: evt.Event, admitted: Admitted, *, all_accepted: bool) -> None:
        called, calling = ae_titles(event)
        with self._database.begin() as connection:
            forget_resolved(
                connection,
                called=called,
                calling=calling,
                address=event.assoc.requestor.address,
                sends=admitted.peer.sends,
                over_tls=is_over_tls(connection_of(event)),
                all_accepted=all_accepted,
            )

    def _note(self, event: evt.Event, turned: Turned, *, wanted: str = "") -> None:
        """Keep a rejected attempt; not where it will succeed later, and not the node's own look whether it listens."""
        called, calling = ae_titles(event)
        address = event.assoc.requestor.address
        if turned.why is None or is_own_check(event):
            log.info("turned_away", called=called, calling=calling, address=address, reason=turned.reason)
            return
        shown = shown_by(connection_of(event), None)
        attempt = Attempt(
            institution_id=turned.institution_id,
            reason=turned.why,
            sentence=turned.reason,
            called_ae_title=printable(called),
            calling_ae_title=printable(calling),
            address=address,
            wanted=wanted or wanted_by(event.assoc),
            certificate=shown[0] if shown else "",
        )
        self._rejections.note(attempt)

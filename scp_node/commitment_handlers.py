"""What is answered about storage commitment: to peers that ask, and to peers that report (PS3.4 Annex J)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import InputError, TransientError
from pipeline.records import commitment_reports, commitments
from pipeline.records.directory import Peer
from scp_node.associations import ae_titles
from scp_node.backoff import LONGEST_WAIT, wait
from scp_node.commitment import REQUEST, Answer, TooManyInstances, answer_of, question_of, reason_in_words

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
INVALID_ARGUMENT: Final = 0x0115
NO_SUCH_ACTION: Final = 0x0123
NOT_AUTHORIZED: Final = 0x0124
RESOURCE_LIMITATION: Final = 0x0213
"""PS3.7 Annex C."""

ACTION_MEANINGS: Final = {
    SUCCESS: "The peer will hear what is kept.",
    INVALID_ARGUMENT: "TransactionUID or instances are missing, or are no UIDs.",
    NO_SUCH_ACTION: "Action Type ID is not 1.",
    NOT_AUTHORIZED: "This peer may associate, but not send.",
    RESOURCE_LIMITATION: "Too many instances at once, or the database cannot be reached: ask again later.",
}
"""What N-ACTION is answered with."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class CommitmentHandlers:
    """Answers within the association; what follows from it is done by the delivery process.

    Attributes:
        database: The node's records.
        clock: What time it is.
    """

    database: Database
    clock: Clock = utc_now

    def on_action(self, event: evt.Event, peer: Peer | None) -> tuple[int, Dataset | None]:
        """N-ACTION: a peer that sends to us asks whether we keep what it sent."""
        if peer is None or not peer.sends:
            return NOT_AUTHORIZED, None
        if event.action_type != REQUEST:
            return NO_SUCH_ACTION, None
        try:
            transaction_uid, instances = question_of(event.action_information)
            with self.database.begin() as connection:
                commitment_reports.add(
                    connection,
                    institution_id=peer.institution_id,
                    peer_id=peer.id,
                    transaction_uid=transaction_uid,
                    called_ae_title=ae_titles(event)[0],
                    instances=instances,
                    now=self.clock(),
                )
        except InputError as error:
            log.warning("commitment_request_refused", calling=peer.ae_title, reason=str(error))
            return (RESOURCE_LIMITATION if isinstance(error, TooManyInstances) else INVALID_ARGUMENT), None
        except TransientError as error:
            log.warning("commitment_request_failed", calling=peer.ae_title, reason=str(error))
            return RESOURCE_LIMITATION, None
        log.info("commitment_requested", calling=peer.ae_title, instances=len(instances))
        return SUCCESS, None

    def on_report(self, event: evt.Event, peer: Peer | None) -> tuple[int, Dataset | None]:
        """N-EVENT-REPORT: a peer that we asked tells what it keeps, on whichever association (PS3.4 J.3.3)."""
        if peer is None:
            return NOT_AUTHORIZED, None
        try:
            answer = answer_of(event.event_information)
            is_known = self._note(answer, peer)
        except InputError as error:
            log.warning("commitment_report_refused", calling=peer.ae_title, reason=str(error))
            return INVALID_ARGUMENT, None
        except TransientError as error:
            log.warning("commitment_report_failed", calling=peer.ae_title, reason=str(error))
            return PROCESSING_FAILURE, None
        facts = {"calling": peer.ae_title, "kept": len(answer.kept), "not_kept": len(answer.failed)}
        log.info("commitment_reported" if is_known else "commitment_unknown", **facts)
        return (SUCCESS if is_known else INVALID_ARGUMENT), None

    def _note(self, answer: Answer, peer: Peer) -> bool:
        chance = random.random()  # noqa: S311 - spreads attempts, protects nothing
        with self.database.begin() as connection:
            return commitments.answer(
                connection,
                peer.id,
                answer.transaction_uid,
                committed=answer.kept,
                failed={uid: reason_in_words(reason) for uid, reason in answer.failed.items()},
                now=self.clock(),
                wait=lambda attempts: wait(attempts, longest=LONGEST_WAIT, chance=chance),
            )

"""For the doctor: a storage commitment asked of a peer, and its report awaited at this node's listener.

The listener holds the port, so it is the one that hears the report where the peer calls; it tells through the database.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Final
from uuid import UUID

from pynetdicom import evt

from pipeline.clock import utc_now
from pipeline.database import Database
from pipeline.finding import Finding, ill, well
from pipeline.records import commitments
from pipeline.records.commitments import Trial
from pipeline.records.directory import Peer
from scp_node.commitment import Instance, NotNow, answer_of, ask, context, reason_in_words
from scp_node.commitment_handlers import INVALID_ARGUMENT, SUCCESS
from scp_node.peer import ConnectionProblem, Target, open_association

REPORT_SECONDS: Final = 30
POLL_SECONDS: Final = 0.2


def try_commitment(
    database: Database, peer: Peer, target: Target, *, calling: str, instance: Instance, is_there: bool
) -> Finding:
    """Whether the peer's report comes, and what it says.

    Args:
        database: Of the running node.
        peer: Which.
        target: How it is called.
        calling: As whom.
        instance: What it is asked to keep.
        is_there: It was stored there; else the peer is to say that it has no such instance, which shows as well that
            its report comes.
    """
    with database.begin() as connection:
        trial = commitments.begin_trial(connection, peer.id, now=utc_now())
    try:
        listening = [(evt.EVT_N_EVENT_REPORT, lambda event: _hear(database, peer, event))]
        with open_association(target, calling=calling, contexts=[context()], handlers=listening) as association:
            started = time.monotonic()
            if reason := ask(association, target, trial.transaction_uid, [instance]):
                return ill("commitment", f"{reason}; or set commitment = never for this peer here")
            # Still on it: a peer may report on the association that it was asked on (PS3.4 J.3.3).
            answered = _await(database, trial.id)
        return _judge(answered, time.monotonic() - started, target, calling, is_there=is_there)
    except NotNow as problem:
        return ill("commitment", f"{problem}, or try again later")
    except ConnectionProblem as problem:
        return ill("commitment", f"{problem}; {_introduce(calling)}")
    finally:
        with database.begin() as connection:
            commitments.end_trial(connection, trial.id)


def _hear(database: Database, peer: Peer, event: evt.Event) -> tuple[int, None]:
    """What the peer reports on the association that it was asked on; what it reports on its own, the listener hears."""
    answer = answer_of(event.event_information)
    with database.begin() as connection:
        is_known = commitments.answer(
            connection,
            peer.id,
            answer.transaction_uid,
            committed=answer.kept,
            failed={uid: reason_in_words(reason) for uid, reason in answer.failed.items()},
            now=utc_now(),
            wait=lambda _attempts: timedelta(),
        )
    return (SUCCESS if is_known else INVALID_ARGUMENT), None


def _await(database: Database, trial_id: UUID) -> Trial | None:
    """What was reported, as soon as it is; None where nothing comes."""
    give_up = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < give_up:
        with database.begin() as connection:
            trial = commitments.get_trial(connection, trial_id)
        if trial is not None and trial.is_answered:
            return trial
        time.sleep(POLL_SECONDS)
    return None


def _judge(answered: Trial | None, seconds: float, target: Target, calling: str, *, is_there: bool) -> Finding:
    if answered is None:
        return ill(
            "commitment",
            f"{target} took the question, but its report did not come in {REPORT_SECONDS} s: {_introduce(calling)}",
        )
    came = f"its report came in {seconds:.1f} s"
    if is_there and not answered.kept:
        return ill("commitment", f"{target} does not keep what it has just stored, by its own report: see its log")
    return well("commitment", f"it keeps the test picture, {came}" if is_there else came)


def _introduce(calling: str) -> str:
    return (
        f"let it know {calling!r} with this machine's address and DICOM port (in Orthanc: DicomModalities), see whether"
        " it is let in here (bonecraft peers rejected), or set commitment = never for this peer here"
    )

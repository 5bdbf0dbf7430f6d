"""The roads by which results reach a peer: C-STORE, or STOW-RS. The postman sees a carrier and need not know which."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from pipeline.records.commitments import Ask
from scp_node.commitment import ask, context, is_accepted
from scp_node.contexts import IMPLICIT_LITTLE, VERIFICATION, contexts_for
from scp_node.peer import ConnectionProblem, Target, open_association
from scp_node.sending import Fate, Outcome, OutgoingFile, proposed, store


class Carrier(Protocol):
    """One visit to a peer."""

    @property
    def is_open(self) -> bool:
        """Whether anything more can be stored in this visit."""

    @property
    def commits(self) -> bool:
        """Whether the peer can be asked to commit itself to what it stores."""

    def store(self, file: OutgoingFile) -> Outcome:
        """Store one file there.

        Raises:
            ConnectionProblem: The peer could not be reached, so this file had no turn.
        """

    def ask(self, wanted: Ask) -> str:
        """Ask for a commitment; why the peer gives none, empty where it was asked."""


REPORT_SECONDS: Final = 1.0
"""So long a peer that was asked for a commitment may report on the same association; later it calls us."""

OnReport = Callable[[evt.Event], tuple[int, Dataset | None]]


@dataclass(frozen=True, kw_only=True)
class DimseCarrier:
    """C-STORE and the Storage Commitment Push Model, on one association.

    Attributes:
        association: Open.
        target: Who is at its other end.
        commits: Whether the peer can be asked to commit itself to what it stores.
        unreported: What it was asked and has not reported on this association yet.
    """

    association: Association
    target: Target
    commits: bool
    unreported: Unreported

    @property
    def is_open(self) -> bool:
        """Whether the association is."""
        return bool(self.association.is_established)

    def store(self, file: OutgoingFile) -> Outcome:
        """C-STORE one file.

        Raises:
            ConnectionProblem: The association had ended, so this file had no turn.
        """
        outcome = store(self.association, file, self.target)
        if outcome.fate is Fate.NOT_TRIED:
            raise ConnectionProblem(outcome.problem)
        return outcome

    def ask(self, wanted: Ask) -> str:
        """N-ACTION, where the peer offers storage commitment."""
        if not self.commits:
            return f"{self.target} does not offer storage commitment"
        self.unreported.add(wanted.transaction_uid)
        return ask(self.association, self.target, wanted.transaction_uid, wanted.instances)


class Unreported:
    """Transactions that a peer was asked for and may report on the same association (PS3.4 J.3.3)."""

    def __init__(self, on_report: OnReport) -> None:
        """None.

        Args:
            on_report: Answers a report.
        """
        self._on_report = on_report
        self._changed = threading.Condition()
        self._waiting: set[str] = set()

    def add(self, transaction_uid: str) -> None:
        """The peer is about to be asked."""
        with self._changed:
            self._waiting.add(transaction_uid)

    def take(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """N-EVENT-REPORT of the peer."""
        answer = self._on_report(event)
        with self._changed:
            self._waiting.discard(str(event.event_information.get("TransactionUID", "")))
            self._changed.notify_all()
        return answer

    def await_all(self) -> None:
        """Until all are reported, or the time for that has passed."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, REPORT_SECONDS)


@contextmanager
def by_dimse(
    target: Target, *, calling: str, files: Sequence[OutgoingFile], asks_commitment: bool, on_report: OnReport
) -> Iterator[DimseCarrier]:
    """An association for these files, and for asking the peer to commit itself to what it has.

    Args:
        target: Whom to call.
        calling: As whom.
        files: What will be stored.
        asks_commitment: Whether the peer shall be asked.
        on_report: Answers a report that comes on the same association.

    Raises:
        ConnectionProblem: There is none, and why.
        ConfigurationError: Our certificates cannot be used.
    """
    contexts = proposed(files) or contexts_for([(VERIFICATION, IMPLICIT_LITTLE)])
    if asks_commitment:
        contexts = [context(), *contexts]
    unreported = Unreported(on_report)
    handlers = [(evt.EVT_N_EVENT_REPORT, unreported.take)]
    with open_association(target, calling=calling, contexts=contexts, handlers=handlers) as association:
        commits = asks_commitment and is_accepted(association)
        yield DimseCarrier(association=association, target=target, commits=commits, unreported=unreported)
        unreported.await_all()

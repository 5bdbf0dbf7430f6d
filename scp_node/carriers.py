"""The roads by which results reach a peer: C-STORE, or STOW-RS. The postman sees a carrier and need not know which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pynetdicom.association import Association

from pipeline.records.commitments import Ask
from scp_node.commitment import ask, context, is_accepted
from scp_node.contexts import IMPLICIT_LITTLE, VERIFICATION, contexts_for
from scp_node.peer import Target, open_association
from scp_node.sending import Outcome, OutgoingFile, proposed, store


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


@dataclass(frozen=True, kw_only=True)
class DimseCarrier:
    """C-STORE and the Storage Commitment Push Model, on one association."""

    association: Association
    target: Target
    commits: bool

    @property
    def is_open(self) -> bool:
        """Whether the association is."""
        return bool(self.association.is_established)

    def store(self, file: OutgoingFile) -> Outcome:
        """C-STORE one file."""
        return store(self.association, file, self.target)

    def ask(self, wanted: Ask) -> str:
        """N-ACTION, where the peer offers storage commitment."""
        if not self.commits:
            return f"{self.target} does not offer storage commitment"
        return ask(self.association, self.target, wanted.transaction_uid, wanted.instances)


@contextmanager
def by_dimse(
    target: Target, *, calling: str, files: Sequence[OutgoingFile], asks_commitment: bool
) -> Iterator[DimseCarrier]:
    """An association for these files, and for asking the peer to commit itself to what it has.

    Raises:
        ConnectionProblem: There is none, and why.
        ConfigurationError: Our certificates cannot be used.
    """
    contexts = proposed(files) or contexts_for([(VERIFICATION, IMPLICIT_LITTLE)])
    if asks_commitment:
        contexts = [context(), *contexts]
    with open_association(target, calling=calling, contexts=contexts) as association:
        commits = asks_commitment and is_accepted(association)
        yield DimseCarrier(association=association, target=target, commits=commits)

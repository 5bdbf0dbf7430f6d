"""How many associations are open: of everybody together, and of each peer."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from pynetdicom.association import Association

from pipeline.records.rejected import RejectReason
from scp_node.access import Admitted, Reject, Turned


class Places:
    """The associations that are open: so many for everybody together, and so many for each peer.

    pynetdicom counts connections, before it is known whose they are: one silent machine would keep everybody out.
    """

    def __init__(self, maximum: int) -> None:
        """All free; so many in all."""
        self._maximum = maximum
        self._lock = threading.Lock()
        self._taken: WeakKeyDictionary[Association, Admitted] = WeakKeyDictionary()

    def take(self, association: Association, admitted: Admitted) -> Turned | None:
        """Take a place, which is free again when the association ends; why there is none, else."""
        peer = admitted.peer
        with self._lock:
            held = [each for other, each in self._taken.items() if _is_open(other)]
            if sum(each.peer.id == peer.id for each in held) >= peer.maximum_associations:
                return Turned(
                    reject=Reject.TOO_MANY,
                    why=RejectReason.PEER_ASSOCIATIONS,
                    institution_id=admitted.institution_id,
                    reason=f"{peer.ae_title!r} has {peer.maximum_associations} associations open, as many as it may: "
                    "let it open fewer, or raise maximum_associations of this peer",
                )
            if len(held) >= self._maximum:
                return Turned(
                    reject=Reject.TOO_MANY,
                    why=RejectReason.TOO_MANY_ASSOCIATIONS,
                    institution_id=admitted.institution_id,
                    reason="too many associations at once: raise maximum_associations in node.toml, or let peers open "
                    "fewer",
                )
            self._taken[association] = admitted
        return None

    def holder(self, association: Association) -> Admitted | None:
        """Whose association it is; None where it was not let in."""
        with self._lock:
            return self._taken.get(association)


def _is_open(association: Association) -> bool:
    return association.is_alive() and not (association.is_released or association.is_aborted)

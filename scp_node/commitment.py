"""Storage Commitment Push Model (PS3.4 Annex J): how a question and an answer look, and how each is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID
from pynetdicom import build_context, build_role
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pipeline.errors import InputError, TransientError
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from scp_node.peer import ConnectionProblem, Target, open_association

PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
REQUEST: Final = 1
"""Action Type ID, PS3.4 Table J.3-1."""
ALL_KEPT: Final = 1
SOME_NOT_KEPT: Final = 2
"""Event Type IDs, PS3.4 Table J.3-4."""

PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119

FAILURE_REASONS: Final = {
    PROCESSING_FAILURE: "processing failure",
    NO_SUCH_INSTANCE: "no such instance",
    0x0213: "resource limitation",
    0x0122: "SOP class not supported",
    CLASS_INSTANCE_CONFLICT: "another SOP class",
    0x0131: "duplicate transaction",
}
"""FailureReason (0008,1197), PS3.3 C.14.1.1."""

FOR_NOW: Final = frozenset({PROCESSING_FAILURE, 0x0210, 0x0213, *range(0xA700, 0xA800)})
"""Statuses of N-ACTION (PS3.7 10.1.4.1.10) that may be others next time: processing failure, an invocation twice,
resource limitation; and the C-STORE's out of resources, which archives answer here too."""

INSTANCES_AT_MOST: Final = 10_000
"""So many a peer may ask about at once: the bytes of each are read again."""

_LIKE_A_UID: Final = re.compile(r"[0-9.]{1,64}")
"""Not stricter: what was taken in with leading zeros may be asked about too."""

Instance = tuple[str, str]
"""SOPClassUID, SOPInstanceUID."""


class TooManyInstances(InputError):  # noqa: N818 - says what is the matter
    """A peer asks about more instances at once than we look at."""


class NotNow(TransientError):  # noqa: N818 - says what is the matter
    """A peer does not commit itself, for a reason that may pass."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a report says: SOPInstanceUIDs that are kept, and those that are not with their FailureReason."""

    transaction_uid: str
    kept: tuple[str, ...]
    failed: Mapping[str, int]


def context() -> PresentationContext:
    """Storage commitment, as proposed."""
    return build_context(PUSH_MODEL, [EXPLICIT_LITTLE, IMPLICIT_LITTLE])


def context_for_both_roles() -> PresentationContext:
    """Storage commitment, as the listener accepts it: asked by peers, and answered by those that we asked."""
    accepted = context()
    accepted.scu_role = accepted.scp_role = True
    return accepted


def is_accepted(association: Association) -> bool:
    """Whether the peer can be asked on this association."""
    return any(str(cx.abstract_syntax) == PUSH_MODEL for cx in association.accepted_contexts)


def ask(association: Association, target: Target, transaction_uid: str, instances: Sequence[Instance]) -> str:
    """N-ACTION: ask the peer to commit itself; why it does not, empty where it will report.

    Raises:
        ConnectionProblem: It gave no answer, or had hung up before.
        NotNow: It does not for now.
    """
    question = Dataset()
    question.TransactionUID = transaction_uid
    question.ReferencedSOPSequence = _items(instances)
    with _hung_up_is_a_problem(target):
        answer, _ = association.send_n_action(question, REQUEST, PUSH_MODEL, WELL_KNOWN_INSTANCE)
    status = getattr(answer, "Status", None)
    if status is None:
        raise ConnectionProblem(f"{target} gave no answer to a request for storage commitment: see its log")
    if status in FOR_NOW:
        raise NotNow(f"{target} does not commit itself to us for now (status 0x{status:04X}): see its log")
    return "" if status == 0x0000 else f"{target} does not commit itself to us (status 0x{status:04X}): see its log"


def report(target: Target, *, calling: str, answer: Answer, classes: Mapping[str, str]) -> None:
    """N-EVENT-REPORT on an association of our own, in the role of the one that was asked (PS3.4 J.3.3).

    Args:
        target: The peer that asked.
        calling: As whom it asked us.
        answer: What to report.
        classes: SOPClassUID of each instance, as the peer named it.

    Raises:
        ConnectionProblem: The peer could not be reached, or did not take the report.
    """
    said = Dataset()
    said.TransactionUID = answer.transaction_uid
    if answer.kept:
        said.ReferencedSOPSequence = _items((classes[uid], uid) for uid in answer.kept)
    if answer.failed:
        said.FailedSOPSequence = _items((classes[uid], uid) for uid in answer.failed)
        for item, reason in zip(said.FailedSOPSequence, answer.failed.values(), strict=True):
            item.FailureReason = reason
    event = SOME_NOT_KEPT if answer.failed else ALL_KEPT
    roles = [build_role(PUSH_MODEL, scp_role=True)]
    with open_association(target, calling=calling, contexts=[context()], roles=roles) as association:
        try:
            with _hung_up_is_a_problem(target):
                taken, _ = association.send_n_event_report(said, event, PUSH_MODEL, WELL_KNOWN_INSTANCE)
        except ValueError as error:  # pynetdicom's word for: not accepted in the role of the one that was asked
            raise ConnectionProblem(f"{target} does not let us report storage commitment: enable that there") from error
    if getattr(taken, "Status", None) != 0x0000:
        raise ConnectionProblem(f"{target} did not take the report of a storage commitment: see its log")


@contextmanager
def _hung_up_is_a_problem(target: Target) -> Iterator[None]:
    """The peer may end the association between any two of our steps.

    Raises:
        ConnectionProblem: It had done so.
    """
    try:
        yield
    except RuntimeError as error:  # pynetdicom's word for: the association is not established any more
        raise ConnectionProblem(f"{target} hung up before the end of the association: see its log") from error


def question_of(information: Dataset) -> tuple[str, tuple[Instance, ...]]:
    """TransactionUID and instances of a request, each once.

    Raises:
        TooManyInstances: They are more than `INSTANCES_AT_MOST`.
        InputError: One of them is missing, or is no UID.
    """
    transaction_uid = str(information.get("TransactionUID", ""))
    if len(information.get("ReferencedSOPSequence", None) or ()) > INSTANCES_AT_MOST:
        raise TooManyInstances(f"at most {INSTANCES_AT_MOST} instances can be asked for at once: ask for fewer")
    instances = tuple(dict.fromkeys(_pairs(information, "ReferencedSOPSequence")))
    if not UID(transaction_uid).is_valid or not instances:
        raise InputError("TransactionUID and ReferencedSOPSequence are needed (PS3.4 Table J.3-1)")
    if not all(_LIKE_A_UID.fullmatch(uid) for pair in instances for uid in pair):
        raise InputError("ReferencedSOPClassUID and ReferencedSOPInstanceUID are needed for each (PS3.4 Table J.3-1)")
    if len({uid for _, uid in instances}) < len(instances):
        raise InputError("one instance is named under two SOP classes: correct that at the sender")
    return transaction_uid, instances


def answer_of(information: Dataset) -> Answer:
    """What a peer reports.

    Raises:
        InputError: TransactionUID is missing.
    """
    transaction_uid = str(information.get("TransactionUID", ""))
    if not transaction_uid:
        raise InputError("TransactionUID is needed (PS3.4 Table J.3-4)")
    failed = {
        str(item.get("ReferencedSOPInstanceUID", "")): int(item.get("FailureReason", PROCESSING_FAILURE))
        for item in information.get("FailedSOPSequence", None) or ()
    }
    kept = tuple(uid for _, uid in _pairs(information, "ReferencedSOPSequence"))
    return Answer(transaction_uid=transaction_uid, kept=kept, failed=failed)


def reason_in_words(reason: int) -> str:
    """A FailureReason for people."""
    return f"{FAILURE_REASONS.get(reason, 'failure')}, 0x{reason:04X}"


def _items(instances: Iterable[Instance]) -> ItemSequence:
    items = []
    for sop_class_uid, sop_instance_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        items.append(item)
    return ItemSequence(items)


def _pairs(information: Dataset, keyword: str) -> Iterable[Instance]:
    items: Any = information.get(keyword, None) or ()
    for item in items:
        yield str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", ""))

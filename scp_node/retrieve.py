"""Having an archive send images: C-GET on our own association, else C-MOVE to our listener (PS3.4 C.4.2, C.4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, TRANSFER_SYNTAXES, contexts_for
from scp_node.peer import ConnectionProblem, Target, open_association
from scp_node.query import PENDING, SUCCESS, ArchiveProblem, FoundImage

STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"

USUAL_CLASSES: Final = (
    str(ComputedRadiographyImageStorage),
    str(DigitalXRayImageStorageForPresentation),
    str(DigitalXRayImageStorageForProcessing),
)
"""What is asked for where the archive does not say of which class its images are."""

CLASSES_AT_ONCE: Final = 7
"""Each takes a presentation context per transfer syntax, and an association has 128 (PS3.8 9.3.2.2)."""

SOME_FAILED: Final = 0xB000

NOBODYS_STUDY: Final = "2.25.127731606602956944660849660205124379955.1"
"""A question that is answered with nothing."""

OnStore = Callable[[evt.Event], int]
OnProgress = Callable[[int], None]

log = structlog.get_logger(__name__)


class _NotGot(ArchiveProblem):
    """It accepts C-GET and ends the association over it, as Orthanc does where AllowGet says no: C-MOVE may do."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Images of one series.

    Attributes:
        images: Which; at least one.
        is_whole: They are all that the archive has of the series.
    """

    images: tuple[FoundImage, ...]
    is_whole: bool

    def identifiers(self) -> Iterator[Dataset]:
        """What to ask for: the series at once, or image by image, as not every archive takes lists of UIDs."""
        for image in self.images[:1] if self.is_whole else self.images:
            identifier = Dataset()
            identifier.QueryRetrieveLevel = "SERIES" if self.is_whole else "IMAGE"
            identifier.StudyInstanceUID = image.study_instance_uid
            identifier.SeriesInstanceUID = image.series_instance_uid
            if not self.is_whole:
                identifier.SOPInstanceUID = image.sop_instance_uid
            yield identifier


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """How images are had from a target.

    Attributes:
        target: The archive.
        calling: Our AE title: as whom we ask, and as whom our listener is to be found.
        on_store: Takes what comes by C-GET.
        on_progress: Is told how many images have come.
        listener_port: Where our listener is, for the fix where the archive does not know it.
        may_send: Whether our listener lets the archive send to it.
    """

    target: Target
    calling: str
    on_store: OnStore
    on_progress: OnProgress
    listener_port: int
    may_send: bool

    def retrieve(self, orders: Sequence[Order]) -> None:
        """Have the images sent; what came is for the caller to see in the records.

        Raises:
            ConnectionProblem: The archive could not be reached.
            ArchiveProblem: It offers no way, or failed.
        """
        try:
            self._retrieve(orders, without=frozenset())
        except _NotGot as problem:
            log.info("retrieving_by_move", peer=str(self.target), because=str(problem))
            self._retrieve(orders, without=frozenset({STUDY_ROOT_GET}))

    def _retrieve(self, orders: Sequence[Order], *, without: frozenset[str]) -> None:
        """On one association, by a service that is offered, but for some."""
        classes = sorted({image.sop_class_uid for order in orders for image in order.images} - {""})
        contexts = proposed(classes or USUAL_CLASSES)
        handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, self.on_store)]
        with open_association(
            self.target, calling=self.calling, contexts=contexts, roles=roles_for(contexts), handlers=handlers
        ) as association:
            ways = _ways(association) - without
            if not ways:
                how = "hangs up at C-GET, and offers no C-MOVE" if without else "offers neither C-GET nor C-MOVE"
                raise ArchiveProblem(f"{self.target} {how}: enable one of them there")
            self._all(association, orders, by_get=STUDY_ROOT_GET in ways)

    def _all(self, association: Association, orders: Sequence[Order], *, by_get: bool) -> None:
        if not by_get and not self.may_send:
            raise ArchiveProblem(
                f"{self.target} gives nothing by C-GET, and may not send here: bonecraft peers set … --sends "
                "--allow-from ITS_ADDRESS, so that C-MOVE can bring its images"
            )
        done = 0
        for order in orders:
            for identifier in order.identifiers():
                self._one(association, identifier, by_get=by_get, before=done)
                done += len(order.images) if order.is_whole else 1
                self.on_progress(done)

    def _one(self, association: Association, identifier: Dataset, *, by_get: bool, before: int) -> None:
        """One C-GET or C-MOVE to its end.

        Raises:
            ConnectionProblem: The association broke.
            ArchiveProblem: It failed.
            _NotGot: The archive ended the association over the first C-GET.
        """
        status = None
        try:
            answers = (
                association.send_c_get(identifier, STUDY_ROOT_GET)
                if by_get
                else association.send_c_move(identifier, self.calling, STUDY_ROOT_MOVE)
            )
            for answer, _ in answers:
                status = getattr(answer, "Status", None)
                if status in PENDING:
                    self.on_progress(before + int(answer.get("NumberOfCompletedSuboperations", 0)))
        except RuntimeError as error:  # pynetdicom's word for: the association is not established any more
            raise ConnectionProblem(f"{self.target} hung up while it sent images: see its log") from error
        if status is None and by_get and not before:
            raise _NotGot(self._why_not(None, "C-GET"))
        if status not in (SUCCESS, SOME_FAILED):
            raise ArchiveProblem(self._why_not(status, "C-GET" if by_get else "C-MOVE"))

    def _why_not(self, status: int | None, service: str) -> str:
        """A status of C-GET or C-MOVE in words: PS3.4 Tables C.4-2 and C.4-3."""
        if status is None:
            return f"{self.target} gave no answer to {service}: the connection broke, or it took too long"
        we_are = f"{self.calling!r} with this machine's address and port {self.listener_port}"
        families = (
            (range(0xA801, 0xA802), f"does not know where we are: add {we_are} there (Orthanc: DicomModalities)"),
            (range(0xA702, 0xA703), f"could not send to us: it must know {we_are}, and reach that through firewalls"),
            (range(0xA700, 0xA800), "is out of resources: see its log"),
            (range(0x0122, 0x0123), f"does not offer {service} (Study Root): enable that there"),
            (range(0x0124, 0x0125), f"does not allow us {service}: grant that there"),
        )
        otherwise = "failed: see its log"
        if service == "C-MOVE":
            otherwise = f"failed: perhaps it must know {we_are}; add that there (Orthanc: DicomModalities)"
        meaning = next((words for codes, words in families if status in codes), otherwise)
        return f"{self.target} {meaning} ({service} status 0x{status:04X})"


def ways_offered(target: Target, *, calling: str) -> frozenset[str]:
    """Which of C-GET and C-MOVE a target offers for radiographs, as SOP class UIDs.

    Raises:
        ConnectionProblem: It takes no association.
    """
    contexts = proposed(USUAL_CLASSES)
    with open_association(target, calling=calling, contexts=contexts, roles=roles_for(contexts)) as association:
        ways = _ways(association)
        return ways if STUDY_ROOT_GET not in ways or _answers_get(association) else ways - {STUDY_ROOT_GET}


def _answers_get(association: Association) -> bool:
    """Whether C-GET is answered, with whatever; the other one may also hang up at it."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", NOBODYS_STUDY
    statuses = [getattr(answer, "Status", None) for answer, _ in association.send_c_get(identifier, STUDY_ROOT_GET)]
    return bool(statuses) and statuses[-1] is not None


def _ways(association: Association) -> frozenset[str]:
    """C-GET counts only where we may be sent images on the same association."""
    accepted = {str(cx.abstract_syntax) for cx in association.accepted_contexts} & {STUDY_ROOT_GET, STUDY_ROOT_MOVE}
    may_be_sent = any(cx.as_scp for cx in association.accepted_contexts)
    return frozenset(accepted if may_be_sent else accepted - {STUDY_ROOT_GET})


def roles_for(contexts: Sequence[PresentationContext]) -> list[SCP_SCU_RoleSelectionNegotiation]:
    """We are the one that images are sent to, though we asked for the association (PS3.4 C.5.3)."""
    classes = {str(cx.abstract_syntax) for cx in contexts} - {STUDY_ROOT_GET, STUDY_ROOT_MOVE}
    return [build_role(each, scp_role=True) for each in sorted(classes)]


def proposed(classes: Sequence[str]) -> list[PresentationContext]:
    """C-GET and C-MOVE, then every syntax of the images' classes, each in a context of its own.

    So an archive can send an image as it holds it, whatever else it would take in the same context.
    """
    services = [build_context(each, [EXPLICIT_LITTLE, IMPLICIT_LITTLE]) for each in (STUDY_ROOT_GET, STUDY_ROOT_MOVE)]
    return services + contexts_for((each, syntax) for each in classes[:CLASSES_AT_ONCE] for syntax in TRANSFER_SYNTAXES)

"""Sending files by C-STORE: one association for a batch, one outcome for each file."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, EncapsulatedOBJStorage, EncapsulatedSTLStorage, SurfaceSegmentationStorage
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pipeline.errors import InputError
from pipeline.result_classes import or_instead
from scp_node.contexts import DEFLATED, EXPLICIT_LITTLE, IMPLICIT_LITTLE, contexts_for
from scp_node.peer import ANSWER_SECONDS, Target, open_association

FILES_PER_ASSOCIATION: Final = 60
"""Each file needs two presentation contexts at the most, `MESHES` a third each, and an association has 128 (PS3.8
9.3.2.2)."""

MESHES: Final = frozenset(map(str, (SurfaceSegmentationStorage, EncapsulatedSTLStorage, EncapsulatedOBJStorage)))
"""What is sent deflated where the peer takes it so. Pictures are not: many an archive takes deflated ones that its
viewers then cannot show."""

SUCCESS: Final = 0x0000
SLOWEST_BYTES_PER_SECOND: Final = 50_000
"""On a line slower than this an object may never arrive: so long its answer is waited for."""
WARNINGS: Final = range(0xB000, 0xC000)
"""Stored, but changed or not checked: PS3.4 Table B.2-1, Bxxx."""


@dataclass(frozen=True, kw_only=True)
class OutgoingFile:
    """A DICOM file to send, with what its file meta information says (PS3.10 7.1)."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str

    @classmethod
    def read(cls, path: Path) -> OutgoingFile:
        """The file at `path`.

        Raises:
            InputError: It is no DICOM file, or its file meta information is incomplete.
        """
        try:
            meta = read_file_meta_info(path)
            return cls(
                path=path,
                sop_class_uid=str(meta.MediaStorageSOPClassUID),
                sop_instance_uid=str(meta.MediaStorageSOPInstanceUID),
                transfer_syntax_uid=str(meta.TransferSyntaxUID),
            )
        except (InvalidDicomError, AttributeError, OSError) as error:
            raise InputError(f"{path} is not a complete DICOM file (PS3.10): {error}") from error


class Fate(Enum):
    """What became of a file."""

    STORED = "stored"
    FAILED = "failed"
    """The peer did not store it, or did not say."""
    NOT_ACCEPTED = "not-accepted"
    """The peer does not take such objects, so it was not offered this one."""
    NOT_TRIED = "not-tried"
    """The association ended before its turn."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file.

    Attributes:
        file: Which.
        fate: What became of it.
        problem: Why the peer does not have it; empty where it does.
        note: What else is to be known of it though the peer has it: changed on the way, or stored with a warning.
        answer: What the peer answered, `0x0000` or `HTTP 200`; empty where it did not.
        transfer_syntax_uid: The encoding that it left in; empty where it did not leave.
    """

    file: OutgoingFile
    fate: Fate = Fate.STORED
    problem: str = ""
    note: str = ""
    answer: str = ""
    transfer_syntax_uid: str = ""


def send_files(files: Iterable[OutgoingFile], target: Target, *, calling: str) -> Iterator[Outcome]:
    """Send files, and tell each one's outcome as it is known.

    Raises:
        ConnectionProblem: The peer takes no association; files already told of are stored.
        ConfigurationError: Our certificates cannot be used.
    """
    waiting = iter(files)
    while batch := tuple(itertools.islice(waiting, FILES_PER_ASSOCIATION)):
        with open_association(target, calling=calling, contexts=proposed(batch)) as association:
            for file in batch:
                yield store(association, file, target)


def proposed(files: Sequence[OutgoingFile]) -> list[PresentationContext]:
    """Each file in every encoding that it can leave in."""
    return contexts_for(
        (file.sop_class_uid, syntax)
        for file in files
        for syntax in encodings(file.sop_class_uid, file.transfer_syntax_uid)
    )


def encodings(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[str, ...]:
    """The transfer syntaxes that a file can leave in, the best first.

    As it is; an Explicit VR one deflated before that, where it is worth while, and as Implicit VR after it, which every
    peer must take (PS3.5 10.1).
    """
    if transfer_syntax_uid != EXPLICIT_LITTLE:
        return (transfer_syntax_uid,)
    return (*([DEFLATED] if sop_class_uid in MESHES else []), EXPLICIT_LITTLE, IMPLICIT_LITTLE)


def store(association: Association, file: OutgoingFile, target: Target) -> Outcome:
    """C-STORE one file, in the best encoding that the peer has accepted for it."""
    if not association.is_established:
        problem = f"{target} closed the association before this file's turn"
        return Outcome(file=file, fate=Fate.NOT_TRIED, problem=problem)
    association.dimse_timeout = answer_seconds(file.path.stat().st_size)
    accepted = {(str(cx.abstract_syntax), str(cx.transfer_syntax[0])) for cx in association.accepted_contexts}
    for syntax in encodings(file.sop_class_uid, file.transfer_syntax_uid):
        if (file.sop_class_uid, syntax) in accepted:
            outcome = _outcome(association.send_c_store(_encoded(file, syntax)), file, target)
            return replace(outcome, transfer_syntax_uid=syntax)
    return Outcome(file=file, fate=Fate.NOT_ACCEPTED, problem=_not_accepted(file, accepted, target))


def _encoded(file: OutgoingFile, syntax: str) -> Path | Dataset:
    """What pynetdicom sends in an encoding: of a dataset it finds the context of an uncompressed one by itself."""
    if syntax == file.transfer_syntax_uid:
        return file.path
    dataset = dcmread(file.path)
    if syntax == DEFLATED:
        dataset.file_meta.TransferSyntaxUID = UID(DEFLATED)
    return dataset


def answer_seconds(size: int) -> float:
    """How long the answer to a file of so many bytes may take: pynetdicom counts from before the first one leaves."""
    return ANSWER_SECONDS + size / SLOWEST_BYTES_PER_SECOND


def _outcome(answer: Dataset, file: OutgoingFile, target: Target) -> Outcome:
    status = getattr(answer, "Status", None)
    problem = store_problem(status, file.sop_class_uid, target)
    return Outcome(
        file=file,
        fate=Fate.FAILED if problem else Fate.STORED,
        problem=problem,
        note=f"{target} stored it with a warning (status 0x{status:04X}): see its log" if status in WARNINGS else "",
        answer="" if status is None else f"0x{status:04X}",
        transfer_syntax_uid=file.transfer_syntax_uid,
    )


def _not_accepted(file: OutgoingFile, accepted: set[tuple[str, str]], target: Target) -> str:
    sop_class, syntax = UID(file.sop_class_uid).name, UID(file.transfer_syntax_uid).name
    instead = or_instead(file.sop_class_uid)
    if any(file.sop_class_uid == accepted_class for accepted_class, _ in accepted):
        return f"{target} does not accept {sop_class} as {syntax}: enable that transfer syntax there"
    return f"{target} does not accept {sop_class} ({file.sop_class_uid}): enable that SOP class there{instead}"


def store_problem(status: int | None, sop_class_uid: str, target: object) -> str:
    """A C-STORE answer, or a FailureReason of STOW-RS, in words; empty when `target` has stored the file."""
    if status is None:
        return f"{target} gave no answer: the connection broke, or it took too long"
    if status == SUCCESS or status in WARNINGS:
        return ""
    enable = f"enable that SOP class there{or_instead(sop_class_uid)}"
    families = (
        (range(0xA700, 0xA800), "is out of resources: free space there"),
        (range(0xA900, 0xAA00), f"says that the dataset does not match {UID(sop_class_uid).name}"),
        (range(0xC000, 0xD000), "says that it cannot understand the dataset"),
        (range(0x0122, 0x0123), f"does not store {UID(sop_class_uid).name}: {enable}"),
        (range(0x0124, 0x0125), "does not allow us to send: grant that there"),
    )
    meaning = next((words for codes, words in families if status in codes), "failed to store it")
    return f"{target} {meaning} (status 0x{status:04X})"

"""STOW-RS (PS3.18 10.5): results stored by HTTP, one instance in a request, each read back at once.

DICOMweb knows no storage commitment, so a result counts as delivered when the peer gives it back by WADO-RS. The bytes
of a file leave as they are: what the ledger has the digest of is what the peer gets.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset

from pipeline.records.commitments import Ask
from scp_node.dicomweb import (
    TIMEOUTS,
    BrokenOff,
    Busy,
    WebRefusal,
    WebTarget,
    check,
    client_for,
    explained,
    open_session,
)
from scp_node.peer import ConnectionProblem
from scp_node.sending import SUCCESS, WARNINGS, Fate, Outcome, OutgoingFile, store_problem

NOT_TAKEN: Final = (0x0122, 0xC122)
"""FailureReason: the peer stores no such SOP class, or not in that transfer syntax (PS3.18 10.5.3.2)."""
TELLS_OF_INSTANCES: Final = (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT)
"""With these the peer says what became of each instance: PS3.18 Table 10.5.3-1."""
NO_SERVICE: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
READ_BACK_PAUSES: Final = (0.0, 0.5, 2.0)
"""Seconds before each look: some archives answer first and file afterwards."""

NO_COMMITMENT: Final = "DICOMweb knows no storage commitment: it counts as delivered when it was read back"


@dataclass(kw_only=True)
class StowCarrier:
    """STOW-RS, and WADO-RS to read back.

    Attributes:
        target: The peer.
        session: With its credentials.
        client: For what is read back.
        is_open: False once a request broke off.
    """

    target: WebTarget
    session: requests.Session
    client: DICOMwebClient
    is_open: bool = True
    commits: bool = False

    def store(self, file: OutgoingFile) -> Outcome:
        """Store one file, and read it back.

        Raises:
            ConnectionProblem: The peer cannot be reached, or lets nobody in with these credentials.
        """
        try:
            with explained(self.target):
                answer = self._post(file)
            outcome = _outcome(answer, file, self.target)
            return self._read_back(outcome) if outcome.fate is Fate.STORED else outcome
        except BrokenOff as problem:
            self.is_open = False
            return Outcome(file=file, fate=Fate.FAILED, problem=str(problem))
        except WebRefusal as refusal:
            is_kind = refusal.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            fate = Fate.NOT_ACCEPTED if is_kind else Fate.FAILED
            return Outcome(file=file, fate=fate, problem=str(refusal), answer=f"HTTP {refusal.status}")

    def ask(self, wanted: Ask) -> str:
        """Nobody can be asked here."""
        del wanted
        return NO_COMMITMENT

    def _post(self, file: OutgoingFile) -> requests.Response:
        boundary = uuid4().hex
        # Without the transfer syntax, which the file says itself: Orthanc's plugin (1.7) skips parts that name one.
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        headers = {
            "content-type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "accept": "application/dicom+json",
        }
        body = head + file.path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        url = f"{self.target.url}/studies"
        answer = self.session.post(url, data=body, headers=headers, timeout=TIMEOUTS, allow_redirects=False)
        if answer.status_code not in TELLS_OF_INSTANCES:
            _check_service(answer, self.target)
        return answer

    def _read_back(self, outcome: Outcome) -> Outcome:
        """What the peer gives back decides: not there, or not to be had now, is not delivered; changed is noted."""
        sent = dcmread(outcome.file.path)
        try:
            returned = self._retrieve(sent)
        except (WebRefusal, ConnectionProblem) as problem:
            if isinstance(problem, BrokenOff):
                raise
            if getattr(problem, "status", None) in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                lost = f"{self.target} says that it stored it, but does not give it back: see its log"
                return replace(outcome, fate=Fate.FAILED, problem=lost)
            unread = f"it could not be read back: {problem}"
            if not _gives_nothing_back(problem):
                return replace(outcome, fate=Fate.FAILED, problem=unread)
            return replace(outcome, note=_joined(outcome.note, unread))
        if returned == sent:
            return replace(outcome, answer=f"{outcome.answer}, read back the same")
        changed = f"{self.target} changed it: what it gives back is not what it got"
        return replace(outcome, answer=f"{outcome.answer}, read back changed", note=_joined(outcome.note, changed))

    def _retrieve(self, sent: Dataset) -> Dataset:
        """The instance, as the peer has it.

        Raises:
            WebRefusal: It does not give it back.
            ConnectionProblem: It cannot be reached any more, or does not allow that.
        """
        level = (sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
        for pause in READ_BACK_PAUSES:
            time.sleep(pause)
            try:
                with explained(self.target):
                    return self.client.retrieve_instance(*level, media_types=(("application/dicom", "*"),))
            except WebRefusal as refusal:
                missing = refusal
                if refusal.status != HTTPStatus.NOT_FOUND:
                    break
        raise missing


@contextmanager
def by_stow(target: WebTarget) -> Iterator[StowCarrier]:
    """A session with a peer that takes results by STOW-RS; nothing is sent before the first file.

    Raises:
        ConfigurationError: Our certificates cannot be used.
    """
    with open_session(target) as session:
        yield StowCarrier(target=target, session=session, client=client_for(target, session))


def _check_service(answer: requests.Response, target: WebTarget) -> None:
    """Tell what is the matter with one file from what is the matter with the service: that costs no file an attempt.

    Raises:
        ConnectionProblem: There is no STOW-RS at that address, or not for us, or not now.
        WebRefusal: The file was not taken.
    """
    try:
        check(answer, target)
    except WebRefusal as refusal:
        if refusal.status < HTTPStatus.BAD_REQUEST or refusal.status in NO_SERVICE:
            raise ConnectionProblem(str(refusal), is_rejection=True) from refusal
        raise


def _gives_nothing_back(problem: WebRefusal | ConnectionProblem) -> bool:
    """Whether the peer gives nothing back to us, or not in this form, whenever it is asked; else it is in trouble."""
    if isinstance(problem, WebRefusal):
        return problem.status < HTTPStatus.INTERNAL_SERVER_ERROR or problem.status == HTTPStatus.NOT_IMPLEMENTED
    return problem.is_rejection and not isinstance(problem, Busy)


def _outcome(answer: requests.Response, file: OutgoingFile, target: WebTarget) -> Outcome:
    """What the answer says became of the file (PS3.18 10.5.3.2)."""
    said = _said(answer)
    code = f"HTTP {answer.status_code}"
    failed = _item(said, "FailedSOPSequence", file)
    if failed is None and answer.status_code != HTTPStatus.CONFLICT:
        stored = _item(said, "ReferencedSOPSequence", file)
        warning = int(stored.get("WarningReason", SUCCESS)) if stored is not None else SUCCESS
        note = f"{target} stored it with a warning (0x{warning:04X}): see its log" if warning in WARNINGS else ""
        return Outcome(file=file, answer=code, note=note, transfer_syntax_uid=file.transfer_syntax_uid)
    reason = int(failed.get("FailureReason", 0x0110)) if failed is not None else 0x0110
    fate = Fate.NOT_ACCEPTED if reason in NOT_TAKEN else Fate.FAILED
    problem = store_problem(reason, file.sop_class_uid, target)
    return Outcome(file=file, fate=fate, problem=problem, answer=f"{code}, 0x{reason:04X}")


def _said(answer: requests.Response) -> Dataset:
    """The answer's dataset; empty where there is none that can be read: then reading back decides."""
    try:
        plain: Any = answer.json()
        return Dataset.from_json(plain[0] if isinstance(plain, list) and plain else plain)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Dataset()


def _item(said: Dataset, sequence: str, file: OutgoingFile) -> Dataset | None:
    """What a sequence of the answer says of the file."""
    items = said.get(sequence) or []
    return next((each for each in items if each.get("ReferencedSOPInstanceUID") == file.sop_instance_uid), None)


def _joined(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence)

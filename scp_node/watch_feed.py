"""Orthanc's REST API as we use it: its log of changes, and the radiographs of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import requests
from orthanc_api_client import OrthancApiClient
from orthanc_api_client.exceptions import HttpError, NotAuthorized, OrthancApiException, ResourceNotFound

from pipeline.errors import TransientError
from scp_node.dicomweb import BUSY
from scp_node.incoming import CHUNK_BYTES
from scp_node.peer import ANSWER_SECONDS, CONNECT_SECONDS

CHANGES_AT_ONCE: Final = 500
STABLE_STUDY: Final = "StableStudy"
NEW_STUDY: Final = "NewStudy"
NEW_SERIES: Final = "NewSeries"


class FeedProblem(TransientError):  # noqa: N818 - says what is the matter
    """The server cannot be asked; the message says what to change where."""


class Gone(FeedProblem):
    """The server has no such thing any more."""


class NotGiven(FeedProblem):
    """The server failed with one thing, or said of it what Orthanc does not say; others may still be had."""


@dataclass(frozen=True, kw_only=True)
class FeedTarget:
    """Whom to ask.

    Attributes:
        name: What the source is called here.
        url: Where the REST API answers.
        user_name: As whom; empty: without a login.
        password: Of that user.
        ca_file: PEM file of the CAs that its certificate may come from; empty: those that the system trusts.
    """

    name: str
    url: str
    user_name: str = ""
    password: str = ""
    ca_file: str = ""

    def __str__(self) -> str:
        return f"{self.name} at {self.url}"

    def __repr__(self) -> str:
        return f"FeedTarget({self})"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the log of changes.

    Attributes:
        number: Its place; counts up.
        kind: `StableStudy`, `NewStudy`, ...
        orthanc_id: Of what.
        date: When, by Orthanc's clock.
    """

    number: int
    kind: str
    orthanc_id: str
    date: str

    @property
    def mark(self) -> str:
        """What tells it from a change of the same number in another server's log."""
        return f"{self.date} {self.kind} {self.orthanc_id}"


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some changes, and the number of the last one that there is where there are none."""

    changes: tuple[Change, ...]
    last: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class HeldImage:
    """An instance that the server holds."""

    orthanc_id: str
    sop_instance_uid: str


class Feed:
    """One server's."""

    def __init__(self, target: FeedTarget) -> None:
        """Open no connection yet."""
        self._target = target
        self._client = _Client(target)

    def changes(self, *, since: int) -> Page:
        """The changes after that one.

        Raises:
            FeedProblem: The server cannot be asked.
        """
        return self._page(f"changes?since={since}&limit={CHANGES_AT_ONCE}")

    def newest(self) -> Page:
        """The last change there is.

        Raises:
            FeedProblem: The server cannot be asked.
        """
        return self._page("changes?last")

    def study_of_series(self, series_id: str) -> str:
        """The study that a series belongs to.

        Raises:
            FeedProblem: The server cannot be asked, or does not tell, or has it no more.
        """
        with self._as_orthanc_says_it():
            return str(self._client.get_json(f"series/{series_id}")["ParentStudy"])

    def is_stable(self, study_id: str) -> bool:
        """Whether nothing has come for a study for as long as the server waits.

        Raises:
            FeedProblem: The server cannot be asked, or does not tell, or has it no more.
        """
        with self._as_orthanc_says_it():
            return bool(self._client.get_json(f"studies/{study_id}")["IsStable"])

    def images(self, study_id: str, *, modalities: Sequence[str]) -> tuple[HeldImage, ...]:
        """The instances of a study in series of these modalities.

        Raises:
            FeedProblem: The server cannot be asked, or does not tell, or has it no more.
        """
        with self._as_orthanc_says_it():
            series = self._client.get_json(f"studies/{study_id}/series")
            wanted = {each["ID"] for each in series if each["MainDicomTags"].get("Modality") in modalities}
            if not wanted:
                return ()
            return tuple(
                HeldImage(orthanc_id=each["ID"], sop_instance_uid=each["MainDicomTags"].get("SOPInstanceUID", ""))
                for each in self._client.get_json(f"studies/{study_id}/instances")
                if each["ParentSeries"] in wanted
            )

    def file(self, image: HeldImage) -> Iterator[bytes]:
        """An instance's DICOM file, piece by piece.

        Raises:
            FeedProblem: The server cannot be asked, or does not give it, or has it no more.
        """
        with self._client.get(f"instances/{image.orthanc_id}/file", stream=True) as answer:
            try:
                yield from answer.iter_content(CHUNK_BYTES)
            except requests.RequestException as error:
                raise NotGiven(f"{self._target} broke its answer off: see its log") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _page(self, endpoint: str) -> Page:
        plain = self._client.get_json(endpoint)
        with self._as_orthanc_says_it():
            changes = tuple(
                Change(number=each["Seq"], kind=each["ChangeType"], orthanc_id=each["ID"], date=each["Date"])
                for each in plain["Changes"]
            )
            return Page(changes=changes, last=plain["Last"], is_last=plain["Done"])

    @contextmanager
    def _as_orthanc_says_it(self) -> Iterator[None]:
        """An answer is read in the block.

        Raises:
            NotGiven: It has not the form that Orthanc gives it.
        """
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise NotGiven(NO_ORTHANC.format(target=self._target)) from error


NO_ORTHANC: Final = "{target} answers, but not as Orthanc does: correct url here"


class _Client(OrthancApiClient):  # type: ignore[misc]  # the library has no types
    """Orthanc's client, with deadlines, our CA, and errors that name cause and fix."""

    def __init__(self, target: FeedTarget) -> None:
        super().__init__(target.url + "/", user=target.user_name or None, pwd=target.password or None)
        self._target = target

    def get(self, endpoint: str, **options: Any) -> requests.Response:  # noqa: ANN401 - the library's own
        """GET.

        Raises:
            FeedProblem: There is no answer that can be used, and why.
        """
        verify: str | bool = self._target.ca_file or True
        try:
            answer: requests.Response | None = super().get(
                endpoint, timeout=(CONNECT_SECONDS, ANSWER_SECONDS), verify=verify, **options
            )
        except OrthancApiException as error:
            raise _explained(error, self._target) from error
        if answer is None:  # the library's word for: an error of HTTP that it does not know
            raise FeedProblem(f"{self._target} broke its answer off: see its log")
        return answer

    def get_json(self, endpoint: str, **options: Any) -> Any:  # noqa: ANN401 - whatever Orthanc says
        """GET something in JSON.

        Raises:
            FeedProblem: There is no answer, or it is not in JSON.
        """
        try:
            return self.get(endpoint, **options).json()
        except ValueError as error:
            raise FeedProblem(NO_ORTHANC.format(target=self._target)) from error


def _explained(error: OrthancApiException, target: FeedTarget) -> FeedProblem:
    """An error of the library as what to change where."""
    if isinstance(error, NotAuthorized):
        login = f"the user {target.user_name!r} with this password" if target.user_name else "anybody without a login"
        return FeedProblem(f"{target} does not let in {login}: correct user_name and password_file here")
    if isinstance(error, ResourceNotFound):
        return Gone(f"{target} has no such thing (HTTP 404): it was removed there, or url is wrong here")
    if isinstance(error, HttpError):
        kind = FeedProblem if error.http_status_code in BUSY else NotGiven
        return kind(f"{target} failed (HTTP {error.http_status_code}): see its log")
    cause = error.__context__
    where = f"{target}: check host and port of url here, and whether it runs"
    if isinstance(cause, requests.exceptions.SSLError):
        return FeedProblem(f"the certificate of {target} is not of a trusted CA, or of another name: set ca_file here")
    if isinstance(cause, requests.exceptions.Timeout):
        return FeedProblem(f"no answer in time from {where}")
    return FeedProblem(f"no connection to {where}")

"""Calling a peer by DICOMweb (PS3.18): one session, and for everything that can go wrong a sentence with the fix.

Redirects are not followed and nothing is taken from the environment (proxies, .netrc): what is set for the peer decides
where credentials go.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from dicomweb_client.api import DICOMwebClient
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError as TransportError

from pipeline.errors import TransientError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records.directory import Peer
from scp_node.peer import ANSWER_SECONDS, CONNECT_SECONDS, ConnectionProblem
from scp_node.tls import TlsFiles, client_context, explain_outgoing

TIMEOUTS: Final = (CONNECT_SECONDS, ANSWER_SECONDS)

NOT_DICOMWEB: Final = "{} answers, but not as DICOMweb does: correct dicomweb_url here"
BUSY: Final = (429, 502, 503, 504)


class WebRefusal(TransientError):  # noqa: N818 - says what is the matter
    """The service answered, but not with what was asked for; the message says what to change where.

    Attributes:
        status: The HTTP status code.
    """

    def __init__(self, sentence: str, *, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class BrokenOff(ConnectionProblem):
    """The connection broke, or no answer came, after the request had left: the peer may have done what it asked."""


class Busy(ConnectionProblem):
    """The service answers that it cannot do anything now."""


@dataclass(frozen=True, kw_only=True)
class WebTarget:
    """Whom to call by DICOMweb.

    Attributes:
        name: Its AE title, by which people know it.
        url: The root of its service.
        user: As whom we log in; empty: without, or with a token.
        password: Of that user.
        token: What we show instead.
        tls: The certificates for https: ours, and the CAs that its own may come from.
    """

    name: str
    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    tls: TlsFiles = field(default_factory=TlsFiles)

    def __str__(self) -> str:
        return f"{self.name} at {self.url}"

    @property
    def host(self) -> str:
        """The host of its address."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of its address."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_https(self) -> bool:
        """Whether it is called over TLS."""
        return self.url.startswith("https://")


def web_target_of(peer: Peer, institution: str, *, secrets: PeerSecrets, tls: TlsFiles) -> WebTarget:
    """How a peer of the records is called by DICOMweb.

    Args:
        peer: One with a `dicomweb_url`.
        institution: The slug of its institution.
        secrets: Where the files lie that its settings name.
        tls: The node's certificates; a CA of the peer's own goes before its trusted ones.

    Raises:
        ConfigurationError: A file that its settings name cannot be read.
    """

    def read(name: str) -> str:
        return secrets.read(institution, name) if name else ""

    authority = secrets.path(institution, peer.dicomweb_ca_file) if peer.dicomweb_ca_file else tls.trusted_cas
    return WebTarget(
        name=peer.ae_title,
        url=peer.dicomweb_url,
        user=peer.dicomweb_user,
        password=read(peer.dicomweb_password_file),
        token=read(peer.dicomweb_token_file),
        tls=TlsFiles(certificate=tls.certificate, key=tls.key, trusted_cas=authority, bound_to=peer.certificates),
    )


@contextmanager
def open_session(target: WebTarget) -> Iterator[requests.Session]:
    """A session with the peer's credentials.

    Raises:
        ConfigurationError: The certificates cannot be used.
    """
    with requests.Session() as session:
        session.trust_env = False
        session.max_redirects = 0
        session.auth = _credentials(target)
        if target.is_https:
            session.mount("https://", _TrustingAdapter(client_context(target.tls)))
        yield session


def client_for(target: WebTarget, session: requests.Session) -> DICOMwebClient:
    """dicomweb-client on an open session; who tries again, and when, is decided elsewhere."""
    client = DICOMwebClient(url=target.url, session=session, timeout=TIMEOUTS)
    client.set_http_retry_params(retry=False)
    return client


@contextmanager
def explained(target: WebTarget) -> Iterator[None]:
    """Errors of the HTTP library, as ours.

    Raises:
        ConnectionProblem: The peer cannot be reached, or lets nobody in with these credentials.
        WebRefusal: It answered, but not with what was asked for.
    """
    try:
        yield
    except requests.HTTPError as error:
        raise refusal(error.response, target) from error
    except requests.TooManyRedirects as error:
        raise refusal(error.response, target) from error
    except requests.JSONDecodeError as error:
        raise WebRefusal(NOT_DICOMWEB.format(target), status=HTTPStatus.OK) from error
    except (requests.RequestException, TransportError, OSError) as error:
        raise _connection_problem(error, target) from error
    except ValueError as error:
        raise WebRefusal(NOT_DICOMWEB.format(target), status=HTTPStatus.OK) from error


def ping(target: WebTarget) -> float:
    """Search for any one study (QIDO-RS); gives how many seconds the answer took.

    Raises:
        ConnectionProblem: The peer cannot be reached, or lets nobody in with these credentials.
        WebRefusal: It answered, but not with a list of studies.
        ConfigurationError: Our certificates cannot be used.
    """
    with open_session(target) as session, explained(target):
        headers = {"accept": "application/dicom+json"}
        url = f"{target.url}/studies?limit=1"
        answer = session.get(url, headers=headers, timeout=TIMEOUTS, allow_redirects=False)
        check(answer, target)
        if answer.status_code != HTTPStatus.NO_CONTENT and not isinstance(answer.json(), list):
            raise ValueError("no list of studies")
        return float(answer.elapsed.total_seconds())


def check(answer: requests.Response, target: WebTarget) -> None:
    """Nothing, where the peer did what it was asked for.

    Raises:
        ConnectionProblem: It lets nobody in with these credentials, or is busy.
        WebRefusal: It did something else.
    """
    if not HTTPStatus.OK <= _status(answer) < HTTPStatus.MULTIPLE_CHOICES:
        raise refusal(answer, target)


def refusal(answer: requests.Response | None, target: WebTarget) -> ConnectionProblem | WebRefusal:
    """An answer that is no success, in words."""
    status = _status(answer)
    if status == HTTPStatus.UNAUTHORIZED:
        shown = "the user and password" if target.user else "the token" if target.token else "nothing that was shown"
        return ConnectionProblem(
            f"{target} takes {shown} for no login (HTTP 401): correct dicomweb_user with its password, or "
            "dicomweb_token_file, here",
            is_rejection=True,
        )
    if status == HTTPStatus.FORBIDDEN:
        return ConnectionProblem(f"{target} does not allow us this (HTTP 403): grant it there", is_rejection=True)
    if status in BUSY:
        return Busy(f"{target} is busy or stopped (HTTP {status}): try again later", is_rejection=True)
    return WebRefusal(f"{target} {_said(status)} (HTTP {status})", status=status)


def _status(answer: requests.Response | None) -> int:
    """The HTTP status; 0 where there is none."""
    return answer.status_code or 0 if answer is not None else 0


def _said(status: int) -> str:
    """An HTTP status in words."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return "sends us elsewhere: give the address where the service is as dicomweb_url here"
    return {
        400: "does not understand the request: see its log",
        404: "has no such resource: check the path of dicomweb_url here, or whether DICOMweb is switched on there",
        405: "does not offer this service at that address: check dicomweb_url here, or switch the service on there",
        406: "cannot answer in the form asked for",
        413: "finds it too large: raise its limit there",
        415: "does not take this kind of data: enable its SOP class and transfer syntax there",
        501: "does not offer this service: switch it on there",
        507: "is out of space: free some there",
    }.get(status, "failed: see its log")


def _connection_problem(error: BaseException, target: WebTarget) -> ConnectionProblem:
    """Why there was no answer: no connection, or one that broke later."""
    causes = list(_causes(error))
    tls = next((each for each in causes if isinstance(each, ssl.SSLError)), None)
    if tls is not None:
        return ConnectionProblem(explain_outgoing(tls, where=str(target), host=target.host))
    words = " ".join(type(each).__name__ for each in causes)
    never_there = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "InvalidURL")
    kind = ConnectionProblem if any(each in words for each in never_there) else BrokenOff
    return kind(_why_unreachable(words, target))


def _why_unreachable(words: str, target: WebTarget) -> str:
    """By the names of the errors that led to it."""
    where = f"{target.host}:{target.port}"
    if "NameResolutionError" in words or "gaierror" in words:
        return f"the name {target.host!r} cannot be resolved: correct dicomweb_url here"
    if "ConnectionRefusedError" in words:
        return f"nothing listens at {where}: start the peer, or correct dicomweb_url here"
    if "ConnectTimeout" in words:
        return f"no answer from {where} in {CONNECT_SECONDS} s: check dicomweb_url, routing and firewall"
    if "Timeout" in words:
        return f"{target} took the request and gave no answer in {ANSWER_SECONDS} s: see its log"
    return f"{target} gives no HTTP answer: correct dicomweb_url here, or check whether https is expected there"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that it came from; urllib3 hides some in `reason`, requests in its arguments."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]


def _credentials(target: WebTarget) -> AuthBase:
    if target.user:
        return HTTPBasicAuth(target.user.encode(), target.password.encode())
    return _Bearer(target.token)


class _Bearer(AuthBase):
    """RFC 6750, 2.1; without a token nothing."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["authorization"] = f"Bearer {self._token}"
        return request


class _TrustingAdapter(HTTPAdapter):
    """Connections with a TLS context of our own, as DICOM over TLS has it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - handed on as it came
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:  # noqa: ANN401
        """Nothing: the context says whom it trusts; requests would add its own bundle of public CAs."""

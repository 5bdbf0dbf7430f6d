"""A peer that is called by DICOMweb, examined for the doctor; what bars the way ends the examination."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

import requests
from pydicom.dataset import Dataset

from pipeline.addresses import resolve
from pipeline.checkup import CLOCKS_APART
from pipeline.clock import utc_now
from pipeline.errors import ConfigurationError
from pipeline.finding import Finding, ill, well
from pipeline.peer_secrets import PeerSecrets
from pipeline.records.directory import Peer
from pipeline.settings import NodeSettings
from scp_node.dicomweb import TIMEOUTS, WebRefusal, WebTarget, check, explained, open_session, ping, web_target_of
from scp_node.examination import look_at_tls
from scp_node.peer import ConnectionProblem, Target, connect, shake_hands
from scp_node.sending import OutgoingFile
from scp_node.stow import by_stow
from scp_node.tls import TlsFiles, client_context
from scp_node.trial_picture import PATIENT_ID, make_test_picture


def examine_service(peer: Peer, institution: str, settings: NodeSettings, *, store: bool) -> Iterator[Finding]:
    """Look at everything that delivery by STOW-RS needs.

    Args:
        peer: One with a `dicomweb_url`.
        institution: The slug of its institution.
        settings: The node's.
        store: Store a test picture there, and delete it again where the peer lets us.
    """
    try:
        secrets, tls = PeerSecrets.of(settings), TlsFiles.of(settings)
        target = web_target_of(peer, institution, secrets=secrets, tls=tls)
    except ConfigurationError as error:
        yield ill("credentials", str(error))
        return
    yield from examine_web(target, store=store)


def examine_web(target: WebTarget, *, store: bool) -> Iterator[Finding]:
    """Look at a DICOMweb service from its name to what it stores."""
    addresses = sorted(str(address) for address in resolve(target.host))
    if not addresses:
        yield ill("DNS", f"the name {target.host!r} cannot be resolved: correct dicomweb_url of this peer here")
        return
    yield well("DNS", f"{target.host} is {', '.join(addresses)}")
    looking_at = "TCP"
    try:
        with ExitStack() as open_sockets:
            where = Target(ae_title=target.name, host=target.host, port=target.port)
            connection = open_sockets.enter_context(connect(where))
            yield well("TCP", f"{target.host}:{target.port} takes connections")
            looking_at = "TLS"
            if target.is_https:
                secured = shake_hands(connection, where, client_context(target.tls))
                yield from look_at_tls(open_sockets.enter_context(secured), where)
            elif target.user or target.token:
                yield well("TLS", "none: the password or token travels readable for all; use https where you can")
        looking_at = "QIDO-RS"
        yield well("QIDO-RS", f"a search for studies was answered in {ping(target) * 1000:.0f} ms")
        yield from _look_at_clock(target)
        looking_at = "STOW-RS"
        if store:
            yield from _look_at_store(target)
    except ConnectionProblem as problem:
        yield ill("login" if problem.is_rejection else looking_at, str(problem))
    except (WebRefusal, ConfigurationError) as problem:
        yield ill(looking_at, str(problem))


def _look_at_clock(target: WebTarget) -> Iterator[Finding]:
    """The peer's clock, where its answers tell the time; nothing where they do not."""
    with open_session(target) as session:
        theirs = _time_there(session, target)
    if theirs is None:
        return
    apart = abs(utc_now() - theirs)
    if apart > CLOCKS_APART:
        seconds = f"{apart.total_seconds():.0f} s"
        yield ill("clock", f"its clock and this machine's are {seconds} apart: let both follow NTP, here and there")
    else:
        yield well("clock", "its clock and this machine's agree")


def _time_there(session: requests.Session, target: WebTarget) -> datetime | None:
    """By HTTP's Date (RFC 9110 6.6.1), or by the word of an Orthanc, which sends none; None where there is neither."""
    try:
        answer = session.get(f"{target.url}/studies?limit=1", timeout=TIMEOUTS, allow_redirects=False)
        if "date" in answer.headers:
            return parsedate_to_datetime(answer.headers["date"]).replace(tzinfo=UTC)
        now = session.get(f"{target.url.rpartition('/')[0]}/tools/now", timeout=TIMEOUTS, allow_redirects=False)
        return datetime.strptime(now.text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except (requests.RequestException, ValueError):
        return None


def _look_at_store(target: WebTarget) -> Iterator[Finding]:
    """Store a test picture, read it back, and delete it."""
    picture = make_test_picture()
    with tempfile.TemporaryDirectory(prefix="bonecraft-doctor-") as folder, by_stow(target) as carrier:
        path = Path(folder) / "picture.dcm"
        picture.save_as(path, enforce_file_format=True)
        outcome = carrier.store(OutgoingFile.read(path))
    if outcome.problem:
        yield ill("STOW-RS", outcome.problem)
        return
    if outcome.note:
        yield ill("STOW-RS", outcome.note)
    else:
        yield well("STOW-RS", f"a test picture was stored: {outcome.answer}")
    yield _look_at_deletion(target, picture)


def _look_at_deletion(target: WebTarget, picture: Dataset) -> Finding:
    """DICOMweb itself has no deletion; many archives have it nevertheless."""
    study = str(picture.StudyInstanceUID)
    with open_session(target) as session:
        for delete in (_delete_by_dicomweb, _delete_by_orthanc):
            try:
                with explained(target):
                    delete(session, target, study)
            except (WebRefusal, ConnectionProblem):
                continue
            return well("deletion", "the test picture was deleted again")
    return well("deletion", f"is not offered: remove the test picture there, patient {PATIENT_ID}")


def _delete_by_dicomweb(session: requests.Session, target: WebTarget, study: str) -> None:
    check(session.delete(f"{target.url}/studies/{study}", timeout=TIMEOUTS), target)


def _delete_by_orthanc(session: requests.Session, target: WebTarget, study: str) -> None:
    """By the REST API that an Orthanc has beside its DICOMweb root; where it is none, the lookup already fails.

    Raises:
        ValueError: The answer is none of Orthanc's.
    """
    root = target.url.rpartition("/")[0]
    found = session.post(f"{root}/tools/lookup", data=study, timeout=TIMEOUTS)
    check(found, target)
    try:
        [match] = found.json()
        its_name = quote(str(match["ID"]), safe="")
    except (KeyError, TypeError) as error:
        raise ValueError("no answer of Orthanc's") from error
    check(session.delete(f"{root}/studies/{its_name}", timeout=TIMEOUTS), target)

"""Peers that are called by DICOMweb: each thing that can go wrong is a sentence with the fix."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert

from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.certificates import fingerprints
from pipeline.database import Database
from pipeline.errors import ConfigurationError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import tables
from pipeline.records.checks import get_check, request_check
from pipeline.records.directory import get_peer
from scp_node.checks import check_connections
from scp_node.dicomweb import WebRefusal, WebTarget, client_for, open_session, ping, web_target_of
from scp_node.peer import ConnectionProblem
from scp_node.tls import TlsFiles, server_context
from tests.peers import OrthancPeer, free_port, running_orthanc

USER, PASSWORD = "bonecraft", "päss: word"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, orthanc: OrthancPeer) -> Iterator[OrthancPeer]:
    """An Orthanc that wants a password."""
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD}}
    with running_orthanc(tmp_path_factory.mktemp("locked"), **users) as peer:
        yield peer


class Answers(BaseHTTPRequestHandler):
    """A DICOMweb service without a single study, which sends whoever asks for more elsewhere."""

    def do_GET(self) -> None:
        if self.path.startswith("/dicom-web/studies"):
            self.send_response(204)
        else:
            self.send_response(302)
            self.send_header("location", "http://elsewhere.invalid/")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """`Answers` on loopback, over TLS where a context is given; gives the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def of(orthanc: OrthancPeer, **facts: object) -> WebTarget:
    return WebTarget(**{"name": "PACS", "url": orthanc.dicomweb_url, **facts})


def sentence(target: WebTarget) -> str:
    with pytest.raises((ConnectionProblem, WebRefusal)) as caught:
        ping(target)
    return str(caught.value)


@pytest.mark.orthanc
def test_a_search_is_answered_where_the_password_is_right(locked: OrthancPeer) -> None:
    target = of(locked, user=USER, password=PASSWORD)
    assert ping(target) > 0
    with open_session(target) as session:
        assert client_for(target, session).search_for_studies(limit=1) == []
    assert "takes the user and password for no login (HTTP 401)" in sentence(replace(target, password="wrong"))
    assert "takes nothing that was shown for no login" in sentence(replace(target, user=""))
    assert "takes the token for no login" in sentence(replace(target, user="", token="wrong"))


def test_its_certificate_is_checked_against_the_authority_that_is_set(tmp_path: Path) -> None:
    authority, pair = make_authority(tmp_path), Pair.named(tmp_path, "pacs")
    issue(authority, pair, name="pacs", hosts=("127.0.0.1",), days=30, now=datetime.now(UTC))
    with serving(server_context(TlsFiles(certificate=pair.certificate, key=pair.key))) as port:
        trusting = TlsFiles(trusted_cas=authority.certificate)
        target = WebTarget(name="PACS", url=f"https://127.0.0.1:{port}/dicom-web", tls=trusting)
        assert ping(target) > 0
        assert "is of a CA that is not trusted here" in sentence(replace(target, tls=TlsFiles()))
        by_name = replace(target, url=target.url.replace("127.0.0.1", "localhost"))
        assert "is not for 'localhost'" in sentence(by_name)
        assert "gives no HTTP answer" in sentence(replace(target, url=target.url.replace("https", "http")))


def test_it_must_show_its_own_certificate_where_it_is_bound_to_one(
    tmp_path: Path, database: Database, institution_id: UUID, secrets: PeerSecrets
) -> None:
    authority, pair, other = make_authority(tmp_path), Pair.named(tmp_path, "pacs"), Pair.named(tmp_path, "other")
    for each in (pair, other):
        issue(authority, each, name="pacs", hosts=("127.0.0.1",), days=30, now=datetime.now(UTC))
    with serving(server_context(TlsFiles(certificate=pair.certificate, key=pair.key))) as port:
        facts = {"dicomweb_url": f"https://127.0.0.1:{port}/dicom-web"}
        peer_id = add_peer(database, institution_id, **facts)
        with database.begin() as connection:
            peer = get_peer(connection, peer_id)
        trusting = TlsFiles(trusted_cas=authority.certificate)

        def bound_to(its: Pair) -> WebTarget:
            bound = replace(peer, certificates=fingerprints(its.certificate))
            return web_target_of(bound, "demo", secrets=secrets, tls=trusting)

        assert ping(bound_to(pair)) > 0
        assert "shows another certificate" in sentence(bound_to(other))


@pytest.mark.orthanc
def test_what_bars_the_way_is_named(orthanc: OrthancPeer) -> None:
    assert ping(of(orthanc)) > 0
    assert "has no such resource: check the path of dicomweb_url here" in sentence(of(orthanc, url=orthanc.url + "/no"))
    assert "answers, but not as DICOMweb does" in sentence(of(orthanc, url=orthanc.url + "/app/explorer.html?"))
    closed = f"http://127.0.0.1:{free_port()}/dicom-web"
    assert "nothing listens at 127.0.0.1" in sentence(of(orthanc, url=closed))
    assert "cannot be resolved" in sentence(of(orthanc, url="http://nowhere.invalid/dicom-web"))
    assert "gives no TLS answer" in sentence(of(orthanc, url=orthanc.dicomweb_url.replace("http", "https")))


def test_a_redirect_is_not_followed_so_that_the_password_stays_where_it_belongs() -> None:
    with serving() as port:
        target = WebTarget(name="PACS", url=f"http://127.0.0.1:{port}/elsewhere", user=USER, password=PASSWORD)
        assert "sends us elsewhere" in sentence(target)


@pytest.fixture
def secrets(tmp_path: Path) -> PeerSecrets:
    for institution in ("demo", "other"):
        (tmp_path / "secrets" / institution).mkdir(parents=True)
    (tmp_path / "secrets" / "demo" / "pacs-password").write_text(PASSWORD + "\n")
    (tmp_path / "secrets" / "other" / "theirs").write_text("secret of others\n")
    return PeerSecrets(folder=tmp_path / "secrets")


def add_peer(database: Database, institution_id: UUID, **facts: object) -> UUID:
    with database.begin() as connection:
        peer = {"institution_id": institution_id, "ae_title": "PACS", "host": "127.0.0.1", "port": 1, **facts}
        return connection.execute(insert(tables.peers).values(**peer).returning(tables.peers.c.id)).scalar_one()


def test_a_peers_password_comes_from_a_file_of_its_institution_and_is_never_shown(
    database: Database, institution_id: UUID, secrets: PeerSecrets
) -> None:
    facts = {"dicomweb_url": "http://pacs/dicom-web", "dicomweb_user": USER}
    peer_id = add_peer(database, institution_id, **facts, dicomweb_password_file="pacs-password")
    with database.begin() as connection:
        peer = get_peer(connection, peer_id)
    target = web_target_of(peer, "demo", secrets=secrets, tls=TlsFiles())
    assert (target.user, target.password) == (USER, PASSWORD)
    assert PASSWORD not in repr(target)
    with pytest.raises(ConfigurationError, match=r"theirs cannot be read .*: put the file 'theirs' there"):
        web_target_of(replace(peer, dicomweb_password_file="theirs"), "demo", secrets=secrets, tls=TlsFiles())


@pytest.mark.orthanc
def test_the_web_asks_such_a_peer_by_a_search(
    database: Database, institution_id: UUID, orthanc: OrthancPeer, secrets: PeerSecrets
) -> None:
    peer_id = add_peer(database, institution_id, dicomweb_url=orthanc.dicomweb_url)
    with database.begin() as connection:
        check_id = request_check(connection, peer_id)
    assert check_connections(database, TlsFiles(), secrets) == 1
    with database.begin() as connection:
        check = get_check(connection, check_id, institution_id=institution_id)
    assert check.ok
    assert f"PACS at {orthanc.dicomweb_url} answers a search for studies" in check.sentence

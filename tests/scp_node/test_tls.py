"""DICOM over TLS, both ways, with dcmtk and Orthanc; who stays silent or shows no certificate keeps nobody waiting."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pynetdicom import AE
from sqlalchemy import select, update

from pipeline.database import Database
from pipeline.errors import ConfigurationError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import tables
from pipeline.records.checks import request_check
from pipeline.records.rejected import Rejected, list_rejected
from scp_node.checks import check_connections
from scp_node.echo import echo
from scp_node.peer import ConnectionProblem, Target
from scp_node.sending import OutgoingFile, send_files
from scp_node.tls import TlsFiles, client_context, server_context
from tests.factories import make_dx, save
from tests.listening import RunningListener
from tests.peers import free_port, running_orthanc
from tests.scp_node.authorities import Authority, node_at, settings_of, tls_options
from tests.scp_node.senders import closing, takes_connections, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "administrators.md"
VERIFICATION = "1.2.840.10008.1.1"
Program = Callable[[str], Path]


def problem_of_echo(target: Target) -> str:
    with pytest.raises(ConnectionProblem) as caught:
        echo(target, calling="MODALITY")
    return str(caught.value)


def rejected(database: Database) -> list[Rejected]:
    with database.begin() as connection:
        return list(list_rejected(connection))


def storescu(dcmtk: Program, port: int, file: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    titles = ("-aet", "MODALITY", "-aec", "BONECRAFT")
    command = [dcmtk("storescu"), "-R", *options, *titles, "127.0.0.1", str(port), file]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def require_certificates(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(update(tables.peers).values(requires_certificate=True))


def test_dcmtk_sends_over_mutual_tls_and_without_tls_side_by_side(
    secure: RunningListener, authority: Authority, dcmtk: Program, tmp_path: Path
) -> None:
    file = save(make_dx(), tmp_path / "ap.dcm")
    sent = storescu(dcmtk, secure.tls_port, file, *tls_options(authority.certificate("modality")))
    assert sent.returncode == 0, sent.stderr
    assert storescu(dcmtk, secure.port, file).returncode == 0


def test_a_peer_that_must_show_a_certificate_gets_in_with_one_only(
    secure: RunningListener, authority: Authority, dcmtk: Program, database: Database, tmp_path: Path
) -> None:
    require_certificates(database)
    file = save(make_dx(), tmp_path / "ap.dcm")
    files = authority.certificate("modality")
    assert storescu(dcmtk, secure.port, file).returncode != 0
    assert storescu(dcmtk, secure.tls_port, file, "+tla", "+cf", files.trusted_cas).returncode != 0
    (attempt,) = rejected(database)
    assert (attempt.reason.value, attempt.times) == ("certificate", 2)
    assert storescu(dcmtk, secure.tls_port, file, *tls_options(files)).returncode == 0


def test_a_certificate_of_an_unknown_ca_ends_the_handshake_and_is_listed(
    secure: RunningListener, authority: Authority, stranger: Authority, database: Database
) -> None:
    files = stranger.certificate("modality")
    own = TlsFiles(certificate=files.certificate, key=files.key, trusted_cas=authority.pair.certificate)
    assert "does not trust our certificate" in problem_of_echo(node_at(secure.tls_port, own))
    wait_until(lambda: bool(rejected(database)))
    assert "is of a CA that is not in tls_trusted_cas: add that CA here" in rejected(database)[0].sentence


def test_a_failed_handshake_leaves_the_list_when_its_caller_gets_through(
    secure: RunningListener, authority: Authority, stranger: Authority, database: Database
) -> None:
    files = stranger.certificate("modality")
    own = TlsFiles(certificate=files.certificate, key=files.key, trusted_cas=authority.pair.certificate)
    problem_of_echo(node_at(secure.tls_port, own))
    wait_until(lambda: bool(rejected(database)))
    echo(node_at(secure.port, None), calling="MODALITY")
    assert [attempt.reason.value for attempt in rejected(database)] == ["tls-handshake"]
    echo(node_at(secure.tls_port, authority.certificate("modality2")), calling="MODALITY")
    assert rejected(database) == []


def test_an_expired_certificate_of_a_caller_is_told_to_both_sides(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    files = authority.certificate("modality", days=1, ago=timedelta(days=3))
    assert "finds our certificate expired" in problem_of_echo(node_at(secure.tls_port, files))
    wait_until(lambda: bool(rejected(database)))
    assert "the caller's certificate has expired: renew it there" in rejected(database)[0].sentence


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"days": 1, "ago": timedelta(days=3)}, "has expired: renew it there"),
        ({"ago": timedelta(days=-3)}, "is not valid yet: set the clocks"),
        ({"hosts": ("elsewhere",)}, "is not for '127.0.0.1'"),
    ],
)
def test_what_is_wrong_with_a_peers_certificate_is_told(
    start_listener: Callable[..., RunningListener], authority: Authority, made: dict, words: str
) -> None:
    secure = start_listener(**settings_of(authority.certificate("node", **made)))
    assert words in problem_of_echo(node_at(secure.tls_port, authority.certificate("modality")))


def test_a_peers_unknown_ca_is_told(secure: RunningListener, stranger: Authority) -> None:
    assert "add that CA to tls_trusted_cas" in problem_of_echo(
        node_at(secure.tls_port, stranger.certificate("modality"))
    )


def test_tls_to_a_port_without_it_and_the_other_way_round_are_told(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    files = authority.certificate("modality")
    assert "switch TLS on there, or correct the port" in problem_of_echo(node_at(secure.port, files))
    assert "check whether TLS is expected there" in problem_of_echo(node_at(secure.tls_port, None))
    wait_until(lambda: bool(rejected(database)))
    assert "the caller speaks no TLS: switch TLS on there" in rejected(database)[0].sentence


def test_renewed_certificates_are_used_without_a_restart(secure: RunningListener, authority: Authority) -> None:
    files = authority.certificate("modality")
    before = serial_of(secure.tls_port, files)
    authority.certificate("node")
    after = serial_of(secure.tls_port, files)
    assert before != after


def test_a_certificate_that_was_renewed_badly_leaves_the_old_one_in_use(
    secure: RunningListener, authority: Authority
) -> None:
    files = authority.certificate("modality")
    before = serial_of(secure.tls_port, files)
    (authority.folder / "node.pem").write_text("half a file")
    assert serial_of(secure.tls_port, files) == before


def serial_of(port: int, files: TlsFiles) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        client_context(files).wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        shown = secured.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


def test_tls_older_than_1_2_and_ciphers_without_forward_secrecy_are_refused(
    secure: RunningListener, authority: Authority
) -> None:
    assert negotiated(secure.tls_port, authority, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256") == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        negotiated(secure.tls_port, authority, ciphers="AES128-SHA256:ECDHE-ECDSA-AES128-SHA256")
    assert negotiated(secure.tls_port, authority) == "TLSv1.3"


def negotiated(port: int, authority: Authority, *, ciphers: str = "") -> str | None:
    context = ssl.create_default_context(cafile=authority.pair.certificate)
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secured,
    ):
        return secured.version()


def test_silent_peers_and_health_checks_keep_nobody_waiting(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    silent = [socket.create_connection(("127.0.0.1", secure.tls_port)) for _ in range(20)]
    for _ in range(20):
        socket.create_connection(("127.0.0.1", secure.tls_port)).close()
    assert echo(node_at(secure.tls_port, authority.certificate("modality")), calling="MODALITY") > 0
    for connection in silent:
        connection.close()
    assert rejected(database) == []


def test_certificates_that_cannot_be_used_are_named(tmp_path: Path, authority: Authority) -> None:
    absent = TlsFiles(certificate=tmp_path / "absent.pem", key=tmp_path / "absent.key")
    with pytest.raises(ConfigurationError, match=r"cannot be used \(.*absent\.pem"):
        server_context(absent)
    with pytest.raises(ConfigurationError, match="bonecraft tls init"):
        server_context(TlsFiles())


def test_only_tls_is_spoken_where_plain_is_switched_off(
    start_listener: Callable[..., RunningListener], authority: Authority
) -> None:
    only = start_listener(**settings_of(authority.certificate("node")), dicom_plain=False)
    assert not takes_connections(only.port)
    assert echo(node_at(only.tls_port, authority.certificate("modality")), calling="MODALITY") > 0


@contextmanager
def storescp(dcmtk: Program, folder: Path, *options: str | Path) -> Iterator[int]:
    """dcmtk's receiver, which keeps files in `folder`; gives its port."""
    port = free_port()
    folder.mkdir()
    process = subprocess.Popen([dcmtk("storescp"), "-od", folder, *options, str(port)])
    try:
        wait_until(lambda: takes_connections(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


def test_results_go_to_dcmtk_over_mutual_tls(dcmtk: Program, authority: Authority, tmp_path: Path) -> None:
    file = OutgoingFile.read(save(make_dx(), tmp_path / "ap.dcm"))
    files = authority.certificate("node")
    received = tmp_path / "received"
    with storescp(dcmtk, received, *tls_options(authority.certificate("pacs"))) as port:
        (outcome,) = send_files([file], node_at(port, files), calling="BONECRAFT")
        assert outcome.problem == ""
        assert len(list(received.iterdir())) == 1
        without = TlsFiles(trusted_cas=files.trusted_cas)
        assert "set tls_certificate and tls_key here" in problem_of_echo(node_at(port, without))


def test_orthanc_and_the_node_talk_over_mutual_tls_both_ways(
    secure: RunningListener, authority: Authority, database: Database, tmp_path: Path
) -> None:
    require_certificates(database)
    theirs = authority.certificate("orthanc")
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs.certificate),
        "DicomTlsPrivateKey": str(theirs.key),
        "DicomTlsTrustedCertificates": str(theirs.trusted_cas),
        "DicomTlsRemoteCertificateRequired": True,
    }
    file = OutgoingFile.read(save(make_dx(), tmp_path / "ap.dcm"))
    with running_orthanc(tmp_path, ae_title="MODALITY", **settings) as peer:
        target = Target(ae_title="MODALITY", host=peer.host, port=peer.dicom_port, tls=authority.certificate("node"))
        (outcome,) = send_files([file], target, calling="BONECRAFT")
        assert outcome.problem == ""
        node = {"AET": "BONECRAFT", "Host": "127.0.0.1", "Port": secure.tls_port, "UseDicomTls": True}
        httpx.put(f"{peer.url}/modalities/node", json=node).raise_for_status()
        (instance,) = httpx.get(f"{peer.url}/instances").json()
        httpx.post(f"{peer.url}/modalities/node/store", content=instance, timeout=60).raise_for_status()
    with database.begin() as connection:
        assert connection.execute(tables.instances.select()).one().calling_ae_title == "MODALITY"


def test_a_dicom_client_of_another_make_echoes_over_tls(secure: RunningListener, authority: Authority) -> None:
    ae = AE("MODALITY")
    ae.add_requested_context(VERIFICATION)
    context = ssl.create_default_context(cafile=authority.pair.certificate)
    association = ae.associate(
        "127.0.0.1", secure.tls_port, ae_title="BONECRAFT", tls_args=(context, "localhost"), evt_handlers=closing()
    )
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def test_the_commands_call_over_tls_with_the_certificates_of_the_settings(
    secure: RunningListener, authority: Authority, tmp_path: Path
) -> None:
    files = authority.certificate("modality")
    config = tmp_path / "modality.toml"
    settings = settings_of(files) | {"minimum_free_megabytes": 0}
    config.write_text("".join(f'{name} = "{value}"\n' for name, value in settings.items()))
    peer = f"BONECRAFT@127.0.0.1:{secure.tls_port}"
    file = save(make_dx(), tmp_path / "ap.dcm")
    options = ("--tls", "--config", config, "--from", "MODALITY")
    for command in (("echo", *options, peer), ("send", *options, "--to", peer, file)):
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *command], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert f"{peer.replace('@', ' at ')} over TLS" in done.stdout


def test_a_peer_that_is_set_to_tls_is_called_over_it(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    with database.begin() as connection:
        is_pacs = tables.peers.c.ae_title == "PACS"
        itself = {"ae_title": "BONECRAFT", "port": secure.tls_port, "tls": True}
        changed = connection.execute(update(tables.peers).where(is_pacs).values(**itself).returning(tables.peers.c.id))
        peer_id = changed.scalar_one()
        check = request_check(connection, peer_id)
    assert check_connections(database, authority.certificate("node"), PeerSecrets(folder=authority.folder)) == 1
    with database.begin() as connection:
        found = connection.execute(select(tables.connection_checks).where(tables.connection_checks.c.id == check)).one()
    assert found.ok, found.sentence
    assert "over TLS answers in" in found.sentence

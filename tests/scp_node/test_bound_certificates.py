"""A peer's own certificate, or its CA: no other passes for it, when it calls and when it is called."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pipeline.admission import plan_admission
from pipeline.certificate_authority import Pair
from pipeline.certificates import fingerprints, lineage
from pipeline.database import Database
from pipeline.errors import ConfigurationError
from pipeline.records import tables
from pipeline.records.admin import change, current_values
from pipeline.records.directory import Peer, every_peer
from pipeline.records.rejected import Rejected, list_rejected
from scp_node.echo import echo
from scp_node.peer import ConnectionProblem, target_of
from scp_node.tls import TlsFiles
from tests.listening import RunningListener
from tests.scp_node.authorities import Authority, node_at, settings_of


def bind(database: Database, *files: Path | None, ae_title: str = "MODALITY") -> None:
    named = [each for file in files if file is not None for each in fingerprints(file)]
    with database.begin() as connection:
        is_peer = tables.peers.c.ae_title == ae_title
        connection.execute(update(tables.peers).where(is_peer).values(certificates=named))


def calls(port: int, files: TlsFiles | None) -> bool:
    try:
        echo(node_at(port, files), calling="MODALITY")
    except ConnectionProblem:
        return False
    return True


def rejected(database: Database) -> list[Rejected]:
    with database.begin() as connection:
        return list(list_rejected(connection))


def both(*authorities: Authority, folder: Path) -> Path:
    """A file of the CAs of several authorities."""
    file = folder / "cas.pem"
    file.write_text("".join(each.pair.certificate.read_text() for each in authorities))
    return file


def test_a_peer_gets_in_with_its_own_certificate_only(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    own, other = authority.certificate("modality"), authority.certificate("somebody-else")
    bind(database, own.certificate)
    assert not calls(secure.tls_port, other)
    assert not calls(secure.port, None)
    assert calls(secure.tls_port, own)


def test_another_certificate_is_listed_with_its_fingerprint_and_admitted_with_one_command(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    bind(database, authority.certificate("modality").certificate)
    renewed = authority.certificate("renewed")
    assert not calls(secure.tls_port, renewed)
    (attempt,) = rejected(database)
    (shown,) = fingerprints(renewed.certificate) if renewed.certificate else ()
    assert (attempt.reason.value, attempt.certificate) == ("other-certificate", shown)
    assert shown in attempt.sentence
    with database.begin() as connection:
        for subject, value in plan_admission(attempt, current_values(connection)).items():
            change(connection, subject, value, who="test", source="test")
    assert calls(secure.tls_port, renewed)
    assert rejected(database) == []


def test_a_peer_that_calls_without_tls_is_not_offered_a_certificate(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    bind(database, authority.certificate("modality").certificate)
    assert not calls(secure.port, None)
    (attempt,) = rejected(database)
    command = "bonecraft peers set --institution demo --ae-title MODALITY --no-requires-certificate --certificate any"
    with database.begin() as connection, pytest.raises(ConfigurationError, match=command):
        plan_admission(attempt, current_values(connection))


def test_a_peer_bound_to_a_ca_gets_in_with_any_of_its_certificates_and_none_of_another_trusted_ca(
    start_listener: Callable[..., RunningListener],
    authority: Authority,
    stranger: Authority,
    database: Database,
    tmp_path: Path,
) -> None:
    trusted = both(authority, stranger, folder=tmp_path)
    settings = settings_of(authority.certificate("node")) | {"tls_trusted_cas": trusted}
    secure = start_listener(**settings)
    bind(database, authority.pair.certificate)
    theirs = stranger.certificate("modality")
    of_another_ca = TlsFiles(certificate=theirs.certificate, key=theirs.key, trusted_cas=authority.pair.certificate)
    assert calls(secure.tls_port, authority.certificate("modality"))
    assert not calls(secure.tls_port, of_another_ca)
    bind(database)
    assert calls(secure.tls_port, of_another_ca)


def test_who_has_a_peers_key_cannot_issue_certificates_for_it(
    start_listener: Callable[..., RunningListener], authority: Authority, database: Database, tmp_path: Path
) -> None:
    own = authority.certificate("modality")
    assert own.certificate is not None
    forged = Authority(tmp_path / "forged")
    Pair.named(forged.folder, "ca").certificate.parent.mkdir()
    for name, source in (("ca.pem", own.certificate), ("ca.key", own.key)):
        (forged.folder / name).write_bytes(source.read_bytes() if source else b"")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(authority.pair.certificate.read_text() + own.certificate.read_text())
    secure = start_listener(**settings_of(authority.certificate("node")) | {"tls_trusted_cas": trusted})
    bind(database, own.certificate)
    child = forged.certificate("child")
    assert not calls(secure.tls_port, TlsFiles(certificate=child.certificate, key=child.key, trusted_cas=trusted))
    assert calls(secure.tls_port, TlsFiles(certificate=own.certificate, key=own.key, trusted_cas=trusted))
    assert child.certificate is not None
    encoded = ssl.PEM_cert_to_DER_cert(child.certificate.read_text())
    assert lineage(encoded, trusted) == fingerprints(child.certificate), "whatever has verified it"


def peer_itself(database: Database, secure: RunningListener) -> Peer:
    """The node as a peer of its own, called over TLS."""
    with database.begin() as connection:
        itself = {"ae_title": "BONECRAFT", "port": secure.tls_port, "tls": True}
        connection.execute(update(tables.peers).where(tables.peers.c.ae_title == "PACS").values(**itself))
        (peer,) = (each for _, each in every_peer(connection) if each.ae_title == "BONECRAFT")
    return peer


def test_a_peer_that_we_call_must_show_its_own_certificate_too(
    secure: RunningListener, authority: Authority, database: Database
) -> None:
    files = authority.certificate("modality")
    peer_itself(database, secure)
    bind(database, authority.folder / "node.pem", ae_title="BONECRAFT")
    echo(target_of(peer_itself(database, secure), files), calling="MODALITY")
    bind(database, authority.pair.certificate, ae_title="BONECRAFT")
    echo(target_of(peer_itself(database, secure), files), calling="MODALITY")
    bind(database, files.certificate, ae_title="BONECRAFT")
    with pytest.raises(ConnectionProblem, match="shows another certificate") as caught:
        echo(target_of(peer_itself(database, secure), files), calling="MODALITY")
    assert fingerprints(authority.folder / "node.pem")[0] in str(caught.value)


def test_what_binds_a_peer_is_read_as_it_was_written(database: Database, peers: None, authority: Authority) -> None:
    bind(database, authority.certificate("modality").certificate)
    with database.begin() as connection:
        stored = connection.execute(select(tables.peers).where(tables.peers.c.ae_title == "MODALITY")).one()
        values = {str(subject): value.to_json() for subject, value in current_values(connection).items()}
    assert values["peer demo/MODALITY"]["certificates"] == stored.certificates

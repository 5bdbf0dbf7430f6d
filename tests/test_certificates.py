"""Certificates: made by `bonecraft tls init`, and looked after before they expire."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.certificates import Validity, fingerprints, key_fits, read_certificates
from pipeline.cli.status import app as status_app
from pipeline.cli.tls import app as tls_app
from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings
from scp_node.listener import warn_of_expiry

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def tls_init(*words: object) -> str:
    result = CliRunner().invoke(tls_app, ["init", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def make_pair(tmp_path: Path) -> Callable[..., Pair]:
    """Makes a certificate that is valid for so many days from `NOW`."""

    def make(days: int, *, now: datetime = NOW) -> Pair:
        pair = Pair.named(tmp_path, "node")
        issue(make_authority(tmp_path), pair, name="node", hosts=("localhost",), days=days, now=now)
        return pair

    return make


def test_init_makes_what_a_node_and_its_peers_need_and_says_where_it_goes(tmp_path: Path) -> None:
    shown = tls_init("--out", tmp_path, "--host", "node.example.org", "--peer", "pacs=10.0.0.5")
    (node,) = read_certificates(tmp_path / "node.pem")
    (pacs,) = read_certificates(tmp_path / "pacs.pem")
    assert (node.names, pacs.names) == (("node.example.org",), ("10.0.0.5",))
    assert read_certificates(tmp_path / "ca.pem")[0].is_ca
    assert f'tls_certificate = "{tmp_path / "node.pem"}"' in shown
    assert "To pacs:" in shown
    assert f"--certificate {tmp_path / 'PEER.pem'}" in shown
    assert {stat.S_IMODE(key.stat().st_mode) for key in tmp_path.glob("*.key")} == {0o600}


def test_a_file_is_shown_with_the_fingerprint_that_binds_a_peer(tmp_path: Path) -> None:
    tls_init("--out", tmp_path, "--peer", "pacs=10.0.0.5")
    (pacs,) = read_certificates(tmp_path / "pacs.pem")
    shown = CliRunner().invoke(tls_app, ["show", str(tmp_path / "pacs.pem")]).output
    assert f"SHA-256 {pacs.fingerprint}" in shown
    assert "for 10.0.0.5" in shown


def test_a_certificate_binds_a_peer_without_the_chain_above_it_and_a_ca_by_itself(tmp_path: Path) -> None:
    tls_init("--out", tmp_path, "--peer", "pacs=10.0.0.5")
    (authority,), (pacs,) = read_certificates(tmp_path / "ca.pem"), read_certificates(tmp_path / "pacs.pem")
    chain = tmp_path / "chain.pem"
    chain.write_text((tmp_path / "pacs.pem").read_text() + (tmp_path / "ca.pem").read_text())
    assert fingerprints(chain) == (pacs.fingerprint,)
    assert fingerprints(tmp_path / "ca.pem") == (authority.fingerprint,)


def test_init_again_keeps_what_is_there_and_adds_what_is_new(tmp_path: Path) -> None:
    tls_init("--out", tmp_path)
    before = (tmp_path / "ca.pem").read_bytes(), (tmp_path / "node.pem").read_bytes()
    assert "is there already" in tls_init("--out", tmp_path, "--peer", "cr1=10.0.0.21")
    assert ((tmp_path / "ca.pem").read_bytes(), (tmp_path / "node.pem").read_bytes()) == before
    assert key_fits(tmp_path / "cr1.pem", tmp_path / "cr1.key")
    assert not key_fits(tmp_path / "cr1.pem", tmp_path / "node.key")


@pytest.mark.parametrize(
    ("days", "validity", "words"),
    [
        (60, Validity.VALID, "is valid until 2026-07-31"),
        (20, Validity.SOON, "expires on 2026-06-21, in 20 days"),
        (3, Validity.VERY_SOON, "expires on 2026-06-04, in 3 days"),
    ],
)
def test_a_certificate_says_how_long_it_has_left(
    make_pair: Callable[..., Pair], days: int, validity: Validity, words: str
) -> None:
    (certificate,) = read_certificates(make_pair(days).certificate)
    assert certificate.validity(NOW) is validity
    assert words in certificate.sentence(NOW)


def test_an_expired_one_and_one_of_tomorrow_say_so(make_pair: Callable[..., Pair]) -> None:
    (certificate,) = read_certificates(make_pair(1).certificate)
    assert "expired on 2026-06-02: put a new one there" in certificate.sentence(NOW + timedelta(days=2))
    assert "check this machine's clock" in certificate.sentence(NOW - timedelta(days=2))


def test_the_listener_logs_what_expires_and_what_cannot_be_read(make_pair: Callable[..., Pair], tmp_path: Path) -> None:
    settings = NodeSettings(data_folder=tmp_path, tls_certificate=make_pair(20).certificate)
    with capture_logs() as logs:
        warn_of_expiry(settings, now=NOW)
        make_pair(60)
        warn_of_expiry(settings, now=NOW)
        warn_of_expiry(settings.model_copy(update={"tls_certificate": tmp_path / "absent.pem"}), now=NOW)
    assert [entry["event"] for entry in logs] == ["certificate_expires", "certificates_not_read"]


def test_status_tells_of_a_certificate_that_expires_soon(
    make_pair: Callable[..., Pair], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(5, now=datetime.now(UTC))
    monkeypatch.setenv("BONECRAFT_DATABASE_URL", database_url)
    monkeypatch.setenv("BONECRAFT_TLS_CERTIFICATE", str(pair.certificate))
    shown = CliRunner().invoke(status_app, ["--json"]).output
    assert "put a new one there in time" in json.loads(shown)["certificates"][0]


def test_what_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"notes\.txt cannot be read as a PEM file"):
        read_certificates(tmp_path / "notes.txt")

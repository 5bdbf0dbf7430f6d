"""TLS: who speaks it is served, and who stays silent keeps nobody waiting."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pynetdicom import AE

from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings
from scp_node.transport import server_context
from tests.listening import RunningListener
from tests.scp_node.senders import closing

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, Path]:
    """A certificate for this machine, signed by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed (Debian package openssl)")
    key, pem = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return {"tls_certificate": pem, "tls_key": key}


def echo_status(port: int, certificate: Path) -> int:
    ae = AE("MODALITY")
    ae.add_requested_context(VERIFICATION)
    context = ssl.create_default_context(cafile=certificate)
    association = ae.associate(
        "127.0.0.1", port, ae_title="BONECRAFT", tls_args=(context, "localhost"), evt_handlers=closing()
    )
    assert association.is_established
    status = association.send_c_echo().Status
    association.release()
    return int(status)


def test_silent_peers_keep_nobody_waiting(
    start_listener: Callable[..., RunningListener], certificate: dict[str, Path]
) -> None:
    secure = start_listener(**certificate)
    silent = [socket.create_connection(("127.0.0.1", secure.port)) for _ in range(5)]
    assert echo_status(secure.port, certificate["tls_certificate"]) == 0
    for connection in silent:
        connection.close()


def test_without_tls_nothing_is_understood(
    start_listener: Callable[..., RunningListener], certificate: dict[str, Path]
) -> None:
    secure = start_listener(**certificate)
    with socket.create_connection(("127.0.0.1", secure.port), timeout=20) as plain:
        plain.sendall(b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00")
        with suppress(ConnectionResetError):
            assert plain.recv(100)[:1] in (b"", b"\x15"), "closed, or a TLS alert (RFC 8446, 6)"


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = NodeSettings(tls_certificate=tmp_path / "absent.pem", tls_key=tmp_path / "absent.key")
    with pytest.raises(ConfigurationError, match="tls_certificate and tls_key"):
        server_context(settings)

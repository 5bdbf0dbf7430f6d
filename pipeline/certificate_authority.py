"""A certificate authority in a folder, to try DICOM TLS with, or for a site that has none of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from pipeline.errors import ConfigurationError

CA_DAYS: Final = 3650
CLOCKS_APART: Final = timedelta(hours=1)
"""Certificates are valid from so long ago: the peer's clock may be behind ours."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path

    @classmethod
    def named(cls, folder: Path, name: str) -> Pair:
        """`NAME.pem` and `NAME.key` in `folder`."""
        return cls(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")

    @property
    def is_there(self) -> bool:
        """Whether both files exist."""
        return self.certificate.exists() and self.key.exists()


def make_authority(folder: Path, *, now: datetime | None = None) -> Pair:
    """The authority in `folder`, made where there is none.

    Raises:
        ConfigurationError: The folder cannot be written.
    """
    pair = Pair.named(folder, "ca")
    if pair.is_there:
        return pair
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Bonecraft test CA")
    begin = (now or datetime.now(UTC)) - CLOCKS_APART
    usage = _usage(key_cert_sign=True, crl_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), begin, timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(pair, certificate, key)
    return pair


def issue(
    authority: Pair, pair: Pair, *, name: str, hosts: tuple[str, ...], days: int, now: datetime | None = None
) -> None:
    """A certificate for `name` at `hosts` (names and addresses), for both ends of a connection, written to `pair`.

    Raises:
        ConfigurationError: The authority's files cannot be read, or the pair's not written.
    """
    ca, ca_key = _read(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    begin = (now or datetime.now(UTC)) - CLOCKS_APART
    both_ends = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _builder(_name(name), ca.subject, key.public_key(), begin, timedelta(days=days) + CLOCKS_APART)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(both_ends, critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(pair, certificate, key)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, length: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + length)
    )


def _usage(**granted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: granted.get(name, False) for name in every})


def _read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        key = load_pem_private_key(pair.key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{pair.certificate} and {pair.key} are no certificate authority: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{pair.key} was not made by `bonecraft tls init`: use that authority's own tools")
    return certificate, key


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    try:
        pair.certificate.parent.mkdir(parents=True, exist_ok=True)
        secret = os.open(pair.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(secret, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    except OSError as error:
        raise ConfigurationError(f"{pair.certificate.parent} cannot be written: {error.strerror}") from error

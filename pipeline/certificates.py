"""The node's certificates: what they say, and when somebody must renew them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings

SOON: Final = timedelta(days=30)
VERY_SOON: Final = timedelta(days=7)


class Validity(StrEnum):
    """How long a certificate has left."""

    VALID = "valid"
    SOON = "expires within 30 days"
    VERY_SOON = "expires within 7 days"
    EXPIRED = "expired"
    NOT_YET = "not valid yet"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What a certificate says.

    Attributes:
        path: Its file.
        subject: Whose it is.
        issuer: Who signed it.
        names: The host names and addresses that it is for.
        not_before: From when it is valid.
        not_after: Until when.
        is_ca: Whether it may sign others.
        fingerprint: SHA-256 of its bytes (DER), in hexadecimal; a peer's setting `certificates` names it.
    """

    path: Path
    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    is_ca: bool
    fingerprint: str

    def validity(self, now: datetime) -> Validity:
        """How long it has left at `now`."""
        if now < self.not_before:
            return Validity.NOT_YET
        left = self.not_after - now
        limits = ((timedelta(0), Validity.EXPIRED), (VERY_SOON, Validity.VERY_SOON), (SOON, Validity.SOON))
        return next((validity for limit, validity in limits if left <= limit), Validity.VALID)

    def sentence(self, now: datetime) -> str:
        """Whose it is and how long it has left, with what to do."""
        what = f"the certificate of {self.subject} in {self.path}"
        match self.validity(now):
            case Validity.VALID:
                return f"{what} is valid until {self.not_after:%Y-%m-%d}"
            case Validity.NOT_YET:
                return f"{what} is valid from {self.not_before:%Y-%m-%d %H:%M} UTC only: check this machine's clock"
            case Validity.EXPIRED:
                return f"{what} expired on {self.not_after:%Y-%m-%d}: put a new one there; it is read without a restart"
            case _:
                days = (self.not_after - now).days
                return f"{what} expires on {self.not_after:%Y-%m-%d}, in {days} days: put a new one there in time"


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """Every certificate of a PEM file.

    Raises:
        ConfigurationError: The file cannot be read, or holds none.
    """
    return tuple(_described(path, each) for each in _loaded(path))


def fingerprints(path: Path) -> tuple[str, ...]:
    """What binds a peer to the certificates of a PEM file: to its own where the chain above follows it, else to all.

    Raises:
        ConfigurationError: The file cannot be read, or holds none.
    """
    found = read_certificates(path)
    own = [each for each in found if not each.is_ca]
    return tuple(each.fingerprint for each in own or found)


def lineage(encoded: bytes, trusted: Path | None) -> tuple[str, ...]:
    """Fingerprints of a certificate (X.509, DER) and of those that issued it, as far as a PEM file holds them.

    Whoever verified the certificate has looked at dates and purposes; here it is only told which CAs stand above it.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    line = [x509.load_der_x509_certificate(encoded)]
    known = _loaded(trusted) if trusted is not None else []
    while above := [each for each in known if each not in line and _has_issued(each, line[-1])]:
        line.append(above[0])
    return tuple(each.fingerprint(SHA256()).hex() for each in line)


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return _is_ca(authority)


def read_der(encoded: bytes) -> Certificate:
    """A certificate as TLS hands it over (X.509, DER)."""
    return _described(Path(), x509.load_der_x509_certificate(encoded))


def node_certificates(settings: NodeSettings) -> Iterator[Certificate]:
    """The certificates that the settings name.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    for path in (settings.tls_certificate, settings.tls_trusted_cas):
        if path is not None:
            yield from read_certificates(path)


def key_fits(certificate: Path, key: Path) -> bool:
    """Whether a private key belongs to a file's first certificate.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    try:
        public = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{certificate} and {key} cannot be read as certificate and key: {error}") from error
    return private.public_key() == public


def _loaded(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a PEM file of certificates: {error}") from error


def _described(path: Path, certificate: x509.Certificate) -> Certificate:
    return Certificate(
        path=path,
        subject=_name(certificate.subject),
        issuer=_name(certificate.issuer),
        names=_names(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        is_ca=_is_ca(certificate),
        fingerprint=certificate.fingerprint(SHA256()).hex(),
    )


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False

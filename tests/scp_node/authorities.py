"""Certificate authorities of a test's own, and TLS with their certificates."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.certificate_authority import Pair, issue, make_authority
from scp_node.peer import Target
from scp_node.tls import TlsFiles

HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder of the test's."""

    folder: Path

    @property
    def pair(self) -> Pair:
        return make_authority(self.folder)

    def certificate(self, name: str, *, hosts: tuple[str, ...] = HOSTS, days: int = 30, ago: timedelta | None = None):
        """TLS files with a new certificate for `name`, issued so long ago."""
        pair = Pair.named(self.folder, name)
        issue(self.pair, pair, name=name, hosts=hosts, days=days, now=datetime.now(UTC) - (ago or timedelta()))
        return TlsFiles(certificate=pair.certificate, key=pair.key, trusted_cas=self.pair.certificate)


def settings_of(files: TlsFiles) -> dict[str, object]:
    return {
        "tls_certificate": files.certificate,
        "tls_key": files.key,
        "tls_trusted_cas": files.trusted_cas,
        "minimum_free_megabytes": 0,
    }


def node_at(port: int, files: TlsFiles | None) -> Target:
    return Target(ae_title="BONECRAFT", host="127.0.0.1", port=port, tls=files)


def tls_options(files: TlsFiles) -> list[str | Path]:
    """dcmtk's, for a mutual TLS connection."""
    return ["+tls", files.key, files.certificate, "+cf", files.trusted_cas]

"""Expired certificates, ours and theirs, in both directions; renewed without a restart."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline.certificate_authority import Pair, issue, make_authority
from scp_node.tls import TlsFiles, server_context
from tests.faults.modalities import Called, Mix
from tests.faults.row import Row, Say
from tests.faults.stage import Stage, seconds_to_next_acknowledgement, seconds_until, staged
from tests.peers import free_port

HOSTS = ("localhost", "127.0.0.1")
EXPIRED_SECONDS = 45
"""From when a result waits to be delivered."""
FILMS_OF_A_STUDY = 2
DAYS = 30
LONG_AGO = timedelta(days=DAYS + 10)
LOAD = Mix(seconds_between_films=10)


@dataclass(frozen=True, kw_only=True)
class Papers:
    """Certificates of one authority in a folder."""

    folder: Path

    def renew(self, name: str) -> TlsFiles:
        """A valid certificate for `name`, in the place of the one before."""
        return self._issue(name, now=datetime.now(UTC))

    def expire(self, name: str) -> TlsFiles:
        """One that expired ten days ago, in the place of the one before."""
        return self._issue(name, now=datetime.now(UTC) - LONG_AGO)

    def _issue(self, name: str, *, now: datetime) -> TlsFiles:
        authority, pair = make_authority(self.folder), Pair.named(self.folder, name)
        issue(authority, pair, name=name, hosts=HOSTS, days=DAYS, now=now)
        return TlsFiles(certificate=pair.certificate, key=pair.key, trusted_cas=authority.certificate)


def let_certificates_expire(*, seed: int, say: Say) -> list[Row]:
    """A row for our certificate, and one for theirs: the senders' and the PACS's."""
    with tempfile.TemporaryDirectory(prefix="bonecraft-papers-") as name:
        papers = Papers(folder=Path(name))
        ours, senders, pacs = (papers.renew(each) for each in ("node", "modality", "pacs"))
        settings = {
            "tls_certificate": str(ours.certificate),
            "tls_key": str(ours.key),
            "tls_trusted_cas": str(ours.trusted_cas),
            "dicom_tls_port": free_port(),
        }
        called = Called(
            port=settings["dicom_tls_port"],
            options=("+tls", str(senders.key), str(senders.certificate), "+cf", str(senders.trusted_cas)),
        )
        with staged(seed=seed, tls=True, **settings) as stage:
            stage.line.tls = server_context(pacs)
            return [
                _expire(stage, papers, called, say, "our certificate has expired", ["node"]),
                _expire(stage, papers, called, say, "the senders' and the PACS's have expired", ["modality", "pacs"]),
            ]


def _expire(stage: Stage, papers: Papers, called: Called, say: Say, fault: str, names: list[str]) -> Row:
    say(fault)
    with stage.senders(mix=LOAD, called=called) as senders:
        seconds_until(lambda: sum(sent.is_film for sent in senders.acknowledged().values()) >= FILMS_OF_A_STUDY)
        for name in names:
            _show(stage, name, papers.expire(name))
        before, began = len(senders.acknowledged()), time.monotonic()
        stage.wait_for_result()
        time.sleep(EXPIRED_SECONDS)
        taken = len(senders.acknowledged()) - before
        for name in names:
            _show(stage, name, papers.renew(name))
        lasted = time.monotonic() - began
        first = seconds_to_next_acknowledgement(senders)
    recovery = f"{first:.1f} s until the next image was taken, {stage.settle():.0f} s until every result was sent"
    remark = f"{taken} instances were taken meanwhile, on associations that were open already"
    return Row(
        fault=f"{fault} for {lasted:.0f} s",
        faults=len(names),
        account=stage.reckon(senders),
        recovery=recovery,
        remark=remark,
    )


def _show(stage: Stage, name: str, files: TlsFiles) -> None:
    """The PACS reads its certificate only when it is told to; node and storescu read theirs by themselves."""
    if name == "pacs":
        stage.line.tls = server_context(files)

"""`bonecraft doctor`: the node, its listener and its peers looked over, each line OK or the change to make.

`python -m scp_node.doctor [PEER] [--config node.toml]`
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError

from pipeline.addresses import DEFAULT_AE_TITLE, may_call_from, resolve
from pipeline.admission import BEYOND_SETTINGS
from pipeline.checkup import check_node
from pipeline.clock import utc_now
from pipeline.database import open_database
from pipeline.errors import BonecraftError, InputError
from pipeline.finding import Finding, ill, well
from pipeline.records.directory import Peer, every_peer, first_called_ae_title
from pipeline.records.rejected import list_rejected
from pipeline.settings import NodeSettings, load_settings
from scp_node.commitment import Instance
from scp_node.contexts import EXPLICIT_LITTLE, VERIFICATION, contexts_for
from scp_node.examination import Commitment, examine
from scp_node.peer import ConnectionProblem, Target, connect, open_association, shake_hands, target_of
from scp_node.pull_checks import check_pulling, source_sections
from scp_node.round_trip import try_commitment
from scp_node.tls import TlsFiles
from scp_node.web_examination import examine_service

EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where we listen on all
RECENT: Final = timedelta(hours=24)
"""Who was turned away longer ago may have been helped in a way that the node does not see."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examined:
    """A peer to examine.

    Attributes:
        name: As it is shown.
        target: How it is called.
        calling: As whom we call it.
        peer: Its row; None where it was given as AE@host:port.
    """

    name: str
    target: Target
    calling: str
    peer: Peer | None = None


def main() -> None:
    """Command line; exit 0: all is well, 1: something is to be changed, 2: wrong arguments or settings."""
    given = _parser().parse_args()
    show = _shown_later if given.json else _shown_now
    try:
        settings = load_settings(given.config)
        looks = chain(
            _sections(settings, _examined(settings, given), store=given.store),
            () if given.peer else source_sections(settings),
        )
        sections = [(title, list(show(title, findings))) for title, findings in looks]
    except BonecraftError as error:
        sys.stderr.write(f"bonecraft: {error}\n")
        sys.exit(2)
    if given.json:
        _show_json(sections)
    sys.exit(0 if all(finding.ok for _, findings in sections for finding in findings) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bonecraft doctor", description="Look over the node and its peers.")
    parser.add_argument("peer", nargs="?", help="only this peer: its AE title, INSTITUTION/TITLE, or AE@host:port")
    parser.add_argument("--from", dest="calling", default="", help="our AE title, for AE@host:port")
    parser.add_argument("--tls", action="store_true", help="call AE@host:port over TLS")
    parser.add_argument("--store", action="store_true", help="store a test picture there, which stays")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument("--config", type=Path, help="node.toml")
    return parser


def _sections(
    settings: NodeSettings, peers: Sequence[Examined], *, store: bool
) -> Iterator[tuple[str, Iterable[Finding]]]:
    yield "this node", check_node(settings)
    yield "its listener", _check_listener(settings)
    for examined in peers:
        yield examined.name, _check_peer(settings, examined, store=store)


def _check_peer(settings: NodeSettings, examined: Examined, *, store: bool) -> Iterator[Finding]:
    if examined.peer is not None:
        yield from _check_what_is_set(settings, examined.peer)
    if examined.peer is not None and examined.peer.dicomweb_url:
        institution = examined.name.partition("/")[0]
        yield from examine_service(examined.peer, institution, settings, store=store)
    else:
        yield from _check_by_dimse(settings, examined, store=store)
    if examined.peer is not None and examined.peer.asked_for != "nothing":
        institution = examined.name.partition("/")[0]
        yield from check_pulling(settings, examined.peer, institution=institution, calling=examined.calling)


def _check_by_dimse(settings: NodeSettings, examined: Examined, *, store: bool) -> Iterator[Finding]:
    with ExitStack() as open_things:
        trial = _commitment_trial(settings, examined, open_things)
        yield from examine(examined.target, calling=examined.calling, store=store, try_commitment=trial)


def _commitment_trial(settings: NodeSettings, examined: Examined, open_things: ExitStack) -> Commitment | None:
    """How a storage commitment is tried with a peer of the node's own; None where it is not to be asked for any."""
    peer = examined.peer
    if peer is None or peer.commitment == "never" or not peer.receives:
        return None
    database = open_things.enter_context(closing(open_database(settings)))

    def try_it(instance: Instance, is_there: bool) -> Finding:
        return try_commitment(
            database, peer, examined.target, calling=examined.calling, instance=instance, is_there=is_there
        )

    return try_it


def _examined(settings: NodeSettings, given: argparse.Namespace) -> list[Examined]:
    """Whom to examine: the one that was named, or every peer that gets results or is asked for images.

    Raises:
        InputError: There is no such peer, or several have the name.
    """
    if given.peer and "@" in given.peer:
        target = Target.parse(given.peer)
        secured = dataclasses.replace(target, tls=TlsFiles.of(settings)) if given.tls else target
        return [Examined(name=str(secured), target=secured, calling=given.calling or DEFAULT_AE_TITLE)]
    try:
        with closing(open_database(settings)) as database, database.begin() as connection:
            known = _known(connection, settings)
    except (BonecraftError, ProgrammingError) as error:  # the latter: no tables yet, which the node's section says
        if given.peer:
            raise InputError("the peers cannot be read from the database: name this one as AE@host:port") from error
        return []
    if not given.peer:
        return [each for each in known if each.peer is not None and each.peer.is_called]
    found = [each for each in known if given.peer in (each.name, each.name.partition("/")[2])]
    if len(found) != 1:
        names = ", ".join(each.name for each in known) or "none yet"
        raise InputError(f"{'no peer' if not found else 'several peers'} {given.peer!r}; there are: {names}")
    return found


def _known(connection: Connection, settings: NodeSettings) -> list[Examined]:
    files = TlsFiles.of(settings)
    return [
        Examined(
            name=f"{slug}/{peer.ae_title}",
            target=target_of(peer, files),
            calling=first_called_ae_title(connection, peer.institution_id) or DEFAULT_AE_TITLE,
            peer=peer,
        )
        for slug, peer in every_peer(connection)
    ]


def _check_what_is_set(settings: NodeSettings, peer: Peer) -> Iterator[Finding]:
    """Whether the peer would be let in when it calls, and whether it was turned away lately."""
    addresses = sorted(str(address) for address in resolve(peer.host))
    barred = [each for each in addresses if not may_call_from(each, allow_from=peer.allow_from, host=peer.host)]
    if peer.sends and barred:
        yield ill("its calls", f"from {', '.join(barred)} they would be turned away: add that to allow_from here")
    elif peer.sends:
        yield well("its calls", "are let in from its own address")
    if (peer.requires_certificate or peer.certificates) and settings.tls_trusted_cas is None:
        yield ill("its calls", "must show a certificate, but none is trusted: set tls_trusted_cas in node.toml here")
    with closing(open_database(settings)) as database, database.begin() as connection:
        attempts = list_rejected(connection, since=utc_now() - RECENT)
    for attempt in attempts:
        if attempt.calling_ae_title == peer.ae_title or attempt.address in addresses:
            often = f"{attempt.times} times" if attempt.times > 1 else "once"
            can_be_admitted = attempt.reason not in BEYOND_SETTINGS
            admit = f"; let it in with bonecraft peers admit {attempt.id}" if can_be_admitted else ""
            told = f"turned away {often}, last {attempt.last_at:%Y-%m-%d %H:%M} UTC: {attempt.sentence}{admit}"
            yield ill("its calls", told)


def _check_listener(settings: NodeSettings) -> Iterator[Finding]:
    host = EVERYWHERE.get(settings.dicom_host, settings.dicom_host)
    if settings.dicom_plain:
        yield _check_port(Target(ae_title=DEFAULT_AE_TITLE, host=host, port=settings.dicom_port))
    if settings.tls_certificate is not None:
        yield _check_tls_port(Target(ae_title=DEFAULT_AE_TITLE, host=host, port=settings.dicom_tls_port))


def _check_port(target: Target) -> Finding:
    """Any answer of DICOM's is one: under this title the node asks itself, and keeps no note of it."""
    where = f"{target.host}:{target.port}"
    try:
        with open_association(
            target, calling=target.ae_title, contexts=contexts_for([(VERIFICATION, EXPLICIT_LITTLE)])
        ):
            return well("listener", f"answers at {where}")
    except ConnectionProblem as problem:
        if problem.is_rejection:
            return well("listener", f"answers at {where}")
        return ill(
            "listener", f"does not answer at {where}: start it here with bonecraft serve, or see its log ({problem})"
        )


def _check_tls_port(target: Target) -> Finding:
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE  # our own port; its files are checked above
    where = f"{target.host}:{target.port}"
    try:
        with connect(target) as connection, shake_hands(connection, target, anybody) as secured:
            return well("TLS listener", f"answers at {where} with {secured.version()}")
    except ConnectionProblem as problem:
        return ill("TLS listener", f"does not answer at {where}: restart the listener here, or see its log ({problem})")


def _shown_later(_title: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """All together, when everything is known."""
    yield from findings


def _shown_now(title: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Each as soon as it is known."""
    console = Console(highlight=False)
    console.print(Text(title, style="bold"))
    for finding in findings:
        verdict = ("OK  ", "green") if finding.ok else ("FIX ", "bold red")
        console.print(Text.assemble("  ", verdict, f"{finding.check:<13} ", finding.sentence), soft_wrap=True)
        yield finding


def _show_json(sections: Sequence[tuple[str, Sequence[Finding]]]) -> None:
    plain = [{"about": title, **dataclasses.asdict(finding)} for title, found in sections for finding in found]
    sys.stdout.write(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Connection checks that the web asked for: a C-ECHO, or a search by DICOMweb, and a sentence for the administrator."""

from __future__ import annotations

from pipeline.clock import Clock, utc_now
from pipeline.database import Database
from pipeline.errors import BonecraftError, ConfigurationError
from pipeline.peer_secrets import PeerSecrets
from pipeline.records import checks
from pipeline.records.directory import Peer, first_called_ae_title, get_peer, slug_of
from scp_node.dicomweb import ping, web_target_of
from scp_node.echo import echo
from scp_node.peer import ConnectionProblem, Target, target_of
from scp_node.tls import TlsFiles


def check_connections(database: Database, files: TlsFiles, secrets: PeerSecrets, *, clock: Clock = utc_now) -> int:
    """Do the connection checks that were asked for; gives how many.

    Args:
        database: The node's records.
        files: Certificates for peers that are called over TLS.
        secrets: Credentials for peers that are called by DICOMweb.
        clock: What time it is.
    """
    done = 0
    while _check_one(database, files, secrets, clock):
        done += 1
    return done


def _check_one(database: Database, files: TlsFiles, secrets: PeerSecrets, clock: Clock) -> bool:
    with database.begin() as connection:
        check = checks.claim_check(connection, now=clock())
        if check is None:
            return False
        peer = get_peer(connection, check.peer_id)
        calling = first_called_ae_title(connection, peer.institution_id) if peer else None
        institution = slug_of(connection, peer.institution_id) if peer else ""
    if peer is not None and peer.dicomweb_url:
        ok, sentence = _search(peer, institution, files, secrets)
    elif peer is None or calling is None:
        ok, sentence = False, "this institution answers to no AE title yet, so nobody can be called: give it one"
    else:
        ok, sentence = _echo(target_of(peer, files), calling)
    with database.begin() as connection:
        checks.finish_check(connection, check.id, ok=ok, sentence=sentence, now=clock())
    return True


def _echo(target: Target, calling: str) -> tuple[bool, str]:
    try:
        seconds = echo(target, calling=calling)
    except (ConnectionProblem, ConfigurationError) as problem:
        return False, str(problem)
    return True, f"{target} answers in {seconds * 1000:.0f} ms"


def _search(peer: Peer, institution: str, files: TlsFiles, secrets: PeerSecrets) -> tuple[bool, str]:
    try:
        target = web_target_of(peer, institution, secrets=secrets, tls=files)
        seconds = ping(target)
    except BonecraftError as problem:
        return False, str(problem)
    return True, f"{target} answers a search for studies in {seconds * 1000:.0f} ms"

"""Lines for the doctor: whether a peer can be searched and gives its images, and whether sources can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from sqlalchemy.exc import ProgrammingError

from pipeline.database import open_database
from pipeline.errors import BonecraftError
from pipeline.finding import Finding, ill, well
from pipeline.peer_secrets import PeerSecrets
from pipeline.records.directory import Peer
from pipeline.records.sources import Source, every_source
from pipeline.settings import NodeSettings
from scp_node.pull import DimseArchive
from scp_node.pull_lines import archive_of
from scp_node.query import StudyQuestion
from scp_node.retrieve import NOBODYS_STUDY, STUDY_ROOT_GET, ways_offered
from scp_node.watch import feed_target
from scp_node.watch_feed import Feed


def check_pulling(settings: NodeSettings, peer: Peer, *, institution: str, calling: str) -> Iterator[Finding]:
    """Whether the peer answers a search, and how it gives its images; what bars the way ends the check.

    Args:
        settings: The node's.
        peer: Whom to ask.
        institution: The slug of its institution.
        calling: As whom we ask.
    """
    try:
        archive = archive_of(settings, peer, institution=institution, calling=calling)
        archive.studies(StudyQuestion(study_instance_uid=NOBODYS_STUDY))
    except BonecraftError as problem:
        yield ill("search", str(problem))
        return
    yield well("search", "answered")
    if isinstance(archive, DimseArchive):
        yield _check_retrieval(archive)


def _check_retrieval(archive: DimseArchive) -> Finding:
    try:
        ways = ways_offered(archive.target, calling=archive.calling)
    except BonecraftError as problem:
        return ill("retrieval", str(problem))
    if STUDY_ROOT_GET in ways:
        return well("retrieval", "it offers C-GET: images come on our own associations")
    if not ways:
        return ill("retrieval", f"{archive.target} offers neither C-GET nor C-MOVE: enable one of them there")
    if not archive.may_send:
        return ill("retrieval", "it offers C-MOVE only, and may not send here: bonecraft peers set … --sends")
    we_are = f"{archive.calling!r} with this machine's address and port {archive.listener_port}"
    return well("retrieval", f"it offers C-MOVE: it must know {we_are}; try with bonecraft pull")


def source_sections(settings: NodeSettings) -> Iterator[tuple[str, Iterator[Finding]]]:
    """Every source with its checks; none where the records cannot be read, which the node's own checks tell."""
    try:
        with closing(open_database(settings)) as database, database.begin() as connection:
            known = every_source(connection)
    except (BonecraftError, ProgrammingError):
        return
    for source in known:
        yield f"source {source.institution}/{source.name}", _check_source(source, PeerSecrets.of(settings))


def _check_source(source: Source, secrets: PeerSecrets) -> Iterator[Finding]:
    """Whether its change feed can be read with these credentials."""
    try:
        with closing(Feed(feed_target(source, secrets))) as feed:
            last = feed.newest().last
    except BonecraftError as problem:
        yield ill("change feed", str(problem))
        return
    read = "not read yet" if source.last_change is None else f"read up to change {source.last_change}"
    yield well("change feed", f"answers; its last change is {last}, {read}")

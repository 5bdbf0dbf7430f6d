"""Where the faults happen: a node with a site, a real Orthanc that takes its results, and a line between the two."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pipeline.embedded_postgres import EmbeddedPostgresNotRunning
from tests.faults.line import Line, line_to
from tests.faults.modalities import Called, Mix, Senders, four_senders
from tests.faults.reckoning import Account, reckon
from tests.node_process import MODALITY, NODE_AE_TITLE, NodePeer, RunningNode, running_node
from tests.peers import OrthancPeer, running_orthanc

PACS = "PACS"
SETTLE_SECONDS = 1200
"""A delivery that was interrupted is taken up after two minutes, and again where that is interrupted, too."""
RESULT_SECONDS = 900
ENOUGH_QUEUED = 3
QUEUED = "SELECT count(*) FROM reconstructions WHERE state IN ('queued', 'running')"
RECONSTRUCTED = "SELECT count(*) FROM reconstructions WHERE state = 'reconstructed'"
AWAY = (psycopg.OperationalError, EmbeddedPostgresNotRunning, OSError)
"""What whoever asks the database hears while it is down."""
UNSETTLED = """
SELECT (SELECT count(*) FROM reconstructions WHERE state IN ('queued', 'running'))
     + (SELECT count(*) FROM studies WHERE state = 'receiving')
     + (SELECT count(*) FROM deliveries WHERE state = 'pending') AS count
"""
MANY_ATTEMPTS = {"job_attempts": 100, "delivery_attempts": 100}
"""One study may be hit more often here than in years of a hospital; what is given up would wait for a command."""


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A PACS and the line to it."""

    orthanc: OrthancPeer
    line: Line


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A node, and the PACSs it delivers to, by their AE titles."""

    folder: Path
    node: RunningNode
    destinations: Mapping[str, Destination]
    seed: int

    @property
    def line(self) -> Line:
        """The line to the PACS, where there is but one."""
        return self.destinations[PACS].line

    def senders(self, *, mix: Mix | None = None, called: Called | None = None) -> AbstractContextManager[Senders]:
        """Four senders that send as long as the block lasts."""
        chosen = called or Called(port=self.node.dicom_port)
        return four_senders(self.folder, chosen, seed=self.seed, is_behind=self.is_behind, mix=mix)

    def is_behind(self) -> bool:
        """Whether the worker has enough to do; nobody knows while the database is away."""
        with suppress(*AWAY):
            return int(str(self.node.query(QUEUED)[0]["count"])) >= ENOUGH_QUEUED
        return True

    def wait_for_result(self) -> None:
        """Until one more study has been reconstructed."""
        seen: list[int] = []

        def has_more() -> bool:
            seen.append(int(str(self.node.query(RECONSTRUCTED)[0]["count"])))
            return seen[-1] > seen[0]

        self.node.wait_until(has_more, seconds=RESULT_SECONDS, pause=0.5)

    def settle(self) -> float:
        """Wait until everything is reconstructed and has been sent; gives the seconds that took."""
        begin = time.monotonic()
        self.node.wait_until(lambda: self.node.query(UNSETTLED) == [{"count": 0}], seconds=SETTLE_SECONDS, pause=1)
        return time.monotonic() - begin

    def reckon(self, senders: Senders, *, title: str = PACS) -> Account:
        """What came of what these senders were told, as the node and that PACS have it."""
        return reckon(self.node, self.destinations[title].orthanc, senders.acknowledged())


def seconds_until(condition: Callable[[], bool], *, at_most: float = 300.0) -> float:
    """How long until the condition holds.

    Raises:
        SystemExit: It does not.
    """
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > at_most:
            raise SystemExit(f"no recovery within {at_most:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - begin


def seconds_to_next_acknowledgement(senders: Senders) -> float:
    """How long until an instance is acknowledged that was not yet."""
    before = len(senders.acknowledged())
    return seconds_until(lambda: len(senders.acknowledged()) > before)


@contextmanager
def staged(
    *,
    seed: int,
    titles: Sequence[str] = (PACS,),
    bytes_per_second: float | None = None,
    tls: bool = False,
    data: Path | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: object,
) -> Iterator[Stage]:
    """A stage as long as the block lasts.

    Args:
        seed: Of everything random.
        titles: A PACS for each of these AE titles.
        bytes_per_second: How fast the lines to them are.
        tls: Whether they are called over TLS.
        data: The node's data folder, where it must be a certain one.
        environment: Variables for the node's processes.
        settings: As in `node.toml`.
    """
    with ExitStack() as open_things:
        folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="bonecraft-faults-")))
        destinations = {}
        for title in titles:
            (folder / title).mkdir()
            orthanc = open_things.enter_context(running_orthanc(folder / title, ae_title=title))
            line = line_to(orthanc.dicom_port, bytes_per_second=bytes_per_second, seed=seed)
            destinations[title] = Destination(orthanc=orthanc, line=open_things.enter_context(line))
        peers = [
            NodePeer(ae_title=title, port=each.line.port, receives=True, tls=tls)
            for title, each in destinations.items()
        ]
        chosen = {"job_heartbeat_seconds": 2, **MANY_ATTEMPTS, **settings}
        node = open_things.enter_context(running_node(MODALITY, *peers, data=data, environment=environment, **chosen))
        for each in destinations.values():
            each.orthanc.add_modality("bonecraft", ae_title=NODE_AE_TITLE, port=node.dicom_port)
        yield Stage(folder=folder, node=node, destinations=destinations, seed=seed)

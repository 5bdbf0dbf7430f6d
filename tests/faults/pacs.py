"""PACSs that misbehave, each in its own way at the same time, and one beside them that does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pynetdicom import AE, AllStoragePresentationContexts, evt

from tests.faults.line import Trouble
from tests.faults.modalities import Mix, Senders
from tests.faults.row import Row, Say
from tests.faults.stage import PACS, Stage, seconds_until, staged
from tests.peers import free_port

OUT_OF_RESOURCES = 0xA700
"""PS3.4 Table B.2-1."""
LOAD = Mix(seconds_between_films=12, seconds_between_pictures=60)
SEND_SECONDS = 60
BACKLOG_SECONDS = 900
BACKLOG = """
SELECT count(*) FROM deliveries d JOIN peers p ON p.id = d.peer_id
WHERE p.ae_title = %s AND d.state = 'pending' AND d.planned_at <= to_timestamp(%s)
"""
DELAYED = """
SELECT count(*) FROM deliveries d JOIN peers p ON p.id = d.peer_id
WHERE p.ae_title = %s AND extract(epoch FROM d.delivered_at - d.planned_at) > %s
"""
LONGEST_WAIT = """
SELECT max(extract(epoch FROM d.delivered_at - d.planned_at))::float AS seconds
FROM deliveries d JOIN peers p ON p.id = d.peer_id WHERE p.ae_title = %s
"""


@dataclass(frozen=True, kw_only=True)
class Misbehaviour:
    """What a PACS does, and for how long; full: it answers 0xA700 to everything."""

    title: str
    words: str
    seconds: int
    trouble: Trouble = Trouble.NONE
    is_full: bool = False


MISBEHAVIOURS = (
    Misbehaviour(title="REFUSES", words="refuses connections", seconds=60, trouble=Trouble.REFUSES),
    Misbehaviour(title="ABORTS", words="aborts in the middle", seconds=90, trouble=Trouble.ABORTS),
    Misbehaviour(title="DRIPS", words="drips bytes", seconds=90, trouble=Trouble.DRIPS),
    Misbehaviour(title="FULL", words="answers 0xA700", seconds=90, is_full=True),
    Misbehaviour(title="SILENT", words="takes connections and says nothing", seconds=120, trouble=Trouble.SILENT),
    Misbehaviour(title="AWAY", words="disappears", seconds=180, trouble=Trouble.REFUSES),
)
"""In the order in which they end."""


def suffer_pacs(*, seed: int, say: Say) -> list[Row]:
    """A row for each misbehaviour, and one for the PACS that behaves."""
    titles = [PACS, *(each.title for each in MISBEHAVIOURS)]
    with staged(seed=seed, titles=titles) as stage, _full_pacs() as full_port, ThreadPoolExecutor() as watchers:
        for each in MISBEHAVIOURS:
            _begin(stage, each, full_port)
        say("every PACS but one misbehaves")
        with stage.senders(mix=LOAD) as senders:
            stage.wait_for_result()
            begin = time.monotonic()
            time.sleep(SEND_SECONDS)
        returns: list[Future[float]] = []
        for each in MISBEHAVIOURS:
            time.sleep(max(0.0, begin + each.seconds - time.monotonic()))
            _end(stage, each)
            say(f"the PACS that {each.words} does so no more")
            returns.append(watchers.submit(_seconds_with_backlog, stage, each.title, time.time()))
        recoveries = [one.result() for one in returns]
        stage.settle()
        rows = [_row(stage, senders, each, seconds) for each, seconds in zip(MISBEHAVIOURS, recoveries, strict=True)]
        return [*rows, _row_of_the_other(stage, senders)]


def _begin(stage: Stage, misbehaviour: Misbehaviour, full_port: int) -> None:
    line = stage.destinations[misbehaviour.title].line
    line.trouble = misbehaviour.trouble
    if misbehaviour.is_full:
        line.upstream = full_port


def _end(stage: Stage, misbehaviour: Misbehaviour) -> None:
    destination = stage.destinations[misbehaviour.title]
    destination.line.trouble = Trouble.NONE
    destination.line.upstream = destination.orthanc.dicom_port


def _seconds_with_backlog(stage: Stage, title: str, ended: float) -> float:
    """How long until everything has been sent that waited when the misbehaviour ended."""
    return seconds_until(lambda: stage.node.query(BACKLOG, [title, ended]) == [{"count": 0}], at_most=BACKLOG_SECONDS)


def _row(stage: Stage, senders: Senders, misbehaviour: Misbehaviour, seconds: float) -> Row:
    account = stage.reckon(senders, title=misbehaviour.title)
    fault = f"PACS {misbehaviour.words} for {misbehaviour.seconds} s"
    met = int(str(stage.node.query(DELAYED, [misbehaviour.title, _longest_wait(stage)])[0]["count"]))
    return Row(
        fault=fault,
        faults=1,
        account=account,
        recovery=f"{seconds:.0f} s until what waited was there",
        met=met,
        remark=f"{met} objects arrived later than any at the PACS that behaves",
    )


def _row_of_the_other(stage: Stage, senders: Senders) -> Row:
    recovery = f"no result took longer than {_longest_wait(stage):.1f} s to arrive"
    return Row(fault="PACS beside them that behaves", account=stage.reckon(senders), recovery=recovery)


def _longest_wait(stage: Stage) -> float:
    """Seconds that a result took to the PACS that behaves."""
    return float(str(stage.node.query(LONGEST_WAIT, [PACS])[0]["seconds"]))


@contextmanager
def _full_pacs() -> Iterator[int]:
    """An archive whose disk is full; gives its port."""
    ae = AE("FULL")
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), context.transfer_syntax)
    port = free_port()
    handlers = [(evt.EVT_C_STORE, lambda _event: OUT_OF_RESOURCES)]
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    try:
        yield port
    finally:
        server.shutdown()

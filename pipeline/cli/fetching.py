"""What `bonecraft status` says of fetching: what peers are asked for, and how far sources were read."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from pipeline.cli.administration import local_time
from pipeline.records.fetches import FetchLine
from pipeline.records.sources import SourceLine
from pipeline.records.status import Snapshot


def show_fetching(console: Console, now: Snapshot) -> None:
    """What is asked for, then each source with the last change that was seen."""
    for fetch in now.fetches:
        console.print(Text(_asked(fetch), style="red" if fetch.state == "given-up" else ""), soft_wrap=True)
        if fetch.problem:
            console.print(Text(f"  {fetch.problem}"), soft_wrap=True)
    for source in now.sources:
        console.print(Text(_read(source), style="red" if source.problem else ""), soft_wrap=True)
        if source.problem:
            console.print(Text(f"  {source.problem}"), soft_wrap=True)


def _asked(fetch: FetchLine) -> str:
    what = "an earlier study for" if fetch.purpose == "prior" else "missing views of"
    asked = f"{fetch.peer} is asked for {what} study {fetch.study_id}"
    if fetch.state == "given-up":
        return f"{asked}: given up after {fetch.attempts} attempts"
    return f"{asked}: next at {local_time(fetch.next_attempt_at)}" if fetch.attempts else f"{asked} now"


def _read(source: SourceLine) -> str:
    name = f"source {source.institution}/{source.name}"
    taken = f"{source.taken} images taken" + (f", {source.waiting} studies still to come" if source.waiting else "")
    if source.problem and source.down_since is not None:
        return f"{name} cannot be read since {local_time(source.down_since)}: {taken}"
    if source.last_change is None or source.changed_at is None:
        return f"{name} was not read yet"
    return f"{name}: last change {source.last_change} at {local_time(source.changed_at)}, {taken}"

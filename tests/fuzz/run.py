"""`make fuzz`: thousands of spoilt requests to the listener, from real ones, and what they left behind in it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from tests.benchmarks.results import publish
from tests.fuzz.afterlife import read_back, work_off
from tests.fuzz.campaign import Campaign, run_campaign
from tests.fuzz.seeds import DCMTK, SENDER, Seed, record_seeds
from tests.listener_process import NODE_AE_TITLE, ListenerProcess, listener_process

MEGABYTES_MORE = 30
"""So much more memory may the listener hold at the end than after the warm-up: less than one radiograph a thousand."""
DESCRIPTORS_MORE = 10
"""Connections to the database that are kept for the next."""


def main() -> None:
    """Run the cases, judge, and show or keep what came of them."""
    options = _options()
    with fuzzed_listener() as (listener, seeds), Progress(transient=True) as progress:
        task = progress.add_task("spoilt requests", total=options.cases)
        campaign = run_campaign(
            listener,
            seeds,
            seed=options.seed,
            cases=options.cases,
            on_progress=lambda _: progress.advance(task),
        )
        sends = send_sound_file(listener)
        pictures = read_back(listener)
        states = work_off(listener, at_most=options.studies)
    faults = problems_of(campaign, sends=sends)
    _publish(campaign, pictures, states, seed=options.seed, write=options.write and not faults)
    if faults:
        raise SystemExit("\n".join(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from (default: 1)")
    parser.add_argument("--studies", type=int, default=10, help="how many go through the worker (default: 10)")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/benchmarks.md")
    return parser.parse_args()


@contextmanager
def fuzzed_listener() -> Iterator[tuple[ListenerProcess, Mapping[str, Seed]]]:
    """A listener of its own, and what dcmtk's programs said to it."""
    folder = Path(tempfile.mkdtemp(prefix="bonecraft-fuzz-"))  # short: the path of a socket holds 107 bytes
    try:
        with listener_process(folder, sender=SENDER) as listener:
            files = folder / "seeds"
            files.mkdir()
            yield listener, record_seeds(listener.port, files)
    finally:
        shutil.rmtree(folder)


def send_sound_file(listener: ListenerProcess) -> bool:
    """Whether dcmtk's storescu gets a sound file through."""
    titles = ["-aet", SENDER, "-aec", NODE_AE_TITLE]
    path = listener.data_folder / "seeds" / "explicit.dcm"
    command = [DCMTK / "storescu", *titles, "127.0.0.1", str(listener.port), path]
    return subprocess.run(command, check=False, timeout=60).returncode == 0


def problems_of(campaign: Campaign, *, sends: bool) -> list[str]:
    """What must not be."""
    before, after = campaign.before, campaign.after
    judged = {
        f"the log has exceptions: {list(campaign.crashes[:20])}": bool(campaign.crashes),
        f"only {campaign.handled} of {campaign.cases} got to the handler": 2 * campaign.handled < campaign.cases,
        f"{after.threads - before.threads} threads are left": after.threads > before.threads,
        f"{after.descriptors - before.descriptors} descriptors are left": after.descriptors
        > before.descriptors + DESCRIPTORS_MORE,
        f"memory grew from {before.megabytes:.0f} to {after.megabytes:.0f} MB": after.megabytes
        > before.megabytes + MEGABYTES_MORE,
        "a sound file is not taken any more": not sends,
    }
    return [problem for problem, is_so in judged.items() if is_so]


def _publish(campaign: Campaign, pictures: Counter[str], states: Counter[str], *, seed: int, write: bool) -> None:
    before, after = campaign.before, campaign.after
    publish(
        "fuzz",
        columns=["the last answer", "cases"],
        rows=[[outcome, str(times)] for outcome, times in Counter(campaign.outcomes).most_common()],
        remarks=[
            f"{campaign.cases} cases from seed {seed}, in {campaign.seconds:.0f} s, each answered or closed: "
            f"{_listed(campaign.kinds)}.",
            f"{campaign.handled} requests got into the C-STORE handler; none raised an exception that the log has.",
            f"After the warm-up and at the end: {before.megabytes:.0f} and {after.megabytes:.0f} MB resident, "
            f"{before.threads} and {after.threads} threads, {before.descriptors} and {after.descriptors} descriptors.",
            f"Radiographs that were acknowledged, read again with their pixels: {_listed(pictures)}. "
            f"Studies of them that went through the worker: {_listed(states)}.",
        ],
        write=write,
    )


def _listed(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{times} {name}" for name, times in sorted(counted.items(), key=lambda each: -each[1]))


if __name__ == "__main__":
    main()

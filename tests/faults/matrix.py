"""`make faults`: everything that can go wrong around a node, under load; what was lost, and what is there twice.

The table, its figures and a trace of the system calls go into docs/reliability.md. Ends with status 1 where anything
was lost or doubled, the ledger's chain is broken, or too few kills hit something.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.results import markdown, measured, replace_section, show
from tests.faults.certificates import let_certificates_expire
from tests.faults.clock import step_the_clock
from tests.faults.database import lose_the_database
from tests.faults.disk import fill_the_disk
from tests.faults.kills import kill_at_random
from tests.faults.modalities import STORESCU
from tests.faults.pacs import suffer_pacs
from tests.faults.row import COLUMNS, Row
from tests.faults.sync_order import STEPS, Traced, as_text, trace_order
from tests.peers import ORTHANC

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
KILLS, KILLS_IN_FULL = 200, 1000
LENGTHENED = "kills"
"""What the long run does: there is no more to be learnt of a full disk by filling it for longer."""
LEAST_SHARE_HIT = 0.5
Scenario = Callable[..., list[Row]]


def main() -> None:
    """Run it all, publish it, and judge it."""
    options = _options()
    absent = [str(program) for program in (STORESCU, ORTHANC) if not Path(program).exists()]
    if absent:
        raise SystemExit(f"missing: {', '.join(absent)} (Debian packages dcmtk, orthanc): make peers")
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: node, Orthanc and mounts are taken down
    traced = trace_order()
    rows: list[Row] = []
    for name in options.only:
        played = _played(name, partial(_scenarios(options.kills)[name], seed=options.seed, say=partial(_say, began)))
        for row in played:
            _say(began, " | ".join(row.cells))
        rows += played
    minutes = (time.monotonic() - began) / 60
    remarks = _remarks(rows, seed=options.seed, minutes=minutes)
    show(COLUMNS, [row.cells for row in rows], [*remarks, _order_in_words(traced)])
    if options.write:
        _publish("faults-full" if options.full else "faults", rows, remarks)
        replace_section(PAGE, "sync-order", _order_for_page(traced))
    if wrong := [problem for row in rows for problem in _wrong(row)]:
        raise SystemExit("\n".join(wrong))


def _options() -> argparse.Namespace:
    names = list(_scenarios(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help=f"{KILLS_IN_FULL} kills alone, for the page's second table")
    parser.add_argument("--kills", type=int, help=f"how many (default: {KILLS})")
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default: 1)")
    parser.add_argument("--only", nargs="+", choices=names, help="these faults; nothing is published")
    given = parser.parse_args()
    given.write = given.only is None and given.kills is None
    given.only = given.only or ([LENGTHENED] if given.full else names)
    given.kills = given.kills or (KILLS_IN_FULL if given.full else KILLS)
    return given


def _scenarios(kills: int) -> dict[str, Scenario]:
    return {
        LENGTHENED: partial(kill_at_random, kills),
        "disk": fill_the_disk,
        "database": lose_the_database,
        "pacs": suffer_pacs,
        "certificates": let_certificates_expire,
        "clock": step_the_clock,
    }


def _played(name: str, scenario: Callable[[], list[Row]]) -> list[Row]:
    """Its rows; where it does not end well that is a row, too, and the others still have their turn."""
    try:
        return scenario()
    except (SystemExit, pytest.fail.Exception, Exception) as end:  # noqa: BLE001 - other rows hang on it
        traceback.print_exc()
        return [Row(fault=name, broken=str(end).partition("\n")[0])]


def _say(began: float, words: str) -> None:
    sys.stderr.write(f"{time.monotonic() - began:7.0f} s  {words}\n")


def _remarks(rows: Sequence[Row], *, seed: int, minutes: float) -> list[str]:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    run = f"Seed {seed}, commit {commit.stdout.strip() or 'unknown'}, {minutes:.0f} minutes in all."
    chains = [f"{row.fault}: {row.account.chain}" for row in rows if row.account is not None]
    notes = [f"{row.fault}: {row.remark}." for row in rows if row.remark]
    return [run, f"`bonecraft prove --all` at the end of each: {'; '.join(chains)}.", *notes]


def _publish(section: str, rows: Sequence[Row], remarks: Sequence[str]) -> None:
    table = markdown(COLUMNS, [row.cells for row in rows])
    replace_section(PAGE, section, "\n".join([measured(), "", *table, "", *(f"- {remark}" for remark in remarks)]))


def _order_in_words(traced: Traced) -> str:
    if traced.skipped:
        return f"The order of the system calls was not traced: {traced.skipped}."
    return f"In {len(traced.images)} of {len(traced.images)} traced images the order was: {' → '.join(STEPS)}."


def _order_for_page(traced: Traced) -> str:
    words = _order_in_words(traced)
    return words if traced.skipped else f"{words}\n\n```text\n{as_text(traced.images[0], folder=traced.folder)}\n```"


def _wrong(row: Row) -> list[str]:
    """What must not be, in words."""
    if row.broken:
        return [f"{row.fault}: {row.broken}"]
    if row.account is None:
        return []
    found = [*row.account.lost, *row.account.duplicated]
    if not row.account.results:
        found.append("no result reached Orthanc: nothing was tried")
    if row.met == 0:
        found.append("nobody met it: nothing was tried")
    if row.share_hit is not None and row.share_hit < LEAST_SHARE_HIT:
        found.append(f"only {row.share_hit:.0%} hit an open association or a running job")
    return [f"{row.fault}: {problem}" for problem in found]


if __name__ == "__main__":
    main()

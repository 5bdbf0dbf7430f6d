"""Where benchmark results go: a table on the screen, and the same table with its machine in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"

Rows = Sequence[Sequence[str]]


def publish(section: str, *, columns: Sequence[str], rows: Rows, remarks: Sequence[str], write: bool) -> None:
    """Show a table; write it into `section` of docs/benchmarks.md, in place of what was there, if `write`.

    Args:
        section: Name of the section's markers: `<!-- pipeline -->` … `<!-- /pipeline -->`.
        columns: Headings.
        rows: Cells; the first column is text, the others are figures.
        remarks: Sentences below the table.
        write: Whether the results shall be kept.
    """
    show(columns, rows, remarks)
    if write:
        lines = [measured(), "", *markdown(columns, rows), ""]
        replace_section(PAGE, section, "\n".join([*lines, *(f"- {remark}" for remark in remarks)]))


def measured() -> str:
    """On what, and when; a sentence."""
    when = f"{datetime.now(UTC):%Y-%m-%d}, load average {os.getloadavg()[2]:.1f} over the last quarter of an hour"
    return f"Measured on {machine()}; {when}."


def replace_section(page: Path, section: str, text: str) -> None:
    """Put `text` between the markers `<!-- section -->` and `<!-- /section -->` of a page.

    Raises:
        SystemExit: The page has no such section.
    """
    whole = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {section} -->\n).*?(<!-- /{section} -->)", re.DOTALL)
    if not pattern.search(whole):
        raise SystemExit(f"{page} has no section <!-- {section} -->")
    page.write_text(pattern.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", whole), encoding="utf-8")


def machine() -> str:
    """Processor, cores that we may use, memory, kernel, Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    kernel = f"Linux {platform.release().split('-')[0]}"
    return f"{_processor()}, {cores} cores, {memory:.0f} GiB memory, {kernel}, Python {platform.python_version()}"


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1].strip() if found else platform.machine()


def show(columns: Sequence[str], rows: Rows, remarks: Sequence[str]) -> None:
    """A table on the screen, and sentences below it."""
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    for remark in remarks:
        console.print(remark, highlight=False)


def markdown(columns: Sequence[str], rows: Rows) -> list[str]:
    """The lines of a table."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows)]

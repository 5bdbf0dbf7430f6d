"""A line of the fault matrix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.reckoning import Account

Say = Callable[[str], None]
"""Tells whoever waits how far it is."""

COLUMNS = ("fault", "faults", "in the midst", "acknowledged", "results", "lost", "duplicated", "time to recover")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one kind of fault did.

    Attributes:
        fault: Which.
        faults: How many of them.
        recovery: Time to recover, in words.
        share_hit: The share of them that came in the middle of an association or a job.
        account: What came of it; None where it is counted in another row.
        met: How often somebody met it, where that is counted: 0 means that nothing was tried.
        remark: What else is to be known of it.
        skipped: Why it could not be tried here.
        broken: How it ended where it did not end well: what did not come back.
    """

    fault: str
    faults: int = 0
    recovery: str = ""
    share_hit: float | None = None
    account: Account | None = None
    met: int | None = None
    remark: str = ""
    skipped: str = ""
    broken: str = ""

    @property
    def cells(self) -> list[str]:
        """As the table has them."""
        if self.skipped or self.broken:
            words = f"not tried: {self.skipped}" if self.skipped else f"FAILED: {self.broken}"
            return [self.fault, "—", "", "", "", "", "", words]
        hit = "" if self.share_hit is None else f"{self.share_hit:.0%}"
        return [self.fault, f"{self.faults:,}", hit, *self._counts(), self.recovery]

    def _counts(self) -> list[str]:
        if self.account is None:
            return ["", "", "", ""]
        counted = self.account
        counts = (counted.acknowledged, counted.results, len(counted.lost), len(counted.duplicated))
        return [f"{count:,}" for count in counts]
